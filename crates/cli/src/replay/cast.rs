//! The people of a play: each with an account of their own and one connection, on which they speak
//! and which takes down what reaches them.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use chirrup_client::{Client, ClientEvent, Error, Events, Follow, Options, new_client_id};
use chirrup_core::ids::{ConversationId, Seq, UserId};
use chirrup_protocol::error::Code;
use chirrup_protocol::event::Event;
use chirrup_protocol::request::SignUp;
use futures_util::{StreamExt, TryStreamExt, stream};
use indicatif::ProgressBar;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::irc::Roll;

/// Accounts that are opened at once: the server hashes few passwords at a time.
const SIGN_UPS_AT_ONCE: usize = 4;
/// An account is asked for so long.
const SIGN_UP_MS: u64 = 120_000;
/// Names that are tried for one person.
const NAMES_MAX: usize = 50;

/// Somebody with an account and a connection.
pub(crate) struct Actor {
    /// Their account.
    pub(crate) user: UserId,
    /// Their connection.
    pub(crate) client: Client,
    /// The events of conversations that reached them, in order.
    heard: Arc<Mutex<Vec<(ConversationId, Event)>>>,
    /// The last of them.
    last: watch::Receiver<Seq>,
    listening: JoinSet<()>,
}

/// Opens accounts for all of a roll, by number in it.
pub(crate) async fn assemble(options: &Options, roll: &mut Roll, bar: &ProgressBar) -> Result<Vec<Actor>> {
    let ids = 0..roll.people().len();
    let shared = Mutex::new(std::mem::take(roll));
    let cast = stream::iter(ids)
        .map(|id| {
            let shared = &shared;
            async move {
                let actor = Actor::sign_up(options, |refused| {
                    let mut roll = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    if refused {
                        roll.refuse(id);
                    }
                    roll.people()[id].name.clone()
                });
                let actor = actor.await;
                bar.inc(1);
                actor
            }
        })
        .buffered(SIGN_UPS_AT_ONCE)
        .try_collect()
        .await;
    *roll = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    cast
}

impl Actor {
    /// Opens an account with a password that nobody will know, and connects. `name` gives the name
    /// to ask for: the first, or the next after the server refused one.
    pub(crate) async fn sign_up(options: &Options, mut name: impl FnMut(bool) -> String) -> Result<Self> {
        let (client, _events) = Client::connect(Options { token: None, ..options.clone() })?;
        let mut wanted = name(false);
        for _ in 0..NAMES_MAX {
            let request = SignUp {
                client_id: new_client_id(),
                name: wanted.clone(),
                password: format!("{}/{}", new_client_id(), new_client_id()),
                display_name: None,
                device_label: "chirrup replay".to_owned(),
            };
            match client.request_within(request, SIGN_UP_MS).await {
                Ok(logged_in) => {
                    client.close().await;
                    return Self::connect(options, logged_in.user, logged_in.token).await;
                }
                Err(Error::Refused(refusal)) if matches!(refusal.code, Code::NameTaken | Code::TextRefused) => wanted = name(true),
                Err(error) => return Err(error).with_context(|| format!("failed to open an account for {wanted}")),
            }
        }
        bail!("the server took none of {NAMES_MAX} names, the last was {wanted}")
    }

    async fn connect(options: &Options, user: UserId, token: String) -> Result<Self> {
        let options = Options { token: Some(token), follow: Follow::FromHead, ..options.clone() };
        let (client, events) = Client::connect(options)?;
        client.ready().await.context("failed to connect")?;
        let heard = Arc::default();
        let (told, last) = watch::channel(0);
        let mut listening = JoinSet::new();
        listening.spawn(listen(events, Arc::clone(&heard), told));
        Ok(Self { user, client, heard, last, listening })
    }

    /// Waits until this event has reached them.
    pub(crate) async fn reached(&self, seq: Seq) {
        // An error says that the connection is closed: what was heard tells the rest.
        let _ = self.last.clone().wait_for(|last| *last >= seq).await;
    }

    /// Says good-bye; answers with all that reached them of a conversation, and how much did of
    /// others.
    pub(crate) async fn leave(mut self, conversation: ConversationId) -> (Vec<Event>, usize) {
        self.client.close().await;
        while self.listening.join_next().await.is_some() {}
        let heard = std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        let (here, elsewhere): (Vec<_>, Vec<_>) = heard.into_iter().partition(|(place, _)| *place == conversation);
        (here.into_iter().map(|(_, event)| event).collect(), elsewhere.len())
    }
}

async fn listen(mut events: Events, heard: Arc<Mutex<Vec<(ConversationId, Event)>>>, told: watch::Sender<Seq>) {
    while let Some(event) = events.next().await {
        if let ClientEvent::Event { conversation: Some(conversation), event } = event {
            let seq = event.seq;
            heard.lock().unwrap_or_else(PoisonError::into_inner).push((conversation, event));
            told.send_replace(seq);
        }
    }
}
