//! Pages of messages as they stand: of a conversation's timeline, or of one of its threads.

use std::ops::RangeInclusive;

use chirrup_core::aggregate::AggregateId;
use chirrup_core::conversation::BUCKET;
use chirrup_core::event::Fact;
use chirrup_core::ids::{ConversationId, Seq, UserId};
use chirrup_core::rows::Record;
use chirrup_core::visibility::Intervals;
use chirrup_protocol::event::Message;
use chirrup_protocol::limits::HISTORY_PAGE_MAX;
use chirrup_protocol::reply::History;
use chirrup_store::keys::{self, Class};
use chirrup_store::kv::ReadError;
use chirrup_store::{log, record};

use super::budget::{Budget, PAGE_TEXT_BYTES_MAX, ROWS_AT_ONCE, of_message};
use super::log::{Reader, lost};
use super::{ViewError, Views};

/// Rows that tell which buckets hold messages, read at once.
const BUCKETS_PAGE: usize = 16;

/// Which page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The newest messages.
    Newest,
    /// The nearest before this seq.
    Before(Seq),
    /// The nearest beyond this seq.
    After(Seq),
    /// Those around this seq, itself among them.
    Around(Seq),
}

/// Where the messages of a page stand.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Timeline,
    /// In the thread of this message.
    Thread(Seq),
}

/// One direction along a log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Towards {
    Older,
    Newer,
}

impl Views {
    /// A page of messages as they stand, oldest first: of the timeline, or of the thread of
    /// `thread_root` (itself not among them). Those that the user may not see are passed over;
    /// deleted ones are there, without text. `limit` is cut to 1 to 100; a page of long messages is
    /// shorter ([`PAGE_TEXT_BYTES_MAX`]).
    ///
    /// # Errors
    /// [`ViewError::NotFound`] for who may see nothing of the conversation;
    /// [`ViewError::MessageNotFound`] if neither the thread's root nor any reply is for them.
    pub fn history(
        &self,
        conversation: ConversationId,
        user: UserId,
        which: Which,
        thread_root: Option<Seq>,
        limit: u32,
    ) -> Result<History, ViewError> {
        let reader = self.reader(conversation, user)?;
        let limit = limit.clamp(1, HISTORY_PAGE_MAX) as usize;
        let place = thread_root.map_or(Place::Timeline, Place::Thread);
        // The page lies on both sides of a cut: older are the seqs below it, newer the others.
        let (cut, want_older, want_newer) = match which {
            Which::Newest => (reader.last + 1, limit, 0),
            Which::Before(seq) => (seq.min(reader.last + 1), limit, 0),
            Which::After(seq) => (seq.saturating_add(1), 0, limit),
            Which::Around(seq) => (seq, limit, limit),
        };
        let before = 1..=cut.saturating_sub(1).min(reader.last);
        let beyond = cut.max(1)..=reader.last;
        let mut older = self.messages(conversation, place, &reader.visible, before, Towards::Older, want_older + 1)?;
        let mut newer = self.messages(conversation, place, &reader.visible, beyond, Towards::Newer, want_newer + 1)?;
        if let Some(root) = thread_root
            && older.is_empty()
            && newer.is_empty()
        {
            self.visible_message(conversation, &reader, root)?;
        }
        let sides = (&older[..older.len().min(want_older)], &newer[..newer.len().min(want_newer)]);
        let (take_older, take_newer) = fitting(sides.0, sides.1, limit);
        let (more_before, more_after) = (older.len() > take_older, newer.len() > take_newer);
        older.truncate(take_older);
        newer.truncate(take_newer);
        let messages = older.iter().rev().chain(&newer).filter_map(Message::of).collect();
        Ok(History { messages, more_before, more_after, head: reader.last })
    }

    /// The visible messages of a run of seqs, from its end or its beginning on, at most `limit`, or
    /// the first that are more than a page has room for.
    pub(super) fn messages(
        &self,
        conversation: ConversationId,
        place: Place,
        visible: &Intervals,
        run: RangeInclusive<Seq>,
        towards: Towards,
        limit: usize,
    ) -> Result<Vec<Record>, ReadError> {
        let mut runs: Vec<RangeInclusive<Seq>> = visible
            .iter()
            .map(|i| i.from.max(*run.start())..=i.until.map_or(*run.end(), |end| end.seq.min(*run.end())))
            .filter(|run| !run.is_empty())
            .collect();
        if towards == Towards::Older {
            runs.reverse();
        }
        let mut walk = Walk { views: self, conversation, towards, limit, found: Vec::new(), bytes: 0 };
        for run in runs {
            if walk.is_done() {
                break;
            }
            match place {
                Place::Timeline => walk.timeline(&run)?,
                Place::Thread(root) => walk.thread(root, &run)?,
            }
        }
        Ok(walk.found)
    }

    /// Whether this is a message that the reader may see.
    fn visible_message(&self, conversation: ConversationId, reader: &Reader, seq: Seq) -> Result<(), ViewError> {
        if reader.visible.contains(seq) && seq <= reader.last {
            let row = log::event(&*self.kv, &AggregateId::Conversation(conversation), seq)?;
            if row.is_some_and(|row| matches!(row.record.event.envelope.fact, Fact::MessageCreated { .. })) {
                return Ok(());
            }
        }
        Err(ViewError::MessageNotFound)
    }
}

/// How many of the nearest messages on both sides of a cut make a page: turn by turn from either
/// side, so that half of the page is older unless one side has less, until the page is full.
fn fitting(older: &[Record], newer: &[Record], limit: usize) -> (usize, usize) {
    let (mut of_older, mut of_newer, mut budget) = (0, 0, Budget::default());
    while of_older + of_newer < limit {
        let is_newer = of_newer < newer.len() && (of_newer <= of_older || of_older == older.len());
        let (side, taken) = if is_newer { (newer, &mut of_newer) } else { (older, &mut of_older) };
        match side.get(*taken) {
            Some(next) if budget.take(of_message(next)) => *taken += 1,
            _ => break,
        }
    }
    (of_older, of_newer)
}

/// A walk along a conversation, which ends with `limit` messages found, or with more bytes of text
/// than fit into a page.
struct Walk<'a> {
    views: &'a Views,
    conversation: ConversationId,
    towards: Towards,
    limit: usize,
    found: Vec<Record>,
    /// Of text that was found.
    bytes: usize,
}

impl Walk<'_> {
    fn is_done(&self) -> bool {
        // One message stands in a page whatever its size: then it is not known yet what follows.
        self.found.len() == self.limit || (self.found.len() > 1 && self.bytes > PAGE_TEXT_BYTES_MAX)
    }

    fn found(&mut self, record: Record) {
        self.bytes += of_message(&record);
        self.found.push(record);
    }

    /// How many rows to read next.
    fn wanted(&self) -> usize {
        ROWS_AT_ONCE.min(self.limit - self.found.len())
    }

    /// What is left of a run behind this seq.
    fn rest(&self, run: &RangeInclusive<Seq>, seq: Seq) -> RangeInclusive<Seq> {
        match self.towards {
            Towards::Older => *run.start()..=seq - 1,
            Towards::Newer => seq + 1..=*run.end(),
        }
    }

    /// Along the timeline. The bucket at the near end is read at once; beyond it only buckets that
    /// are known to hold messages.
    fn timeline(&mut self, run: &RangeInclusive<Seq>) -> Result<(), ReadError> {
        let (low, high) = (run.start() / BUCKET, run.end() / BUCKET);
        let older = self.towards == Towards::Older;
        let mut at = if older { high } else { low };
        self.bucket(at, run)?;
        while !self.is_done() && at != if older { low } else { high } {
            let (first, last) = if older { (low, at - 1) } else { (at + 1, high) };
            let rows = self.views.kv.range(&keys::seq_buckets(self.conversation, first, last, older, BUCKETS_PAGE))?;
            for number in rows.iter().filter_map(|(sort, _)| keys::number(sort)) {
                if !self.is_done() {
                    at = number;
                    self.bucket(at, run)?;
                }
            }
            if rows.len() < BUCKETS_PAGE {
                break;
            }
        }
        Ok(())
    }

    /// Through the messages of a run within one bucket of the log.
    fn bucket(&mut self, bucket: u64, run: &RangeInclusive<Seq>) -> Result<(), ReadError> {
        let aggregate = AggregateId::Conversation(self.conversation);
        let mut run = (bucket * BUCKET).max(*run.start())..=(bucket * BUCKET + BUCKET - 1).min(*run.end());
        while !run.is_empty() && !self.is_done() {
            let wanted = self.wanted();
            let range = keys::events(&aggregate, Class::Timeline, *run.start(), *run.end(), self.towards == Towards::Older, wanted);
            let entries = self.views.kv.range(&range)?;
            for entry in &entries {
                let record = log::decode(&range, entry)?.record;
                run = self.rest(&run, record.event.seq());
                self.found(record);
            }
            if entries.len() < wanted {
                break;
            }
        }
        Ok(())
    }

    /// Through the replies of a thread.
    fn thread(&mut self, root: Seq, run: &RangeInclusive<Seq>) -> Result<(), ReadError> {
        let older = self.towards == Towards::Older;
        let aggregate = AggregateId::Conversation(self.conversation);
        let mut run = run.clone();
        while !run.is_empty() && !self.is_done() {
            let wanted = self.wanted();
            let range = keys::replies(self.conversation, root, *run.start(), *run.end(), older, wanted);
            let seqs: Vec<Seq> = self.views.kv.range(&range)?.iter().filter_map(|(sort, _)| keys::reply_seq(sort)).collect();
            let Some(last) = seqs.last() else { break };
            // A reply stands in its thread only, or in the timeline too.
            let places: Vec<_> =
                seqs.iter().flat_map(|seq| [false, true].map(|timeline| keys::event(&aggregate, *seq, timeline))).collect();
            let values = self.views.kv.get(&places)?;
            for ((seq, places), values) in seqs.iter().zip(places.chunks(2)).zip(values.chunks(2)) {
                let found = places.iter().zip(values).find_map(|(place, value)| Some((place, value.as_ref()?)));
                let (place, bytes) = found.ok_or_else(|| lost(&aggregate, *seq))?;
                self.found(record::decode_event(place, bytes)?.record);
            }
            run = self.rest(&run, *last);
            if seqs.len() < wanted {
                break;
            }
        }
        Ok(())
    }
}
