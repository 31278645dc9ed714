//! `chirrup config`: the server's configuration, checked and shown.

use std::path::PathBuf;

use anyhow::Result;
use chirrup_server::config::{Config, DEFAULT_FILE};
use clap::Subcommand;

use crate::context::Context;

/// What to do with a configuration.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check a file, the environment and what they make together.
    Check {
        /// The file; without one, the environment alone.
        file: Option<PathBuf>,
    },
    /// Print the default file, with a comment on every key.
    Print,
}

/// `chirrup config`
pub(crate) fn run(context: &Context, command: &ConfigCommand) -> Result<()> {
    match command {
        ConfigCommand::Check { file } => {
            let config = Config::load(file.as_deref(), std::env::vars(), &[])?;
            let answer = serde_json::json!({
                "listen": config.listen.address.to_string(),
                "admin": config.listen.admin_address.to_string(),
                "data_dir": config.server.data_dir.display().to_string(),
                "sign_up_open": config.sign_up_open(),
            });
            context.show(&answer, || {
                let open = if config.sign_up_open() { "anybody may sign up" } else { "nobody may sign up" };
                format!("The configuration is good: {} with data in {}; {open}.", config.listen.address, config.server.data_dir.display())
            })
        }
        ConfigCommand::Print => context.show(&serde_json::json!({ "default": DEFAULT_FILE }), || DEFAULT_FILE.trim_end().to_owned()),
    }
}
