//! Which blocks of a table's file are sound, and which are not.
//!
//! Must not know: what is in a block.

use std::ops::Range;

use crate::embedded::tables_check::{self, Block};

/// The rows' part of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Blocks {
    /// Sound blocks, one behind the other in each run.
    pub(super) runs: Vec<Run>,
    /// What is not sound.
    pub(super) bad: Vec<Range<usize>>,
    /// Whether blocks are compressed.
    pub(super) compressed: bool,
}

/// Sound blocks without a gap.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) bytes: Range<usize>,
    pub(super) count: usize,
}

/// Finds the blocks of a file.
///
/// Where the header of a block is lost, the next place is looked for at which a block begins.
/// Somebody could have hidden the like of a block in a value; what it holds is then not chained to
/// the events around it.
pub(super) fn walk(bytes: &[u8]) -> Blocks {
    let mut blocks = Blocks::default();
    let mut at = 0;
    loop {
        match tables_check::block_at(bytes, at) {
            Block::Rows { end, compressed } => {
                blocks.compressed |= compressed;
                match blocks.runs.last_mut().filter(|run| run.bytes.end == at) {
                    Some(run) => (run.bytes.end, run.count) = (end, run.count + 1),
                    None => blocks.runs.push(Run { bytes: at..end, count: 1 }),
                }
                at = end;
            }
            Block::Other => return blocks,
            Block::BadContent { end } => at = blocks.skip(at, end),
            Block::BadHeader => at = blocks.skip(at, next_block(bytes, at + 1)),
            Block::End => {
                // The index should have come before.
                blocks.skip(at, bytes.len());
                return blocks;
            }
        }
    }
}

impl Blocks {
    fn skip(&mut self, from: usize, to: usize) -> usize {
        match self.bad.last_mut().filter(|bad| bad.end == from) {
            Some(bad) => bad.end = to,
            None => self.bad.push(from..to),
        }
        to
    }
}

fn next_block(bytes: &[u8], from: usize) -> usize {
    let begins = |at: &usize| matches!(tables_check::block_at(bytes, *at), Block::Rows { .. } | Block::Other);
    (from..bytes.len()).filter(|at| bytes[*at..].starts_with(tables_check::BLOCK_MAGIC)).find(begins).unwrap_or(bytes.len())
}
