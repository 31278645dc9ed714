//! How much one page may hold, whatever its number of entries: so that an answer stays of a size
//! that is fair to others, and the store is not read for what is thrown away.

use chirrup_core::rows::Record;
use chirrup_protocol::event::{Event, Kind};

/// Bytes of text in a page. It is cut before the entry that would be beyond, but has at least one.
pub const PAGE_TEXT_BYTES_MAX: usize = 1 << 20;
/// Rows read at once; further ones are read only while there is room in the page.
pub(super) const ROWS_AT_ONCE: usize = 64;

/// The text of a message as it stands, in bytes.
pub(super) fn of_message(record: &Record) -> usize {
    record.text().map_or(0, |text| text.text.len())
}

/// The text of an event as it is told, in bytes.
pub(super) fn of_event(event: &Event) -> usize {
    match &event.kind {
        Kind::MessageCreated { text: Some(text), .. } | Kind::MessageEdited { text: Some(text), .. } => text.len(),
        _ => 0,
    }
}

/// What a page still has room for.
#[derive(Default)]
pub(super) struct Budget {
    entries: usize,
    bytes: usize,
}

impl Budget {
    /// Takes one more entry of this size into the page, if it fits.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let fits = self.entries == 0 || self.bytes + bytes <= PAGE_TEXT_BYTES_MAX;
        if fits {
            self.entries += 1;
            self.bytes += bytes;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_one_entry_at_least_and_no_more_bytes_than_it_may() {
        let mut budget = Budget::default();
        assert!(budget.take(PAGE_TEXT_BYTES_MAX + 1));
        assert!(!budget.take(0));
        let mut budget = Budget::default();
        assert!(budget.take(0) && budget.take(PAGE_TEXT_BYTES_MAX) && budget.take(0));
        assert!(!budget.take(1));
    }
}
