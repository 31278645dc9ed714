//! Tells the shapes of log lines apart and reads the plain ones. Knows one line at a time, but
//! for the three things that only the whole file tells: see [`Reader`].

use super::clock::{self, Dial, Reading};
use super::html;
use super::line::{LineKind, Reason};
use super::nick::{is_nick, mend, split_mended};

/// One line read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) reading: Option<Reading>,
    pub(super) channel: Option<String>,
    pub(super) kind: LineKind,
}

impl Read {
    fn unparsed(reason: Reason, line: &str) -> Self {
        Self { reading: None, channel: None, kind: LineKind::Unparsed { reason, text: line.to_owned() } }
    }
}

/// Reads the lines of one file, in order.
#[derive(Debug)]
pub(super) struct Reader {
    /// The old Ubuntu logger wrote this file: `=== nick text` is an action.
    old_logger: bool,
    /// Some hour is past 12.
    past_noon: bool,
    /// The zone that the last heading set.
    zone_minutes: i32,
}

impl Reader {
    /// Looks through a file before it is read. The old logger gives itself away by the space
    /// that it put behind the `]` of every join and part.
    pub(super) fn new<'a>(lines: impl Iterator<Item = &'a str>) -> Self {
        let mut reader = Self { old_logger: false, past_noon: false, zone_minutes: 0 };
        for line in lines {
            let (_, _, line) = channel_prefix(line);
            if let Some(event) = line.strip_prefix("=== ") {
                reader.old_logger |= event.contains("]  has joined #") || event.contains("]  has left #");
            } else if let Some((second, _)) = time_of_line(line) {
                reader.past_noon |= second >= 13 * 3_600;
            }
        }
        reader
    }

    /// The dial of this file: only the old logger had one of twelve hours.
    pub(super) fn dial(&self) -> Dial {
        if self.old_logger && !self.past_noon { Dial::Twelve } else { Dial::TwentyFour }
    }

    /// Reads the next line.
    pub(super) fn read(&mut self, line: &str) -> Read {
        let (channel, day, body) = channel_prefix(line);
        let read = if line.trim().is_empty() {
            Ok((None, LineKind::Blank))
        } else if line.starts_with(html::SPAN) {
            html::span(line).map(|(second, kind)| (Some(second), kind))
        } else if line.starts_with("<font ") {
            html::pidgin(line).map(|(second, kind)| (Some(second), kind))
        } else if html::is_frame(line) {
            self.zone_minutes = html::zone_minutes(line).unwrap_or(self.zone_minutes);
            Ok((None, LineKind::System))
        } else if let Some(event) = body.strip_prefix("=== ") {
            self.event(event).map(|kind| (None, kind))
        } else if !body.starts_with('[') {
            Err(Reason::Shape)
        } else if let Some((second, rest)) = time_of_line(body) {
            timed(rest, channel.is_some()).map(|kind| (Some(second), kind))
        } else {
            Err(Reason::Time)
        };
        match read {
            Ok((_, kind)) if !kind.nicks().all(is_nick) => Read::unparsed(Reason::Nick, line),
            Ok((second, kind)) => {
                let reading = second.map(|second| Reading { day, second, zone_minutes: self.zone_minutes });
                Read { reading, channel: channel.map(str::to_owned), kind }
            }
            Err(reason) => Read::unparsed(reason, line),
        }
    }

    /// What follows `=== `.
    fn event(&self, event: &str) -> Result<LineKind, Reason> {
        if let Some(kind) = came_or_went(event) {
            return Ok(kind);
        }
        let topics = ["..[topic/#", "Topic for #", "Topic (#"];
        let systems = ["Starting logfile ", "netjoined: ", "netsplit: "];
        if event.starts_with("mode/#") {
            return Ok(LineKind::Mode);
        }
        if topics.iter().any(|start| event.starts_with(start)) {
            return Ok(LineKind::Topic);
        }
        if systems.iter().any(|start| event.starts_with(start)) {
            return Ok(LineKind::System);
        }
        if let Some((who, _)) = event.split_once(" changed the topic of #")
            && !who.contains(' ')
        {
            return Ok(LineKind::Topic);
        }
        if !self.old_logger {
            return Err(Reason::Form);
        }
        let (nick, text) = split_mended(event);
        Ok(LineKind::Action { nick, text: text.unwrap_or_default().to_owned() })
    }
}

/// `channel 2013-01-26 ` in front of a line, and the line behind it without the blanks that such
/// files end their lines with. Without such a prefix, the line as it is.
fn channel_prefix(line: &str) -> (Option<&str>, Option<i64>, &str) {
    let read = || {
        let (channel, rest) = line.split_once(' ')?;
        let (day, rest) = clock::date(rest)?;
        let named = !channel.is_empty() && !channel.starts_with(['[', '=', '<']);
        named.then_some((channel, day, rest.strip_prefix(' ')?))
    };
    match read() {
        Some((channel, day, rest)) => (Some(channel), Some(day), rest.trim_end_matches([' ', '\t'])),
        None => (None, None, line),
    }
}

/// `[HH:MM]` or `[HH:MM:SS]` at the start of a line, as seconds since midnight, and the rest.
fn time_of_line(line: &str) -> Option<(u32, &str)> {
    let (time, rest) = line.strip_prefix('[')?.split_once(']')?;
    Some((clock::second_of_day(time)?, rest))
}

/// What follows the time. In a channel file (`padded`) tabs and more blanks stand between.
fn timed(rest: &str, padded: bool) -> Result<LineKind, Reason> {
    let body = rest.trim_start_matches(' ');
    let kind = match body.chars().next() {
        _ if body.len() == rest.len() => None,
        Some('<') => spoken(&body[1..], padded),
        Some('*') => done(&body[1..], padded),
        Some('-') => body[1..].split_once("- ").filter(|(who, _)| !who.contains(' ')).map(|_| LineKind::Notice),
        Some('(') => said_elsewhere(&body[1..]),
        Some('=') => body.strip_prefix("== ").and_then(came_or_went),
        _ => None,
    };
    kind.ok_or(Reason::Form)
}

/// `nick> text`; the nick may have its channel mode in front.
fn spoken(rest: &str, padded: bool) -> Option<LineKind> {
    let (nick, text) = rest.split_once('>')?;
    let text = match text.strip_prefix('\t').filter(|_| padded) {
        Some(text) => text.strip_prefix(' ').unwrap_or(text),
        None => text.strip_prefix(' ').unwrap_or(text),
    };
    Some(LineKind::Message { nick: mend(nick.trim_start_matches(['@', '+', '%', '&'])), text: text.to_owned() })
}

/// ` nick does something`.
fn done(rest: &str, padded: bool) -> Option<LineKind> {
    let rest = rest.trim_start_matches(' ');
    let (nick, text) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
    let text = if padded { text.trim_start_matches([' ', '\t']) } else { text };
    (!nick.is_empty()).then(|| LineKind::Action { nick: nick.to_owned(), text: text.to_owned() })
}

/// `nick/#channel) text`: said in a channel that was not the one in view.
fn said_elsewhere(rest: &str) -> Option<LineKind> {
    let (who, text) = rest.split_once(") ")?;
    let (nick, _channel) = who.split_once("/#")?;
    Some(LineKind::Message { nick: nick.to_owned(), text: text.to_owned() })
}

/// Joins, parts, quits, kicks and renames, as `=== ` and `== ` lines have them.
fn came_or_went(event: &str) -> Option<LineKind> {
    let nick_before = |words| event.split_once(words).and_then(|(head, _)| before_host(head));
    if let Some(nick) = nick_before(" has joined #") {
        return Some(LineKind::Join { nick });
    }
    if let Some(nick) = nick_before(" has left #") {
        return Some(LineKind::Part { nick });
    }
    if let Some(nick) = nick_before(" has quit") {
        return Some(LineKind::Quit { nick });
    }
    if let Some((nick, rest)) = event.split_once(" was kicked off #")
        && let Some((_channel, by)) = rest.split_once(" by ")
        && !mend(nick).contains(' ')
    {
        let by = by.split_once(' ').map_or(by, |(by, _why)| by);
        return Some(LineKind::Kick { nick: mend(nick), by: by.to_owned() });
    }
    [" is now known as ", " has changed nick to "].iter().find_map(|words| {
        let (from, to) = event.split_once(words)?;
        let (from, to) = (mend(from), mend(to.trim_end_matches(' ')));
        let whole = !from.contains(' ') && !to.contains(' ');
        whole.then_some(LineKind::Rename { from, to })
    })
}

/// The nick in `nick [user@host]`. The old logger's space behind the last `]` says that there
/// may be more of them in the nick.
fn before_host(head: &str) -> Option<String> {
    let (nick, host) = if head.ends_with("] ") {
        let (nick, host) = split_mended(head);
        (nick, host?)
    } else {
        let (nick, host) = head.split_once(' ')?;
        (nick.to_owned(), host)
    };
    let host = mend(host);
    (host.starts_with('[') && host.contains('@') && host.ends_with(']') && !host.contains(' ')).then_some(nick)
}
