//! What a table holds, in one line: how many rows and bytes, and a digest that does not depend on
//! the order in which a store gives its partitions.

use chirrup_core::hash::Hash;
use minicbor::{Decode, Encode};

use crate::kv::{Key, Table};

/// How much, and a digest of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Tally {
    /// How many rows.
    #[n(0)]
    pub rows: u64,
    /// Of their keys and values.
    #[n(1)]
    pub bytes: u64,
    /// The hashes of all rows, added up in four parts: the same in any order, and taken further
    /// row by row, from one process to the next.
    #[n(2)]
    sum: [u64; 4],
}

impl Tally {
    /// One row more.
    pub fn add(&mut self, key: &Key, value: &[u8]) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[key.table as u8, key.partition.len() as u8]).update(&key.partition);
        hasher.update(&[key.sort.len() as u8]).update(&key.sort).update(value);
        self.add_hash(Hash(*hasher.finalize().as_bytes()), (key.partition.len() + key.sort.len() + value.len()) as u64);
    }

    /// One more of what has this hash.
    pub(super) fn add_hash(&mut self, hash: Hash, bytes: u64) {
        self.rows += 1;
        self.bytes += bytes;
        let (parts, _) = hash.0.as_chunks::<8>();
        for (sum, part) in self.sum.iter_mut().zip(parts) {
            *sum = sum.wrapping_add(u64::from_le_bytes(*part));
        }
    }

    /// All of two.
    fn and(self, other: Self) -> Self {
        let mut sum = self.sum;
        for (sum, part) in sum.iter_mut().zip(other.sum) {
            *sum = sum.wrapping_add(part);
        }
        Self { rows: self.rows + other.rows, bytes: self.bytes + other.bytes, sum }
    }

    /// Equal for equal rows.
    pub fn digest(&self) -> Hash {
        let mut bytes = Vec::with_capacity(40);
        for number in std::iter::once(self.rows).chain(self.sum) {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        Hash::of(&bytes)
    }
}

/// A tally of each table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Tallies(#[n(0)] [Tally; Table::ALL.len()]);

impl Tallies {
    /// Of a table.
    pub fn of(&self, table: Table) -> Tally {
        self.0[place(table)]
    }

    /// One row more.
    pub(super) fn add(&mut self, key: &Key, value: &[u8]) {
        self.0[place(key.table)].add(key, value);
    }

    /// Of this table it is that much.
    pub(super) fn set(&mut self, table: Table, tally: Tally) {
        self.0[place(table)] = tally;
    }

    /// Of all tables.
    pub fn total(&self) -> Tally {
        self.0.into_iter().fold(Tally::default(), Tally::and)
    }
}

fn place(table: Table) -> usize {
    // Numbers begin at 1.
    table as usize - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(rows: &[(&[u8], &[u8], &[u8])]) -> Tally {
        let mut tally = Tally::default();
        for (partition, sort, value) in rows {
            tally.add(&Key::new(Table::Member, *partition, *sort), value);
        }
        tally
    }

    #[test]
    fn the_order_does_not_matter_and_everything_else_does() {
        let rows: [(&[u8], &[u8], &[u8]); 3] = [(b"a", b"b", b"c"), (b"d", b"", b""), (b"e", b"f", b"g")];
        let mut others = rows;
        others.rotate_left(1);
        assert_eq!(tally(&rows), tally(&others));
        for other in [tally(&rows[1..]), tally(&[rows[0], rows[1], (b"e", b"f", b"h")]), tally(&[rows[0], rows[0], rows[1], rows[2]])] {
            assert_ne!(tally(&rows).digest(), other.digest());
        }
        assert_ne!(tally(&[(b"ab", b"c", b"d")]), tally(&[(b"a", b"bc", b"d")]));
        assert_ne!(tally(&[(b"a", b"bc", b"d")]), tally(&[(b"a", b"b", b"cd")]));
    }

    #[test]
    fn a_table_that_was_never_numbered_has_no_place() {
        let mut tallies = Tallies::default();
        for table in Table::ALL {
            tallies.add(&Key::new(table, *b"p", *b"s"), b"v");
            assert_eq!(tallies.of(table).rows, 1);
        }
        assert_eq!((tallies.total().rows, tallies.total().bytes), (12, 36));
    }
}
