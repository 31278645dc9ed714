//! People: profiles, names, logins, accounts; and the server's own state.

use std::collections::HashSet;
use std::sync::Arc;

use chirrup_core::aggregate::{AggregateId, StateBody};
use chirrup_core::hash::{Hash, ServerKey};
use chirrup_core::ids::{ConversationId, DeviceId, Time, UserId};
use chirrup_core::names;
use chirrup_core::rows::{RowKey, RowValue};
use chirrup_core::{server::Server, user};
use chirrup_protocol::limits::{USERS_AT_ONCE_MAX, USERS_PAGE_MAX};
use chirrup_protocol::reply;
use chirrup_store::kv::{ReadError, Table};
use chirrup_store::{keys, record};

use super::{ViewError, Views, page};

/// Logs whose names one page of accounts looks at, at once and in all: where there are many
/// conversations and few users, a page is short.
const LOGS_PAGE: usize = 2_000;
const LOGS_MAX: usize = 20_000;

impl Views {
    /// A profile; none of a user who does not exist.
    pub fn user(&self, id: UserId) -> Result<Option<reply::User>, ReadError> {
        let ticket = match self.profiles.get(id) {
            Ok(profile) => return Ok(Some(profile)),
            Err(ticket) => ticket,
        };
        let Some(user) = self.account(id)? else { return Ok(None) };
        let profile = profile(id, &user);
        self.profiles.keep(ticket, id, profile.clone());
        Ok(Some(profile))
    }

    fn account(&self, id: UserId) -> Result<Option<user::User>, ReadError> {
        Ok(self.state(&AggregateId::User(id))?.user().cloned())
    }

    /// The profiles of at most 100 users, in this order; those who do not exist are left out.
    pub fn users(&self, ids: &[UserId]) -> Result<reply::Users, ReadError> {
        let mut users = Vec::with_capacity(ids.len().min(USERS_AT_ONCE_MAX));
        for id in ids.iter().take(USERS_AT_ONCE_MAX) {
            users.extend(self.user(*id)?);
        }
        Ok(reply::Users { users })
    }

    /// The user of this name, in any case, be the account closed or not. A look-alike of the name
    /// finds nobody, nor does a name whose account is still being made.
    pub fn find(&self, name: &str) -> Result<Option<reply::User>, ReadError> {
        let Ok(name) = names::name(name) else { return Ok(None) };
        let state = self.state(&AggregateId::Name(names::fold(&name)))?;
        let StateBody::Name(owned) = state.body else { return Ok(None) };
        let Some(owner) = owned.owner else { return Ok(None) };
        Ok(self.user(owner)?.filter(|user| user.name.to_lowercase() == name.to_lowercase()))
    }

    /// Whose this token is, by its hash.
    pub fn token(&self, hash: &Hash) -> Result<Option<(UserId, DeviceId)>, ReadError> {
        let key = keys::token(hash);
        let Some(bytes) = self.get(&key)? else { return Ok(None) };
        Ok(match record::decode_row(&RowKey::Token(*hash), &key, &bytes)? {
            RowValue::Token(user, device) => Some((user, device)),
            _ => None,
        })
    }

    /// The PHC string of a user's password; none of an account without one.
    pub fn credential(&self, user: UserId) -> Result<Option<String>, ReadError> {
        let key = keys::credential(user);
        let Some(bytes) = self.get(&key)? else { return Ok(None) };
        Ok(match record::decode_row(&RowKey::Credential(user), &key, &bytes)? {
            RowValue::Credential(phc) => Some(phc),
            _ => None,
        })
    }

    /// A user's logged-in devices, oldest first.
    pub fn devices(&self, user: UserId) -> Result<Vec<user::Device>, ReadError> {
        Ok(self.account(user)?.map(|user| user.devices).unwrap_or_default())
    }

    /// With which of these somebody shares a conversation that both are in, as their lists say;
    /// the others are strangers, whose presence they do not see (P-6). Everybody is acquainted with
    /// themselves.
    pub fn acquainted(&self, key: &ServerKey, own: UserId, others: &[UserId]) -> Result<HashSet<UserId>, ReadError> {
        let heard: HashSet<ConversationId> = self.subscriptions(own)?.into_iter().map(|s| s.conversation).collect();
        let mut acquainted = HashSet::with_capacity(others.len());
        for other in others {
            // Nobody leaves a direct conversation, so that the other's list need not be read.
            let known = *other == own || heard.contains(&ConversationId::direct(key, own, *other));
            if known || self.subscriptions(*other)?.iter().any(|s| heard.contains(&s.conversation)) {
                acquainted.insert(*other);
            }
        }
        Ok(acquainted)
    }

    /// When a user was last active; none if that was never written.
    pub fn activity(&self, user: UserId) -> Result<Option<Time>, ReadError> {
        let key = keys::activity(user);
        self.get(&key)?.map(|bytes| record::decode_number(&key, &bytes)).transpose()
    }

    /// The server's own state: its administrators.
    pub fn server(&self) -> Result<Arc<Server>, ReadError> {
        let ticket = match self.server.get(()) {
            Ok(server) => return Ok(server),
            Err(ticket) => ticket,
        };
        let server = Arc::new(self.state(&AggregateId::Server)?.server().cloned().unwrap_or_default());
        self.server.keep(ticket, (), Arc::clone(&server));
        Ok(server)
    }

    /// The same if it is at hand, without a look at the store.
    pub fn server_at_hand(&self) -> Option<Arc<Server>> {
        self.server.get(()).ok()
    }

    /// A page of all accounts, in an order that is the store's own. `limit` is cut to 1 to 500; a
    /// page may be short, or empty, and not be the last. Who may ask is the caller's to check.
    ///
    /// # Errors
    /// [`ViewError::BadPage`] if `after` is not the `next` of a page.
    pub fn accounts(&self, after: Option<&str>, limit: u32) -> Result<reply::Accounts, ViewError> {
        let mut after = after.map(|text| page::decode(text).ok_or(ViewError::BadPage)).transpose()?;
        let limit = limit.clamp(1, USERS_PAGE_MAX) as usize;
        let server = self.server()?;
        let mut users = Vec::new();
        let mut looked_at = 0;
        while looked_at < LOGS_MAX {
            let logs = self.kv.partitions(Table::State, after.as_deref(), LOGS_PAGE)?;
            for log in &logs {
                if users.len() == limit {
                    return Ok(reply::Accounts { users, next: after.as_deref().map(page::encode) });
                }
                if let Some(AggregateId::User(id)) = AggregateId::from_bytes(log)
                    && let Some(user) = self.account(id)?
                {
                    users.push(reply::Account {
                        user: profile(id, &user),
                        administrator: server.administrators.contains(&id),
                        devices: user.devices.len() as u32,
                        created: user.created,
                    });
                }
                after = Some(log.clone());
            }
            if logs.len() < LOGS_PAGE {
                return Ok(reply::Accounts { users, next: None });
            }
            looked_at += logs.len();
        }
        Ok(reply::Accounts { users, next: after.as_deref().map(page::encode) })
    }
}

fn profile(id: UserId, user: &user::User) -> reply::User {
    reply::User { user: id, name: user.name.clone(), display_name: user.display_name.clone(), disabled: user.disabled }
}
