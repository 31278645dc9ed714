//! Messages and conversations as lines.

use std::collections::HashMap;

use chirrup_core::ids::{Seq, UserId};
use chirrup_protocol::choice::Form;
use chirrup_protocol::event::Message;
use chirrup_protocol::reply::{Conversation, Unread};

use crate::context::called;
use crate::screen::{Paint, clock, day, harmless, harmless_line};

/// Names of users, by id.
pub(crate) type Names = HashMap<UserId, String>;

/// What to call a user.
pub(crate) fn name(names: &Names, user: Option<UserId>) -> String {
    user.map_or_else(|| "the server".to_owned(), |user| names.get(&user).map_or_else(|| user.to_string(), |name| harmless_line(name)))
}

/// A message: `#12 15:04 ana: text`, and what hangs on it.
pub(crate) fn message(paint: Paint, names: &Names, message: &Message) -> String {
    let author = paint.name(&name(names, message.author));
    let at = clock(message.original_time.unwrap_or(message.time));
    let head = paint.dim(&format!("#{} {at}", message.seq));
    let text = match (&message.text, message.form) {
        (Some(text), Form::Text) => format!("{author}: {}", indented(text)),
        (Some(text), Form::Action) => format!("* {author} {}", indented(text)),
        (None, _) => format!("{author}: {}", paint.dim("(deleted)")),
    };
    let mut marks: Vec<String> = Vec::new();
    marks.extend(message.thread_root.map(|seq| format!("[in the thread of #{seq}]")));
    marks.extend(message.reply_to.map(|seq| format!("[answers #{seq}]")));
    if message.edits > 0 && !message.deleted {
        marks.push("(edited)".to_owned());
    }
    marks.extend(message.reactions.iter().map(|reaction| match (harmless_line(&reaction.emoji), reaction.count) {
        (emoji, 1) => emoji,
        (emoji, count) => format!("{emoji}×{count}"),
    }));
    if message.replies > 0 {
        marks.push(format!("[{} in its thread]", message.replies));
    }
    if marks.is_empty() { format!("{head} {text}") } else { format!("{head} {text} {}", paint.dim(&marks.join(" "))) }
}

/// A page of messages, with a line before each new day, and before the first that is `unread`.
pub(crate) fn page(paint: Paint, names: &Names, messages: &[Message], unread: Option<Seq>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut before = String::new();
    for one in messages {
        if unread == Some(one.seq) {
            lines.push(paint.dim("-- new:"));
        }
        let day = day(one.original_time.unwrap_or(one.time));
        if day != before {
            lines.push(paint.dim(&format!("-- {day}")));
            before = day;
        }
        lines.push(message(paint, names, one));
    }
    lines
}

/// A text of several lines, the later ones set in.
pub(crate) fn indented(text: &str) -> String {
    harmless(text).replace('\n', "\n      ")
}

/// A count, or nothing.
fn count(unread: &Unread, what: &str) -> String {
    match (unread.count, unread.at_least) {
        (0, _) => String::new(),
        (n, false) => format!("  {n} {what}"),
        (n, true) => format!("  {n}+ {what}"),
    }
}

/// A conversation in a line.
pub(crate) fn conversation(paint: Paint, names: &Names, conversation: &Conversation) -> String {
    let mut line = paint.bold(&called(conversation, names));
    line.push_str(&count(&conversation.unread, "unread"));
    line.push_str(&count(&conversation.mentions, "for you"));
    for (is, word) in [(conversation.marked_unread, "marked unread"), (conversation.muted, "muted"), (!conversation.joined, "left")] {
        if is {
            line.push_str("  ");
            line.push_str(word);
        }
    }
    let members =
        if conversation.with.is_none() && conversation.joined { format!("  {} members", conversation.members) } else { String::new() };
    line.push_str(&paint.dim(&format!("{members}  {}", conversation.conversation)));
    line
}
