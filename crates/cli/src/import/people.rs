//! Accounts for those who speak, and their membership.
//!
//! Must not know: logs, messages.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use chirrup_client::{Client, Error, Options};
use chirrup_core::ids::{ConversationId, UserId};
use chirrup_core::limits::{MEMBERS_AT_ONCE_MAX, TITLE_CHARS_MAX};
use chirrup_core::names;
use chirrup_protocol::error::Code;
use chirrup_protocol::request::{AddMembers, Find, ImportUser};
use futures_util::future::try_join_all;
use indicatif::ProgressBar;
use tokio_util::sync::CancellationToken;

use super::ids;
use crate::irc::{Person, Roll, fold};

/// Connections that make accounts: the server makes one after another on each.
const CONNECTIONS: usize = 16;
/// Names that are tried for one person.
const NAMES_MAX: u32 = 20;

/// The accounts, by number in the roll.
pub(crate) type Accounts = BTreeMap<usize, UserId>;

/// Makes an account for each of these people, or finds the one that an earlier import made; those
/// whose name the server refuses get a marked one, which the roll keeps. Who can have none is left
/// out. Stops early if it is told to.
pub(crate) async fn accounts(
    options: &Options,
    roll: &mut Roll,
    people: &[usize],
    stop: &CancellationToken,
    bar: &ProgressBar,
) -> Result<Accounts> {
    super::show(bar, "accounts", people.len());
    let mut shares: Vec<Vec<(usize, String)>> = vec![Vec::new(); CONNECTIONS];
    for id in people {
        let Person { nick, name, .. } = &roll.people()[*id];
        // Names that could be taken for one another go over one connection, so that the first to be
        // met has the name, in every run.
        let look = names::fold(name).bytes().fold(0, |sum, byte| (sum * 31 + usize::from(byte)) % CONNECTIONS);
        shares[look].push((*id, nick.clone()));
    }
    let shared = Mutex::new(std::mem::take(roll));
    let share = async |people: Vec<(usize, String)>| {
        let (client, _events) = Client::connect(options.clone())?;
        let mut made = Accounts::new();
        for (id, nick) in people {
            if stop.is_cancelled() {
                break;
            }
            made.extend(account(&client, &shared, id, &nick).await?.map(|user| (id, user)));
            bar.inc(1);
        }
        client.close().await;
        anyhow::Ok(made)
    };
    let made = try_join_all(shares.into_iter().filter(|share| !share.is_empty()).map(share)).await;
    *roll = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(made?.into_iter().flatten().collect())
}

/// The account of one person; none if the server takes no name that was thought of.
async fn account(client: &Client, roll: &Mutex<Roll>, id: usize, nick: &str) -> Result<Option<UserId>> {
    for _ in 0..NAMES_MAX {
        let name = roll.lock().unwrap_or_else(PoisonError::into_inner).people()[id].name.clone();
        let refusal = match client.request(ask(nick, name.clone())).await {
            Ok(user) => return Ok(Some(user.user)),
            Err(error) => refusal(error, nick)?,
        };
        if refusal == Code::ClientIdConflict
            && let Some(user) = other_spelling(client, nick, name).await?
        {
            return Ok(Some(user));
        }
        roll.lock().unwrap_or_else(PoisonError::into_inner).refuse(id);
    }
    Ok(None)
}

/// The account of a nick as it was written: the same request whenever it is asked.
fn ask(nick: &str, name: String) -> ImportUser {
    let display_name = (name != nick).then(|| nick.chars().take(TITLE_CHARS_MAX).collect());
    ImportUser { client_id: ids::of_person(&fold(nick)), name, display_name }
}

/// A refusal that another name may be the answer to.
fn refusal(error: Error, nick: &str) -> Result<Code> {
    let code = error.refusal().map(|refusal| refusal.code);
    match code {
        Some(code @ (Code::NameTaken | Code::TextRefused | Code::ClientIdConflict)) => Ok(code),
        _ => Err(error).with_context(|| format!("failed to make an account for the nick {nick}")),
    }
}

/// An earlier import may have met the same person first as `Nick`, and this one as `nick`: the
/// client id is the same, the request is not. Asks again as that import did. None if the name is
/// somebody else's.
async fn other_spelling(client: &Client, nick: &str, name: String) -> Result<Option<UserId>> {
    let found = match client.request(Find { name }).await {
        Ok(found) => found,
        Err(Error::Refused(refusal)) if refusal.code == Code::NotFound => return Ok(None),
        Err(error) => return Err(error).context("failed to find an account by its name"),
    };
    if fold(&found.display_name) != fold(nick) {
        return Ok(None);
    }
    match client.request(ask(&found.display_name, found.name)).await {
        Ok(user) => Ok(Some(user.user)),
        Err(error) => refusal(error, nick).map(|_| None),
    }
}

/// Makes these accounts members of a group. Answers why some could not be, if so.
pub(crate) async fn members(client: &Client, conversation: ConversationId, users: &[UserId]) -> Result<Option<String>> {
    let mut why = None;
    for users in users.chunks(MEMBERS_AT_ONCE_MAX) {
        let add = AddMembers { client_id: ids::of_members(users), conversation, users: users.to_vec() };
        match client.request(add).await {
            Ok(_) => {}
            // The others may have room; the messages of those who have none are refused one by one.
            Err(Error::Refused(refusal)) if refusal.code == Code::LimitReached => why = Some(refusal.message),
            Err(error) => return Err(error).context("failed to make the speakers members"),
        }
    }
    Ok(why)
}
