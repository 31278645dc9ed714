//! What is done to the server, in which order: a function of the seed alone.
//!
//! Must not know: how any of it is done.

use std::time::Duration;

use chirrup_checker::history::Fault;

/// How many of each fault a run has, and how long each lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Everything that is random comes from it.
    pub seed: u64,
    /// Whether somebody falls behind first, as a run needs that counts.
    pub slow: bool,
    /// Power cuts.
    pub cuts: usize,
    /// Kills with -9 at any moment.
    pub kills: usize,
    /// Standstills.
    pub stops: usize,
    /// Ends in mid-load.
    pub terms: usize,
    /// How long a standstill lasts.
    pub stop_for: Duration,
}

/// Acks between the beginning of a round and its fault, at most.
pub const ACKS_BEFORE_MAX: u64 = 300;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// Which.
    pub fault: Fault,
    /// It comes after so many acks, and then so many microseconds: acks come in batches, and the
    /// moments between them count most.
    pub after_acks: u64,
    /// See [`Round::after_acks`].
    pub after_us: u64,
}

impl Plan {
    /// All rounds, in an order that the seed gives.
    pub fn rounds(&self) -> Vec<Round> {
        let mut random = Random(self.seed);
        let counts = [(Fault::Cut, self.cuts), (Fault::Kill, self.kills), (Fault::Stop, self.stops), (Fault::Term, self.terms)];
        let mut faults: Vec<Fault> = counts.iter().flat_map(|(fault, count)| std::iter::repeat_n(fault.clone(), *count)).collect();
        for last in (1..faults.len()).rev() {
            let other = random.below(last as u64 + 1);
            faults.swap(last, usize::try_from(other).expect("it is an index"));
        }
        let round = |fault| Round { fault, after_acks: random.below(ACKS_BEFORE_MAX), after_us: random.below(5000) };
        faults.into_iter().map(round).collect()
    }
}

/// Numbers that look random: `SplitMix64` (Steele, Lea and Flood, 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// Below `bound`, which is above 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan { seed: 7, slow: true, cuts: 20, kills: 50, stops: 2, terms: 3, stop_for: Duration::from_secs(1) };

    #[test]
    fn a_seed_gives_all_that_was_asked_for_in_an_order_of_its_own() {
        let rounds = PLAN.rounds();
        let count = |fault: &Fault| rounds.iter().filter(|round| round.fault == *fault).count();
        assert_eq!([Fault::Cut, Fault::Kill, Fault::Stop, Fault::Term].each_ref().map(count), [20, 50, 2, 3]);
        assert_eq!(PLAN.rounds(), rounds);
        assert_ne!(Plan { seed: 8, ..PLAN }.rounds(), rounds);
        assert!(rounds[..20].iter().any(|round| round.fault != Fault::Cut), "they are mixed");
    }
}
