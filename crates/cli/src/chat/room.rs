//! The conversation that is open, and what goes on around it.

use anyhow::Result;
use chirrup_client::view::ConversationView;
use chirrup_client::{Client, ClientEvent, new_client_id};
use chirrup_core::ids::{ConversationId, Seq, UserId};
use chirrup_protocol::choice::{Form, History as HistoryRule, Leaver};
use chirrup_protocol::event::{Event, Kind};
use chirrup_protocol::request::{AddMembers, CreateGroup, Delete, Edit, History, Leave, Members, Mute, React, Send};

use super::Screen;
use super::words::{HELP, Wish};
use crate::context::{self, called};
use crate::people::status;
use crate::screen::{Paint, harmless_line};
use crate::show::{self, Names};
use crate::tail::described;

/// Messages shown when a conversation is opened.
const SHOWN: u32 = 20;
/// Members whose coming and going is shown.
const WATCHED: u32 = 100;

/// A person at their terminal.
pub(super) struct Room {
    client: Client,
    screen: Screen,
    paint: Paint,
    own: String,
    names: Names,
    open: Option<ConversationId>,
}

impl Room {
    pub(super) fn new(client: Client, screen: Screen, own: String) -> Self {
        Self { client, screen, paint: Paint::detect(), own, names: Names::new(), open: None }
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
        if let Some(open) = self.open {
            self.client.typing(open, !line.is_empty() && !line.starts_with('/'));
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
            other => match self.open {
                Some(open) => self.here(open, other).await,
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
    async fn here(&mut self, open: ConversationId, wish: Wish) -> Result<()> {
        let client_id = new_client_id();
        match wish {
            Wish::Say(text) => self.send(open, text, Form::Text, None, None).await,
            Wish::Me(text) => self.send(open, text, Form::Action, None, None).await,
            Wish::Reply(seq, text) => self.send(open, text, Form::Text, Some(seq), None).await,
            Wish::Thread(seq, text) => self.send(open, text, Form::Text, None, Some(seq)).await,
            Wish::Edit(target, text) => {
                let (mentions, mention_all) = context::mentions(&self.client, open, &text).await?;
                self.client.say(Edit { client_id, conversation: open, target, text, mentions, mention_all })?;
                Ok(())
            }
            Wish::Delete(target) => {
                self.client.say(Delete { client_id, conversation: open, target })?;
                Ok(())
            }
            Wish::React(target, emoji, add) => {
                self.client.say(React { client_id, conversation: open, target, emoji, add })?;
                Ok(())
            }
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
                self.history(open, before).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    async fn send(
        &mut self,
        open: ConversationId,
        text: String,
        form: Form,
        reply_to: Option<Seq>,
        thread_root: Option<Seq>,
    ) -> Result<()> {
        let (mentions, mention_all) = context::mentions(&self.client, open, &text).await?;
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
        self.client.say(send)?;
        self.client.typing(open, false);
        Ok(())
    }

    async fn conversations(&mut self) -> Result<()> {
        let all = context::conversations(&self.client).await?;
        self.learn(all.iter().filter_map(|c| c.with)).await?;
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
        let members = self.client.request(Members { conversation, after: None, limit: WATCHED }).await?.members;
        self.names.extend(members.iter().map(|member| (member.user.user, member.user.name.clone())));
        self.learn(about.with).await?;
        self.open = Some(conversation);
        let unread = match (about.unread.count, about.unread.at_least) {
            (0, _) => "nothing unread".to_owned(),
            (n, false) => format!("{n} unread"),
            (n, true) => format!("{n} or more unread"),
        };
        let title = self.paint.bold(&called(&about, &self.names));
        self.print(&format!("== {title}: {} members, {unread}", about.members))?;
        let last = self.history(conversation, None).await?;
        if let Some(seq) = last.or(Some(about.head)).filter(|seq| *seq > about.read) {
            self.client.read(conversation, seq);
        }
        let own = self.client.view(chirrup_client::view::View::me);
        let others = members.iter().map(|member| member.user.user).filter(|user| Some(*user) != own);
        self.client.watch(others.collect());
        Ok(())
    }

    /// Shows a page; the last seq in it.
    async fn history(&mut self, conversation: ConversationId, before: Option<Seq>) -> Result<Option<Seq>> {
        let request = History { conversation, before, after: None, around: None, thread_root: None, limit: SHOWN };
        let page = self.client.request(request).await?;
        self.learn(page.messages.iter().filter_map(|m| m.author)).await?;
        if page.more_before
            && let Some(first) = page.messages.first()
        {
            self.note(&format!("more: /history {}", first.seq))?;
        }
        if before.is_some() && page.messages.is_empty() {
            self.note("there is nothing before")?;
        }
        for message in &page.messages {
            let line = show::message(self.paint, &self.names, message);
            self.print(&line)?;
        }
        Ok(page.messages.last().map(|message| message.seq).max(before.is_none().then_some(page.head)))
    }

    async fn who(&mut self, open: ConversationId) -> Result<()> {
        let members = self.client.request(Members { conversation: open, after: None, limit: WATCHED }).await?.members;
        self.names.extend(members.iter().map(|member| (member.user.user, member.user.name.clone())));
        let own = self.client.view(chirrup_client::view::View::me);
        for member in members {
            let user = member.user.user;
            let seen = if Some(user) == own {
                "you".to_owned()
            } else {
                self.client.view(|view| view.presence(user).map(status)).unwrap_or_else(|| "not known yet".to_owned())
            };
            self.note(&format!("@{}: {seen}", harmless_line(&member.user.name)))?;
        }
        Ok(())
    }

    /// Learns names that are not known yet.
    async fn learn(&mut self, users: impl IntoIterator<Item = UserId>) -> Result<()> {
        let unknown: Vec<UserId> = users.into_iter().filter(|user| !self.names.contains_key(user)).collect();
        if !unknown.is_empty() {
            let found = context::names(&self.client, unknown).await?;
            self.names.extend(found);
        }
        Ok(())
    }

    /// Shows what happened.
    pub(super) async fn happened(&mut self, event: ClientEvent) -> Result<()> {
        match event {
            ClientEvent::Event { conversation: Some(conversation), event } => self.event(conversation, &event).await,
            ClientEvent::Typing { conversation, user, typing: true } if Some(conversation) == self.open => {
                self.learn([user]).await?;
                let name = show::name(&self.names, Some(user));
                self.note(&format!("{name} is typing…"))
            }
            ClientEvent::Position(update) if Some(update.conversation) == self.open => {
                if self.client.view(chirrup_client::view::View::me) == Some(update.user) || update.read == 0 {
                    return Ok(());
                }
                self.learn([update.user]).await?;
                let name = show::name(&self.names, Some(update.user));
                self.note(&format!("{name} has read up to #{}", update.read))
            }
            ClientEvent::Presence(presence) => {
                self.learn([presence.user]).await?;
                let name = show::name(&self.names, Some(presence.user));
                self.note(&format!("{name} is {}", status(&presence)))
            }
            ClientEvent::Disconnected { .. } => self.note("no connection; reconnecting…"),
            ClientEvent::Ready { .. } => self.note("connected"),
            ClientEvent::Settled { outcome: Err(refusal), .. } => self.note(&format!("not done: {}", harmless_line(&refusal.message))),
            ClientEvent::Removed(conversation) if Some(conversation) == self.open => {
                self.open = None;
                self.note("you are not in this conversation any more")
            }
            _ => Ok(()),
        }
    }

    async fn event(&mut self, conversation: ConversationId, event: &Event) -> Result<()> {
        let mut users: Vec<UserId> = event.author.into_iter().collect();
        if let Kind::MemberAdded { user, .. } | Kind::MemberRemoved { user } | Kind::RoleChanged { user, .. } = &event.kind {
            users.push(*user);
        }
        self.learn(users).await?;
        let Some(words) = described(&self.names, event) else { return Ok(()) };
        if Some(conversation) == self.open {
            let shown = self.client.view(|view| {
                let message = view.conversation(conversation)?.message(event.seq)?;
                Some(show::message(self.paint, &self.names, message))
            });
            match (shown, &event.kind) {
                (Some(line), Kind::MessageCreated { .. }) => self.print(&line)?,
                _ => self.note(&words)?,
            }
            self.client.read(conversation, event.seq);
            return Ok(());
        }
        if !matches!(event.kind, Kind::MessageCreated { .. } | Kind::ConversationCreated { .. } | Kind::MemberAdded { .. }) {
            return Ok(());
        }
        let about = self.client.view(|view| view.conversation(conversation).map(ConversationView::about));
        self.learn(about.as_ref().and_then(|about| about.with)).await?;
        let place = about.map_or_else(|| conversation.to_string(), |about| called(&about, &self.names));
        self.note(&format!("in {place}: {words}"))
    }
}
