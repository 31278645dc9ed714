//! What is wrong with a store, in plain words: each damaged place, what it means
//! for people, and what to do.

use chirrup_store::embedded::{Loss, OpenError, Part};
use chirrup_store::kv::Table;

use super::{Finding, State, finding};

/// Damaged places that are told one by one.
const PLACES_MAX: usize = 50;

const WHAT_TO_DO: &str = "stop using this data and keep a copy of it. If there is a backup: chirrup restore BACKUP --data NEW. \
    If there is none, or it is too old: chirrup export --salvage FILE writes everything that can still be read. \
    Then look at the disk: files do not change by themselves.";

/// Findings about a store with these damaged places.
pub(super) fn found(losses: &[Loss]) -> Vec<Finding> {
    let mut findings = vec![finding(
        "store",
        State::Wrong,
        format!("it is damaged in {} place{}", losses.len(), if losses.len() == 1 { "" } else { "s" }),
    )];
    findings.extend(losses.iter().take(PLACES_MAX).map(place));
    if losses.len() > PLACES_MAX {
        findings.push(finding("damage", State::Wrong, format!("and {} places more", losses.len() - PLACES_MAX)));
    }
    findings.push(what_to_do());
    findings
}

/// A finding about a store that is not opened.
pub(super) fn refused(error: &OpenError) -> Finding {
    let what_to_do = match error {
        OpenError::Format { .. } => ". What to do: use the program that wrote it, or a newer one; nothing was touched",
        _ => "",
    };
    finding("store", State::Wrong, format!("{error}{what_to_do}"))
}

/// What to do about damage.
pub(super) fn what_to_do() -> Finding {
    finding("what to do", State::Wrong, WHAT_TO_DO)
}

fn place(loss: &Loss) -> Finding {
    let words = format!("{} at byte {}: {}. {}", loss.path.display(), loss.offset, loss.what, meaning(loss));
    Finding { file: Some(loss.path.display().to_string()), at_byte: Some(loss.offset), ..finding("damage", State::Wrong, words) }
}

/// What a damaged place means for people.
fn meaning(loss: &Loss) -> String {
    match loss.part {
        Part::Format => "It only tells the format; nothing that anybody said is lost by it.".to_owned(),
        Part::LogManifest => "It only tells which files the log has; nothing that anybody said is lost by it.".to_owned(),
        Part::Log if loss.takes_rows() => {
            "The log holds the last changes: of those that are not in the tables yet, messages that were acknowledged may be lost."
                .to_owned()
        }
        Part::TableFile(table) if loss.takes_rows() => format!("It holds {}; some may be lost.", rows(table)),
        Part::TableList(table) => format!("It only tells which files hold {}; they can be read without it.", rows(table)),
        Part::Log | Part::TableFile(_) => "Nothing that anybody said is lost by it.".to_owned(),
    }
}

/// What a table holds, in plain words.
fn rows(table: Table) -> &'static str {
    match table {
        Table::Event => "messages and the other events of all logs",
        Table::Dedupe => "which requests were done already, by which a retry is known",
        Table::Feed => "the order in which events became durable; it can be made again of the events",
        Table::State => "the states of conversations and accounts; they can be made again of the events",
        Table::Member => "who is in which conversation, reactions and threads; they can be made again of the events",
        Table::Inbox => "people's lists of conversations, and how far they have read",
        Table::Position => "how far the members of conversations have read",
        Table::Activity => "when people were last there",
        Table::Credential => "hashes of passwords",
        Table::Token => "which devices are logged in",
        Table::Mention => "which messages call whom; they can be made again of the events",
        Table::Meta => "the server's own key, marks and epochs",
    }
}
