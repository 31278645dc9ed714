//! Rare situations, counted: a run in which one of them never came about has shown nothing of it.
//!
//! Must not know: how they come about.

use std::cell::RefCell;
use std::rc::Rc;

/// Names the situations, each with a sentence.
macro_rules! situations {
    ($($name:ident $about:literal)*) => {
        /// A situation that a run must meet.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Rare {
            $(#[doc = $about] $name,)*
        }

        impl Rare {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// What it is, a sentence.
            pub fn about(self) -> &'static str {
                match self {
                    $(Self::$name => $about,)*
                }
            }
        }
    };
}

situations! {
    CrashInBatch "A process died between two partitions of a batch."
    CrashInRecovery "A process died while it made a store whole."
    CrashInFlush "A process died while it wrote positions and marks."
    UnknownAndWritten "What became of a batch was not known, and all of it was there."
    UnknownAndNotWritten "What became of a batch was not known, and nothing of it was there."
    UnknownAgain "A batch of unknown fate was tried again, and its fate was still not known."
    UnknownAndCrash "A process died while the fate of a batch was not known."
    LateAndLower "A write arrived late, at a replica that had a newer one."
    ReplicasDiffer "A read met replicas that differ."
    ReadInDoubt "Somebody read while the fate of a batch was not known."
    Duplicate "A retry was answered with what an earlier try had done."
    DuplicateAfterRestart "A retry was answered so by a later life of the server."
    Conflict "A client id was used again, for something else."
    RefusalRemembered "A retry of something refused was refused again."
    EffectAgain "An effect was sent again after a restart."
    Refolded "A start found more in a feed than its mark covers, and all of it counts."
    Removed "A start found something of a batch that does not count."
    KeptUnacked "An event that nobody was told of outlived a crash."
    FellWithAnother "A batch was given up because the one before it was in doubt."
    ClockBack "An event was made when the clock had gone back by a day."
    PositionUnknown "What became of a position that somebody asked for was not known."
    PositionOwed "A position that was asked for was written, and the process died before its user's log told it."
}

/// How often each situation was met.
#[derive(Clone, Debug, Default)]
pub struct Met(Rc<RefCell<[u64; Rare::ALL.len()]>>);

impl Met {
    /// One more.
    pub fn note(&self, rare: Rare) {
        self.add(rare, 1);
    }

    /// So many more.
    pub fn add(&self, rare: Rare, times: u64) {
        self.0.borrow_mut()[rare as usize] += times;
    }

    /// How often, of each.
    pub fn counts(&self) -> [u64; Rare::ALL.len()] {
        *self.0.borrow()
    }
}
