//! Two readers written apart must find the same in every log.

use std::path::Path;
use std::process::Command;

use super::{collection, logs, records, samples, table, workspace};

/// What the second reader prints; none, and a word about it, if there is no Python here.
fn second_reader(folder: &Path, form: &str) -> Option<String> {
    let reader = workspace().join("tests/independent/irc_reader.py");
    let Ok(output) = Command::new("python3").arg(reader).arg(folder).arg(form).output() else {
        println!("SKIPPED: no python3 here: the logs were read by one reader only");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Compares counts and digests file by file, and shows the first lines that differ.
fn compare(folder: &Path) {
    let Some(theirs) = second_reader(folder, "--table") else { return };
    let ours = table(folder);
    let theirs: Vec<&str> = theirs.lines().collect();
    if ours == theirs {
        println!("{} logs read alike; files, counts, digests of the last row: {}", ours.len() - 1, theirs[theirs.len() - 1]);
        return;
    }
    for (ours, theirs) in ours.iter().zip(&theirs).filter(|(ours, theirs)| ours != *theirs) {
        println!("here: {ours}\nthere: {theirs}");
    }
    let said: String = logs(folder).iter().map(|(name, log)| records(name, log)).collect();
    let theirs = second_reader(folder, "--said").unwrap();
    let unlike = said.lines().zip(theirs.lines()).filter(|(ours, theirs)| ours != theirs);
    for (ours, theirs) in unlike.take(10) {
        println!("here: {ours:?}\nthere: {theirs:?}");
    }
    panic!("the two readers disagree on {}: columns are those of COUNTS in the second reader", folder.display());
}

#[test]
fn two_readers_agree_on_the_samples() {
    compare(&samples());
}

#[test]
fn two_readers_agree_on_the_whole_collection() {
    if let Some(folder) = collection() {
        compare(&folder);
    }
}
