//! The conversation that is open, and what goes on around it.

mod news;

use std::collections::HashMap;

use anyhow::Result;
use chirrup_client::call::Say;
use chirrup_client::view::View;
use chirrup_client::{Client, new_client_id};
use chirrup_core::ids::{ConversationId, Seq, UserId};
use chirrup_protocol::choice::{Form, History as HistoryRule, Leaver};
use chirrup_protocol::reply::Status;
use chirrup_protocol::request::{AddMembers, CreateGroup, Delete, Edit, History, Leave, Mute, React, Send};

use super::input::Screen;
use super::words::{HELP, Wish};
use crate::context::{self, called};
use crate::people::status;
use crate::screen::{Paint, harmless_line};
use crate::show::{self, Names, indented};

/// Messages shown when a conversation is opened.
const SHOWN: u32 = 20;
/// Members whose coming and going is shown.
const WATCHED: usize = 100;
/// Members up to which it is told how far each has read; in larger conversations it is for `/who`.
const READERS: usize = 10;

/// A person at their terminal.
pub(super) struct Room {
    client: Client,
    screen: Screen,
    paint: Paint,
    own: String,
    names: Names,
    open: Option<Open>,
    /// The connection was lost, and the person was told.
    lost: bool,
}

/// The conversation that is open.
struct Open {
    conversation: ConversationId,
    /// The other of a direct one.
    with: Option<UserId>,
    /// Whom a text can call.
    members: Vec<(UserId, String)>,
    /// Events up to here were shown, as messages of a page or one by one.
    shown: Seq,
    /// The last message of one's own that was told as settled.
    settled: Seq,
    /// Up to which message of one's own each other was told to have read.
    read: HashMap<UserId, Seq>,
    /// How each other was said to be.
    presence: HashMap<UserId, Status>,
}

impl Room {
    pub(super) fn new(client: Client, screen: Screen, own: String) -> Self {
        Self { client, screen, paint: Paint::detect(), own, names: Names::new(), open: None, lost: false }
    }

    /// Whether all that was said here is on the screen.
    pub(super) fn at_rest(&self) -> bool {
        self.client.outbox().is_empty() && self.open.as_ref().is_none_or(|open| open.settled <= open.shown)
    }

    fn me(&self) -> Option<UserId> {
        self.client.view(View::me)
    }

    fn here(&self, conversation: ConversationId) -> Option<&Open> {
        self.open.as_ref().filter(|open| open.conversation == conversation)
    }

    fn print(&mut self, line: &str) -> Result<()> {
        self.screen.print(line)
    }

    /// A line that is not a message.
    fn note(&mut self, text: &str) -> Result<()> {
        let line = self.paint.dim(&format!("-- {text}"));
        self.print(&line)
    }

    /// Begins: opens what was asked for, or shows what there is.
    pub(super) async fn greet(&mut self, to: Option<&str>) -> Result<()> {
        let own = harmless_line(&self.own);
        self.note(&format!("you are {own}; /help shows what you can do"))?;
        match to {
            Some(to) => self.try_open(to).await,
            None => self.conversations().await,
        }
    }

    /// Somebody writes a line; others in the conversation may see that.
    pub(super) fn writing(&mut self, line: &str) {
        if let Some(open) = &self.open {
            self.client.typing(open.conversation, !line.is_empty() && !line.starts_with('/'));
        }
    }

    /// Does what a line asks for. Whether to go on.
    pub(super) async fn wish(&mut self, wish: Wish) -> Result<bool> {
        let done = match wish {
            Wish::Quit => return Ok(false),
            Wish::Nothing => Ok(()),
            Wish::Help => self.print(HELP),
            Wish::Wrong(why) => self.note(&why),
            Wish::Conversations => self.conversations().await,
            Wish::Open(to) => self.try_open(&to).await,
            Wish::Group(title, members) => self.group(title, &members).await,
            other => match self.open.as_ref().map(|open| open.conversation) {
                Some(open) => self.wish_here(open, other).await,
                None => self.note("open a conversation first: /open @name"),
            },
        };
        // What did not work is told; the chat goes on.
        if let Err(error) = done {
            self.note(&harmless_line(&format!("{error:#}")))?;
        }
        Ok(true)
    }

    /// What is asked of the open conversation.
    async fn wish_here(&mut self, open: ConversationId, wish: Wish) -> Result<()> {
        let client_id = new_client_id();
        match wish {
            Wish::Say(text) => self.send(open, text, Form::Text, None, None),
            Wish::Me(text) => self.send(open, text, Form::Action, None, None),
            Wish::Reply(seq, text) => self.send(open, text, Form::Text, Some(seq), None),
            Wish::Thread(seq, text) => self.send(open, text, Form::Text, None, Some(seq)),
            Wish::ShowThread(seq) => self.thread(open, seq).await,
            Wish::Edit(target, text) => {
                let (mentions, mention_all) = self.mentioned(&text);
                self.say(Edit { client_id, conversation: open, target, text, mentions, mention_all }, "the edit")
            }
            Wish::Delete(target) => self.say(Delete { client_id, conversation: open, target }, "the deletion"),
            Wish::React(target, emoji, add) => self.say(React { client_id, conversation: open, target, emoji, add }, "the reaction"),
            Wish::Add(names) => {
                let mut users = Vec::new();
                for name in &names {
                    users.push(context::user(&self.client, name).await?.user);
                }
                self.client.request(AddMembers { client_id, conversation: open, users }).await?;
                Ok(())
            }
            Wish::Leave => {
                self.client.request(Leave { client_id, conversation: open }).await?;
                self.open = None;
                self.note("you have left")
            }
            Wish::Mute(muted) => {
                self.client.request(Mute { client_id, conversation: open, muted }).await?;
                self.note(if muted { "muted" } else { "not muted any more" })
            }
            Wish::Who => self.who(open).await,
            Wish::History(before) => {
                let before = before.or_else(|| self.client.view(|view| Some(view.conversation(open)?.messages().next()?.seq)));
                self.history(open, before, None).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    fn send(&mut self, open: ConversationId, text: String, form: Form, reply_to: Option<Seq>, thread_root: Option<Seq>) -> Result<()> {
        let (mentions, mention_all) = self.mentioned(&text);
        let what = indented(&text);
        let send = Send {
            client_id: new_client_id(),
            conversation: open,
            text,
            form,
            mentions,
            mention_all,
            reply_to,
            thread_root,
            also_in_conversation: false,
        };
        self.client.typing(open, false);
        self.say(send, &what)
    }

    /// Gives something to the outbox; where it waits for a connection, the person is told.
    fn say(&mut self, say: impl Say, what: &str) -> Result<()> {
        self.client.say(say)?;
        if self.client.status() == chirrup_client::Status::Live { Ok(()) } else { self.note(&format!("waits for the connection: {what}")) }
    }

    /// Members whom a text calls, as far as they are known here.
    fn mentioned(&self, text: &str) -> (Vec<UserId>, bool) {
        let members = self.open.iter().flat_map(|open| open.members.iter());
        context::mentioned(text, members.map(|(user, name)| (*user, name.as_str())))
    }

    async fn conversations(&mut self) -> Result<()> {
        let all = context::conversations(&self.client).await?;
        self.learn(all.iter().filter_map(|c| c.with)).await;
        if all.is_empty() {
            return self.note("you have no conversations yet: /open @name, or /group TITLE @name");
        }
        for conversation in &all {
            let line = show::conversation(self.paint, &self.names, conversation);
            self.print(&line)?;
        }
        Ok(())
    }

    async fn group(&mut self, title: String, names: &[String]) -> Result<()> {
        let mut members = Vec::new();
        for name in names {
            members.push(context::user(&self.client, name).await?.user);
        }
        let create = CreateGroup { client_id: new_client_id(), title, history: HistoryRule::Full, leaver: Leaver::Keeps, members };
        let created = self.client.request(create).await?;
        self.enter(created.conversation).await
    }

    async fn try_open(&mut self, to: &str) -> Result<()> {
        match context::conversation(&self.client, to).await {
            Ok(conversation) => self.enter(conversation).await,
            Err(error) => self.note(&harmless_line(&format!("{error:#}"))),
        }
    }

    /// Opens a conversation: who is there, what was said last, what of it is new.
    async fn enter(&mut self, conversation: ConversationId) -> Result<()> {
        let about = self.client.request(chirrup_protocol::request::Conversation { conversation }).await?;
        let members = context::members(&self.client, conversation).await?;
        self.names.extend(members.iter().cloned());
        self.learn(about.with).await;
        let unread = match (about.unread.count, about.unread.at_least) {
            (0, _) => "nothing unread".to_owned(),
            (n, false) => format!("{n} unread"),
            (n, true) => format!("{n} or more unread"),
        };
        let title = self.paint.bold(&called(&about, &self.names));
        match about.with {
            Some(_) => self.print(&format!("== {title}: {unread}"))?,
            None => self.print(&format!("== {title}: {} members, {unread}", about.members))?,
        }
        let me = self.me();
        let others = members.iter().map(|(user, _)| *user).filter(|user| Some(*user) != me).take(WATCHED).collect();
        let shown = self.history(conversation, None, Some(about.read)).await?;
        let (read, presence) = (HashMap::new(), HashMap::new());
        self.open = Some(Open { conversation, with: about.with, members, shown, settled: 0, read, presence });
        self.client.read(conversation, shown);
        self.client.watch(others);
        Ok(())
    }

    /// Shows a page, and in it where the messages beyond `read` begin; the seq up to which it tells
    /// the conversation.
    async fn history(&mut self, conversation: ConversationId, before: Option<Seq>, read: Option<Seq>) -> Result<Seq> {
        let request = History { conversation, before, after: None, around: None, thread_root: None, limit: SHOWN };
        let page = self.client.request(request).await?;
        self.learn(page.messages.iter().filter_map(|m| m.author)).await;
        if page.more_before
            && let Some(first) = page.messages.first()
        {
            self.note(&format!("more: /history {}", first.seq))?;
        }
        if before.is_some() && page.messages.is_empty() {
            self.note("there is nothing before")?;
        }
        let me = self.me();
        let new = page.messages.iter().find(|message| read.is_some_and(|read| message.seq > read) && message.author != me);
        for line in show::page(self.paint, &self.names, &page.messages, new.map(|message| message.seq)) {
            self.print(&line)?;
        }
        Ok(page.head)
    }

    /// Shows the thread of a message.
    async fn thread(&mut self, conversation: ConversationId, root: Seq) -> Result<()> {
        let request = History { conversation, before: None, after: None, around: None, thread_root: Some(root), limit: SHOWN };
        let page = self.client.request(request).await?;
        self.learn(page.messages.iter().filter_map(|m| m.author)).await;
        if page.messages.is_empty() {
            self.note(&format!("nobody answered in the thread of #{root}"))?;
        }
        for line in show::page(self.paint, &self.names, &page.messages, None) {
            self.print(&line)?;
        }
        Ok(())
    }

    /// Who is here, how they are, and how far they have read.
    async fn who(&mut self, open: ConversationId) -> Result<()> {
        let members = context::members(&self.client, open).await?;
        self.names.extend(members.iter().cloned());
        let me = self.me();
        for (user, name) in members {
            let (seen, read) = self.client.view(|view| {
                let read = view.conversation(open).and_then(|chat| chat.positions().find(|p| p.user == user).map(|p| p.read));
                (view.presence(user).map(status), read.filter(|seq| *seq > 0))
            });
            let seen = if Some(user) == me { "you".to_owned() } else { seen.unwrap_or_else(|| "not watched".to_owned()) };
            let read = read.filter(|_| Some(user) != me).map(|seq| format!(", has read up to #{seq}")).unwrap_or_default();
            self.note(&format!("@{}: {seen}{read}", harmless_line(&name)))?;
        }
        Ok(())
    }
}
