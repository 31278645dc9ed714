//! Chores of the repository: `generate` writes the tables of `PROTOCOL.md` out of the code, `tidy`
//! finds what has come apart between code and pages.
//!
//! Must not know: how the server works. It reads files, and the core and the protocol for the tables.

mod repository;
mod tables;
mod tidy;

use std::process::ExitCode;

use repository::Repository;

fn main() -> ExitCode {
    let task = std::env::args().nth(1);
    let done = Repository::open().and_then(|repository| match task.as_deref() {
        Some("generate") => tables::generate(&repository),
        Some("tidy") => tidy::tidy(&repository),
        _ => Err("tasks are: generate, tidy".to_owned()),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
