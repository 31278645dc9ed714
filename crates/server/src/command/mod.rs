//! What a request does: it is checked, what an aggregate must decide is put into the queue as a
//! command, what can be read is read. One file a group of requests. WebSocket and HTTP call the
//! same functions.
//!
//! Must not know: sockets, frames, which store is used.

mod account;
mod admin;
mod change;
mod check;
mod conversation;
mod import;
mod live;
mod log;
mod login;
mod message;
mod order;
mod people;
mod position;
mod reply;
pub mod session;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chirrup_core::ids::{ClientId, ConversationId, DeviceId, UserId};
use chirrup_protocol::error::{Code, Error};
use chirrup_protocol::limits::Limits;
use chirrup_protocol::request::Request;
use tokio::sync::oneshot;

use crate::auth::Auth;
use crate::config::Config;
use crate::machine::{Machine, Status};
use crate::metrics::Metrics;
use change::Change;
pub use order::Order;
pub use reply::{Answered, Reply};

/// What commands work with.
pub struct Context {
    /// The engine.
    pub machine: Arc<Machine>,
    /// Passwords and attempts.
    pub auth: Auth,
    /// The server's figures.
    pub metrics: Arc<Metrics>,
    /// Whether anybody may open an account.
    pub sign_up_open: bool,
    /// As told in `ready`.
    pub limits: Limits,
    /// The server takes nobody any more.
    stopping: AtomicBool,
}

impl Context {
    /// As configured.
    pub fn new(machine: Arc<Machine>, metrics: Arc<Metrics>, config: &Config) -> Self {
        let session = &config.session;
        Self {
            machine,
            auth: Auth::new(&config.auth),
            metrics,
            sign_up_open: config.sign_up_open(),
            limits: Limits::new(session.heartbeat_ms, session.typing_ms, session.merge_ms),
            stopping: AtomicBool::new(false),
        }
    }

    /// From here on health says that the server stops; what was asked is still done.
    pub fn announce_stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether the server should be sent to, and what it takes.
    pub fn status(&self) -> Status {
        if self.stopping.load(Ordering::Relaxed) { Status::Stopping } else { self.machine.status() }
    }
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Caller {
    /// From where.
    pub address: IpAddr,
    /// As whom; none before `hello`.
    pub session: Option<Session>,
    /// Of the sends of this connection.
    pub order: Arc<Order>,
}

/// A logged-in device that asks.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// Whose.
    pub user: UserId,
    /// Which.
    pub device: DeviceId,
    /// The connection that is pushed to, if there is one.
    pub connection: Option<u64>,
}

impl Session {
    /// The connection that is pushed to, or that there is none.
    fn connection(&self) -> Result<u64, Error> {
        self.connection.ok_or_else(|| Error::new(Code::BadRequest, "this is for connections that are pushed to"))
    }
}

/// What becomes of a request that was checked.
enum Plan {
    /// It is answered at once.
    Answer(Box<Answered>),
    /// An aggregate decides.
    Change(Box<Change>),
    /// It is answered by what this begins, which does not block.
    Later(Box<dyn FnOnce(Reply) + Send>),
}

impl<T: Into<Answered>> From<T> for Plan {
    fn from(answered: T) -> Self {
        Self::Answer(Box::new(answered.into()))
    }
}

impl From<Change> for Plan {
    fn from(change: Change) -> Self {
        Self::Change(Box::new(change))
    }
}

/// Does what is asked and waits until that is durable.
pub async fn handle(context: &Context, caller: &Caller, request: Request) -> Result<Answered, Error> {
    let (told, answer) = oneshot::channel();
    begin(context, caller, request, Reply::new(move |result| drop(told.send(result)))).await;
    answer.await.unwrap_or_else(|_| Err(Error::new(Code::Internal, "the request was lost")))
}

/// Begins what is asked. When it returns, a change stands in the queue in its place, and `reply`
/// is given later; anything else is done. Changes begun one after another keep their order.
pub async fn begin(context: &Context, caller: &Caller, request: Request, reply: Reply) {
    context.metrics.request(request.method());
    let reply = match sending(&request) {
        Some((conversation, send)) => order::settling(&caller.order, conversation, send, reply),
        None => reply,
    };
    match plan(context, caller, request).await {
        Ok(Plan::Answer(answered)) => reply.give(Ok(*answered)),
        Ok(Plan::Change(change)) => change.queue(context, &caller.order, reply).await,
        Ok(Plan::Later(begin)) => begin(reply),
        Err(error) => reply.give(Err(error)),
    }
}

/// The conversation and the client id of what must keep the sender's order.
fn sending(request: &Request) -> Option<(ConversationId, ClientId)> {
    match request {
        Request::Send(send) => Some((send.conversation, send.client_id)),
        Request::ImportMessage(import) => Some((import.conversation, import.client_id)),
        _ => None,
    }
}

/// Futures of the rare and large requests are on the heap, so that those of the others are small.
async fn plan(context: &Context, caller: &Caller, request: Request) -> Result<Plan, Error> {
    match (request, &caller.session) {
        (Request::SignUp(request), None) => Box::pin(login::sign_up(context, caller.address, request)).await,
        (Request::LogIn(request), None) => Box::pin(login::log_in(context, caller.address, request)).await,
        (Request::Hello(_), None) => Err(Error::new(Code::BadRequest, "hello begins a session of a connection that is pushed to")),
        (request, Some(session)) => plan_of(context, caller, session, request).await,
        (_, None) => Err(Error::new(Code::NotLoggedIn, "this needs a session: say hello first")),
    }
}

async fn plan_of(context: &Context, caller: &Caller, session: &Session, request: Request) -> Result<Plan, Error> {
    match request {
        Request::SignUp(_) | Request::LogIn(_) | Request::Hello(_) => Err(Error::new(Code::BadRequest, "there is a session already")),
        Request::LogOut(_) => Ok(account::log_out(session)),
        Request::ChangePassword(request) => Box::pin(account::change_password(context, caller.address, session, request)).await,
        Request::Devices(_) => account::devices(context, session).await,
        Request::RevokeDevice(request) => Ok(account::revoke_device(session, request)),
        Request::SetProfile(request) => account::set_profile(session, request),
        Request::Mute(request) => Ok(account::mute(session, request)),
        Request::MarkUnread(request) => Ok(account::mark_unread(session, request)),
        Request::Find(request) => people::find(context, request).await,
        Request::Users(request) => people::users(context, request).await,
        Request::CreateDirect(request) => conversation::create_direct(context, session, request).await,
        Request::CreateGroup(request) => conversation::create_group(context, session, request).await,
        Request::AddMembers(request) => conversation::add_members(context, session, request).await,
        Request::RemoveMember(request) => Ok(conversation::remove_member(session, request)),
        Request::Leave(request) => Ok(conversation::leave(session, request)),
        Request::SetRole(request) => Ok(conversation::set_role(session, request)),
        Request::SetTitle(request) => conversation::set_title(session, request),
        Request::Conversations(request) => conversation::list(context, session, request).await,
        Request::Conversation(request) => conversation::one(context, session, request).await,
        Request::Members(request) => conversation::members(context, session, request).await,
        Request::Send(request) => message::send(session, request),
        Request::Withdraw(request) => Ok(message::withdraw(&caller.order, &request)),
        Request::Edit(request) => message::edit(session, request),
        Request::Delete(request) => message::delete(session, request),
        Request::React(request) => message::react(session, request),
        Request::Read(request) => position::read(context, session, &request).await,
        Request::Delivered(request) => position::delivered(context, session, &request).await,
        Request::Positions(request) => position::positions(context, session, &request).await,
        Request::Events(request) => log::events(context, session, request).await,
        Request::History(request) => log::history(context, session, request).await,
        Request::Sync(request) => session::sync(context, session, request).await,
        Request::Typing(request) => live::typing(context, session, &request).await,
        Request::Watch(request) => live::watch(context, session, request).await,
        Request::Idle(request) => live::idle(context, session, &request),
        Request::RedeemFirstCode(request) => Ok(admin::redeem_first_code(session, request)),
        Request::ListUsers(request) => admin::list_users(context, session, request).await,
        Request::DisableUser(request) => admin::disable_user(context, session, request).await,
        Request::ResetPassword(request) => Box::pin(admin::reset_password(context, session, request)).await,
        Request::SetAdministrator(request) => admin::set_administrator(context, session, request).await,
        Request::ImportUser(request) => Box::pin(import::user(context, session, request)).await,
        Request::ImportMessage(request) => import::message(context, session, request).await,
    }
}
