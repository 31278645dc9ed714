//! Which rows of a commit may be written at the same time, for drivers that are atomic within a
//! partition only: all that the repair of a torn commit needs of their order, and no more.
//!
//! A batch is written as intent (what the feed will hold), secrets, events, projections and
//! verdicts, states, marks. Each of these kinds is durable before the next is begun; within a kind
//! everything is repaired whichever part of it is there, but for the events of one log, of which
//! the newest bucket goes first (so that what is there of a batch counts whole or not at all), and
//! for tokens, which go before the rows by which they are found and come after them.
//!
//! Must not know: what is in a value, how anything is written.

use std::collections::HashMap;

use chirrup_core::aggregate::AggregateId;

use crate::keys;
use crate::kv::{Row, Table};

/// How the partitions of `Meta` begin that tell which partitions a feed has.
const FEED_BUCKETS: &[u8] = b"feed/";

/// The rows of one partition in a commit: what a driver writes at once.
#[derive(Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// The table.
    pub table: Table,
    /// The partition.
    pub partition: &'a [u8],
    /// Of several rows of one key the one that wins; otherwise as they came.
    pub rows: Vec<&'a Row>,
}

/// What rows are to recovery, in the order in which a batch has them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Intent,
    TokenTaken,
    Secret,
    TokenGiven,
    Event,
    Projection,
    State,
    Mark,
}

impl Kind {
    fn of(row: &Row) -> Self {
        match row.key.table {
            Table::Feed => Self::Intent,
            Table::Meta if row.key.partition.starts_with(FEED_BUCKETS) => Self::Intent,
            Table::Token if row.value.is_none() => Self::TokenTaken,
            Table::Token => Self::TokenGiven,
            Table::Credential => Self::Secret,
            Table::Event => Self::Event,
            Table::Dedupe | Table::Member | Table::Inbox | Table::Mention | Table::Position | Table::Activity => Self::Projection,
            Table::State => Self::State,
            Table::Meta => Self::Mark,
        }
    }
}

/// Rows of a commit by stage and partition. The parts of a stage may be written in any order or at
/// once; all of them must be durable before anything of the next stage is written. A partition is
/// in the stage of the first of its rows.
pub fn stages(rows: &[Row]) -> Vec<Vec<Part<'_>>> {
    let mut made = Stages::default();
    for row in rows {
        made.add(row);
    }
    made.stages
}

#[derive(Default)]
struct Stages<'a> {
    stages: Vec<Vec<Part<'a>>>,
    /// Of the rows at hand, and the stage at which their kind begins.
    kind: Option<(Kind, usize)>,
    /// How many buckets of each log the rows at hand have named. `None`: it is not told of which
    /// log they are.
    buckets: HashMap<Option<AggregateId>, usize>,
    parts: HashMap<(Table, &'a [u8]), (usize, usize)>,
    rows: HashMap<(Table, &'a [u8], &'a [u8]), usize>,
}

impl<'a> Stages<'a> {
    fn add(&mut self, row: &'a Row) {
        let (table, partition) = (row.key.table, row.key.partition.as_slice());
        let (stage, part) = match self.parts.get(&(table, partition)) {
            Some(place) => *place,
            None => self.begin(row),
        };
        let rows = &mut self.stages[stage][part].rows;
        let known = self.rows.entry((table, partition, &row.key.sort)).or_insert(rows.len());
        match rows.get_mut(*known) {
            Some(earlier) if earlier.version <= row.version => *earlier = row,
            Some(_) => {}
            None => rows.push(row),
        }
    }

    /// A new part for a partition; its place.
    fn begin(&mut self, row: &'a Row) -> (usize, usize) {
        let (table, partition) = (row.key.table, row.key.partition.as_slice());
        let kind = Kind::of(row);
        let base = match self.kind {
            Some((at_hand, base)) if at_hand == kind => base,
            _ => {
                self.buckets.clear();
                let base = self.stages.len();
                self.kind = Some((kind, base));
                base
            }
        };
        let stage = if kind == Kind::Event {
            let log = keys::log_of(partition).map(|(aggregate, _)| aggregate);
            let bucket = self.buckets.entry(log).or_insert(0);
            *bucket += 1;
            base + *bucket - 1
        } else {
            base
        };
        if stage == self.stages.len() {
            self.stages.push(Vec::new());
        }
        let parts = &mut self.stages[stage];
        parts.push(Part { table, partition, rows: Vec::new() });
        let place = (stage, parts.len() - 1);
        self.parts.insert((table, partition), place);
        place
    }
}

#[cfg(test)]
mod tests {
    use chirrup_core::hash::Hash;
    use chirrup_core::ids::{ClientId, ConversationId, UserId};

    use super::*;
    use crate::kv::Key;
    use crate::offset::Offset;

    fn put(key: Key) -> Row {
        Row { key, value: Some(Vec::new()), version: 1 }
    }

    fn conversation(n: u8) -> AggregateId {
        AggregateId::Conversation(ConversationId([n; 16]))
    }

    fn event(log: u8, seq: u64) -> Row {
        put(keys::event(&conversation(log), seq, true))
    }

    /// The tables of each stage, in the order of their parts.
    fn tables(rows: &[Row]) -> Vec<Vec<Table>> {
        stages(rows).iter().map(|stage| stage.iter().map(|part| part.table).collect()).collect()
    }

    #[test]
    fn a_batch_is_intent_secrets_events_projections_states_marks() {
        let offset = Offset { epoch: 1, n: 1, k: 0 };
        let credential = put(keys::credential(UserId([1; 16])));
        let rows = [
            put(keys::feed_bucket(1, offset)),
            put(keys::feed(1, offset)),
            put(keys::feed(2, offset)),
            Row { value: None, ..put(keys::token(&Hash([1; 32]))) },
            credential,
            put(keys::token(&Hash([2; 32]))),
            event(1, 1),
            event(2, 1),
            put(keys::inbox(UserId([1; 16]), ConversationId([1; 16]))),
            put(keys::dedupe(&conversation(1), UserId([1; 16]), ClientId([1; 16]))),
            put(keys::state(&conversation(1))),
            put(keys::meta("mark", &[1])),
        ];
        let expected = [
            vec![Table::Meta, Table::Feed, Table::Feed],
            vec![Table::Token],
            vec![Table::Credential],
            vec![Table::Token],
            vec![Table::Event, Table::Event],
            vec![Table::Inbox, Table::Dedupe],
            vec![Table::State],
            vec![Table::Meta],
        ];
        assert_eq!(tables(&rows), expected);
    }

    #[test]
    fn of_each_log_the_newest_bucket_is_durable_first() {
        let bucket = chirrup_core::conversation::BUCKET;
        let rows = [event(1, 2 * bucket), event(1, bucket), event(2, bucket), event(2, 1), event(3, 7), put(keys::state(&conversation(1)))];
        let stages = stages(&rows);
        let logs = |stage: usize| -> Vec<_> { stages[stage].iter().map(|part| keys::log_of(part.partition).unwrap()).collect() };
        let newest = [(conversation(1), 2 * bucket), (conversation(2), bucket), (conversation(3), 0)];
        assert_eq!(logs(0), newest);
        assert_eq!(logs(1), [(conversation(1), bucket), (conversation(2), 0)]);
        assert_eq!((stages.len(), stages[2][0].table), (3, Table::State));
    }

    #[test]
    fn partitions_that_name_no_log_keep_their_order() {
        let rows: Vec<Row> = [b"a", b"b", b"c"].map(|name| put(Key::new(Table::Event, *name, []))).into();
        assert_eq!(tables(&rows), vec![vec![Table::Event]; 3]);
    }

    #[test]
    fn a_partition_is_in_one_part_with_the_row_that_wins_of_each_key() {
        let row = |sort: &[u8], version| Row { version, ..put(Key::new(Table::Member, *b"p", sort)) };
        let rows = [row(b"a", 2), row(b"b", 1), put(Key::new(Table::State, *b"s", [])), row(b"a", 1), row(b"b", 1), row(b"c", 1)];
        let stages = stages(&rows);
        assert_eq!(stages.len(), 2);
        assert_eq!(stages[0][0].rows, [&rows[0], &rows[4], &rows[5]]);
        assert!(std::ptr::eq(stages[0][0].rows[1], &raw const rows[4]), "the later of two equal versions");
    }
}
