//! The collected bad input: all of it where it is at hand, else the project's own samples.

use std::path::{Path, PathBuf};

use super::support::{collected, workspace};

/// A folder of `bad-input`, or its sample.
fn folder(name: &str) -> PathBuf {
    let sample = workspace().join("tests/data/bad-input").join(name);
    let folder = collected(&format!("bad-input/{name}")).unwrap_or(sample);
    assert!(folder.is_dir(), "{} is missing", folder.display());
    folder
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The files of a folder that are not its licence, by name.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let named = entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.path()));
    let mut files: Vec<_> = named.filter(|(name, _)| !name.contains("LICENSE")).map(|(name, path)| (name, read(&path))).collect();
    files.sort();
    files
}

/// The files of the JSON test suite: their names begin with `y_` (JSON), `n_` (not JSON), `i_`.
pub fn json() -> Vec<(String, Vec<u8>)> {
    files(&folder("json-test-suite").join("test_parsing"))
}

/// Bytes that a client of web sockets was tried with in place of a handshake.
pub fn upgrades() -> Vec<(String, Vec<u8>)> {
    files(&folder("fuzz-websocketclient"))
}

/// The naughty strings, each once.
pub fn naughty() -> Vec<String> {
    let mut strings: Vec<String> = serde_json::from_slice(&read(&folder("blns").join("blns.json"))).unwrap();
    strings.sort();
    strings.dedup();
    strings
}

/// Sequences of bytes by name, and whether they are UTF-8.
pub fn utf8() -> Vec<(String, Vec<u8>, bool)> {
    let text = String::from_utf8(read(&folder("utf8tests").join("utf8tests.txt"))).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let mut parts = line.splitn(3, ':');
            let (name, kind, bytes) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
            match kind.trim() {
                "valid" => (name.to_owned(), bytes.into(), true),
                "valid hex" => (name.to_owned(), hex(bytes), true),
                "invalid hex" => (name.to_owned(), hex(bytes.split(':').next().unwrap()), false),
                other => panic!("{name}: a line of kind {other:?}"),
            }
        })
        .collect()
}

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}
