//! Reading an aggregate's log: its two classes of rows as one dense run of events.

use chirrup_core::aggregate::AggregateId;
use chirrup_core::conversation::BUCKET;
use chirrup_core::ids::Seq;

use crate::keys::{self, Class};
use crate::kv::{Entry, Key, Kv, Range, ReadError};
use crate::record::{self, EventRow};

/// Events with `seq > after`, dense and ascending, at most `limit` (1 to 10,000). Ends where the
/// log ends, or before a gap: what stands beyond a gap was never acknowledged.
pub fn events(kv: &dyn Kv, aggregate: &AggregateId, after: Seq, limit: usize) -> Result<Vec<EventRow>, ReadError> {
    let mut rows: Vec<EventRow> = Vec::new();
    let mut next = after + 1;
    while rows.len() < limit {
        let wanted = limit - rows.len();
        let until = next.saturating_add(wanted as u64 - 1);
        let mut found = Vec::new();
        for class in [Class::Timeline, Class::Other] {
            let range = keys::events(aggregate, class, next, until, false, wanted);
            for entry in kv.range(&range)? {
                found.push(decode(&range, &entry)?);
            }
        }
        found.sort_unstable_by_key(|row| row.record.event.seq());
        let before = rows.len();
        for row in found {
            if row.record.event.seq() != next {
                return Ok(rows);
            }
            next += 1;
            rows.push(row);
        }
        let bucket_done = next.is_multiple_of(BUCKET) && rows.len() > before;
        if !bucket_done {
            break;
        }
    }
    Ok(rows)
}

/// One event, whichever its class.
pub fn event(kv: &dyn Kv, aggregate: &AggregateId, seq: Seq) -> Result<Option<EventRow>, ReadError> {
    let places = [keys::event(aggregate, seq, true), keys::event(aggregate, seq, false)];
    for (value, key) in kv.get(&places)?.into_iter().zip(&places) {
        if let Some(bytes) = value {
            return record::decode_event(key, &bytes).map(Some);
        }
    }
    Ok(None)
}

/// An event's row as a range gave it.
pub fn decode(range: &Range, (sort, value): &Entry) -> Result<EventRow, ReadError> {
    let row = record::read_event(value).and_then(|row| match row.record.event.seq() {
        seq if keys::event_seq(sort) == Some(seq) => Ok(row),
        seq => Err(format!("holds event {seq}")),
    });
    row.map_err(|what| {
        let key = Key::new(range.table, range.partition.clone(), sort.clone());
        ReadError::Damaged { place: format!("{key:?}"), what }
    })
}
