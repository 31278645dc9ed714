//! `chirrup serve`: runs the server, and tells its operator where it is and how to begin.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result};
use chirrup_server::app::{self, ServerInfo};
use chirrup_server::config::Config;

/// Settings of the server that are given most often; the rest by file and environment.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Configuration file; `chirrup config print` shows the default one.
    #[arg(long, value_name = "FILE", env = "CHIRRUP_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Where everything is kept; chirrup-data in the current directory if not given.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Address for clients, 127.0.0.1:7400 if not given; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// Address for the operator (health, figures), 127.0.0.1:7401 if not given.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) admin_listen: Option<String>,
}

impl Args {
    /// The configuration of file, environment and these flags.
    pub(crate) fn load(&self) -> Result<Config> {
        let text = |path: &PathBuf| path.display().to_string();
        let flags = [
            ("server.data_dir", self.data.as_ref().map(text)),
            ("listen.address", self.listen.clone()),
            ("listen.admin_address", self.admin_listen.clone()),
        ];
        let flags: Vec<_> = flags.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
        Ok(Config::load(self.config.as_deref(), std::env::vars(), &flags)?)
    }
}

/// Serves until it is told to stop.
pub(crate) async fn run(args: &Args, json: bool) -> Result<()> {
    let config = args.load()?;
    chirrup_server::telemetry::begin(&config.log).context("failed to start logging")?;
    app::serve(config, |info| announce(&info, json)).await?;
    Ok(())
}

fn announce(info: &ServerInfo, json: bool) {
    let scheme = if info.tls { "wss" } else { "ws" };
    let url = format!("{scheme}://{}", info.address);
    let text = if json {
        let value = serde_json::json!({
            "url": url,
            "address": info.address.to_string(),
            "admin_address": info.admin_address.to_string(),
            "sign_up_open": info.sign_up_open,
            "first_code": info.first_code,
        });
        value.to_string()
    } else {
        words(info, &url)
    };
    // A closed standard output is no reason not to serve.
    let _ = writeln!(std::io::stdout(), "{text}");
    let _ = std::io::stdout().flush();
}

fn words(info: &ServerInfo, url: &str) -> String {
    let mut text = format!("Chirrup serves at {url}\n");
    if info.sign_up_open {
        text.push_str("\n  Open an account and chat, each in a terminal of their own:\n");
        text.push_str("    chirrup login --sign-up NAME\n    chirrup chat @NAME\n");
    }
    if let Some(code) = &info.first_code {
        text.push_str("\n  This server has no administrator yet. Whoever redeems this code becomes one\n");
        text.push_str("  (once, within a day):\n");
        text.push_str("    chirrup admin redeem ");
        text.push_str(code);
        text.push('\n');
    }
    text
}
