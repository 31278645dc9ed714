//! What a line of a person means: a message, or one of the commands.
//!
//! Must not know: how anything is done.

use chirrup_core::ids::Seq;

/// Shown by `/help`.
pub(super) const HELP: &str = "\
Write a line to send it. A message is named by its number, as in #12.
  /reply 12 TEXT    answer a message          /me TEXT         say what you do
  /edit 12 TEXT     change your message       /thread 12 TEXT  answer in its thread
  /delete 12        delete it for all         /thread 12       show its thread
  /react 12 👍      put an emoji              /unreact 12 👍   take it back
  /conversations    list yours                /open TO         @name, a title, or an id
  /new @name        begin a conversation      /group TITLE @a @b   begin a group
  /add @name        add to this group         /leave           leave this group
  /who              who is here               /history [12]    more (before 12)
  /mute  /unmute    notifications             /help  /quit";

/// What is wanted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Nothing was written.
    Nothing,
    /// Send this.
    Say(String),
    /// Send what one does.
    Me(String),
    /// Answer a message.
    Reply(Seq, String),
    /// Answer in the thread of a message.
    Thread(Seq, String),
    /// Show the thread of a message.
    ShowThread(Seq),
    /// Change one's message.
    Edit(Seq, String),
    /// Delete a message.
    Delete(Seq),
    /// Put an emoji (true) or take it back.
    React(Seq, String, bool),
    /// List the conversations.
    Conversations,
    /// Open one.
    Open(String),
    /// Begin a group.
    Group(String, Vec<String>),
    /// Add members.
    Add(Vec<String>),
    /// Leave the group.
    Leave,
    /// Who is here.
    Who,
    /// Older messages, before this one.
    History(Option<Seq>),
    /// Notifications off (true) or on.
    Mute(bool),
    /// Show the commands.
    Help,
    /// Leave.
    Quit,
    /// It cannot be understood; why.
    Wrong(String),
}

/// Reads a line.
pub(super) fn read(line: &str) -> Wish {
    let line = line.trim_end();
    let Some(command) = line.strip_prefix('/') else {
        return if line.trim().is_empty() { Wish::Nothing } else { Wish::Say(line.to_owned()) };
    };
    // Two strokes send one: `//etc` is a text.
    if command.starts_with('/') {
        return Wish::Say(command.to_owned());
    }
    let (word, rest) = split(command);
    match word {
        "reply" => numbered(rest, "/reply 12 TEXT", Wish::Reply),
        "thread" if seq(rest).is_some() => Wish::ShowThread(seq(rest).unwrap_or(0)),
        "thread" => numbered(rest, "/thread 12 TEXT", Wish::Thread),
        "edit" => numbered(rest, "/edit 12 TEXT", Wish::Edit),
        "react" => numbered(rest, "/react 12 👍", |seq, emoji| Wish::React(seq, emoji, true)),
        "unreact" => numbered(rest, "/unreact 12 👍", |seq, emoji| Wish::React(seq, emoji, false)),
        "delete" => seq(rest).map_or_else(|| usage("/delete 12"), Wish::Delete),
        "history" if rest.is_empty() => Wish::History(None),
        "history" => seq(rest).map_or_else(|| usage("/history 12"), |seq| Wish::History(Some(seq))),
        "me" if !rest.is_empty() => Wish::Me(rest.to_owned()),
        "me" => usage("/me TEXT"),
        "open" | "new" if !rest.is_empty() => Wish::Open(rest.to_owned()),
        "open" | "new" => usage("/open @name, or /open TITLE"),
        "group" => group(rest),
        "add" if !rest.is_empty() => Wish::Add(rest.split_whitespace().map(str::to_owned).collect()),
        "add" => usage("/add @name"),
        "conversations" => Wish::Conversations,
        "leave" => Wish::Leave,
        "who" => Wish::Who,
        "mute" => Wish::Mute(true),
        "unmute" => Wish::Mute(false),
        "help" => Wish::Help,
        "quit" | "exit" => Wish::Quit,
        _ => Wish::Wrong(format!("there is no /{word}: /help shows what there is; a text that begins with / is written //")),
    }
}

fn usage(how: &str) -> Wish {
    Wish::Wrong(format!("it is written {how}"))
}

fn split(text: &str) -> (&str, &str) {
    text.split_once(char::is_whitespace).map_or((text, ""), |(word, rest)| (word, rest.trim()))
}

fn seq(text: &str) -> Option<Seq> {
    text.trim_start_matches('#').parse().ok()
}

fn numbered(rest: &str, how: &str, wish: impl FnOnce(Seq, String) -> Wish) -> Wish {
    let (number, text) = split(rest);
    match seq(number) {
        Some(seq) if !text.is_empty() => wish(seq, text.to_owned()),
        _ => usage(how),
    }
}

/// The title ends where the first `@name` begins.
fn group(rest: &str) -> Wish {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let names = words.iter().position(|word| word.starts_with('@')).unwrap_or(words.len());
    if names == 0 {
        return usage("/group TITLE @name @name");
    }
    Wish::Group(words[..names].join(" "), words[names..].iter().map(|&name| name.to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_messages_or_commands() {
        assert_eq!(read("hello /me"), Wish::Say("hello /me".into()));
        assert_eq!(read("  "), Wish::Nothing);
        assert_eq!(read("//etc/passwd"), Wish::Say("/etc/passwd".into()));
        assert_eq!(read("/reply #12  yes, that"), Wish::Reply(12, "yes, that".into()));
        assert_eq!(read("/react 3 👍"), Wish::React(3, "👍".into(), true));
        assert_eq!(read("/group The Cooks @ana @bob"), Wish::Group("The Cooks".into(), vec!["@ana".into(), "@bob".into()]));
        assert_eq!(read("/open The Cooks"), Wish::Open("The Cooks".into()));
        for wrong in ["/reply 12", "/reply x y", "/delete", "/delete -1", "/nothing", "/group @ana", "/me"] {
            assert!(matches!(read(wrong), Wish::Wrong(_)), "{wrong}");
        }
    }
}
