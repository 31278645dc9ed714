//! The outbox: what this device says into conversations, durable before it goes out, in the order
//! it was said, once. A lane for each conversation; what stands in one never overtakes.
//!
//! Must not know: files, frames.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use chirrup_core::ids::{ClientId, ConversationId};
use chirrup_protocol::error::{Code, Error as Refusal, Retry};

use super::frames::Body;
use crate::limits::{LANE_WINDOW, OUTBOX_MAX, RETRY_MS_MIN};

/// Something said, on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Kept across retries, reconnects and restarts.
    pub client_id: ClientId,
    /// Where to.
    pub conversation: ConversationId,
    /// The request.
    pub body: Body,
}

/// What is to be written to the outbox's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An entry came.
    Added(Entry),
    /// An entry is settled: accepted, refused for good, or withdrawn.
    Settled(ClientId),
}

/// What became of a wish to withdraw an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawal {
    /// It never takes effect, in this conversation.
    Withdrawn(ConversationId),
    /// It may have taken effect, or is about to: it stays.
    TooLate,
    /// There is no such entry.
    Absent,
}

/// What became of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The entry is settled.
    Settled,
    /// It stays, and will be sent again.
    Stays,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not yet handed to the file.
    Unsaved,
    /// The file is being written.
    Saving,
    /// Durable; to be sent when its turn comes.
    Waiting,
    /// Sent, not answered.
    InFlight,
}

struct Place {
    entry: Entry,
    state: State,
    /// It may have taken effect: it was sent, and no answer said that it had not.
    uncertain: bool,
}

#[derive(Default)]
struct Lane {
    places: VecDeque<Place>,
    in_flight: usize,
    /// An entry was refused for now: nothing goes out until all in flight are answered and this
    /// time has come; then the first goes alone.
    held_until_ms: Option<u64>,
    /// The first goes alone until it is settled.
    probing: bool,
}

/// All lanes.
#[derive(Default)]
pub(super) struct Outbox {
    lanes: BTreeMap<ConversationId, Lane>,
    lane_of: HashMap<ClientId, ConversationId>,
    unsaved: Vec<Record>,
    saving: bool,
}

impl Outbox {
    /// With what an earlier run left, in order.
    pub(super) fn new(entries: Vec<Entry>) -> Self {
        let mut outbox = Self::default();
        for entry in entries {
            // An earlier run may have sent it.
            outbox.put(Place { entry, state: State::Waiting, uncertain: true });
        }
        outbox
    }

    fn put(&mut self, place: Place) {
        self.lane_of.insert(place.entry.client_id, place.entry.conversation);
        self.lanes.entry(place.entry.conversation).or_default().places.push_back(place);
    }

    /// Takes an entry in, behind all others of its conversation; nothing if it is there already.
    pub(super) fn add(&mut self, entry: Entry) -> Result<(), usize> {
        if self.lane_of.contains_key(&entry.client_id) {
            return Ok(());
        }
        if self.lane_of.len() >= OUTBOX_MAX {
            return Err(OUTBOX_MAX);
        }
        self.unsaved.push(Record::Added(entry.clone()));
        self.put(Place { entry, state: State::Unsaved, uncertain: false });
        Ok(())
    }

    /// Entries that are not settled, in order within each conversation.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.lanes.values().flat_map(|lane| lane.places.iter().map(|place| &place.entry))
    }

    /// What is to be written now, all together; nothing while an earlier write is under way.
    pub(super) fn save(&mut self) -> Option<Vec<Record>> {
        if self.saving || self.unsaved.is_empty() {
            return None;
        }
        self.saving = true;
        let records = std::mem::take(&mut self.unsaved);
        self.mark(&records, State::Unsaved, State::Saving);
        Some(records)
    }

    /// The write is durable.
    pub(super) fn saved(&mut self, records: &[Record]) {
        self.saving = false;
        self.mark(records, State::Saving, State::Waiting);
    }

    /// The write failed: the entries among the records are given up, for none of them went out.
    pub(super) fn save_failed(&mut self, records: &[Record]) -> Vec<ClientId> {
        self.saving = false;
        let mut dropped = Vec::new();
        for record in records {
            if let Record::Added(entry) = record
                && let Some(conversation) = self.lane_of.remove(&entry.client_id)
                && let Some(lane) = self.lanes.get_mut(&conversation)
            {
                lane.places.retain(|place| place.entry.client_id != entry.client_id);
                dropped.push(entry.client_id);
                if lane.places.is_empty() {
                    self.lanes.remove(&conversation);
                }
            }
        }
        dropped
    }

    fn mark(&mut self, records: &[Record], from: State, to: State) {
        let added: HashSet<ClientId> = records
            .iter()
            .filter_map(|record| match record {
                Record::Added(entry) => Some(entry.client_id),
                Record::Settled(_) => None,
            })
            .collect();
        let conversations: HashSet<ConversationId> = added.iter().filter_map(|id| self.lane_of.get(id)).copied().collect();
        for conversation in conversations {
            let Some(lane) = self.lanes.get_mut(&conversation) else { continue };
            for place in lane.places.iter_mut().filter(|p| p.state == from && added.contains(&p.entry.client_id)) {
                place.state = to;
            }
        }
    }

    /// Entries that may go out now, at most `room`; they count as sent.
    pub(super) fn take(&mut self, now_ms: u64, room: usize) -> Vec<Entry> {
        let mut taken = Vec::new();
        for lane in self.lanes.values_mut() {
            if taken.len() >= room {
                break;
            }
            lane.take(now_ms, room, &mut taken);
        }
        taken
    }

    /// An answer came.
    pub(super) fn answered(&mut self, now_ms: u64, client_id: ClientId, outcome: Result<(), &Refusal>) -> Verdict {
        let Some(conversation) = self.lane_of.get(&client_id).copied() else { return Verdict::Stays };
        let Some(lane) = self.lanes.get_mut(&conversation) else { return Verdict::Stays };
        lane.in_flight = lane.in_flight.saturating_sub(1);
        match outcome {
            Err(refusal) if !settles(refusal) => {
                lane.refused(now_ms, client_id, refusal);
                Verdict::Stays
            }
            _ => {
                lane.probing = false;
                self.settle(conversation, client_id);
                Verdict::Settled
            }
        }
    }

    fn settle(&mut self, conversation: ConversationId, client_id: ClientId) {
        if let Some(lane) = self.lanes.get_mut(&conversation) {
            lane.places.retain(|place| place.entry.client_id != client_id);
            if lane.places.is_empty() {
                self.lanes.remove(&conversation);
            }
        }
        self.lane_of.remove(&client_id);
        self.unsaved.push(Record::Settled(client_id));
    }

    /// The connection is gone: what was in flight goes out again, first.
    pub(super) fn lost(&mut self) {
        for lane in self.lanes.values_mut() {
            lane.in_flight = 0;
            lane.held_until_ms = None;
            for place in lane.places.iter_mut().filter(|place| place.state == State::InFlight) {
                place.state = State::Waiting;
            }
        }
    }

    /// Takes an entry back, if it surely has not taken effect.
    pub(super) fn withdraw(&mut self, client_id: ClientId) -> Withdrawal {
        let Some(conversation) = self.lane_of.get(&client_id).copied() else { return Withdrawal::Absent };
        let Some(lane) = self.lanes.get(&conversation) else { return Withdrawal::Absent };
        let Some(place) = lane.places.iter().find(|place| place.entry.client_id == client_id) else { return Withdrawal::Absent };
        if place.uncertain || place.state == State::InFlight {
            return Withdrawal::TooLate;
        }
        self.settle(conversation, client_id);
        Withdrawal::Withdrawn(conversation)
    }

    /// When the next lane may go on.
    pub(super) fn deadline_ms(&self) -> Option<u64> {
        self.lanes.values().filter(|lane| lane.in_flight == 0).filter_map(|lane| lane.held_until_ms).min()
    }
}

impl Lane {
    fn take(&mut self, now_ms: u64, room: usize, taken: &mut Vec<Entry>) {
        if let Some(until_ms) = self.held_until_ms {
            if self.in_flight > 0 || now_ms < until_ms {
                return;
            }
            self.held_until_ms = None;
            self.probing = true;
        }
        let window = if self.probing { 1 } else { LANE_WINDOW };
        for place in &mut self.places {
            if self.in_flight >= window || taken.len() >= room {
                break;
            }
            match place.state {
                State::InFlight => {}
                State::Waiting => {
                    place.state = State::InFlight;
                    place.uncertain = true;
                    self.in_flight += 1;
                    taken.push(place.entry.clone());
                }
                // What is not durable does not go out, nor does anything behind it.
                State::Unsaved | State::Saving => break,
            }
        }
    }

    fn refused(&mut self, now_ms: u64, client_id: ClientId, refusal: &Refusal) {
        if let Some(place) = self.places.iter_mut().find(|place| place.entry.client_id == client_id) {
            place.state = State::Waiting;
            // Every other refusal says that the entry did not take effect.
            place.uncertain = refusal.code == Code::Unknown;
        }
        let until_ms = now_ms + refusal.after_ms.unwrap_or(0).max(RETRY_MS_MIN);
        self.held_until_ms = Some(self.held_until_ms.map_or(until_ms, |other| other.max(until_ms)));
    }
}

/// Whether a refusal is the last word on an entry. What concerns the session is not.
fn settles(refusal: &Refusal) -> bool {
    let session = matches!(refusal.code, Code::NotLoggedIn | Code::TokenInvalid | Code::AccountDisabled | Code::VersionNotSupported);
    refusal.retry == Retry::Never && !session
}
