//! A log as a play: who enters, speaks and leaves, line by line. Decides membership as the log
//! tells it; knows nothing of servers, accounts or pace.

use std::collections::HashSet;

use super::line::{Line, LineKind, Said};
use super::nick::fold;

/// Something a person does in a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// Becomes a member.
    Enter { nick: &'a str },
    /// Says or does something, as a member.
    Say(Said<'a>),
    /// Is no member any more.
    Leave { nick: &'a str },
}

/// Who is in the channel, from the first line of a file to its last. One stage for one channel
/// of one file.
///
/// A join enters; a part, a quit and a kick leave. A log starts in the middle and is not
/// complete, so who speaks without having been seen to come enters with their first words, a
/// second join is nothing new, and who was never seen does not leave. A rename changes nothing:
/// the new nick is another person.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    /// Folded nicks.
    present: HashSet<String>,
}

impl Stage {
    /// What a line makes happen: at most two steps, in order.
    pub(crate) fn play<'a>(&mut self, line: &'a Line) -> impl Iterator<Item = Step<'a>> + use<'a> {
        let (first, second) = match &line.kind {
            LineKind::Join { nick } => (self.enter(nick), None),
            LineKind::Part { nick } | LineKind::Quit { nick } | LineKind::Kick { nick, .. } => (self.leave(nick), None),
            _ => match line.said() {
                Some(said) => (self.enter(said.nick), Some(Step::Say(said))),
                None => (None, None),
            },
        };
        first.into_iter().chain(second)
    }

    /// How many are in the channel.
    #[cfg(test)]
    pub(crate) fn present(&self) -> usize {
        self.present.len()
    }

    fn enter<'a>(&mut self, nick: &'a str) -> Option<Step<'a>> {
        self.present.insert(fold(nick)).then_some(Step::Enter { nick })
    }

    fn leave<'a>(&mut self, nick: &'a str) -> Option<Step<'a>> {
        self.present.remove(&fold(nick)).then_some(Step::Leave { nick })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Log, Speech};
    use super::*;

    #[test]
    fn joins_and_leaves_are_membership_and_the_first_words_are_a_join() {
        let log = Log::parse(
            "2008-01-01.txt",
            b"[10:00] <ann> hi\n\
              === bob [b@host] has joined #c\n\
              === Bob [b@host] has joined #c\n\
              [10:01] <BOB> hi\n\
              [10:01]  * ann waves\n\
              === bob is now known as rob\n\
              === bob [b@host] has left #c\n\
              === eve [e@host] has quit [gone]\n\
              [10:02] <rob> \n\
              [10:03] <rob> back\n",
        );
        let mut stage = Stage::default();
        let steps: Vec<_> = log.lines.iter().flat_map(|line| stage.play(line)).collect();
        let say = |nick, speech, text| Step::Say(Said { nick, speech, text });
        let expected = [
            Step::Enter { nick: "ann" },
            say("ann", Speech::Message, "hi"),
            Step::Enter { nick: "bob" },
            say("BOB", Speech::Message, "hi"),
            say("ann", Speech::Action, "waves"),
            Step::Leave { nick: "bob" },
            Step::Enter { nick: "rob" },
            say("rob", Speech::Message, "back"),
        ];
        assert_eq!(steps, expected);
        assert_eq!(stage.present(), 2);
    }
}
