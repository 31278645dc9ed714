//! How the program ends when something did not work: one table of exit codes.

use std::process::ExitCode;

use chirrup_client::Error as ClientError;

/// What did not work, as the exit code tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Exit code 1: the server refused, or something on this machine is not as it should be.
    Refused = 1,
    /// Exit code 2: wrong usage (also what the argument parser ends with).
    Usage = 2,
    /// Exit code 3: no connection to the server.
    NotConnected = 3,
    /// Exit code 4: it is not known whether it took effect; the same command may be given again.
    Unknown = 4,
    /// Exit code 5: nobody is logged in, or not any more.
    NotLoggedIn = 5,
}

/// Shown by `chirrup --help`.
pub(crate) const HELP: &str = "\
To begin:
  chirrup serve                    run a server on this machine
  chirrup login NAME --sign-up     in another terminal: open an account
  chirrup chat                     talk; /help there shows what you can do

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 no connection, \
    4 not known whether it took effect, 5 not logged in.";

/// A mistake in what was asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// Nobody is logged in.
#[derive(Debug, thiserror::Error)]
#[error("nobody is logged in here: chirrup login NAME (or chirrup login --sign-up NAME)")]
pub(crate) struct NotLoggedIn;

/// Whoever read the output has gone: nothing is left to do.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the output any more")]
pub(crate) struct ReaderGone;

impl Failure {
    /// Of an error that reached the end of a command.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        if error.is::<Usage>() {
            return Self::Usage;
        }
        if error.is::<NotLoggedIn>() {
            return Self::NotLoggedIn;
        }
        match error.downcast_ref::<ClientError>() {
            Some(ClientError::NotConnected(_)) => Self::NotConnected,
            Some(ClientError::Unknown(_)) => Self::Unknown,
            Some(ClientError::Ended(_)) => Self::NotLoggedIn,
            _ => Self::Refused,
        }
    }

    /// As the process ends.
    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

/// Tells an error: one line for people, or an object for programs, on standard error.
pub(crate) fn tell(error: &anyhow::Error, json: bool) {
    if json {
        let refusal = error.downcast_ref::<ClientError>().and_then(ClientError::refusal);
        let code = refusal.map_or("failed", |refusal| refusal.code.name());
        eprintln!("{}", serde_json::json!({ "error": { "code": code, "message": format!("{error:#}") } }));
    } else {
        eprintln!("chirrup: {}", crate::screen::harmless(&format!("{error:#}")));
    }
}
