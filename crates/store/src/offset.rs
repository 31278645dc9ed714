//! Places in a shard's feed.

use std::fmt;

/// A place in the feed of a shard: the `k`th event of the command at position (`epoch`, `n`).
/// Ascending, not dense, the same whoever computes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset {
    /// Rises with each start that has an in-process queue; below 2^24.
    pub epoch: u32,
    /// The command's place within the epoch, from 1; below 2^40.
    pub n: u64,
    /// The event's place among the command's, from 0.
    pub k: u16,
}

impl Offset {
    /// 14 bytes that sort as the offset does.
    pub fn bytes(self) -> [u8; 14] {
        let mut bytes = [0; 14];
        bytes[..4].copy_from_slice(&self.epoch.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.n.to_be_bytes());
        bytes[12..].copy_from_slice(&self.k.to_be_bytes());
        bytes
    }

    /// The inverse of [`Offset::bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; 14] = bytes.try_into().ok()?;
        let (epoch, rest) = bytes.split_first_chunk::<4>()?;
        let (n, k) = rest.split_first_chunk::<8>()?;
        Some(Self { epoch: u32::from_be_bytes(*epoch), n: u64::from_be_bytes(*n), k: u16::from_be_bytes(k.try_into().ok()?) })
    }

    /// The write version of rows that belong to this place: epoch above, seq below.
    pub fn version(self, seq: u64) -> u64 {
        (u64::from(self.epoch) << 40) | (seq & ((1 << 40) - 1))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}.{}", self.epoch, self.n, self.k)
    }
}
