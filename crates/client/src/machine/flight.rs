//! Requests that went out and wait for their answers.

use std::collections::BTreeMap;

use chirrup_core::ids::{ClientId, ConversationId};

use super::logs::LogKey;
use super::requests::Try;

/// What an answer is for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// The session.
    Hello,
    /// The next page of the conversations that `ready` began.
    Sync,
    /// Events of a log.
    Pull(LogKey),
    /// A conversation as it is now.
    Refresh(ConversationId),
    /// An entry of the outbox.
    Send(ConversationId, ClientId),
    /// How far one has read.
    Read(ConversationId),
    /// How far messages have come.
    Delivered(ConversationId),
    /// The presence of the watched.
    Watch,
    /// Nothing waits for the answer.
    Quiet,
    /// The application's.
    App(Try),
}

#[derive(Debug)]
struct Flight {
    purpose: Purpose,
    since_ms: u64,
}

/// All that is in flight on one connection.
#[derive(Debug, Default)]
pub(super) struct Flights {
    next: u64,
    flights: BTreeMap<u64, Flight>,
}

impl Flights {
    /// The id for a request that goes out now. Ids are never used twice, so that a late answer
    /// cannot be taken for another's.
    pub(super) fn depart(&mut self, now_ms: u64, purpose: Purpose) -> u64 {
        self.next += 1;
        self.flights.insert(self.next, Flight { purpose, since_ms: now_ms });
        self.next
    }

    /// What this answer is for.
    pub(super) fn arrive(&mut self, id: u64) -> Option<Purpose> {
        self.flights.remove(&id).map(|flight| flight.purpose)
    }

    pub(super) fn len(&self) -> usize {
        self.flights.len()
    }

    pub(super) fn count(&self, of: impl Fn(&Purpose) -> bool) -> usize {
        self.flights.values().filter(|flight| of(&flight.purpose)).count()
    }

    /// The requests of the application whose time is over.
    pub(super) fn expire(&mut self, now_ms: u64) -> Vec<Try> {
        let over = |flight: &Flight| matches!(&flight.purpose, Purpose::App(t) if t.request.deadline_ms <= now_ms);
        let ids: Vec<u64> = self.flights.iter().filter(|(_, flight)| over(flight)).map(|(id, _)| *id).collect();
        ids.into_iter()
            .filter_map(|id| match self.flights.insert(id, Flight { purpose: Purpose::Quiet, since_ms: now_ms })?.purpose {
                Purpose::App(t) => Some(t),
                _ => None,
            })
            .collect()
    }

    /// The connection is gone: what was in flight, in the order in which it went out.
    pub(super) fn lost(&mut self) -> Vec<Purpose> {
        std::mem::take(&mut self.flights).into_values().map(|flight| flight.purpose).collect()
    }

    /// Since when the oldest waits, and the first deadline of the application's.
    pub(super) fn times_ms(&self) -> (Option<u64>, Option<u64>) {
        let deadlines = self.flights.values().filter_map(|flight| match &flight.purpose {
            Purpose::App(t) => Some(t.request.deadline_ms),
            _ => None,
        });
        (self.flights.first_key_value().map(|(_, flight)| flight.since_ms), deadlines.min())
    }
}
