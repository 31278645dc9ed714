//! The thin shell around the machine: one task that gives it frames and time, and does what it wants
//! done.
//!
//! Must not know: what the frames say.

mod address;
mod dial;
mod wire;

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

pub use address::Address;
pub(crate) use dial::Dialer;

use crate::client::Shared;
use crate::error::Error;
use crate::machine::{Failure, Machine, Output, Record};
use crate::outbox_file::OutboxFile;
use dial::Socket;
use wire::{Arrived, Wire};

/// A farewell may take so long.
const CLOSE_MS: u64 = 1_000;

type Dialing = Pin<Box<dyn Future<Output = Result<Socket, String>> + Send>>;

enum Connection {
    None,
    Dialing(Dialing),
    Open(Wire),
}

/// What comes to pass on the connection.
enum News {
    Dialed(Box<Result<Socket, String>>),
    Arrived(Arrived),
}

impl Connection {
    /// Waits for what comes next; may be dropped without loss.
    async fn next(&mut self) -> News {
        match self {
            Self::None => std::future::pending().await,
            Self::Dialing(dialing) => News::Dialed(Box::new(dialing.await)),
            Self::Open(wire) => News::Arrived(wire.step().await),
        }
    }
}

type Saved = (Vec<Record>, Result<(), Error>);

/// The task's own things.
pub(crate) struct Task {
    shared: Arc<Shared>,
    dialer: Dialer,
    outbox: Option<Arc<Mutex<OutboxFile>>>,
    connection: Connection,
    /// At most one write of the outbox at a time.
    saving: JoinSet<Saved>,
}

impl Task {
    pub(crate) fn new(shared: Arc<Shared>, dialer: Dialer, outbox: Option<OutboxFile>) -> Self {
        let outbox = outbox.map(|file| Arc::new(Mutex::new(file)));
        Self { shared, dialer, outbox, connection: Connection::None, saving: JoinSet::new() }
    }

    /// Runs until the client is closed.
    pub(crate) async fn run(mut self) {
        self.shared.with_machine(Machine::connect);
        while !self.shared.closing() {
            self.act();
            let deadline = self.shared.deadline();
            tokio::select! {
                () = self.shared.wake.notified() => {}
                () = async { sleep_until(deadline.expect("the branch is on only then")).await }, if deadline.is_some() => {
                    self.shared.with_machine(Machine::tick);
                }
                Some(saved) = self.saving.join_next() => self.saved(saved),
                news = self.connection.next() => self.news(news),
            }
        }
        self.end().await;
    }

    /// Does what the machine wants done.
    fn act(&mut self) {
        for output in self.shared.outputs() {
            match output {
                Output::Connect => self.connection = Connection::Dialing(Box::pin(self.dialer.clone().dial())),
                Output::Disconnect => self.connection = Connection::None,
                Output::Frame(text) => {
                    if let Connection::Open(wire) = &mut self.connection {
                        wire.send(text);
                    }
                }
                Output::Save(records) => self.save(records),
                Output::Answer((ticket, outcome)) => self.shared.answer(ticket, outcome),
                Output::Settled(client_id, outcome) => self.shared.settled(client_id, outcome.map_err(Error::Refused)),
                Output::Dropped(client_id) => {
                    let lost = Error::File { path: "the outbox".into(), reason: "it could not be written".to_owned() };
                    self.shared.settled(client_id, Err(lost));
                }
            }
        }
    }

    fn save(&mut self, records: Vec<Record>) {
        match self.outbox.clone() {
            Some(outbox) => drop(self.saving.spawn_blocking(move || {
                let written = outbox.lock().unwrap_or_else(PoisonError::into_inner).append(&records);
                (records, written)
            })),
            None => self.shared.with_machine(|machine, now_ms| machine.saved(now_ms, &records)),
        }
    }

    fn saved(&self, saved: Result<Saved, tokio::task::JoinError>) {
        let Ok((records, written)) = saved else { return };
        self.shared.with_machine(|machine, now_ms| match written {
            Ok(()) => machine.saved(now_ms, &records),
            Err(_) => machine.save_failed(now_ms, &records),
        });
    }

    fn news(&mut self, news: News) {
        match news {
            News::Dialed(dialed) => match *dialed {
                Ok(socket) => {
                    self.connection = Connection::Open(Wire::new(socket));
                    self.shared.with_machine(Machine::opened);
                }
                Err(reason) => {
                    self.connection = Connection::None;
                    self.shared.with_machine(|machine, now_ms| machine.closed(now_ms, Failure::Connect(reason), None));
                }
            },
            News::Arrived(arrived) => {
                self.shared.with_machine(|machine, now_ms| {
                    machine.heard(now_ms);
                    for text in &arrived.texts {
                        machine.frame(now_ms, text);
                    }
                });
                if let Some((reason, close)) = arrived.end {
                    self.connection = Connection::None;
                    let close = close.as_ref().map(|(code, reason)| (*code, reason.as_str()));
                    self.shared.with_machine(|machine, now_ms| machine.closed(now_ms, Failure::Lost(reason), close));
                }
            }
        }
    }

    /// Leaves nothing half done.
    async fn end(mut self) {
        loop {
            // What was said just before is kept for the next run.
            self.act();
            let Some(saved) = self.saving.join_next().await else { break };
            self.saved(saved);
        }
        if let Connection::Open(wire) = self.connection {
            // The server finds out by itself if it does not hear it.
            let _ = timeout(Duration::from_millis(CLOSE_MS), wire.close()).await;
        }
        drop(self.outbox);
        self.shared.end();
    }
}
