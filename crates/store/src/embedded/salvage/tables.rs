//! The tables of a damaged store.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_128;

use super::blocks::{self, Run};
use super::gather::Found;
use super::{Loss, Part, Reach, SalvageError, Salvager};
use crate::embedded::error::OpenError;
use crate::embedded::tables::scan;
use crate::embedded::tables_config::{self, List};
use crate::kv::Table;

/// A file that belongs to a table.
struct Listed {
    path: PathBuf,
    /// Of its bytes, if the list could be read.
    checksum: Option<u128>,
}

/// The first and the last key of some rows.
type Ends = (Vec<u8>, Vec<u8>);

impl Salvager<'_, '_> {
    /// Reads what can be read of a table's files.
    pub(super) fn table(&mut self, dir: &Path, table: Table) -> Result<(), SalvageError> {
        let tree = tables_config::path(dir, table);
        let listed = match listed(&tree) {
            Ok(listed) => listed,
            Err(error) => {
                self.losses.push(Loss::of(&error, Part::TableList(table), Reach::Between(table, Vec::new(), None)));
                all(&tree)
            }
        };
        for file in listed {
            self.table_file(table, &file)?;
        }
        Ok(())
    }

    fn table_file(&mut self, table: Table, file: &Listed) -> Result<(), SalvageError> {
        let bytes = match self.bytes(&file.path)? {
            Ok(bytes) => bytes,
            Err(error) => {
                let what = if error.kind() == std::io::ErrorKind::NotFound {
                    "the file is missing".to_owned()
                } else {
                    format!("failed to read it: {error}")
                };
                self.lose(&file.path, 0, what, Part::TableFile(table), Reach::Between(table, Vec::new(), None));
                return Ok(());
            }
        };
        let sound = file.checksum.is_some_and(|checksum| xxh3_128(&bytes) == checksum);
        if sound && !self.wants(table) {
            return Ok(());
        }
        let found = blocks::walk(&bytes);
        if !sound && file.checksum.is_some() && found.bad.is_empty() {
            let at = found.runs.last().map_or(0, |run| run.bytes.end);
            let what = "its index, its filter or its description is not what was written; its rows are";
            self.lose(&file.path, at as u64, what, Part::TableFile(table), Reach::Nothing);
        }
        // The first and the last key of each run of blocks.
        let mut ends = Vec::new();
        for run in &found.runs {
            ends.push(self.run(table, file, &bytes, run, found.compressed)?);
        }
        for bad in &found.bad {
            let before = found.runs.iter().rposition(|run| run.bytes.end <= bad.start);
            let after = found.runs.iter().position(|run| run.bytes.start >= bad.end);
            let low = before.and_then(|place| ends[place].as_ref()).map(|(_, last)| last.clone()).unwrap_or_default();
            let high = after.and_then(|place| ends[place].as_ref()).map(|(first, _)| first.clone());
            let what = format!("{} bytes of rows are not what was written", bad.len());
            self.lose(&file.path, bad.start as u64, what, Part::TableFile(table), Reach::Between(table, low, high));
        }
        Ok(())
    }

    /// Hands on the rows of a run of sound blocks; its first and its last key.
    fn run(&mut self, table: Table, file: &Listed, bytes: &[u8], run: &Run, compressed: bool) -> Result<Option<Ends>, SalvageError> {
        let Some(sink) = self.sink.as_mut().filter(|sink| sink.wants(table)) else { return Ok(None) };
        // The library reads blocks from the start of a file of its own.
        let piece = sink.work_file();
        fs::write(&piece, &bytes[run.bytes.clone()]).map_err(|source| SalvageError::Scratch { path: piece.clone(), source })?;
        let (mut ends, mut failed): (Option<Ends>, Option<String>) = (None, None);
        for row in scan(&piece, run.count, compressed) {
            match row {
                Ok((key, value, number)) => {
                    match &mut ends {
                        Some((_, last)) => last.clone_from(&key),
                        None => ends = Some((key.clone(), key.clone())),
                    }
                    sink.take(Found { table, key, value, number })?;
                }
                Err(what) => failed = Some(what),
            }
        }
        if let Some(what) = failed {
            let low = ends.as_ref().map(|(_, last)| last.clone()).unwrap_or_default();
            self.lose(
                &file.path,
                run.bytes.start as u64,
                format!("a block cannot be read: {what}"),
                Part::TableFile(table),
                Reach::Between(table, low, None),
            );
        }
        Ok(ends)
    }

    fn wants(&self, table: Table) -> bool {
        self.sink.as_ref().is_some_and(|sink| sink.wants(table))
    }
}

/// The files that a table's list names.
fn listed(tree: &Path) -> Result<Vec<Listed>, OpenError> {
    let List { name, bytes, .. } = tables_config::read_list(tree)?;
    let entries = parse(&bytes).ok_or_else(|| OpenError::damaged(&tree.join(name), 0, "it is not a list of files"))?;
    let listed =
        |(id, checksum): (u64, u128)| Listed { path: tables_config::files_dir(tree).join(id.to_string()), checksum: Some(checksum) };
    Ok(entries.into_iter().map(listed).collect())
}

/// Number and checksum of each file in a list: for each level its runs, for each run its files.
fn parse(list: &[u8]) -> Option<Vec<(u64, u128)>> {
    let archive = sfa::Reader::from_reader(&mut Cursor::new(list)).ok()?;
    let section = archive.toc().section(b"tables")?;
    let from = usize::try_from(section.pos()).ok()?;
    let mut bytes = list.get(from..from.checked_add(usize::try_from(section.len()).ok()?)?)?;
    let mut files = Vec::new();
    for _level in 0..take::<1>(&mut bytes)?[0] {
        for _run in 0..take::<1>(&mut bytes)?[0] {
            for _file in 0..u32::from_le_bytes(take(&mut bytes)?) {
                let id = u64::from_le_bytes(take(&mut bytes)?);
                let _kind: [u8; 1] = take(&mut bytes)?;
                let checksum = u128::from_le_bytes(take(&mut bytes)?);
                let _base: [u8; 8] = take(&mut bytes)?;
                files.push((id, checksum));
            }
        }
    }
    Some(files)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*head)
}

/// Every file that there is.
fn all(tree: &Path) -> Vec<Listed> {
    let entries = fs::read_dir(tables_config::files_dir(tree)).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths.into_iter().map(|path| Listed { path, checksum: None }).collect()
}
