//! Logs that were published as pages: one line of markup a line. Knows the two kinds named in
//! the parent and takes their markup off; the forms of the text within are theirs alone.

use super::clock::{digits, second_of_day};
use super::line::{LineKind, Reason};

/// Starts every line of a span page.
pub(super) const SPAN: &str = r#"<span class="irc-date">"#;

/// No character reference that is known here is longer, between `&` and `;`.
const REFERENCE_MAX_BYTES: usize = 12;

/// Reads a line of a span page: the second of the day, and what happened. The colour is the
/// kind: `black` speech, `brick` actions, `green` joins, parts, renames and topics, `navy`
/// quits, `brown` and `red` notices to the bot that kept the log.
pub(super) fn span(line: &str) -> Result<(u32, LineKind), Reason> {
    let (time, rest) = line.strip_prefix(SPAN).and_then(|line| line.split_once("</span> <span class=\"irc-")).ok_or(Reason::Form)?;
    let time = time.strip_prefix('[').and_then(|time| time.strip_suffix(']')).ok_or(Reason::Time)?;
    let second = second_of_day(time).ok_or(Reason::Time)?;
    let (colour, body) = rest.split_once("\">").ok_or(Reason::Form)?;
    let text = plain_text(body.strip_suffix("</span><br />").ok_or(Reason::Form)?);

    let kind = match colour {
        "black" => spoken(&text),
        "brick" => text.strip_prefix("* ").map(|text| {
            let (nick, text) = text.split_once(' ').unwrap_or((text, ""));
            LineKind::Action { nick: nick.to_owned(), text: text.to_owned() }
        }),
        "green" | "navy" => text.strip_prefix("* ").and_then(came_or_went),
        "brown" | "red" => Some(LineKind::Notice),
        _ => None,
    };
    Ok((second, kind.ok_or(Reason::Form)?))
}

fn spoken(text: &str) -> Option<LineKind> {
    if text.starts_with("<- *") {
        // A private message to the bot: `<- *nick* text`.
        return Some(LineKind::Notice);
    }
    let (nick, text) = text.strip_prefix('<')?.split_once('>')?;
    let text = text.strip_prefix(' ').unwrap_or(text);
    Some(LineKind::Message { nick: nick.to_owned(), text: text.to_owned() })
}

fn came_or_went(text: &str) -> Option<LineKind> {
    if text.starts_with("Topic is '") || text.starts_with("Set by ") {
        return Some(LineKind::Topic);
    }
    if text == "Disconnected." {
        return Some(LineKind::System);
    }
    if let Some((from, to)) = text.split_once(" is now known as ")
        && !from.contains(' ')
    {
        return Some(LineKind::Rename { from: from.to_owned(), to: to.to_owned() });
    }
    let (nick, rest) = text.split_once(" (")?;
    let (_host, what) = rest.split_once(") ")?;
    let nick = nick.to_owned();
    match what {
        _ if what.starts_with("has joined #") => Some(LineKind::Join { nick }),
        _ if what.starts_with("has left #") => Some(LineKind::Part { nick }),
        _ if what.starts_with("Quit") => Some(LineKind::Quit { nick }),
        _ => None,
    }
}

/// Reads a line of a Pidgin page: the second of the day, and what happened.
pub(super) fn pidgin(line: &str) -> Result<(u32, LineKind), Reason> {
    let uncoloured = line.strip_prefix("<font color=\"").and_then(|line| line.split_once("\">"));
    let line = uncoloured.map_or(line, |(_colour, rest)| rest);
    let (time, rest) = line.strip_prefix("<font size=\"2\">(").and_then(|line| line.split_once(")</font>")).ok_or(Reason::Form)?;
    let second = second_of_half_day(time).ok_or(Reason::Time)?;

    let kind = if let Some(event) = rest.strip_prefix("<b> ") {
        event.strip_suffix("</b><br/>").and_then(entered_or_left)
    } else {
        rest.strip_prefix(" <b>").and_then(|rest| rest.split_once("</b></font>")).and_then(|(who, rest)| {
            let text = plain_text(rest.strip_prefix(' ').unwrap_or(rest).strip_suffix("<br/>")?);
            match who.strip_prefix("***") {
                Some(nick) => Some(LineKind::Action { nick: plain_text(nick), text }),
                None => Some(LineKind::Message { nick: plain_text(who.strip_suffix(':')?), text }),
            }
        })
    };
    Ok((second, kind.ok_or(Reason::Form)?))
}

fn entered_or_left(event: &str) -> Option<LineKind> {
    if let Some((nick, what)) = event.split_once(" [<em>") {
        let nick = plain_text(nick);
        return what.ends_with("</em>] entered the room.").then_some(LineKind::Join { nick });
    }
    let (nick, what) = event.split_once(" left the room")?;
    let nick = plain_text(nick);
    match what {
        "." => Some(LineKind::Part { nick }),
        _ if what.starts_with(" (quit: ") => Some(LineKind::Quit { nick }),
        _ => None,
    }
}

/// Whether a line is markup around the log, with nothing of the log in it.
pub(super) fn is_frame(line: &str) -> bool {
    matches!(line, "<pre>" | "</pre>") || line.starts_with("<h3>") || line.starts_with("<h4>")
}

/// The zone that a heading sets for the times below it, in minutes ahead of UTC. Only zones
/// whose letters mean one thing.
pub(super) fn zone_minutes(heading: &str) -> Option<i32> {
    let (_, rest) = heading.split_once("imes below are ")?;
    let letters = rest.find(|c: char| !c.is_ascii_uppercase()).map_or(rest, |end| &rest[..end]);
    Some(match letters {
        "UTC" | "GMT" => 0,
        "CET" => 60,
        "CEST" => 120,
        "EDT" => -240,
        "EST" | "CDT" => -300,
        "MDT" => -360,
        "MST" | "PDT" => -420,
        "PST" => -480,
        _ => return None,
    })
}

/// `H:MM:SS AM` or `PM`, as seconds since midnight.
fn second_of_half_day(time: &str) -> Option<u32> {
    let (time, half) = time.split_once(' ')?;
    let second = second_of_day(time).filter(|second| (3_600..13 * 3_600).contains(second))?;
    match half {
        "AM" => Some(second % (12 * 3_600)),
        "PM" => Some(second % (12 * 3_600) + 12 * 3_600),
        _ => None,
    }
}

/// The text of a piece of markup: tags taken out, then character references resolved once. What
/// people wrote is escaped in these pages, so every tag is markup.
fn plain_text(markup: &str) -> String {
    let tags_end = markup.rfind('>').unwrap_or(0);
    let mut text = String::with_capacity(markup.len());
    let mut at = 0;
    while let Some(ahead) = markup[at..].find(['<', '&']) {
        text.push_str(&markup[at..at + ahead]);
        at += ahead;
        let rest = &markup[at..];
        if rest.starts_with('<') && at < tags_end {
            at += rest.find('>').map_or(1, |end| end + 1);
        } else if let Some((c, length)) = reference(rest) {
            text.push(c);
            at += length;
        } else {
            text.push_str(&rest[..1]);
            at += 1;
        }
    }
    text + &markup[at..]
}

/// The character reference at the start of a text, and its length in bytes: the five of XML,
/// `&nbsp;`, and numbers. Others stay as they are.
fn reference(text: &str) -> Option<(char, usize)> {
    let text = text.strip_prefix('&')?;
    let name = &text[..text.bytes().take(REFERENCE_MAX_BYTES).position(|byte| byte == b';')?];
    let c = match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) if hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => u32::from_str_radix(hex, 16).ok()?,
                Some(_) => return None,
                None => digits(number)?,
            };
            char::from_u32(code).filter(|c| !c.is_control())?
        }
    };
    Some((c, name.len() + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_comes_off_and_references_resolve_once() {
        let page = r#"a <a href="http://x/?a=1&amp;b=2">http://x/?a=1&amp;b=2</a> &lt;b&gt; &amp;lt; &#233;&#xE9; &#10; & &who; <"#;
        assert_eq!(plain_text(page), "a http://x/?a=1&b=2 <b> &lt; éé &#10; & &who; <");
    }

    #[test]
    fn half_days() {
        let hours = |time| second_of_half_day(time).map(|second| second / 3_600);
        assert_eq!(hours("12:00:14 AM"), Some(0));
        assert_eq!(hours("12:00:14 PM"), Some(12));
        assert_eq!(hours("2:52:27 PM"), Some(14));
        assert_eq!(hours("0:52:27 PM"), None);
        assert_eq!(hours("13:52:27 PM"), None);
    }

    #[test]
    fn a_heading_may_name_a_zone() {
        assert_eq!(zone_minutes("<h4>NOTE: All Times below are CDT. Sorry"), Some(-300));
        assert_eq!(zone_minutes("<h4>NOTE: All Times below are IST"), None);
    }
}
