//! The handle of an application: asks, says, and reads on. Cheap to clone; the connection lives
//! until the last handle goes.

use std::collections::HashMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use chirrup_core::ids::{ClientId, ConversationId, Seq, UserId};
use chirrup_protocol::limits::Limits;
use chirrup_protocol::reply::Done;
use serde_json::value::RawValue;
use tokio::sync::{Notify, Semaphore, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::call::{Call, Say};
use crate::edge::{Clock, random, wall_ms};
use crate::error::Error;
use crate::limits::{REQUEST_MS, REQUESTS_WAITING_MAX};
use crate::machine::{AppRequest, Body, ClientEvent, Config, Entry, Follow, Lesson, Machine, Output, Resume, Status, Ticket, Withdrawal};
use crate::outbox_file::OutboxFile;
use crate::socket::{Address, Dialer, Task};
use crate::view::View;

/// How to be a client.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which server.
    pub server: Address,
    /// Authorities that its certificate may be of; the system's if left out.
    pub ca_file: Option<PathBuf>,
    /// The device's token; without one only `sign_up` and `log_in` are of use.
    pub token: Option<String>,
    /// Directory of the outbox; without one what is said is lost when the process ends.
    pub outbox: Option<PathBuf>,
    /// Where an earlier run came to.
    pub resume: Option<Resume>,
    /// Which events are given.
    pub follow: Follow,
    /// Whether the server is told how far messages have reached this device.
    pub receipts: bool,
    /// A connection in the background does not make its user online.
    pub background: bool,
}

impl Options {
    /// For programs that only ask: no events, no outbox on disk.
    pub fn new(server: Address, token: Option<String>) -> Self {
        Self { server, ca_file: None, token, outbox: None, resume: None, follow: Follow::Nothing, receipts: false, background: false }
    }
}

struct Inner {
    machine: Machine,
    answers: HashMap<Ticket, oneshot::Sender<Result<Box<RawValue>, Error>>>,
    sayings: HashMap<ClientId, oneshot::Sender<Result<Done, Error>>>,
    tickets: Ticket,
    closing: bool,
}

/// What handles and task share.
pub(crate) struct Shared {
    inner: Mutex<Inner>,
    clock: Clock,
    /// The machine has something for the task.
    pub(crate) wake: Notify,
    /// The machine may have something for the application.
    events: Notify,
    status: watch::Sender<Status>,
    /// One for each request that may wait.
    room: Semaphore,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the machine something, at the time that it is; wakes whoever has to do with what it
    /// makes of it.
    pub(crate) fn with_machine<T>(&self, give: impl FnOnce(&mut Machine, u64) -> T) -> T {
        let mut inner = self.lock();
        let result = give(&mut inner.machine, self.clock.now_ms());
        self.wake_up(&inner.machine);
        result
    }

    fn wake_up(&self, machine: &Machine) {
        if machine.has_output() {
            self.wake.notify_one();
        }
        if machine.has_event() {
            self.events.notify_one();
        }
        self.status.send_if_modified(|status| {
            let news = status != machine.status();
            if news {
                status.clone_from(machine.status());
            }
            news
        });
    }

    pub(crate) fn outputs(&self) -> Vec<Output> {
        let mut inner = self.lock();
        std::iter::from_fn(|| inner.machine.poll()).collect()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.lock().machine.deadline_ms().map(|ms| self.clock.at(ms))
    }

    pub(crate) fn closing(&self) -> bool {
        self.lock().closing
    }

    pub(crate) fn answer(&self, ticket: Ticket, outcome: Result<Box<RawValue>, Error>) {
        if let Some(answer) = self.lock().answers.remove(&ticket) {
            // Who asked may have gone.
            let _ = answer.send(outcome);
        }
    }

    pub(crate) fn settled(&self, client_id: ClientId, outcome: Result<Done, Error>) {
        if let Some(saying) = self.lock().sayings.remove(&client_id) {
            // Who said it may have gone.
            let _ = saying.send(outcome);
        }
    }

    /// There will be no more answers and events.
    pub(crate) fn end(&self) {
        let mut inner = self.lock();
        inner.closing = true;
        inner.answers.clear();
        inner.sayings.clear();
        self.room.close();
        self.events.notify_one();
    }
}

/// The task lives as long as a handle.
struct Owner {
    tasks: Mutex<JoinSet<()>>,
}

/// A client of one server.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    owner: Arc<Owner>,
}

impl Client {
    /// Begins to connect, and goes on until the last handle is dropped. Must be called within a
    /// tokio runtime. Errors: the outbox or the authorities' file cannot be used.
    pub fn connect(options: Options) -> Result<(Self, Events), Error> {
        let dialer = Dialer::new(options.server, options.ca_file.as_deref())?;
        let outbox = match &options.outbox {
            Some(directory) => {
                let name = format!("{:013}-{:08x}", wall_ms(), u32::from_le_bytes(random()));
                Some(OutboxFile::open(directory, &name)?)
            }
            None => None,
        };
        let config = Config {
            token: options.token,
            follow: options.follow,
            receipts: options.receipts,
            background: options.background,
            seed: u64::from_le_bytes(random()),
        };
        let entries = outbox.as_ref().map(|file| file.entries().to_vec()).unwrap_or_default();
        let machine = Machine::new(config, options.resume, entries);
        let shared = Arc::new(Shared {
            inner: Mutex::new(Inner { machine, answers: HashMap::new(), sayings: HashMap::new(), tickets: 0, closing: false }),
            clock: Clock::new(),
            wake: Notify::new(),
            events: Notify::new(),
            status: watch::Sender::new(Status::Idle),
            room: Semaphore::new(REQUESTS_WAITING_MAX),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(Task::new(shared.clone(), dialer, outbox).run());
        let client = Self { shared, owner: Arc::new(Owner { tasks: Mutex::new(tasks) }) };
        Ok((client.clone(), Events { client }))
    }

    /// Waits until there is a session (without a token: a connection). Errors: the attempt under
    /// way failed, or the session ended for good.
    pub async fn ready(&self) -> Result<(), Error> {
        let mut status = self.shared.status.subscribe();
        let over = |status: &Status| matches!(status, Status::Live | Status::Waiting { .. } | Status::Ended(_));
        let status = status.wait_for(over).await.map_err(|_| Error::Closed)?;
        match &*status {
            Status::Waiting { failure, .. } => Err(Error::NotConnected(failure.to_string())),
            Status::Ended(refusal) => Err(Error::Ended(refusal.clone())),
            _ => Ok(()),
        }
    }

    /// Where the connection is in its life.
    pub fn status(&self) -> Status {
        self.shared.lock().machine.status().clone()
    }

    /// Limits and intervals of the server, once a session began.
    pub fn limits(&self) -> Option<Limits> {
        self.shared.lock().machine.limits().cloned()
    }

    /// Asks, for up to [`REQUEST_MS`]; sends again what was refused for now or whose answer was
    /// lost. Errors: refused for good, no connection in time, or nothing known in time.
    pub async fn request<C: Call>(&self, call: C) -> Result<C::Reply, Error> {
        self.request_within(call, REQUEST_MS).await
    }

    /// The same, for up to this time.
    pub async fn request_within<C: Call>(&self, call: C, limit_ms: u64) -> Result<C::Reply, Error> {
        let lesson = call.lesson();
        let raw = self.ask(Body::of(&call.into()), lesson, limit_ms, true).await?;
        serde_json::from_str(raw.get()).map_err(|e| Error::Malformed(e.to_string()))
    }

    /// Asks by method and parameters, and answers what the server said, refused for now or not.
    pub async fn raw(&self, method: &str, params: &RawValue, limit_ms: u64) -> Result<Box<RawValue>, Error> {
        self.ask(Body::raw(method, params), Lesson::None, limit_ms, false).await
    }

    async fn ask(&self, body: Body, lesson: Lesson, limit_ms: u64, insist: bool) -> Result<Box<RawValue>, Error> {
        // The wait to enter is bounded by the limits of those before.
        let _room = self.shared.room.acquire().await.map_err(|_| Error::Closed)?;
        let (sender, answer) = oneshot::channel();
        {
            let mut inner = self.shared.lock();
            if inner.closing {
                return Err(Error::Closed);
            }
            inner.tickets += 1;
            let (ticket, now_ms) = (inner.tickets, self.shared.clock.now_ms());
            inner.answers.insert(ticket, sender);
            inner.machine.request(now_ms, AppRequest { ticket, body, deadline_ms: now_ms.saturating_add(limit_ms), insist, lesson });
            self.shared.wake_up(&inner.machine);
            // The deadline may be the next thing that is due.
            self.shared.wake.notify_one();
        }
        answer.await.unwrap_or(Err(Error::Closed))
    }

    /// Says something into a conversation, by way of the outbox: it is sent when it is durable and
    /// its turn has come, as often as need be, and takes effect once.
    pub fn say(&self, say: impl Say) -> Result<Saying, Error> {
        let (conversation, client_id) = say.place();
        let (sender, outcome) = oneshot::channel();
        let mut inner = self.shared.lock();
        if inner.closing {
            return Err(Error::Closed);
        }
        let now_ms = self.shared.clock.now_ms();
        inner.machine.say(now_ms, Entry { client_id, conversation, body: Body::of(&say.into()) })?;
        inner.sayings.insert(client_id, sender);
        self.shared.wake_up(&inner.machine);
        Ok(Saying { client_id, outcome })
    }

    /// Takes back what was said, if it surely has not taken effect.
    pub fn withdraw(&self, client_id: ClientId) -> Withdrawal {
        let withdrawal = self.shared.with_machine(|machine, now_ms| machine.withdraw(now_ms, client_id));
        if matches!(withdrawal, Withdrawal::Withdrawn(_)) {
            self.shared.lock().sayings.remove(&client_id);
        }
        withdrawal
    }

    /// What is in the outbox, in order within each conversation.
    pub fn outbox(&self) -> Vec<Entry> {
        self.shared.lock().machine.outbox().cloned().collect()
    }

    /// Looks at what the user's client shows. The machine stands still meanwhile.
    pub fn view<T>(&self, look: impl FnOnce(&View) -> T) -> T {
        look(self.shared.lock().machine.view())
    }

    /// Tells that one has read up to here.
    pub fn read(&self, conversation: ConversationId, seq: Seq) {
        self.shared.with_machine(|machine, now_ms| machine.read(now_ms, conversation, seq));
    }

    /// Tells that one writes, or has stopped; may be called at every key.
    pub fn typing(&self, conversation: ConversationId, typing: bool) {
        self.shared.with_machine(|machine, now_ms| machine.typing(now_ms, conversation, typing));
    }

    /// Watches the presence of these users (at most 200), and of no others.
    pub fn watch(&self, users: Vec<UserId>) {
        self.shared.with_machine(|machine, now_ms| machine.watch(now_ms, users));
    }

    /// Tells whether the user sits idle.
    pub fn idle(&self, idle: bool) {
        self.shared.with_machine(|machine, now_ms| machine.idle(now_ms, idle));
    }

    /// Says good-bye and waits until nothing is left half done. What waits for an answer gets none.
    pub async fn close(&self) {
        self.shared.lock().closing = true;
        self.shared.wake.notify_one();
        let mut tasks = std::mem::take(&mut *self.owner.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        while tasks.join_next().await.is_some() {}
    }
}

/// The events for the application, one reader.
pub struct Events {
    client: Client,
}

impl Events {
    /// The next event; none once the session ended for good or the client was closed. Asking for
    /// it says that the one before is dealt with.
    pub async fn next(&mut self) -> Option<ClientEvent> {
        let shared = self.client.shared.clone();
        loop {
            let notified = shared.events.notified();
            if let Some(event) = self.try_next() {
                return Some(event);
            }
            let over = {
                let inner = shared.lock();
                inner.closing || matches!(inner.machine.status(), Status::Ended(_))
            };
            if over {
                return None;
            }
            notified.await;
        }
    }

    /// The next event, if it is there already.
    pub fn try_next(&mut self) -> Option<ClientEvent> {
        self.client.shared.with_machine(Machine::next_event)
    }

    /// How far this reader has come, with the event that it was given last: for [`Options::resume`]
    /// of the next run.
    pub fn resume(&self) -> Resume {
        self.client.shared.lock().machine.resume().clone()
    }
}

/// Something said that is on its way; ends with its outcome. Dropping it changes nothing.
#[derive(Debug)]
pub struct Saying {
    /// Under which it is retried.
    pub client_id: ClientId,
    outcome: oneshot::Receiver<Result<Done, Error>>,
}

impl Future for Saying {
    type Output = Result<Done, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.outcome).poll(cx).map(|outcome| outcome.unwrap_or(Err(Error::Closed)))
    }
}
