//! What was chosen at the start of this process: which rule is broken, and where it dies.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Signal, getpid, kill_process};

use crate::{KillAt, Mutant, Point};

static CHOSEN: OnceLock<Chosen> = OnceLock::new();

struct Chosen {
    broken: Option<Mutant>,
    kill_at: Option<KillAt>,
    /// Passes of the point so far.
    passed: AtomicU64,
}

/// Chooses, once and for all, before anything else is done.
///
/// # Panics
/// If it was chosen before: nobody could say which choice the process had run under.
pub fn choose(broken: Option<Mutant>, kill_at: Option<KillAt>) {
    let chosen = Chosen { broken, kill_at, passed: AtomicU64::new(0) };
    assert!(CHOSEN.set(chosen).is_ok(), "what is broken is chosen once");
}

/// Whether this rule is broken. What [`crate::mutant!`] asks.
pub fn is_broken(rule: Mutant) -> bool {
    CHOSEN.get().is_some_and(|chosen| chosen.broken == Some(rule))
}

/// Counts a pass of this point; if it is the last one, gives what ends the process. What
/// [`crate::kill_point!`] asks.
pub fn kills(point: Point) -> Option<fn() -> !> {
    let chosen = CHOSEN.get()?;
    let KillAt { pass, .. } = chosen.kill_at.filter(|kill_at| kill_at.point == point)?;
    (chosen.passed.fetch_add(1, Ordering::Relaxed) + 1 == pass).then_some(die as fn() -> !)
}

/// Ends the process as kill -9 does: nothing is flushed, nothing is dropped.
fn die() -> ! {
    loop {
        // SIGKILL cannot be refused; the loop is for the compiler.
        let _ = kill_process(getpid(), Signal::KILL);
    }
}
