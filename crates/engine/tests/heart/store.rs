//! The memory store with a plan: which of the next commits are torn, and which reads fail.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chirrup_store::kv::{CommitError, Entry, Key, Kv, Range, ReadError, Row, Table};
use chirrup_store::memory::{Fault, MemoryKv};
use chirrup_store::stages::stages;

/// What becomes of a commit.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    /// It is made.
    Made,
    /// Nothing is written, as on a full disk.
    Refused,
    /// The rows of so many partitions are written (modulo how many there are, and one), then the
    /// process dies.
    Torn(usize),
    /// As where the partitions of a stage are written at once: all stages before one are written,
    /// of that one some partitions are, as the bits of this number say, then the process dies. The
    /// others of it arrive when the next process has recovered, or never.
    Scattered(u64),
}

/// Version and value of a row.
type Written = (u64, Option<Vec<u8>>);

#[derive(Default)]
pub(crate) struct Store {
    inner: MemoryKv,
    commits: Mutex<VecDeque<Fate>>,
    /// Rows that a scattered commit has sent and that are not there yet.
    late: Mutex<Vec<Row>>,
    /// Reads that succeed before one fails.
    reads: Mutex<Option<usize>>,
    /// Reads that were asked for.
    asked: AtomicUsize,
    /// All rows that any commit was given, made or not.
    written: Mutex<BTreeMap<Key, Written>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// What becomes of the next commits; of those after them nothing bad.
    pub(crate) fn plan(&self, fates: impl IntoIterator<Item = Fate>) {
        *lock(&self.commits) = fates.into_iter().collect();
    }

    /// One read fails after so many.
    pub(crate) fn fail_read_after(&self, reads: usize) {
        *lock(&self.reads) = Some(reads);
    }

    /// Everything succeeds from now on.
    pub(crate) fn heal(&self) {
        lock(&self.commits).clear();
        *lock(&self.reads) = None;
    }

    /// What was late arrives.
    pub(crate) fn arrive(&self) {
        let late = std::mem::take(&mut *lock(&self.late));
        self.inner.commit(&late).expect("memory takes it");
    }

    /// Writes what a scattered commit leaves.
    fn scatter(&self, rows: &[Row], bits: u64) -> CommitError {
        let stages = stages(rows);
        // From the upper bits how many are whole, from the lower ones what else is there.
        let whole = (bits >> 32) as usize % stages.len();
        let (mut there, mut late) = (Vec::new(), Vec::new());
        for (at, part) in stages[..=whole].iter().enumerate().flat_map(|(at, stage)| stage.iter().map(move |part| (at, part))) {
            let bit = (bits >> ((there.len() + late.len()) % 31)) & 1;
            let rows = if at < whole || bit == 1 { &mut there } else { &mut late };
            rows.extend(part.rows.iter().map(|row| (*row).clone()));
        }
        self.inner.commit(&there).expect("memory takes it");
        if (bits >> 31) & 1 == 1 {
            lock(&self.late).extend(late);
        }
        CommitError::Unknown("scattered".to_owned())
    }

    /// Reads that were asked for since the last call.
    pub(crate) fn take_reads(&self) -> usize {
        self.asked.swap(0, Ordering::Relaxed)
    }

    /// What is written later has a higher version, or it would be lost where versions are compared;
    /// what has the same is the same.
    fn check_versions(&self, rows: &[Row]) {
        let mut written = lock(&self.written);
        // Of one commit the last row of a key counts.
        let last: BTreeMap<&Key, &Row> = rows.iter().map(|row| (&row.key, row)).collect();
        for (key, row) in last {
            let now = (row.version, row.value.clone());
            let before = written.insert(key.clone(), now.clone());
            let Some((version, value)) = before else { continue };
            assert!(version < now.0 || (version, &value) == (now.0, &now.1), "{key:?} is written at {} after {version}", now.0);
        }
    }

    fn read(&self) -> Result<(), ReadError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mut reads = lock(&self.reads);
        match reads.as_mut() {
            Some(0) => {
                *reads = None;
                Err(ReadError::Unavailable("told to fail".to_owned()))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Kv for Store {
    fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, ReadError> {
        self.read()?;
        self.inner.get(keys)
    }

    fn range(&self, range: &Range) -> Result<Vec<Entry>, ReadError> {
        self.read()?;
        self.inner.range(range)
    }

    fn commit(&self, rows: &[Row]) -> Result<(), CommitError> {
        self.check_versions(rows);
        match lock(&self.commits).pop_front() {
            Some(Fate::Scattered(bits)) if !rows.is_empty() => return Err(self.scatter(rows, bits)),
            None | Some(Fate::Made | Fate::Scattered(_)) => {}
            Some(Fate::Refused) => self.inner.fail_next(Fault::Refuse),
            Some(Fate::Torn(after)) => self.inner.fail_after_partitions(after % (partitions(rows) + 1)),
        }
        self.inner.commit(rows)
    }

    fn partitions(&self, table: Table, after: Option<&[u8]>, limit: usize) -> Result<Vec<Vec<u8>>, ReadError> {
        self.read()?;
        self.inner.partitions(table, after, limit)
    }

    fn cache_bytes(&self) -> u64 {
        self.inner.cache_bytes()
    }
}

fn partitions(rows: &[Row]) -> usize {
    rows.iter().map(|row| (row.key.table, &row.key.partition)).collect::<BTreeSet<_>>().len()
}
