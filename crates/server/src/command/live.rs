//! What is told to connections and kept nowhere: typing and presence.

use std::collections::HashSet;

use chirrup_core::ids::{Time, UserId};
use chirrup_core::presence::{Presence, Seen};
use chirrup_core::refusal::Refusal;
use chirrup_engine::presence as engine;
use chirrup_protocol::error::Error;
use chirrup_protocol::limits::WATCH_MAX;
use chirrup_protocol::reply::{self, Nothing, Presences};
use chirrup_protocol::request::{Idle, Typing, Watch};
use chirrup_store::kv::ReadError;

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
    let machine = std::sync::Arc::clone(&context.machine);
    let ended = machine.presence().memberships_ended();
    let seen_before = read(context, {
        let key = *machine.key();
        move |views| {
            let acquainted = views.acquainted(&key, own, &people)?;
            let seen = people.iter().filter(|user| acquainted.contains(user)).map(|user| Ok((*user, views.activity(*user)?)));
            Ok(seen.collect::<Result<_, ReadError>>()?)
        }
    });
    let acquainted: Vec<(UserId, Option<Time>)> = seen_before.await?;
    Ok(Plan::Later(Box::new(move |reply| {
        // Answered before another change is told, so that the answer is never the older news.
        let watched: Vec<UserId> = acquainted.iter().map(|(user, _)| *user).collect();
        let stale = presence(&machine, |presence, now_ms| {
            let seen = presence.watch(connection, &watched, now_ms);
            let stored = acquainted.into_iter().collect();
            reply.give(Ok(answer(&asked, &seen, &stored).into()));
            presence.memberships_ended() != ended && presence.doubt(own)
        });
        if stale {
            machine.settle_doubts();
        }
    })))
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
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
    use std::time::Duration;

    use chirrup_core::aggregate::{Action, AggregateId, Digest, Origin};
    use chirrup_core::event::{History, Leaver};
    use chirrup_core::ids::{ClientId, ConversationId, DeviceId};
    use chirrup_core::presence::Status;
    use chirrup_core::{conversation, name};
    use chirrup_engine::router::Connection;
    use chirrup_engine::sink::Sink;
    use chirrup_store::memory::MemoryKv;

    use super::super::change::submit;
    use super::super::{Answered, Reply};
    use super::*;
    use crate::config::Config;
    use crate::machine::Options;

    /// Hands on what a connection is pushed.
    struct Pushed(SyncSender<String>);

    impl Sink for Pushed {
        fn push(&self, frame: bytes::Bytes) -> bool {
            self.0.try_send(String::from_utf8_lossy(&frame).into_owned()).is_ok()
        }

        fn wake(&self) {}

        fn close(&self, _: Error) {}
    }

    fn context() -> Context {
        let options = Options { merge: Duration::from_millis(5), presence_grace_ms: 0 };
        let machine = Machine::start(Arc::new(MemoryKv::new()), options, Arc::default()).expect("an empty store");
        let config = Config::load(None, std::iter::empty(), &[]).expect("the defaults");
        Context::new(machine, Arc::default(), &config)
    }

    /// Connects a user, and hands over what they are pushed.
    fn connect(context: &Context, id: u64, user: UserId) -> (Session, Receiver<String>) {
        let (pushed, frames) = sync_channel(64);
        let device = DeviceId([id as u8; 16]);
        context.machine.router().connect(Connection { id, user, device, sink: Arc::new(Pushed(pushed)) });
        presence(&context.machine, |presence, now_ms| presence.connect(id, user, false, now_ms));
        (Session { user, device, connection: Some(id) }, frames)
    }

    async fn ask(context: &Context, user: UserId, n: u8, aggregate: AggregateId, action: Action) {
        let origin = Origin::Client { user, client_id: ClientId([n; 16]), digest: Digest::of(&[n]) };
        submit(context, aggregate, origin, action).await.expect("done");
    }

    async fn sign_up(context: &Context, user: UserId, name: &str) {
        let claim = name::Action::Claim { user, name: name.to_owned(), display_name: name.to_owned(), credential: None };
        ask(context, user, 0, AggregateId::Name(name.to_owned()), Action::Name(claim)).await;
    }

    async fn act(context: &Context, user: UserId, n: u8, action: conversation::Action) {
        ask(context, user, n, AggregateId::Conversation(ConversationId([1; 16])), Action::Conversation(action)).await;
    }

    #[tokio::test]
    async fn p16_a_membership_that_ends_while_it_is_read_who_may_be_watched_is_felt() {
        let context = context();
        let [owner, member] = [1, 2].map(|n| UserId([n; 16]));
        let group = conversation::Action::CreateGroup {
            title: "a group".to_owned(),
            history: History::Full,
            leaver: Leaver::Keeps,
            members: vec![member],
        };
        sign_up(&context, owner, "ana").await;
        sign_up(&context, member, "ben").await;
        act(&context, owner, 1, group).await;
        let (watcher, frames) = connect(&context, 7, member);
        connect(&context, 8, owner);
        let Ok(Plan::Later(install)) = watch(&context, &watcher, Watch { users: vec![owner] }).await else { panic!("not refused") };
        act(&context, owner, 2, conversation::Action::Remove { user: member }).await;
        let (told, answer) = sync_channel(1);
        install(Reply::new(move |result| told.try_send(result).expect("room")));
        let Ok(Ok(Answered::Presences(answer))) = answer.try_recv() else { panic!("answered at once") };
        assert_eq!(answer.presences[0].status, reply::Status::Online, "as of the moment before");
        let offline = tokio::task::spawn_blocking(move || {
            let mut pushed = std::iter::from_fn(|| frames.recv_timeout(Duration::from_secs(1)).ok());
            pushed.find(|frame| frame.contains("presence.updated"))
        });
        let offline = offline.await.expect("no panic").expect("felt in time");
        assert!(offline.contains("offline") && !offline.contains("last_active_at"), "{offline}");
        context.machine.stop();
    }

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
