//! Judges a history: a function of it alone, without clock, socket or chance.
//!
//! Must not know: how a history came about, nor any server's protocol. Beside the events that were
//! seen, the state that is kept is that of one conversation after the other.

mod answers;
mod effects;
mod feeds;
mod log;
mod met;
mod pages;
mod positions;
mod presence;
mod run;
mod said;
mod sights;
mod stands;
mod verdict;

use std::collections::BTreeMap;

pub use verdict::{Rare, Rule, Verdict, Violation};

use crate::history::{History, Name, What};
use log::Log;
use run::{Run, broken};

/// Judges a history: the rules that it breaks, and the rare situations that it met.
pub fn judge(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    let run = Run::of(history);
    let mut logs: BTreeMap<&Name, Log<'_>> = BTreeMap::new();
    let conversations: Vec<&Name> = run.conversations.keys().copied().collect();
    for conversation in conversations {
        let log = Log::of(&run, conversation, &mut verdict);
        effects::check(&run, &log, &mut verdict);
        said::check(&run, &log, &mut verdict);
        pages::check(&run, &log, &mut verdict);
        stands::check(&run, &log, &mut verdict);
        answers::check(&run, &log, &mut verdict);
        positions::check(&run, &log, &mut verdict);
        logs.insert(conversation, log);
    }
    effects::creations(&logs, &mut verdict);
    feeds::check(&run, &logs, &mut verdict);
    presence::check(&run, &logs, &mut verdict);
    well_formed(&run, &mut verdict);
    met::count(&run, &logs, &mut verdict);
    verdict
}

fn well_formed(run: &Run<'_>, verdict: &mut Verdict) {
    for (record, what) in run.records.iter().map(|record| &record.what).enumerate() {
        if let What::Broken { on, said } = what {
            let violation = broken(Rule::WellFormed, record, format!("this came: {said}"));
            verdict.add(match run.link(*on) {
                Some(link) => violation.by(link, "its connection"),
                None => violation,
            });
        }
    }
}
