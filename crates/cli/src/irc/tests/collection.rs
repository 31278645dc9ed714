//! What is in the logs: totals, the few lines that nobody can understand, and two files as the
//! plays they will be.

use super::super::{Dial, Line, LineKind, Log, Stage, Step, Tally};
use super::{collection, logs, samples, table};

/// Lines of real logs that no reader need understand, and why.
const EXPLAINED: [(&str, u32, &str); 1] =
    [("duraspace/2012-03-15.log", 7, "prose put into the page by hand: `(manually inserted notes due to DuraLogBot failure…)`")];

/// The samples, by one number: any change of what is read from them changes it. The second
/// reader finds the same; where there is no Python, this stands in for it.
const SAMPLES: &str =
    "*\t927\t646\t26\t136\t13\t30\t2\t10\t30\t2\t32\t8\t2\t77\t153\t0ed26a72afa3bf336f6d07c82631d8dce4f97275c427ab2f2bdbc0553f221dd7\t-";

#[test]
fn the_samples_are_read_as_ever() {
    assert_eq!(table(&samples()).last().unwrap(), SAMPLES);
}

#[test]
fn unparsed_lines_are_few_and_explained() {
    let Some(folder) = collection() else { return };
    let mut unparsed = Vec::new();
    for (name, log) in logs(&folder) {
        for line in log.unparsed() {
            if let LineKind::Unparsed { reason, text } = &line.kind {
                println!("{name}:{}: {}: {text}", line.number, reason.words());
            }
            unparsed.push((name.clone(), line.number));
        }
    }
    let explained = EXPLAINED.map(|(name, number, _)| (name.to_owned(), number));
    assert_eq!(unparsed, explained);
}

/// The counts of the collection. Its manifest has other figures for some, from simple searches:
///
/// - Ubuntu, raw: 119,974 messages are the lines with something, if only a blank, behind the
///   nick. Twelve more have nothing there, and one was logged as `(nick/#channel) text`. 9,723
///   nicks are spellings; folded, without the old logger's blanks and with those who only acted,
///   there are 9,647.
/// - `DuraSpace`: 50,424 lines, not about 50,600. Its 27,822 messages lie near those of the span
///   pages (27,687) but come out of no search that was tried; 722 more are in two Pidgin pages
///   and 119 between `<pre>` in one page. 137 nicks spoke; 139 is what a search for `&lt;word&gt;`
///   finds, which takes words of a text too. Folded there are 132.
#[test]
fn the_collection_adds_up() {
    let Some(folder) = collection() else { return };
    let (mut duraspace, mut ubuntu, mut channels) = (Tally::default(), Tally::default(), Tally::default());
    let (mut files, mut half_days_guessed, mut halves_known) = (0, 0, 0);
    for (name, log) in logs(&folder) {
        files += 1;
        half_days_guessed += u32::from(log.half_day_guessed);
        halves_known += u32::from(log.dial == Dial::Twelve && !log.half_day_guessed);
        let part = match name {
            _ if name.starts_with("duraspace/") => &mut duraspace,
            _ if name.contains("/new-domains/") => &mut channels,
            _ => &mut ubuntu,
        };
        part.merge(log.tally());
    }
    // The old logger's dial of twelve hours: 61 raw logs and one channel file have no hour in
    // their names.
    assert_eq!((files, half_days_guessed, halves_known), (831, 62, 5));

    let counts = |tally: &Tally| {
        let spoken = [tally.lines, tally.messages, tally.actions, tally.silent];
        let moved = [tally.joins, tally.parts, tally.quits, tally.kicks, tally.renames];
        (spoken, moved, [tally.other, tally.blank, tally.unparsed, tally.recoded], tally.speakers.len())
    };
    assert_eq!(counts(&duraspace), ([50_424, 28_528, 560, 3], [8_193, 895, 6_557, 0, 543], [5_145, 2, 1, 0], 132));
    assert_eq!(counts(&ubuntu), ([142_603, 119_987, 858, 19], [16_956, 2_697, 0, 6, 1_767], [332, 0, 0, 0], 9_647));
    assert_eq!(counts(&channels), ([8_400, 8_016, 150, 0], [152, 14, 0, 0, 38], [30, 0, 0, 0], 454));
}

/// Two files that are to be replayed live: whoever speaks is in, nobody enters twice.
#[test]
fn two_files_play_out() {
    let Some(folder) = collection() else { return };
    let read = |name: &str| Log::parse(name, &std::fs::read(folder.join("ubuntu-disentanglement").join(name)).unwrap());

    // 432 by a count that takes `[pablo] _` and `[pablo] __` for one nick: the old logger's
    // blank behind the bracket is in none of them.
    let old = read("train/2007-07-03.train-a.raw.txt");
    let tally = old.tally();
    assert_eq!((tally.speakers.len(), tally.persons.len()), (138, 433));
    assert_eq!(play(&old.lines), (423, 54, 1_292, 369));

    let new = read("test/2010-08-17_18.raw.txt");
    assert_eq!(new.tally().speakers.len(), 221);
    assert_eq!(play(&new.lines), (221, 0, 1_448, 221), "no joins and parts in this log: first words are joins");
}

/// How many entered, left and spoke, and how many are there at the end.
fn play(lines: &[Line]) -> (usize, usize, usize, usize) {
    let mut stage = Stage::default();
    let (mut entered, mut left, mut said) = (0, 0, 0);
    for step in lines.iter().flat_map(|line| stage.play(line).collect::<Vec<_>>()) {
        match step {
            Step::Enter { .. } => entered += 1,
            Step::Leave { .. } => left += 1,
            Step::Say(_) => said += 1,
        }
    }
    assert_eq!(entered - left, stage.present());
    (entered, left, said, stage.present())
}
