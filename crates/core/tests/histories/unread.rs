//! Unread counts over visible intervals and blocks of deleted ordinals that no short history
//! reaches.

use std::collections::BTreeSet;

use chirrup_core::unread::{BLOCK, DeletedBlock, EXACT_MAX, Unread, blocks, unread};
use chirrup_core::visibility::{INTERVALS_MAX, Intervals};
use proptest::prelude::*;

use crate::cases;

const ORDINALS: u64 = 3_500;

/// Intervals over a log in which event `n` is message `n`, from lengths of absence and presence.
fn intervals() -> impl Strategy<Value = Intervals> {
    prop::collection::vec((0..900_u64, 1..900_u64), 0..5).prop_map(|spans| {
        let (mut visible, mut at) = (Intervals::default(), 0);
        for (absent, present) in spans {
            visible.close(at, at);
            at += absent + 1;
            visible.open(at, at - 1);
            at += present;
        }
        visible
    })
}

fn ordinal() -> impl Strategy<Value = u64> {
    prop_oneof![2 => 0..=ORDINALS, 1 => (0..4_u64, 0..3_u64).prop_map(|(block, by)| (block * BLOCK + by).saturating_sub(1))]
}

proptest! {
    #![proptest_config(cases(4_000))]

    #[test]
    fn unread_is_what_counting_one_by_one_gives(
        visible in intervals(),
        deleted in prop::collection::btree_set(ordinal().prop_map(|o| o.max(1)), 0..200),
        read in ordinal(),
        head in ordinal(),
    ) {
        let deleted: BTreeSet<u64> = deleted.into_iter().filter(|o| *o <= head).collect();
        let counts = |o: &u64| visible.contains(*o) && !deleted.contains(o);
        let expected = (read + 1..=head).filter(counts).count() as u64;

        let named = blocks(&visible, read, head);
        let rows: Vec<(u64, DeletedBlock)> = (0..=ORDINALS / BLOCK)
            .filter(|block| named.is_some_and(|(first, last)| (first..=last).contains(block)))
            .filter_map(|n| {
                let mut block = DeletedBlock::default();
                let of_block: Vec<u64> = deleted.iter().copied().filter(|o| DeletedBlock::of(*o) == n).collect();
                for o in &of_block {
                    block.insert(*o);
                }
                (!of_block.is_empty()).then_some((n, block))
            })
            .collect();
        prop_assert_eq!(unread(&visible, read, head, &rows), Unread::Exactly(expected));
    }

    #[test]
    fn a_seq_is_visible_if_an_interval_holds_it(visible in intervals(), seq in ordinal()) {
        let held = visible.iter().any(|i| i.from <= seq && i.until.is_none_or(|end| seq <= end.seq));
        prop_assert_eq!(visible.contains(seq), held);
    }
}

#[test]
fn counts_are_exact_up_to_the_limit() {
    let everything = Intervals::everything();
    assert_eq!(unread(&everything, 0, EXACT_MAX, &[]), Unread::Exactly(EXACT_MAX));
    assert_eq!(unread(&everything, 0, EXACT_MAX + 1, &[]), Unread::AtLeast(EXACT_MAX));
    let mut block = DeletedBlock::default();
    block.insert(7);
    assert_eq!(unread(&everything, 0, EXACT_MAX + 1, &[(0, block)]), Unread::Exactly(EXACT_MAX));
}

#[test]
fn the_oldest_interval_gives_way() {
    let mut visible = Intervals::default();
    for n in 0..=INTERVALS_MAX as u64 {
        visible.open(n * 10 + 1, 0);
        visible.close(n * 10 + 5, 0);
    }
    assert_eq!(visible.iter().count(), INTERVALS_MAX);
    assert!(!visible.contains(1));
    assert!(visible.contains(11));
    assert!(visible.contains(INTERVALS_MAX as u64 * 10 + 5));
}
