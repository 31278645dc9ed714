//! `chirrup doctor`: looks at the server of this machine and at one's own login, says what is
//! well and what is not, and what to do about it.

mod damage;

use std::path::Path;

use anyhow::{Result, bail};
use chirrup_client::Error as ClientError;
use chirrup_server::app::STORE_DIR;
use chirrup_server::config::Config;
use chirrup_store::embedded::{EmbeddedKv, OpenError, SalvageError, survey};
use serde::Serialize;

use crate::admin::{Served, get};
use crate::context::Context;
use crate::data::{self, Bar};
use crate::screen::Paint;
use crate::serve;

/// Look whether everything is well.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    serve: serve::Args,
}

/// How one thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Well,
    /// Not there, which may be meant so.
    Absent,
    Wrong,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    state: State,
    words: String,
    /// A damaged file, and where in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_byte: Option<u64>,
}

fn finding(what: &'static str, state: State, words: impl Into<String>) -> Finding {
    Finding { what, state, words: words.into(), file: None, at_byte: None }
}

/// `chirrup doctor`
pub(crate) async fn run(context: &Context, args: &DoctorArgs) -> Result<()> {
    let mut findings = Vec::new();
    match args.serve.load() {
        Ok(config) => {
            let open = if config.sign_up_open() { "anybody may sign up" } else { "nobody may sign up" };
            findings.push(finding("configuration", State::Well, format!("listens at {}; {open}", config.listen.address)));
            findings.extend(data::work("reading", move |bar| server(&config, &bar)).await?);
        }
        Err(error) => findings.push(finding("configuration", State::Wrong, format!("{error:#}"))),
    }
    findings.push(login(context).await);
    let paint = Paint::detect();
    context.show(&findings, || {
        let line = |f: &Finding| {
            let mark = match f.state {
                State::Well => "ok     ",
                State::Absent => "-      ",
                State::Wrong => "WRONG  ",
            };
            format!("{mark}{}: {}", paint.bold(f.what), f.words)
        };
        findings.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    if findings.iter().any(|f| f.state == State::Wrong) {
        bail!("not everything is well");
    }
    Ok(())
}

/// The store of this machine, and the server on it. Everything is read before the store is opened,
/// for what is damaged should be left as it is.
fn server(config: &Config, bar: &Bar) -> Result<Vec<Finding>> {
    let data = &config.server.data_dir;
    let store = data.join(STORE_DIR);
    if !store.exists() {
        let words = format!("there is none in {} yet: chirrup serve makes one", data.display());
        return Ok(vec![finding("store", State::Absent, words)]);
    }
    Ok(match survey(&store, &mut |progress| bar.show(progress)) {
        // What a first start has not finished is made good by opening it.
        Ok(losses) if losses.is_empty() => opened(config, &store),
        Err(SalvageError::Open(OpenError::NotAStore { .. })) => opened(config, &store),
        Ok(losses) => damage::found(&losses),
        Err(SalvageError::Open(OpenError::Locked { .. })) => {
            vec![finding("store", State::Well, format!("{} is in use", store.display())), running(data)]
        }
        Err(SalvageError::Open(error)) => vec![damage::refused(&error)],
        Err(error) => bail!("not all of {} could be looked at: {error}", store.display()),
    })
}

/// A store in which no place is damaged.
fn opened(config: &Config, store: &Path) -> Vec<Finding> {
    match EmbeddedKv::open(store, config.store_options()) {
        Ok(_) => {
            let well = finding("store", State::Well, format!("{}: every file is as it was written", store.display()));
            vec![well, finding("server", State::Absent, "none runs on this data")]
        }
        Err(error @ OpenError::Damaged { .. }) => vec![damage::refused(&error), damage::what_to_do()],
        Err(error) => vec![damage::refused(&error)],
    }
}

fn running(data: &Path) -> Finding {
    match Served::read(data).and_then(|served| get(served.admin_address, "/readyz")) {
        Ok(answer) if answer.starts_with("HTTP/1.1 200") => finding("server", State::Well, "runs and is ready"),
        Ok(answer) => {
            let why = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body.trim());
            finding("server", State::Wrong, format!("runs, but is not ready: {why}"))
        }
        Err(error) => finding("server", State::Wrong, format!("the data is in use, but no server answers: {error:#}")),
    }
}

/// One's own login.
async fn login(context: &Context) -> Finding {
    let profile = match context.place.load() {
        Ok(Some(profile)) => profile,
        Ok(None) => return finding("login", State::Absent, "nobody is logged in here: chirrup login NAME"),
        Err(error) => return finding("login", State::Wrong, format!("{error:#}")),
    };
    match context.connect().await {
        Ok(client) => {
            client.close().await;
            finding("login", State::Well, format!("{} at {}", profile.name, profile.server))
        }
        Err(error) if matches!(error.downcast_ref(), Some(ClientError::Ended(_))) => {
            finding("login", State::Wrong, format!("{error:#}; chirrup logout, then chirrup login {}", profile.name))
        }
        Err(error) => finding("login", State::Wrong, format!("{error:#}; is the server at {} running?", profile.server)),
    }
}
