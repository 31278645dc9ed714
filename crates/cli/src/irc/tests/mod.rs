//! The reader against real logs, and against a second reader that was written apart
//! (`tests/independent/irc_reader.py`).
//!
//! The logs are below `irc/` of the folder in `CHIRRUP_DATA`, or of `../shared/data` beside the
//! workspace. Where they are missing, and in any case, the samples of `tests/data/irc` are read.

mod agreement;
mod collection;
mod sha256;
mod shapes;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Log, Speech, Tally, fold};
use sha256::sha256_hex;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The samples kept with the project.
fn samples() -> PathBuf {
    workspace().join("tests/data/irc")
}

/// The full collection, if this machine has it; says so where it has not.
fn collection() -> Option<PathBuf> {
    let data = std::env::var_os("CHIRRUP_DATA").map_or_else(|| workspace().join("../shared/data"), PathBuf::from);
    let logs = data.join("irc");
    if !logs.is_dir() {
        println!("SKIPPED: no logs below {}: only the samples were read", logs.display());
        return None;
    }
    Some(logs)
}

/// Every file below a folder that is a log, by the bytes of its name.
fn logs(folder: &Path) -> Vec<(String, Log)> {
    let mut names = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                names.push(path.strip_prefix(folder).unwrap().to_str().unwrap().replace('\\', "/"));
            }
        }
    }
    names.sort_unstable();
    let read = |name: String| {
        let log = Log::parse(&name, &fs::read(folder.join(&name)).unwrap());
        log.is_log().then_some((name, log))
    };
    names.into_iter().filter_map(read).collect()
}

/// What should be in the conversation, one record a line, as the second reader has it.
fn records(name: &str, log: &Log) -> String {
    let mut records = String::new();
    for line in &log.lines {
        if let Some(said) = line.said() {
            let kind = match said.speech {
                Speech::Message => "message",
                Speech::Action => "action",
            };
            writeln!(records, "{name}\t{}\t{}\t{kind}\t{}", line.number, fold(said.nick), said.text).unwrap();
        }
    }
    records
}

/// The times of the same lines.
fn moments(log: &Log) -> String {
    let mut moments = String::new();
    for line in log.lines.iter().filter(|line| line.said().is_some()) {
        match line.at {
            Some(at) => writeln!(moments, "{}\t{}", line.number, at.unix_seconds()).unwrap(),
            None => writeln!(moments, "{}\t-", line.number).unwrap(),
        }
    }
    moments
}

/// One row of the table of a file, as the second reader prints it.
fn row(name: &str, tally: &Tally, said: &str, time: &str) -> String {
    let counts = [
        tally.lines,
        tally.messages,
        tally.actions,
        tally.joins,
        tally.parts,
        tally.quits,
        tally.kicks,
        tally.renames,
        tally.other,
        tally.blank,
        tally.unparsed,
        tally.silent,
        tally.recoded,
    ]
    .map(|count| count.to_string());
    let people = [tally.speakers.len(), tally.persons.len()].map(|count| count.to_string());
    [name].into_iter().chain(counts.iter().chain(&people).map(String::as_str)).chain([said, time]).collect::<Vec<_>>().join("\t")
}

/// The table of a folder, with the totals in the last row.
fn table(folder: &Path) -> Vec<String> {
    let mut rows = Vec::new();
    let mut all = String::new();
    let mut total = Tally::default();
    for (name, log) in logs(folder) {
        let (said, tally) = (records(&name, &log), log.tally());
        rows.push(row(&name, &tally, &sha256_hex(said.as_bytes()), &sha256_hex(moments(&log).as_bytes())));
        all += &said;
        total.merge(tally);
    }
    rows.push(row("*", &total, &sha256_hex(all.as_bytes()), "-"));
    rows
}
