//! Annotations of who answers whom: a file beside a log, `NAME.annotation.txt` beside
//! `NAME.raw.txt` or `NAME.ascii.txt`, with a line `a b -` for "the line b answers the line a",
//! both counted from 0. A line that starts a talk has itself as a.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// From the number of a line to that of the line which it answers, both from 1.
pub(crate) type Answers = HashMap<u32, u32>;

/// The answers of a log; none if it has no annotations.
pub(crate) fn of(log: &Path) -> Result<Answers> {
    let Some(path) = beside(log) else { return Ok(Answers::new()) };
    match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Answers::new()),
        read => Ok(parse(&String::from_utf8_lossy(&read.with_context(|| format!("failed to read {}", path.display()))?))),
    }
}

fn beside(log: &Path) -> Option<PathBuf> {
    let name = log.file_name()?.to_str()?;
    let stem = name.strip_suffix(".raw.txt").or_else(|| name.strip_suffix(".ascii.txt"))?;
    Some(log.with_file_name(format!("{stem}.annotation.txt")))
}

/// A line that answers several is taken to answer the nearest; what cannot be read, or answers a
/// later line, is left out.
fn parse(text: &str) -> Answers {
    let mut answers = Answers::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace().map(|word| word.parse::<u32>().ok().and_then(|n| n.checked_add(1)));
        if let (Some(Some(a)), Some(Some(b))) = (words.next(), words.next())
            && a < b
        {
            answers.entry(b).and_modify(|nearest| *nearest = a.max(*nearest)).or_insert(a);
        }
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_answers_the_nearest_before_it() {
        let answers = parse("985 1000 -\n999 1001 -\n1000 1000 -\n1002 1001 -\n998 1001 -\nx 3 -\n4\n\n");
        assert_eq!(answers, Answers::from([(1_001, 986), (1_002, 1_000)]));
    }

    #[test]
    fn annotations_lie_beside_the_log() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.annotation.txt"), "0 1 -\n").unwrap();
        for log in ["a.raw.txt", "a.ascii.txt"] {
            assert_eq!(of(&folder.path().join(log)).unwrap(), Answers::from([(2, 1)]));
        }
        for log in ["b.raw.txt", "a.log"] {
            assert_eq!(of(&folder.path().join(log)).unwrap(), Answers::new());
        }
    }
}
