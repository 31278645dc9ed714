//! Messages and conversations as lines.

use std::collections::HashMap;

use chirrup_core::ids::UserId;
use chirrup_protocol::choice::Form;
use chirrup_protocol::event::Message;
use chirrup_protocol::reply::{Conversation, Unread};

use crate::context::called;
use crate::screen::{Paint, clock, date, harmless, harmless_line};

/// Names of users, by id.
pub(crate) type Names = HashMap<UserId, String>;

/// What to call a user.
pub(crate) fn name(names: &Names, user: Option<UserId>) -> String {
    user.map_or_else(|| "the server".to_owned(), |user| names.get(&user).map_or_else(|| user.to_string(), |name| harmless_line(name)))
}

/// A message: `#12 15:04 ana: text`, and what hangs on it.
pub(crate) fn message(paint: Paint, names: &Names, message: &Message) -> String {
    let author = paint.name(&name(names, message.author));
    let at = message.original_time.map_or_else(|| clock(message.time), date);
    let head = paint.dim(&format!("#{} {at}", message.seq));
    let text = match (&message.text, message.form) {
        (Some(text), Form::Text) => format!("{author}: {}", indented(text)),
        (Some(text), Form::Action) => format!("* {author} {}", indented(text)),
        (None, _) => format!("{author}: {}", paint.dim("(deleted)")),
    };
    let mut marks = String::new();
    if let Some(seq) = message.thread_root {
        marks.push_str(&format!(" [in the thread of #{seq}]"));
    }
    if let Some(seq) = message.reply_to {
        marks.push_str(&format!(" [answers #{seq}]"));
    }
    if message.edits > 0 && !message.deleted {
        marks.push_str(" (edited)");
    }
    for reaction in &message.reactions {
        marks.push_str(&format!(
            " {}{}",
            harmless_line(&reaction.emoji),
            if reaction.count > 1 { format!("×{}", reaction.count) } else { String::new() }
        ));
    }
    if message.replies > 0 {
        marks.push_str(&format!(" [{} in its thread]", message.replies));
    }
    format!("{head} {text}{}", if marks.is_empty() { marks } else { paint.dim(&marks) })
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
            line.push_str(&format!("  {word}"));
        }
    }
    line.push_str(&paint.dim(&format!("  {} members  {}", conversation.members, conversation.conversation)));
    line
}
