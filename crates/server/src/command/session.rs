//! How a session begins, goes on and ends: the connection subscribes first and then reads, so that
//! nothing falls between.

use std::sync::Arc;

use chirrup_core::ids::{ConversationId, DeviceId, UserId};
use chirrup_engine::recovery::Marks;
use chirrup_engine::router::Connection;
use chirrup_engine::session::{Begun, Heads, Sessions, cursor};
use chirrup_engine::sink::Sink;
use chirrup_engine::views::{ViewError, Views};
use chirrup_protocol::error::{Code, Error};
use chirrup_protocol::push::{Behind, Heartbeat, Push};
use chirrup_protocol::reply::{Ready, User};
use chirrup_protocol::request::{Hello, Sync};
use chirrup_protocol::{FEATURE_LEVEL, VERSION};
use chirrup_store::offset::Offset;

use super::check::{bad, read, told};
use super::live::{presence, tell_missed};
use super::{Context, Plan, Session};
use crate::auth::token;
use crate::edge;
use crate::machine::Machine;

/// A session that is pushed to. When it is dropped nothing is pushed any more, and its user is
/// seen to have gone.
pub struct Live {
    context: Arc<Context>,
    session: Session,
    connection: u64,
}

/// What is known of heads while a session begins: the router knows the recent ones.
struct Recent(Arc<Machine>);

impl Heads for Recent {
    fn marks(&self) -> Marks {
        *self.0.router().marks()
    }

    fn moved(&self, asked: &[(ConversationId, Offset)]) -> Vec<Option<bool>> {
        let router = self.0.router();
        asked
            .iter()
            .map(|(conversation, since)| {
                let shard = usize::from(chirrup_core::aggregate::AggregateId::Conversation(*conversation).shard());
                (*since >= router.floor()[shard]).then(|| router.recent(*conversation).is_some_and(|(_, last)| last > *since))
            })
            .collect()
    }
}

/// Begins a session on a connection of this id, which is never used again.
///
/// # Errors
/// `version_not_supported`, `token_invalid`, `account_disabled`, or that the store cannot be read.
pub async fn hello(context: &Arc<Context>, connection: u64, sink: Arc<dyn Sink>, request: Hello) -> Result<(Live, Ready), Error> {
    let (lowest, highest) = request.versions;
    if lowest > highest {
        return Err(bad("versions are the lowest and the highest"));
    }
    if !(lowest..=highest).contains(&VERSION) {
        return Err(Error::new(Code::VersionNotSupported, format!("this server speaks version {VERSION}")));
    }
    let hash = token::hash(&request.token);
    let (user, device) = read(context, move |views| Ok(views.token(&hash)?)).await?.ok_or_else(token_invalid)?;
    context.machine.router().connect(Connection { id: connection, user, device, sink });
    let session = Session { user, device, connection: Some(connection) };
    let live = Live { context: Arc::clone(context), session, connection };
    let machine = Arc::clone(&context.machine);
    let cursor = request.cursor;
    let begun = context.machine.read(move |views| {
        // Once more: it may have been revoked before the router knew the connection.
        if views.token(&hash).map_err(ViewError::from).map_err(told)? != Some((user, device)) {
            return Err(token_invalid());
        }
        begin(&machine, views, connection, user, cursor.as_deref())
    });
    let (profile, administrator, begun) = begun.await?;
    presence(&context.machine, |presence, now_ms| presence.connect(connection, user, request.background, now_ms));
    Ok((live, ready(context, device, profile, administrator, begun)))
}

fn token_invalid() -> Error {
    Error::new(Code::TokenInvalid, "the token is of no use: log in again")
}

fn begin(machine: &Arc<Machine>, views: &Views, connection: u64, user: UserId, cursor: Option<&str>) -> Result<(User, bool, Begun), Error> {
    let begin = || {
        let subscriptions = views.subscriptions(user)?;
        machine.router().subscribe(connection, subscriptions);
        let recent = Recent(Arc::clone(machine));
        let begun = Sessions::new(views, &recent, machine.incarnation()).begin(user, cursor)?;
        if begun.page.next.is_none() {
            // Heartbeats begin when this was answered.
            machine.router().listed(connection);
        }
        Ok::<_, ViewError>((views.user(user)?, views.server()?, begun))
    };
    let (profile, server, begun) = begin().map_err(told)?;
    let profile = profile.ok_or_else(token_invalid)?;
    if profile.disabled {
        return Err(chirrup_core::refusal::Refusal::AccountDisabled.into());
    }
    Ok((profile, server.administrators.contains(&user), begun))
}

fn ready(context: &Context, device: DeviceId, user: User, administrator: bool, begun: Begun) -> Ready {
    Ready {
        user,
        device,
        administrator,
        version: VERSION,
        feature_level: FEATURE_LEVEL,
        reset: begun.reset,
        limits: context.limits.clone(),
        user_head: begun.user_head,
        page: begun.page,
    }
}

/// The next page of the conversations that `ready` began.
pub(super) async fn sync(context: &Context, session: &Session, request: Sync) -> Result<Plan, Error> {
    let (machine, user) = (Arc::clone(&context.machine), session.user);
    let page = read(context, move |views| {
        let recent = Recent(Arc::clone(&machine));
        Sessions::new(views, &recent, machine.incarnation()).page(user, &request.page)
    });
    let page = page.await?;
    let Some(connection) = session.connection.filter(|_| page.next.is_none()) else { return Ok(page.into()) };
    let machine = Arc::clone(&context.machine);
    Ok(Plan::Later(Box::new(move |reply| {
        // Answered first: a heartbeat that covers the page must come behind it.
        reply.give(Ok(page.into()));
        machine.router().listed(connection);
    })))
}

impl Live {
    /// Whose session it is.
    pub fn session(&self) -> Session {
        self.session
    }

    /// The heartbeat that is due; none if the session was ended by the server.
    pub fn heartbeat(&self) -> Option<Push> {
        let machine = &self.context.machine;
        let beat = machine.router().heartbeat(self.connection)?;
        let cursor = beat.marks.map(|marks| cursor(machine.incarnation(), &marks));
        Some(Push::Heartbeat(Heartbeat { time: edge::now_ms(), cursor, behind: beat.behind }))
    }

    /// What the client is to pull, once it has taken what waited for it.
    pub fn behind(&self) -> Option<Push> {
        let logs = self.context.machine.router().take_behind(self.connection);
        tell_missed(&self.context.machine, self.connection);
        (!logs.is_empty()).then(|| {
            self.context.metrics.behind.one();
            Push::Behind(Behind { logs })
        })
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.context.machine.router().disconnect(self.connection);
        presence(&self.context.machine, |presence, now_ms| presence.disconnect(self.connection, now_ms));
    }
}
