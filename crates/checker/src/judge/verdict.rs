//! What a judgement says: which rule was broken by what, and which rare situations were met.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::history::{Name, Seq};

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[doc = $about:literal])+ $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub enum $name { $($(#[doc = $about])+ #[serde(rename = $word)] $variant,)* }

        impl $name {
            /// All.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its name, as in JSON.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// What it means.
            pub fn about(self) -> &'static str {
                match self { $(Self::$variant => concat!($($about),+).trim_ascii(),)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

named! {
    /// What must hold.
    Rule {
        /// What was acked is there, in its place, for every later read by whoever may see it.
        AckedInFinal = "acked_in_final",
        /// What is seen was sent before.
        NothingInvented = "nothing_invented",
        /// What is seen is byte for byte what was sent, unless it was deleted.
        BytesUnchanged = "bytes_unchanged",
        /// What was refused is never seen.
        FailedInvisible = "failed_invisible",
        /// A log is dense: nothing is left out between what is seen.
        NoGap = "no_gap",
        /// Nothing is seen twice by one reading.
        NoDuplicate = "no_duplicate",
        /// The same event stands under the same seq, in the same order, for every reader by every path.
        SameForAll = "same_for_all",
        /// A client's id has one effect, however often it is sent.
        OneEffect = "one_effect",
        /// What was acked before another was asked for stands before it.
        RealTimeOrder = "real_time_order",
        /// Who was acked reads it from then on.
        OwnWritesRead = "own_writes_read",
        /// Who has seen something never reads a state before it.
        ReadsMonotonic = "reads_monotonic",
        /// After a reconnect what was missed is told, or that all is to be listed anew.
        ResumeOnce = "resume_once",
        /// Positions only grow, and never beyond the log.
        PositionsMonotonic = "positions_monotonic",
        /// Nobody sees what they may not: what came after their membership, or before it.
        NoEventToFormerMember = "no_event_to_former_member",
        /// What was deleted comes back by no path.
        NothingDeletedBack = "nothing_deleted_back",
        /// Who is there is told to be, and who is not is not, in time.
        PresenceInTime = "presence_in_time",
        /// What is answered stands before the answer.
        ReplyAfterParent = "reply_after_parent",
        /// The count of what is not read equals its definition.
        UnreadExact = "unread_exact",
        /// What comes has the form that the protocol promises.
        WellFormed = "well_formed",
    }
}

named! {
    /// Situations without which a run shows little.
    Rare {
        /// The same change was sent again.
        Retry = "retry",
        /// An outcome was unknown.
        Unknown = "unknown",
        /// What was unknown had taken effect.
        UnknownTookEffect = "unknown_took_effect",
        /// What was unknown had not.
        UnknownWithoutEffect = "unknown_without_effect",
        /// A fault fell between a change and its answer.
        FaultBeforeAnswer = "fault_before_answer",
        /// A fault fell between a change and its answer, and the change is there.
        FaultBetweenWriteAndAck = "fault_between_write_and_ack",
        /// A retry was answered as one.
        DuplicateAnswered = "duplicate_answered",
        /// Another change under the same client's id was refused.
        ConflictRefused = "conflict_refused",
        /// Something was refused.
        Refused = "refused",
        /// A session went on from a cursor.
        Resumed = "resumed",
        /// A session went on from a cursor after it had missed something.
        ReconnectDuringBacklog = "reconnect_during_backlog",
        /// A session was told to list all anew.
        Reset = "reset",
        /// A connection was too slow, and was told so.
        Behind = "behind",
        /// Two devices of one user were connected at once.
        TwoDevicesAtOnce = "two_devices_at_once",
        /// An edit and a deletion of one message were under way at once.
        EditRacedDelete = "edit_raced_delete",
        /// Somebody's membership ended while others sent.
        RemovedWhileSending = "removed_while_sending",
        /// Somebody joined a conversation that had messages.
        JoinedLate = "joined_late",
        /// Somebody read what they may no longer see all of.
        FormerMemberRead = "former_member_read",
        /// A deleted message was read.
        DeletedRead = "deleted_read",
        /// An event that its reader may not see was read.
        HiddenRead = "hidden_read",
        /// A reply in a thread.
        ThreadReply = "thread_reply",
        /// A fault.
        Fault = "fault",
        /// All was read back.
        ReadBackInFull = "read_back_in_full",
    }
}

/// A rule was broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// The record of the history that shows it, counted from 1.
    pub record: usize,
    /// In which conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation: Option<Name>,
    /// Which event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<Seq>,
    /// Which message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Name>,
    /// Who saw it: user, device and connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reader: Option<String>,
    /// By which path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<&'static str>,
    /// What is wrong, in a sentence.
    pub why: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: record {}", self.rule, self.record)?;
        if let Some(conversation) = &self.conversation {
            write!(f, ", {conversation}")?;
        }
        if let Some(seq) = self.seq {
            write!(f, ", seq {seq}")?;
        }
        if let Some(body) = &self.body {
            write!(f, ", {body:?}")?;
        }
        if let Some(reader) = &self.reader {
            write!(f, ", read by {reader}")?;
        }
        if let Some(path) = self.path {
            write!(f, " by {path}")?;
        }
        write!(f, ": {}", self.why)
    }
}

/// What a judgement says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Broken rules, the most telling first; of each rule at most [`Verdict::KEPT_MAX`].
    pub violations: Vec<Violation>,
    /// How many more there were.
    pub omitted: u64,
    /// How often each rare situation was met; what was never met is not named.
    pub met: BTreeMap<Rare, u64>,
    /// Changes that were acked.
    pub acked: u64,
}

impl Verdict {
    /// Of one rule so many violations are kept.
    pub const KEPT_MAX: usize = 50;

    /// Whether no rule was broken.
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// How many of a rule were found and kept.
    pub fn of(&self, rule: Rule) -> usize {
        self.violations.iter().filter(|violation| violation.rule == rule).count()
    }

    /// Of these situations, those that the run did not meet.
    pub fn missing(&self, needed: &[Rare]) -> Vec<Rare> {
        needed.iter().copied().filter(|rare| !self.met.contains_key(rare)).collect()
    }

    /// Whether the run counts: it met all of these situations.
    pub fn counts(&self, needed: &[Rare]) -> bool {
        self.missing(needed).is_empty()
    }

    pub(super) fn add(&mut self, violation: Violation) {
        if self.of(violation.rule) < Self::KEPT_MAX { self.violations.push(violation) } else { self.omitted += 1 }
    }

    pub(super) fn meet(&mut self, rare: Rare) {
        *self.met.entry(rare).or_default() += 1;
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for violation in &self.violations {
            writeln!(f, "{violation}")?;
        }
        if self.omitted > 0 {
            writeln!(f, "and {} more", self.omitted)?;
        }
        for rare in Rare::ALL {
            writeln!(f, "met {:>7} × {rare}", self.met.get(rare).copied().unwrap_or(0))?;
        }
        let found = self.violations.len() as u64 + self.omitted;
        writeln!(f, "{} acked, {found} violations, {} of {} rare situations met", self.acked, self.met.len(), Rare::ALL.len())
    }
}
