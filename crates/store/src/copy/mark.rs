//! The row of the target that says how far a copy is. It is there from before the first row that
//! is copied until the target is whole.

use chirrup_core::codec;
use chirrup_core::hash::Hash;
use minicbor::{Decode, Encode};

use super::patience::Patience;
use super::tally::Tallies;
use super::{CopyError, Identity};
use crate::keys;
use crate::kv::{Key, Kv, ReadError, Row, Table};

/// How far a copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub(super) enum Stage {
    /// There may be rows after the last.
    #[n(0)]
    Copying,
    /// All rows are there.
    #[n(1)]
    Copied,
    /// They were read and compared.
    #[n(2)]
    Checked,
}

/// A row's place.
#[derive(Clone, Debug, Encode, Decode)]
struct Place(#[n(0)] u8, #[cbor(n(1), with = "minicbor::bytes")] Vec<u8>, #[cbor(n(2), with = "minicbor::bytes")] Vec<u8>);

/// What is kept.
#[derive(Clone, Debug, Encode, Decode)]
pub(super) struct Mark {
    #[n(0)]
    incarnation: u64,
    #[n(1)]
    key: Hash,
    #[n(2)]
    epoch: u32,
    /// Rises with each write.
    #[n(3)]
    number: u64,
    #[n(4)]
    pub(super) stage: Stage,
    /// The last row, in the order of the source, before which all are durable in the target.
    #[n(5)]
    last: Option<Place>,
    /// Of the rows up to it, as the source gave them.
    #[n(6)]
    pub(super) tallies: Tallies,
}

impl Mark {
    /// Of a copy that begins.
    pub(super) fn new(source: Identity) -> Self {
        let Identity { incarnation, key, epoch } = source;
        Self { incarnation, key, epoch, number: 0, stage: Stage::Copying, last: None, tallies: Tallies::default() }
    }

    /// What is copied.
    pub(super) fn source(&self) -> Identity {
        Identity { incarnation: self.incarnation, key: self.key, epoch: self.epoch }
    }

    /// The last row that is known to be there.
    pub(super) fn last(&self) -> Option<Key> {
        let Place(table, partition, sort) = self.last.as_ref()?;
        let table = Table::from_number(*table).expect("looked at when it was read");
        Some(Key::new(table, partition.clone(), sort.clone()))
    }

    /// All rows up to this one are durable.
    pub(super) fn advance(&mut self, last: Key, tallies: Tallies) {
        self.last = Some(Place(last.table as u8, last.partition, last.sort));
        self.tallies = tallies;
    }

    /// Makes it durable.
    pub(super) fn write(&mut self, to: &dyn Kv, patience: &Patience) -> Result<(), CopyError> {
        self.number += 1;
        Ok(patience.commit(to, &[Row { key: keys::copy_mark(), value: Some(codec::encode(self)), version: self.number }])?)
    }

    /// Takes it away.
    pub(super) fn remove(&self, to: &dyn Kv, patience: &Patience) -> Result<(), CopyError> {
        Ok(patience.commit(to, &[Row { key: keys::copy_mark(), value: None, version: self.number + 1 }])?)
    }
}

/// The mark of a store, if it has one.
pub(super) fn read(kv: &dyn Kv) -> Result<Option<Mark>, ReadError> {
    let key = keys::copy_mark();
    let Some(bytes) = kv.get(std::slice::from_ref(&key))?.pop().flatten() else { return Ok(None) };
    let damaged = |what: String| ReadError::Damaged { place: format!("{key:?}"), what };
    let mark: Mark = codec::decode(&bytes).map_err(|error| damaged(error.to_string()))?;
    match &mark.last {
        Some(Place(table, ..)) if Table::from_number(*table).is_none() => Err(damaged(format!("there is no table {table}"))),
        _ => Ok(Some(mark)),
    }
}
