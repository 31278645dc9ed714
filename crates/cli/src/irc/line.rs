//! What one line of a log can be.

use super::clock::Stamp;

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Place in the file, counted from 1 as an editor shows it.
    pub(crate) number: u32,
    /// The channel, where each line names it (without `#`); none where the file is one channel.
    pub(crate) channel: Option<String>,
    /// When, if the line has a time and a date is known for it.
    pub(crate) at: Option<Stamp>,
    /// What happened.
    pub(crate) kind: LineKind,
}

/// What a line of a log tells. Nicks are as written, with the old Ubuntu logger's spaces taken
/// out; compare them with [`fold`](super::fold). Texts are as logged, colour codes included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LineKind {
    /// Something said in the channel. `text` may be empty.
    Message { nick: String, text: String },
    /// `/me`: something done in the channel. `text` may be empty.
    Action { nick: String, text: String },
    /// Came into the channel.
    Join { nick: String },
    /// Left the channel.
    Part { nick: String },
    /// Left the network.
    Quit { nick: String },
    /// Was thrown out of the channel.
    Kick { nick: String, by: String },
    /// Took another nick.
    Rename { from: String, to: String },
    /// The topic, or who set it.
    Topic,
    /// Channel modes, operators among them.
    Mode,
    /// A notice, or a private message to whoever kept the log: never part of the conversation.
    Notice,
    /// The log or the network talking of itself; headings and markup of a page.
    System,
    /// Nothing but white space.
    Blank,
    /// Not understood, and why.
    Unparsed { reason: Reason, text: String },
}

/// Why a line was not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It starts like none of the known shapes.
    Shape,
    /// Hours, minutes or seconds out of range, or no end to the time.
    Time,
    /// A known start, but what follows the time is none of the known forms.
    Form,
    /// What stands in the nick's place cannot be a nick.
    Nick,
}

impl Reason {
    /// In words, for a person.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Shape => "starts like no known log line",
            Self::Time => "the time is out of range or has no end",
            Self::Form => "nothing known follows the time",
            Self::Nick => "what stands where a nick should cannot be one",
        }
    }
}

/// How something was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speech {
    /// Said.
    Message,
    /// Done (`/me`).
    Action,
}

/// What a line adds to the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Said<'a> {
    /// Who, as written.
    pub(crate) nick: &'a str,
    /// Said or done.
    pub(crate) speech: Speech,
    /// What, as logged; never only white space.
    pub(crate) text: &'a str,
}

impl Line {
    /// What this line adds to the conversation; none if it is not a message or an action, or if
    /// its text is empty or white space (a chat server has nothing to show for it).
    pub(crate) fn said(&self) -> Option<Said<'_>> {
        let (nick, speech, text) = match &self.kind {
            LineKind::Message { nick, text } => (nick, Speech::Message, text),
            LineKind::Action { nick, text } => (nick, Speech::Action, text),
            _ => return None,
        };
        (!text.trim().is_empty()).then_some(Said { nick, speech, text })
    }

    /// Neither blank nor unparsed.
    pub(crate) fn is_understood(&self) -> bool {
        !matches!(self.kind, LineKind::Blank | LineKind::Unparsed { .. })
    }
}

impl LineKind {
    /// The nicks the line is about: the speaker, who came or went, both sides of a rename.
    /// Whoever kicked is not among them.
    pub(crate) fn nicks(&self) -> impl Iterator<Item = &str> {
        let (first, second) = match self {
            Self::Message { nick, .. }
            | Self::Action { nick, .. }
            | Self::Join { nick }
            | Self::Part { nick }
            | Self::Quit { nick }
            | Self::Kick { nick, .. } => (Some(nick), None),
            Self::Rename { from, to } => (Some(from), Some(to)),
            _ => (None, None),
        };
        first.into_iter().chain(second).map(String::as_str)
    }
}
