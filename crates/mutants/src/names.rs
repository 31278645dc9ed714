//! What can be broken, and where a server can die: the names, as the environment and the tables in
//! `docs` have them.

use std::str::FromStr;

/// No such name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no {what} {given:?}; there are: {known}")]
pub struct UnknownName {
    what: &'static str,
    given: String,
    known: String,
}

/// Not the number of a pass.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not POINT:n, with the number of a pass that is 1 or more")]
pub struct NotANumber(String);

/// An enum whose variants have a name and a sentence.
macro_rules! named {
    ($(#[$meta:meta])* $kind:ident ($what:literal): $($variant:ident $name:literal $about:literal)*) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $kind {
            $(#[doc = $about] $variant,)*
        }

        impl $kind {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// As it is written in the environment.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// What it is, a sentence.
            pub fn about(self) -> &'static str {
                match self {
                    $(Self::$variant => $about,)*
                }
            }
        }

        impl FromStr for $kind {
            type Err = UnknownName;

            fn from_str(given: &str) -> Result<Self, UnknownName> {
                Self::ALL.iter().copied().find(|one| one.name() == given).ok_or_else(|| UnknownName {
                    what: $what,
                    given: given.to_owned(),
                    known: Self::ALL.iter().map(|one| one.name()).collect::<Vec<_>>().join(", "),
                })
            }
        }
    };
}

named! {
    /// A rule that can be broken.
    Mutant ("mutant"):
    AckBeforeSync "ack-before-sync" "What is written to the log is not synced before it is acknowledged."
    DedupeForgottenOnRestart "dedupe-forgotten-on-restart" "What a client id has done is known to the running process only."
    DedupeIgnoresSender "dedupe-ignores-sender" "A client id is one for all senders of a log."
    ResumeOffByOne "resume-off-by-one" "A cursor covers one event more than its device was told."
    FanOutReordered "fan-out-reordered" "The events of a batch are pushed from the last to the first."
    TailRepairOff "tail-repair-off" "A frame that was torn at the end of the log is taken for a whole one."
    DeletedBodyLeft "deleted-body-left" "The row of a deleted message is left as it was, with its text."
    FormerMemberSubscribed "former-member-subscribed" "Open connections of a removed member still hear the conversation."
    ReadPositionSetBack "read-position-set-back" "The last request decides how far somebody has read, not the highest."
    UnreadCounted "unread-counted" "Each message raises the count of unread ones; nothing that becomes of it is looked at."
    EffectAtMostOnce "effect-at-most-once" "What a change means for other logs is not sent again after a restart."
}

named! {
    /// A point of the server's work at which it can die.
    Point ("kill point"):
    LogUnwritten "log-unwritten" "Before a frame is written to the log."
    LogTorn "log-torn" "With half of a frame written to the log."
    LogWritten "log-written" "With a frame written to the log and not synced."
    LogSynced "log-synced" "With a frame written and synced, before its rows are to be read."
    SegmentBegun "segment-begun" "With a new segment of the log in its place, before the manifest names it."
    Committed "committed" "After the commit of what was decided, before anybody is told."
    Published "published" "After the publish, before the answers."
    Answering "answering" "After one of a batch's answers, before the next."
    Answered "answered" "After all answers of a batch."
    EffectsUnsent "effects-unsent" "Before what an event means for other logs is sent."
    MarksUncommitted "marks-uncommitted" "Before the commit of positions, marks and activity."
    MarksCommitted "marks-committed" "After that commit, before anybody is told."
    FlushBegun "flush-begun" "Before a memtable is written to tables."
    FlushWritten "flush-written" "With the tables of a memtable written, before they are read instead of it."
    LogUntrimmed "log-untrimmed" "With the manifest of a shorter log written, before the segments are removed."
    Merging "merging" "In the middle of a merge of tables: each row is a pass."
    MergeWritten "merge-written" "With merged tables written, before they are read instead of those before."
}

/// Which pass of which point is the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KillAt {
    /// Where.
    pub point: Point,
    /// At the how-manieth pass, from 1.
    pub pass: u64,
}

/// Why a text is no [`KillAt`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAKillAt {
    /// The point.
    #[error(transparent)]
    Point(#[from] UnknownName),
    /// The pass.
    #[error(transparent)]
    Pass(#[from] NotANumber),
}

impl FromStr for KillAt {
    type Err = NotAKillAt;

    /// Of `POINT:n`.
    fn from_str(given: &str) -> Result<Self, NotAKillAt> {
        let (point, pass) = given.split_once(':').unwrap_or((given, ""));
        let point = point.parse()?;
        let pass = pass.parse().ok().filter(|pass| *pass > 0).ok_or_else(|| NotANumber(given.to_owned()))?;
        Ok(Self { point, pass })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_known_and_no_two_are_the_same() {
        for mutant in Mutant::ALL {
            assert_eq!(mutant.name().parse(), Ok(*mutant));
        }
        for point in Point::ALL {
            assert_eq!(format!("{}:7", point.name()).parse(), Ok(KillAt { point: *point, pass: 7 }));
        }
    }

    #[test]
    fn what_is_not_known_is_an_error_that_tells_what_there_is() {
        let unknown = "ack-later".parse::<Mutant>().unwrap_err().to_string();
        assert!(unknown.contains("no mutant \"ack-later\"") && unknown.contains("ack-before-sync"), "{unknown}");
        for given in ["log-synced", "log-synced:", "log-synced:0", "log-synced:-1", "log-synced:x"] {
            assert_eq!(given.parse::<KillAt>(), Err(NotAKillAt::Pass(NotANumber(given.to_owned()))));
        }
        assert!(matches!("nowhere:1".parse::<KillAt>(), Err(NotAKillAt::Point(_))));
    }
}
