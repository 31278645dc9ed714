//! Named points of the server's work at which it dies by itself, in a program built for that:
//! `chirrup-mutant`.
//!
//! Must not know: what happens there.

use std::path::Path;

use chirrup_mutants::{KillAt, Point};

use crate::plan::Random;

/// The variable of that program which says where it dies.
pub(crate) const VARIABLE: &str = "CHIRRUP_KILL_AT";

/// Points to die at.
#[derive(Clone, Debug)]
pub struct Points<'p> {
    /// A server's program that can.
    pub program: &'p Path,
    /// Where, one after the other.
    pub kills: Vec<KillAt>,
}

impl<'p> Points<'p> {
    /// Every point there is, at a pass that the seed gives.
    pub fn every(program: &'p Path, seed: u64) -> Self {
        let mut random = Random(seed);
        let kills = Point::ALL.iter().map(|point| KillAt { point: *point, pass: 1 + random.below(passes_max(*point)) });
        Self { program, kills: kills.collect() }
    }
}

/// As the variable has it.
pub(crate) fn text(kill: KillAt) -> String {
    format!("{}:{}", kill.point.name(), kill.pass)
}

/// A point is passed so often within some seconds of load.
fn passes_max(point: Point) -> u64 {
    match point {
        Point::SegmentBegun | Point::FlushBegun | Point::FlushWritten | Point::LogUntrimmed | Point::MergeWritten => 2,
        Point::EffectsUnsent => 10,
        Point::MarksUncommitted | Point::MarksCommitted => 20,
        Point::LogUnwritten
        | Point::LogTorn
        | Point::LogWritten
        | Point::LogSynced
        | Point::Committed
        | Point::Published
        | Point::Answering
        | Point::Answered => 200,
        Point::Merging => 1000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_has_its_turn_as_the_program_understands_it() {
        let points = Points::every(Path::new("chirrup-mutant"), 7);
        let named: Vec<KillAt> = points.kills.iter().map(|kill| text(*kill).parse().expect("it is understood")).collect();
        assert_eq!(named, points.kills);
        assert_eq!(named.iter().map(|kill| kill.point).collect::<Vec<_>>(), Point::ALL);
    }
}
