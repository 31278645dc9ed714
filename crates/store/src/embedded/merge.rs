//! Rows of one range from several places, newer ones over older ones.
//!
//! Must not know: what the places are.

use std::iter::Peekable;

use byteview::ByteView;

use super::memtable::Row;

/// A row that is there: its key and its value.
pub(super) type Live = (ByteView, ByteView);

/// Merges rows that are each sorted in the same direction, up to `limit` that were not removed.
/// `newer` has the newest first; each of them was itself read up to `limit` rows that were not
/// removed, or to the end. `oldest` has only rows that were not removed.
pub(super) fn merge<E>(
    newer: Vec<Vec<Row>>,
    oldest: impl Iterator<Item = Result<Live, E>>,
    descending: bool,
    limit: usize,
) -> Result<Vec<Live>, E> {
    let mut newer: Vec<_> = newer.into_iter().filter(|rows| !rows.is_empty()).map(|rows| rows.into_iter().peekable()).collect();
    let mut oldest = oldest.peekable();
    let mut merged = Vec::new();
    while merged.len() < limit {
        if oldest.peek().is_some_and(Result::is_err) {
            oldest.next().transpose()?;
        }
        let heads = newer.iter_mut().filter_map(|rows| rows.peek().map(|(key, _)| key));
        let heads = heads.chain(oldest.peek().and_then(|row| row.as_ref().ok()).map(|(key, _)| key));
        let Some(next) = (if descending { heads.max() } else { heads.min() }).cloned() else { break };
        if let Some(value) = take(&mut newer, &mut oldest, &next)? {
            merged.push((next, value));
        }
    }
    Ok(merged)
}

/// Takes the row of this key everywhere; the newest counts.
fn take<E>(
    newer: &mut [Peekable<std::vec::IntoIter<Row>>],
    oldest: &mut Peekable<impl Iterator<Item = Result<Live, E>>>,
    key: &ByteView,
) -> Result<Option<ByteView>, E> {
    let mut newest: Option<Option<ByteView>> = None;
    for rows in newer {
        if let Some((_, value)) = rows.next_if(|(at, _)| at == key) {
            newest.get_or_insert(value);
        }
    }
    let old = oldest.next_if(|row| row.as_ref().is_ok_and(|(at, _)| at == key)).transpose()?;
    Ok(newest.unwrap_or(old.map(|(_, value)| value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &str, value: Option<&str>) -> Row {
        (key.as_bytes().into(), value.map(|value| value.as_bytes().into()))
    }

    fn merged(descending: bool, limit: usize) -> Vec<String> {
        let mut newest = vec![row("a", Some("2")), row("b", None), row("d", None), row("e", Some("2"))];
        let mut newer = vec![row("b", Some("1")), row("c", Some("1")), row("e", None)];
        let mut oldest: Vec<Live> = ["a", "d", "f"].map(|key| (key.as_bytes().into(), b"0".as_slice().into())).to_vec();
        if descending {
            newest.reverse();
            newer.reverse();
            oldest.reverse();
        }
        let rows = merge(vec![newest, newer], oldest.into_iter().map(Ok::<_, ()>), descending, limit).unwrap();
        rows.into_iter().map(|(key, value)| String::from_utf8([&key[..], &value[..]].concat()).unwrap()).collect()
    }

    #[test]
    fn the_newest_row_of_a_key_counts_and_removed_rows_do_not() {
        assert_eq!(merged(false, 9), ["a2", "c1", "e2", "f0"]);
        assert_eq!(merged(true, 9), ["f0", "e2", "c1", "a2"]);
        assert_eq!(merged(false, 2), ["a2", "c1"]);
        assert_eq!(merged(true, 3), ["f0", "e2", "c1"]);
    }

    #[test]
    fn an_error_ends_the_merge() {
        let oldest = [Ok((ByteView::from("a"), ByteView::from("0"))), Err("broken")];
        assert_eq!(merge(vec![], oldest.into_iter(), false, 9), Err("broken"));
    }
}
