//! What is told to connections and kept nowhere: typing and presence.

use std::collections::HashSet;

use chirrup_core::ids::{ConversationId, Time, UserId};
use chirrup_core::presence::{Presence, Seen};
use chirrup_core::refusal::Refusal;
use chirrup_engine::presence as engine;
use chirrup_engine::views::{ViewError, Views};
use chirrup_protocol::error::Error;
use chirrup_protocol::limits::WATCH_MAX;
use chirrup_protocol::reply::{self, Nothing, Presences};
use chirrup_protocol::request::{Idle, Typing, Watch};

use super::check::{bad, read};
use super::{Context, Plan, Session};
use crate::edge;
use crate::machine::Machine;

/// Tells the others in a conversation that one writes, or has stopped.
pub(super) async fn typing(context: &Context, session: &Session, request: &Typing) -> Result<Plan, Error> {
    let (connection, user, conversation) = (session.connection()?, session.user, request.conversation);
    let member = read(context, move |views| Ok(views.member(conversation, user)?)).await?;
    if member.is_none_or(|member| member.role.is_none()) {
        return Err(Refusal::NotFound.into());
    }
    context.machine.router().typing(connection, conversation, request.typing, edge::now_ms());
    Ok(Nothing {}.into())
}

/// Tells whether one sits idle.
pub(super) fn idle(context: &Context, session: &Session, request: &Idle) -> Result<Plan, Error> {
    let connection = session.connection()?;
    presence(&context.machine, |presence, now_ms| presence.idle(connection, request.idle, now_ms));
    Ok(Nothing {}.into())
}

/// Watches users: those with whom one shares no conversation are seen as offline.
pub(super) async fn watch(context: &Context, session: &Session, request: Watch) -> Result<Plan, Error> {
    let (connection, own) = (session.connection()?, session.user);
    let mut asked: Vec<UserId> = Vec::new();
    let mut known = HashSet::new();
    asked.extend(request.users.into_iter().filter(|user| known.insert(*user)));
    if asked.len() > WATCH_MAX {
        return Err(bad(format!("at most {WATCH_MAX} users can be watched at once")));
    }
    let people = asked.clone();
    let key = *context.machine.key();
    let seen_before = read(context, move |views| {
        let heard: HashSet<ConversationId> = views.subscriptions(own)?.into_iter().map(|s| s.conversation).collect();
        let direct = |other: UserId| ConversationId(key.id("direct", &[&own.min(other).0, &own.max(other).0]));
        let mut seen = Vec::with_capacity(people.len());
        for user in people {
            let acquainted = user == own || heard.contains(&direct(user)) || shares(views, user, &heard)?;
            seen.push(if acquainted { Some((user, views.activity(user)?)) } else { None });
        }
        Ok(seen)
    });
    let acquainted: Vec<(UserId, Option<Time>)> = seen_before.await?.into_iter().flatten().collect();
    let machine = std::sync::Arc::clone(&context.machine);
    Ok(Plan::Later(Box::new(move |reply| {
        // Answered before another change is told, so that the answer is never the older news.
        let watched: Vec<UserId> = acquainted.iter().map(|(user, _)| *user).collect();
        presence(&machine, |presence, now_ms| {
            let seen = presence.watch(connection, &watched, now_ms);
            let stored = acquainted.into_iter().collect();
            reply.give(Ok(answer(&asked, &seen, &stored).into()));
        });
    })))
}

/// Whether somebody is a member of one of these conversations.
fn shares(views: &Views, user: UserId, heard: &HashSet<ConversationId>) -> Result<bool, ViewError> {
    Ok(views.subscriptions(user)?.iter().any(|s| heard.contains(&s.conversation)))
}

/// How all who were asked for are seen, in the order asked.
fn answer(asked: &[UserId], seen: &[Seen], stored: &std::collections::HashMap<UserId, Option<Time>>) -> Presences {
    let presences = asked.iter().map(|user| match seen.iter().find(|s| s.user == *user) {
        Some(seen) => {
            let mut told = reply::Presence::from(*seen);
            if told.status == reply::Status::Offline && told.last_active_at.is_none() {
                told.last_active_at = stored.get(user).copied().flatten();
            }
            told
        }
        None => reply::Presence { user: *user, status: reply::Status::Offline, last_active_at: None },
    });
    Presences { presences: presences.collect() }
}

/// Works with the presence of all, and tells those who watch what has changed. They are told
/// under its lock, so that everybody hears of changes in their order.
pub(crate) fn presence<T>(machine: &Machine, work: impl FnOnce(&mut Presence, Time) -> T) -> T {
    let mut presence = machine.presence();
    let worked = work(&mut presence, edge::now_ms());
    engine::tell(&mut presence, &mut machine.router());
    worked
}

/// Tells a connection again what it missed of presence, after it has taken what waited for it.
pub(crate) fn tell_missed(machine: &Machine, connection: u64) {
    let mut presence = machine.presence();
    engine::tell_missed(&mut presence, &mut machine.router(), connection);
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use chirrup_core::presence::Status;

    use super::*;

    #[test]
    fn strangers_are_offline_and_the_store_knows_when_somebody_was_there() {
        let [here, gone, stranger] = [1, 2, 3].map(|n| UserId([n; 16]));
        let seen = [
            Seen { user: gone, status: Status::Offline, last_active: None },
            Seen { user: here, status: Status::Online, last_active: None },
        ];
        let stored = HashMap::from([(here, Some(5)), (gone, Some(7))]);
        let answer = answer(&[stranger, here, gone], &seen, &stored);
        let expected =
            [(stranger, reply::Status::Offline, None), (here, reply::Status::Online, None), (gone, reply::Status::Offline, Some(7))];
        let got: Vec<_> = answer.presences.into_iter().map(|p| (p.user, p.status, p.last_active_at)).collect();
        assert_eq!(got, expected);
    }
}
