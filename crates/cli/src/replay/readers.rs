//! The ways on which a reader gets a conversation: as it came, by `events`, and by `history`
//! forward and backward; each put down as a [`Sheet`].
//!
//! Must not know: what should be there.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};
use chirrup_client::Client;
use chirrup_core::ids::{ConversationId, Seq, UserId};
use chirrup_protocol::event::{Event, Kind, Message};
use chirrup_protocol::limits::{EVENTS_PAGE_MAX, HISTORY_PAGE_MAX};
use chirrup_protocol::request::{Events, History};

use super::script::{Entry, PersonId, Sheet};

/// A reader is asked for so long.
const PATIENCE_MS: u64 = 120_000;

/// Who is who.
pub(crate) type People = HashMap<UserId, PersonId>;

/// The log by `events` from the first on, and the digest of its chain at the last.
pub(crate) async fn log(client: &Client, conversation: ConversationId, people: &People) -> Result<(Sheet, Option<String>)> {
    let (mut sheet, mut chain, mut after) = (Sheet::default(), None, 0);
    loop {
        let request = Events { conversation: Some(conversation), after, limit: EVENTS_PAGE_MAX };
        let page = client.request_within(request, PATIENCE_MS).await.context("failed to read events")?;
        for event in &page.events {
            ensure!(event.seq == after + 1, "event {} comes after event {after}", event.seq);
            after = event.seq;
            put(&mut sheet, event, people);
        }
        chain = page.digest.or(chain);
        if after >= page.head {
            return Ok((sheet, chain));
        }
        ensure!(!page.events.is_empty(), "no events after {after}, where there should be some up to {}", page.head);
    }
}

/// The digest of the chain at one event.
pub(crate) async fn chain_at(client: &Client, conversation: ConversationId, seq: Seq) -> Result<Option<String>> {
    let request = Events { conversation: Some(conversation), after: seq - 1, limit: 1 };
    Ok(client.request_within(request, PATIENCE_MS).await.context("failed to read an event")?.digest)
}

/// The messages by `history`, from the first on.
pub(crate) async fn forward(client: &Client, conversation: ConversationId, people: &People) -> Result<Sheet> {
    let (mut sheet, mut after) = (Sheet::default(), 0);
    loop {
        let request = History { after: Some(after), ..newest(conversation) };
        let page = client.request_within(request, PATIENCE_MS).await.context("failed to read history")?;
        page.messages.iter().for_each(|message| put_message(&mut sheet, message, people));
        match page.messages.last() {
            Some(last) if page.more_after => after = last.seq,
            None if page.more_after => bail!("an empty page after {after}, and more after it"),
            _ => return Ok(sheet),
        }
    }
}

/// The messages by `history`, from the last back.
pub(crate) async fn backward(client: &Client, conversation: ConversationId, people: &People) -> Result<Sheet> {
    let mut pages = Vec::new();
    let mut before = None;
    loop {
        let request = History { before, ..newest(conversation) };
        let page = client.request_within(request, PATIENCE_MS).await.context("failed to read history")?;
        let first = page.messages.first().map(|message| message.seq);
        pages.push(page.messages);
        match first {
            Some(first) if page.more_before => before = Some(first),
            None if page.more_before => bail!("an empty page before {before:?}, and more before it"),
            _ => break,
        }
    }
    let mut sheet = Sheet::default();
    pages.iter().rev().flatten().for_each(|message| put_message(&mut sheet, message, people));
    Ok(sheet)
}

fn newest(conversation: ConversationId) -> History {
    History { conversation, before: None, after: None, around: None, thread_root: None, limit: HISTORY_PAGE_MAX }
}

/// Puts an event down.
pub(crate) fn put(sheet: &mut Sheet, event: &Event, people: &People) {
    let author = event.author.and_then(|user| people.get(&user)).copied();
    let person = |user: &UserId| people.get(user).copied();
    let entry = match &event.kind {
        // Nothing else may be told of it (rule E-4).
        Kind::Hidden if *event == Event::hidden(event.seq) => return sheet.hidden(event.seq),
        Kind::ConversationCreated { .. } => Some(Entry::Begin),
        Kind::MemberAdded { user, .. } => person(user).map(Entry::Enter),
        Kind::MemberRemoved { user } => person(user).filter(|person| author == Some(*person)).map(Entry::Leave),
        Kind::MessageCreated { form, text: Some(text), .. } => author.map(|author| Entry::Say(author, *form, text.clone())),
        _ => None,
    };
    match entry {
        Some(entry) => sheet.push(event.seq, &entry),
        None => sheet.stranger(event.seq, format!("{event:?}")),
    }
}

fn put_message(sheet: &mut Sheet, message: &Message, people: &People) {
    let author = message.author.and_then(|user| people.get(&user)).copied();
    match (author, &message.text) {
        (Some(author), Some(text)) => sheet.push(message.seq, &Entry::Say(author, message.form, text.clone())),
        _ => sheet.stranger(message.seq, format!("{message:?}")),
    }
}
