//! Processes that are known by a number and by when they began, so that a number that was given
//! to another since is never signalled.

use rustix::process::{Pid, Signal, kill_process};

/// When the kernel says that a process began; none if there is none.
pub(crate) fn began(process: &str) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name before it may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ended = matches!(*fields.first()?, "Z" | "X");
    fields.get(19).filter(|_| !ended).map(|began| (*began).to_owned())
}

/// Signals the process that a file records as its number and when it began. `false` if that is no
/// more.
pub(crate) fn signal(recorded: &str, signal: Signal) -> bool {
    let mut words = recorded.split_whitespace();
    let (Some(process), Some(when)) = (words.next(), words.next()) else { return false };
    let lives = began(process).is_some_and(|began| began == when);
    let process = process.parse().ok().and_then(Pid::from_raw);
    lives && process.is_some_and(|process| kill_process(process, signal).is_ok())
}
