//! One connection, from its first frame to its close: one task, one place where it waits. Requests
//! are begun one after another, in the order in which they came; those that wait for the store
//! are answered by callbacks into the outbound queue, so that reading goes on meanwhile.
//!
//! Must not know: sockets, what a request does, who else is connected.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bytes::Bytes;
use chirrup_engine::sink::Sink;
use chirrup_protocol::error::{Code, Error};
use chirrup_protocol::push::Push;
use chirrup_protocol::request::{Hello, Request};
use futures_util::FutureExt as _;
use tokio::time::{Instant, Sleep, sleep_until};

use super::frame;
use super::outbound::{Outbound, Standing};
use super::transport::{End, Io, Transport};
use crate::command::session::{self, Live};
use crate::command::{self, Caller, Context, Reply};
use crate::edge;
use crate::limits::{CLOSING_MS, FRAMES_AT_ONCE};
use crate::metrics::Metrics;

/// What beginning a request came to.
enum Begun {
    /// It is answered, or will be.
    Request,
    /// A session began.
    Session(Box<Live>),
    /// The connection is of no use.
    End(Error),
}

/// Something that the connection waited for.
enum Happened {
    /// A request was begun.
    Begun(Begun),
    /// The outbound queue has changed.
    Changed,
    /// Time has passed.
    Time,
    /// Something happened on the wire.
    Io(Io),
}

/// A connection that is about to end, once its requests in flight are answered.
struct Ending {
    error: Error,
    code: u16,
    until: Instant,
}

type BeingBegun = Pin<Box<dyn Future<Output = Begun> + Send>>;

/// A connection and all that it knows.
pub struct Connection<T> {
    id: u64,
    context: Arc<Context>,
    caller: Caller,
    live: Option<Box<Live>>,
    transport: T,
    outbound: Arc<Outbound>,
    /// Taken from the outbound queue, about to be written.
    frames: VecDeque<Bytes>,
    /// The request that is being begun; none is read meanwhile.
    current: Option<BeingBegun>,
    timer: Pin<Box<Sleep>>,
    heartbeat: Duration,
    drain: Duration,
    /// When the next heartbeat is due; before `hello`: when patience ends.
    beat: Instant,
    /// When the client was last heard.
    heard: Instant,
    /// Whether the client took anything since the last heartbeat.
    took: bool,
    ending: Option<Ending>,
}

impl<T: Transport> Connection<T> {
    /// A connection that was just made; `id` is never used again. `drain` is how long its requests
    /// are waited for when the server stops.
    pub fn new(id: u64, context: Arc<Context>, caller: Caller, transport: T, outbound: Arc<Outbound>, drain: Duration) -> Self {
        let (now, heartbeat) = (edge::monotonic(), Duration::from_millis(context.limits.heartbeat_ms));
        let patience = now + 2 * heartbeat;
        Self {
            id,
            context,
            caller,
            live: None,
            transport,
            outbound,
            frames: VecDeque::new(),
            current: None,
            timer: Box::pin(sleep_until(patience)),
            heartbeat,
            drain,
            beat: patience,
            heard: now,
            took: true,
            ending: None,
        }
    }

    /// Serves the connection until it ends.
    pub async fn run(mut self: Box<Self>) {
        loop {
            let standing = self.outbound.take(&mut self.frames, FRAMES_AT_ONCE);
            self.context.metrics.frames_out.add(standing.taken);
            self.context.metrics.bytes_out.add(standing.taken_bytes);
            if standing.behind {
                self.tell_behind();
                continue;
            }
            if self.is_over(&standing) {
                // On the heap: the end of a connection takes room only when it comes.
                return Box::pin(self.finish()).await;
            }
            match self.happened(standing.may_read).await {
                Happened::Begun(begun) => self.begun(begun),
                Happened::Changed => {}
                Happened::Time => self.time(&standing),
                Happened::Io(Io::Frame(text)) => self.read(&text),
                Happened::Io(Io::Alive) => self.heard = edge::monotonic(),
                Happened::Io(Io::Written) => self.took = true,
                Happened::Io(Io::Ended(End::Gone)) => return,
                Happened::Io(Io::Ended(End::Fault { code, what })) => self.end(Error::new(Code::BadFrame, what), code),
            }
        }
    }

    /// Waits for whatever happens first. A lost future loses nothing: all state is in `self`.
    async fn happened(&mut self, may_read: bool) -> Happened {
        let may_read = may_read && self.current.is_none() && self.ending.is_none();
        poll_fn(|cx| self.poll(cx, may_read)).await
    }

    fn poll(&mut self, cx: &mut TaskContext<'_>, may_read: bool) -> Poll<Happened> {
        if let Some(current) = &mut self.current
            && let Poll::Ready(begun) = current.as_mut().poll(cx)
        {
            self.current = None;
            return Poll::Ready(Happened::Begun(begun));
        }
        if self.outbound.poll_changed(cx).is_ready() {
            return Poll::Ready(Happened::Changed);
        }
        if self.timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Happened::Time);
        }
        let before = self.frames.len();
        let io = self.transport.poll(cx, &mut self.frames, may_read);
        self.took |= self.frames.len() < before;
        io.map(Happened::Io)
    }

    fn read(&mut self, text: &str) {
        self.heard = edge::monotonic();
        self.context.metrics.frames_in.one();
        match frame::read(text) {
            Ok((id, request)) => {
                self.outbound.request();
                let reply = self.reply(id);
                self.begin(request, reply);
            }
            Err(frame::Unread { id: Some(id), error }) => {
                self.outbound.request();
                self.reply(id).give(Err(error));
            }
            Err(frame::Unread { id: None, error }) => {
                let code = error.code.close();
                self.end(error, code);
            }
        }
    }

    /// Puts the answer to the request of this id into the outbound queue.
    fn reply(&self, id: u64) -> Reply {
        let (outbound, context) = (Arc::clone(&self.outbound), Arc::clone(&self.context));
        Reply::new(move |result| {
            outbound.reply(match result {
                Ok(answered) => frame::ok(id, &answered),
                Err(error) => {
                    context.metrics.error(error.code);
                    frame::error(id, &error)
                }
            });
        })
    }

    fn begin(&mut self, request: Request, reply: Reply) {
        let (context, id) = (Arc::clone(&self.context), self.id);
        let begin: BeingBegun = match request {
            Request::Hello(request) if self.live.is_none() => Box::pin(hello(context, id, Arc::clone(&self.outbound), request, reply)),
            request => {
                let caller = self.caller.clone();
                Box::pin(async move {
                    command::begin(&context, &caller, request, reply).await;
                    Begun::Request
                })
            }
        };
        self.current = Some(guarded(begin, Arc::clone(&self.context.metrics)));
    }

    fn begun(&mut self, begun: Begun) {
        match begun {
            Begun::Request => {}
            Begun::Session(live) => {
                self.caller.session = Some(live.session());
                self.live = Some(live);
                // The first heartbeats of connections that came together are spread.
                let interval_ms = self.context.limits.heartbeat_ms;
                self.beat = edge::monotonic() + Duration::from_millis(interval_ms / 2 + edge::below(interval_ms / 2 + 1));
                self.wind();
            }
            Begun::End(error) => {
                let code = error.code.close();
                self.end(error, code);
            }
        }
    }

    /// Sets the timer to what is due next.
    fn wind(&mut self) {
        let due = match &self.ending {
            Some(ending) => ending.until,
            None => self.beat.min(self.heard + 2 * self.heartbeat),
        };
        self.timer.as_mut().reset(due);
    }

    fn time(&mut self, standing: &Standing) {
        let now = edge::monotonic();
        if !standing.may_read || self.current.is_some() {
            // Nobody listens to the client: it cannot be heard.
            self.heard = now;
        }
        if self.ending.is_some() {
            return;
        }
        if now >= self.heard + 2 * self.heartbeat {
            let (code, why) = match self.live {
                Some(_) => (Code::HeartbeatMissed, "nothing came for two heartbeats"),
                None => (Code::NotLoggedIn, "no hello came in time"),
            };
            return self.end(Error::new(code, why), code.close());
        }
        if now >= self.beat {
            self.beat(now, standing);
        }
        self.wind();
    }

    fn beat(&mut self, now: Instant, standing: &Standing) {
        let Some(live) = &self.live else {
            if self.current.is_none() {
                self.end(Error::new(Code::NotLoggedIn, "no hello came in time"), Code::NotLoggedIn.close());
            }
            self.beat = now + self.heartbeat;
            return;
        };
        if standing.crowded && !std::mem::take(&mut self.took) {
            return self.end(Error::new(Code::TooSlow, "nothing was read for a whole heartbeat"), Code::TooSlow.close());
        }
        self.took = false;
        if let Some(heartbeat) = live.heartbeat() {
            self.outbound.say(frame::push(&heartbeat));
        }
        self.transport.ping();
        self.beat = now + self.heartbeat;
    }

    /// Everything that waited was written, and something had found no room.
    fn tell_behind(&mut self) {
        if let Some(push) = self.live.as_ref().and_then(|live| live.behind()) {
            self.outbound.say(frame::push(&push));
        }
    }

    fn end(&mut self, error: Error, code: u16) {
        self.outbound.close(error.clone());
        let patience = if error.code == Code::ShuttingDown { self.drain } else { Duration::from_millis(CLOSING_MS) };
        self.ending.get_or_insert(Ending { error, code, until: edge::monotonic() + patience });
        self.wind();
    }

    /// Whether the connection is to end now: nothing is in flight any more, or was for too long.
    fn is_over(&mut self, standing: &Standing) -> bool {
        if let (Some(error), None) = (&standing.closing, &self.ending) {
            let code = error.code.close();
            self.end(error.clone(), code);
        }
        let answered = standing.in_flight == 0 && self.current.is_none();
        self.ending.as_ref().is_some_and(|ending| answered || edge::monotonic() >= ending.until)
    }

    async fn finish(mut self: Box<Self>) {
        // From here on nothing is pushed.
        self.live = None;
        self.outbound.take(&mut self.frames, usize::MAX);
        if let Some(Ending { error, code, .. }) = self.ending {
            let name = error.code.name();
            tracing::debug!(connection = self.id, code = name, "closing a connection");
            self.context.metrics.error(error.code);
            self.frames.push_back(frame::push(&Push::Closing(error)));
            self.transport.close(self.frames, code, name).await;
        }
    }
}

/// A fault in one request must not take the others of its connection down: whoever waits for its
/// answer is told when the reply is dropped.
fn guarded(begin: BeingBegun, metrics: Arc<Metrics>) -> BeingBegun {
    Box::pin(AssertUnwindSafe(begin).catch_unwind().map(move |begun| {
        begun.unwrap_or_else(|_| {
            metrics.panics.one();
            Begun::Request
        })
    }))
}

async fn hello(context: Arc<Context>, id: u64, outbound: Arc<Outbound>, request: Hello, reply: Reply) -> Begun {
    context.metrics.request("hello");
    match session::hello(&context, id, outbound, request).await {
        Ok((live, ready)) => {
            reply.give(Ok(ready.into()));
            Begun::Session(Box::new(live))
        }
        Err(error) => {
            let end = error.code == Code::VersionNotSupported;
            reply.give(Err(error.clone()));
            if end { Begun::End(error) } else { Begun::Request }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[tokio::test]
    async fn a_panic_in_a_request_is_an_answer_to_it_alone() {
        let (metrics, (told, heard)) = (Arc::new(Metrics::default()), sync_channel(1));
        let reply = Reply::new(move |result| told.send(result.map_err(|e| e.code)).expect("room"));
        let faulty = Box::pin(async move {
            let _reply = reply;
            panic!("a fault, for a test");
        });
        assert!(matches!(guarded(faulty, Arc::clone(&metrics)).await, Begun::Request));
        assert_eq!(heard.try_recv(), Ok(Err(Code::Internal)));
        assert_eq!(metrics.panics.get(), 1);
    }
}
