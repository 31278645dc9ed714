//! What others do, and what becomes of what one said, on the screen of the chat.

use anyhow::Result;
use chirrup_client::ClientEvent;
use chirrup_client::view::ConversationView;
use chirrup_core::ids::{ConversationId, Seq, UserId};
use chirrup_protocol::event::{Event, Kind};
use chirrup_protocol::push::PositionUpdated;
use chirrup_protocol::reply::Presence;

use super::{READERS, Room};
use crate::context::{self, called};
use crate::people::status;
use crate::screen::harmless_line;
use crate::show;
use crate::tail::described;

impl Room {
    /// Learns names that are not known yet. Who cannot be asked for now is shown by their id.
    pub(super) async fn learn(&mut self, users: impl IntoIterator<Item = UserId>) {
        let unknown: Vec<UserId> = users.into_iter().filter(|user| !self.names.contains_key(user)).collect();
        if !unknown.is_empty()
            && let Ok(found) = context::names(&self.client, unknown).await
        {
            self.names.extend(found);
        }
    }

    /// Shows what happened.
    pub(in crate::chat) async fn happened(&mut self, event: ClientEvent) -> Result<()> {
        match event {
            ClientEvent::Event { conversation: Some(conversation), event } => self.event(conversation, &event).await,
            ClientEvent::Typing { conversation, user, typing: true } if self.here(conversation).is_some() => {
                self.learn([user]).await;
                let name = show::name(&self.names, Some(user));
                self.note(&format!("{name} is typing…"))
            }
            ClientEvent::Position(update) => self.position(&update).await,
            ClientEvent::Presence(presence) => self.presence(&presence).await,
            ClientEvent::Disconnected { failure, .. } if !self.lost => {
                self.lost = true;
                self.note(&format!("{}; reconnecting…", harmless_line(&failure.to_string())))
            }
            ClientEvent::Ready { .. } if self.lost => {
                self.lost = false;
                self.note("connected again")
            }
            ClientEvent::Settled { outcome: Err(refusal), .. } => self.note(&format!("not done: {}", harmless_line(&refusal.message))),
            ClientEvent::Settled { conversation, outcome: Ok(done), .. } => {
                if let Some(open) = self.open.as_mut().filter(|open| open.conversation == conversation) {
                    open.settled = open.settled.max(done.seq);
                }
                Ok(())
            }
            ClientEvent::Removed(conversation) if self.here(conversation).is_some() => {
                self.open = None;
                self.note("you are not in this conversation any more")
            }
            _ => Ok(()),
        }
    }

    /// Tells that somebody has read a message of one's own, once for each message.
    async fn position(&mut self, update: &PositionUpdated) -> Result<()> {
        let Some(me) = self.me().filter(|me| *me != update.user) else { return Ok(()) };
        let Some(open) = self.here(update.conversation).filter(|open| open.members.len() <= READERS) else { return Ok(()) };
        let told = open.read.get(&update.user).copied().unwrap_or(0);
        let covered = self.client.view(|view| {
            let chat = view.conversation(update.conversation)?;
            let own = chat.messages().rev().find(|message| message.seq <= update.read && message.author == Some(me));
            own.map(|message| message.seq)
        });
        let Some(own) = covered.filter(|seq| *seq > told) else { return Ok(()) };
        if let Some(open) = &mut self.open {
            open.read.insert(update.user, own);
        }
        self.learn([update.user]).await;
        let name = show::name(&self.names, Some(update.user));
        self.note(&format!("{name} has read up to #{}", update.read))
    }

    /// Tells who came and went; at the beginning, only how the other of a direct conversation is.
    async fn presence(&mut self, presence: &Presence) -> Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let before = open.presence.insert(presence.user, presence.status);
        if before == Some(presence.status) || (before.is_none() && open.with != Some(presence.user)) {
            return Ok(());
        }
        self.learn([presence.user]).await;
        let name = show::name(&self.names, Some(presence.user));
        self.note(&format!("{name} is {}", status(presence)))
    }

    async fn event(&mut self, conversation: ConversationId, event: &Event) -> Result<()> {
        if self.here(conversation).is_some_and(|open| event.seq <= open.shown) {
            return Ok(());
        }
        let mut users: Vec<UserId> = event.author.into_iter().collect();
        if let Kind::MemberAdded { user, .. } | Kind::MemberRemoved { user } | Kind::RoleChanged { user, .. } = &event.kind {
            users.push(*user);
        }
        self.learn(users).await;
        let words = described(&self.names, event);
        if self.here(conversation).is_some() {
            self.members_changed(event);
            return self.event_here(conversation, event, words);
        }
        let Some(words) = words else { return Ok(()) };
        if !matches!(event.kind, Kind::MessageCreated { .. } | Kind::ConversationCreated { .. } | Kind::MemberAdded { .. }) {
            return Ok(());
        }
        let about = self.client.view(|view| view.conversation(conversation).map(ConversationView::about));
        if about.as_ref().is_some_and(|about| about.muted) {
            return Ok(());
        }
        self.learn(about.as_ref().and_then(|about| about.with)).await;
        let place = about.map_or_else(|| conversation.to_string(), |about| called(&about, &self.names));
        self.note(&format!("in {place}: {words}"))
    }

    fn event_here(&mut self, conversation: ConversationId, event: &Event, words: Option<String>) -> Result<()> {
        let message = matches!(event.kind, Kind::MessageCreated { .. });
        let line = self.message_line(conversation, event.seq).filter(|_| message);
        match (line, words) {
            (Some(line), _) => self.print(&line)?,
            (None, Some(words)) => self.note(&words)?,
            (None, None) => {}
        }
        if let Some(open) = &mut self.open {
            open.shown = event.seq;
        }
        self.client.read(conversation, event.seq);
        Ok(())
    }

    fn message_line(&self, conversation: ConversationId, seq: Seq) -> Option<String> {
        self.client.view(|view| {
            let message = view.conversation(conversation)?.message(seq)?;
            Some(show::message(self.paint, &self.names, message))
        })
    }

    fn members_changed(&mut self, event: &Event) {
        let Some(open) = &mut self.open else { return };
        match &event.kind {
            Kind::MemberAdded { user, .. } => {
                if let Some(name) = self.names.get(user) {
                    open.members.push((*user, name.clone()));
                }
            }
            Kind::MemberRemoved { user } => open.members.retain(|(member, _)| member != user),
            _ => {}
        }
    }
}
