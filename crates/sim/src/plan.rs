//! What a schedule does and suffers, drawn from its seed: a list of steps, each with a seed of its
//! own, so that a step does the same whether or not others are dropped.
//!
//! Must not know: how a step is done.

use crate::random::Random;

/// Users there are.
pub const USERS: u8 = 3;
/// Conversations there may be.
pub const CONVERSATIONS: u8 = 2;
const STEPS_MIN: u64 = 12;
const STEPS_MORE: u64 = 36;

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "what the fields are is told by the sentence of their variant")]
pub enum What {
    /// A user thinks of something to do in a conversation, and keeps it until it is settled.
    Ask { user: u8, conversation: u8 },
    /// Everybody sends what they are to send next; the server decides so many commands, with so
    /// many batches ahead of the commit.
    Work { take: u8, ahead: u8 },
    /// The server sends so many effects.
    Effects { max: u8 },
    /// The server writes positions and marks.
    Flush,
    /// The same, and it stops when so many partitions are written: the process dies, or does not
    /// know what became of it.
    FlushStopped { after: u8, dies: bool },
    /// A user reads a conversation on from where they are, or from its beginning.
    Read { user: u8, conversation: u8, again: bool },
    /// A user says how far they have read, or got.
    Raise { user: u8, conversation: u8, read: bool },
    /// A user's connection is lost, with every answer on its way.
    Lose { user: u8 },
    /// A user sends again what is under way.
    Repeat { user: u8 },
    /// A user sends again what was settled long ago, or, with `other`, other things under its client id.
    Recall { user: u8, other: bool },
    /// The process dies when so many more partitions are written.
    Crash { after: u8 },
    /// The process dies now.
    Kill,
    /// It is not known what becomes of a commit, from its so-manieth partition on.
    Unknown { after: u8 },
    /// So many writes arrive that were late.
    Late { count: u8 },
    /// The server's clock jumps by so many hours.
    Clock { hours: i8 },
}

/// A step, and what in it is left to chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What.
    pub what: What,
    /// Chance.
    pub seed: u64,
}

/// A schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// From which it was drawn.
    pub seed: u64,
    /// One write in so many is late at a replica; none if 0.
    pub late_one_in: u64,
    /// One operation in so many has something arrive; none if 0.
    pub arrive_one_in: u64,
    /// The first lives of the server end when so many partitions are written.
    pub first_deaths: Vec<u8>,
    /// In order.
    pub steps: Vec<Step>,
}

/// A kind of step: how often it comes, and how one is drawn.
type Kind = (u64, fn(&mut Random) -> What);

/// Kinds of steps that a seed may leave out, with how often they come if it does not.
const KINDS: &[Kind] = &[
    (5, |r| What::Effects { max: 1 + r.below(6) as u8 }),
    (6, |_| What::Flush),
    (4, |r| What::FlushStopped { after: upto(r, &[1, 3, 6]), dies: r.one_in(2) }),
    (5, |r| What::Read { user: user(r), conversation: conversation(r), again: r.one_in(3) }),
    (7, |r| What::Raise { user: user(r), conversation: conversation(r), read: r.one_in(2) }),
    (3, |r| What::Lose { user: user(r) }),
    (2, |r| What::Repeat { user: user(r) }),
    (3, |r| What::Recall { user: user(r), other: r.one_in(3) }),
    (4, |r| What::Crash { after: upto(r, &[3, 15, 70]) }),
    (2, |_| What::Kill),
    (4, |r| What::Unknown { after: upto(r, &[3, 15]) }),
    (3, |r| What::Late { count: 1 + r.below(4) as u8 }),
    (2, |r| What::Clock { hours: if r.one_in(2) { 25 } else { -25 } }),
];

/// Below one of these bounds.
fn upto(random: &mut Random, bounds: &[u64]) -> u8 {
    let bound = *random.pick(bounds);
    random.below(bound) as u8
}

fn user(random: &mut Random) -> u8 {
    random.below(u64::from(USERS)) as u8
}

fn conversation(random: &mut Random) -> u8 {
    random.below(u64::from(CONVERSATIONS)) as u8
}

impl Plan {
    /// The schedule of a seed.
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let late_one_in = *random.pick(&[0, 2, 4, 16]);
        let arrive_one_in = *random.pick(&[0, 4, 32]);
        let first_deaths = (0..[0, 0, 1, 3][random.below(4) as usize]).map(|_| random.below(4) as u8).collect();
        // Each seed does without some kinds, and has more of others: what they would hide, or keep
        // from coming about.
        let mut kinds: Vec<Kind> = KINDS.iter().filter(|_| !random.one_in(4)).copied().collect();
        for (weight, _) in &mut kinds {
            *weight *= *random.pick(&[1, 1, 6]);
        }
        let always: [Kind; 2] = [
            (16, |r| What::Ask { user: user(r), conversation: conversation(r) }),
            (20, |r| What::Work { take: 1 + r.below(6) as u8, ahead: 1 + r.below(3) as u8 }),
        ];
        let kinds: Vec<Kind> = kinds.into_iter().chain(always).collect();
        let total = kinds.iter().map(|(weight, _)| weight).sum();
        let count = STEPS_MIN + random.below(STEPS_MORE);
        let step = |_| {
            let mut at = random.below(total);
            let kind = kinds.iter().find(|(weight, _)| {
                let here = at < *weight;
                at = at.saturating_sub(*weight);
                here
            });
            let (_, make) = kind.expect("it is below the sum of all");
            Step { what: make(&mut random), seed: random.number() }
        };
        Self { seed, late_one_in, arrive_one_in, first_deaths, steps: (0..count).map(step).collect() }
    }
}
