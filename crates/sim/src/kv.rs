//! A store of three replicas, in memory: the last write wins by its version, a commit is atomic
//! within a partition and no further, writes may be late at a replica or reach too few of them,
//! and a process may die between any two partitions. What a read has shown of a row is then at
//! two replicas, so that no later read goes back behind it.
//!
//! Must not know: what a row means.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chirrup_store::kv::{CommitError, Entry, Key, Kv, Range, ReadError, Row, Table};

use crate::random::Random;

const REPLICAS: usize = 3;
/// Writes on their way; of more, the oldest is lost.
const LATE_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Cell {
    version: u64,
    value: Option<Arc<[u8]>>,
}

type Cells = [Option<Cell>; REPLICAS];

/// How the network between a process and the replicas is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// One write in so many is late at one replica; none if 0.
    pub late_one_in: u64,
    /// One operation in so many has something arrive that was late; none if 0.
    pub arrive_one_in: u64,
}

/// What becomes of a commit when so many partitions of it are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The process dies with the next one on its way.
    Crash,
    /// It is not known what became of the next one, nor are those after it tried.
    Unknown,
    /// The same, and nothing of the next one went out.
    Unsent,
}

/// What came about in the store that its user cannot see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Late writes that were older than what they met.
    pub late_and_lower: u64,
    /// Reads of rows of which replicas differed.
    pub replicas_differ: u64,
}

struct Inner {
    rows: BTreeMap<Key, Cells>,
    late: VecDeque<(usize, Vec<Row>)>,
    weather: Weather,
    random: Random,
    planned: VecDeque<(usize, Fate)>,
    dead: bool,
    seen: Seen,
    /// A rule of the store that its user has broken.
    broken: Option<String>,
}

/// The store.
pub struct ReplicatedKv {
    inner: Mutex<Inner>,
}

impl Default for ReplicatedKv {
    fn default() -> Self {
        Self {
            inner: Mutex::new(Inner {
                rows: BTreeMap::new(),
                late: VecDeque::new(),
                weather: Weather::default(),
                random: Random::new(0),
                planned: VecDeque::new(),
                dead: false,
                seen: Seen::default(),
                broken: None,
            }),
        }
    }
}

impl ReplicatedKv {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Whoever panicked with the lock has ended the schedule.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is left to chance from here on.
    pub fn reseed(&self, seed: u64) {
        self.lock().random = Random::new(seed);
    }

    /// Changes the weather.
    pub fn set_weather(&self, weather: Weather) {
        self.lock().weather = weather;
    }

    /// One of the next commits meets this: the first that has so many partitions written, counted
    /// over all from here on. In the order given.
    pub fn plan(&self, after_partitions: usize, fate: Fate) {
        self.lock().planned.push_back((after_partitions, fate));
    }

    /// Nothing more is planned.
    pub fn unplan(&self) {
        self.lock().planned.clear();
    }

    /// Whether the process that uses it has died.
    pub fn is_dead(&self) -> bool {
        self.lock().dead
    }

    /// Another process uses it.
    pub fn revive(&self) {
        self.lock().dead = false;
    }

    /// The process that uses it dies now.
    pub fn die(&self) {
        self.lock().dead = true;
    }

    /// Everything that is on its way arrives.
    pub fn calm(&self) {
        let mut inner = self.lock();
        inner.planned.clear();
        inner.weather = Weather::default();
        while let Some((replica, rows)) = inner.late.pop_front() {
            inner.arrive(replica, &rows);
        }
    }

    /// So many writes that are on their way arrive, in any order.
    pub fn arrive(&self, count: u64) {
        let mut inner = self.lock();
        for _ in 0..count {
            inner.arrive_one();
        }
    }

    /// What came about.
    pub fn seen(&self) -> Seen {
        self.lock().seen
    }

    /// A rule of the store that was broken by who wrote to it.
    pub fn broken(&self) -> Option<String> {
        self.lock().broken.clone()
    }

    /// Whether all rows are there as a read gives them now: what became of them in truth. Looks at
    /// all replicas and changes nothing.
    pub fn holds(&self, rows: &[Row]) -> bool {
        let inner = self.lock();
        rows.iter().all(|row| {
            let reached = |cell: &&Option<Cell>| cell.as_ref().is_some_and(|cell| cell.version >= row.version);
            inner.rows.get(&row.key).is_some_and(|cells| cells.iter().filter(reached).count() >= 2)
        })
    }

    /// Whether any of the rows is anywhere.
    pub fn holds_any(&self, rows: &[Row]) -> bool {
        let inner = self.lock();
        let there = |row: &Row| {
            let cells = inner.rows.get(&row.key);
            cells.is_some_and(|cells| cells.iter().flatten().any(|cell| cell.version == row.version))
        };
        rows.iter().any(there)
    }

    /// The newest value of a row at any replica; nothing changes by this look.
    pub fn peek(&self, key: &Key) -> Option<Vec<u8>> {
        let inner = self.lock();
        let newest = inner.rows.get(key)?.iter().flatten().max_by_key(|cell| cell.version)?;
        Some(newest.value.as_ref()?.to_vec())
    }

    /// Every row of these tables as all replicas together have it.
    pub fn dump(&self, tables: &[Table]) -> BTreeMap<Key, Vec<u8>> {
        let inner = self.lock();
        let of = inner.rows.iter().filter(|(key, _)| tables.contains(&key.table));
        of.filter_map(|(key, cells)| {
            let newest = cells.iter().flatten().max_by_key(|cell| cell.version)?;
            Some((key.clone(), newest.value.as_ref()?.to_vec()))
        })
        .collect()
    }
}

impl Inner {
    fn arrive_one(&mut self) {
        if self.late.is_empty() {
            return;
        }
        let at = self.random.below(self.late.len() as u64) as usize;
        if let Some((replica, rows)) = self.late.swap_remove_back(at) {
            self.arrive(replica, &rows);
        }
    }

    fn arrive(&mut self, replica: usize, rows: &[Row]) {
        for row in rows {
            if !self.apply(replica, row) {
                self.seen.late_and_lower += 1;
            }
        }
    }

    /// Whether the row was not older than what was there.
    fn apply(&mut self, replica: usize, row: &Row) -> bool {
        let value = row.value.as_deref().map(Arc::from);
        if !self.rows.contains_key(&row.key) {
            self.rows.insert(row.key.clone(), Cells::default());
        }
        let cells = self.rows.get_mut(&row.key).expect("put there above");
        let twin = cells.iter().flatten().find(|cell| cell.version == row.version && cell.value != value);
        if twin.is_some() && self.broken.is_none() {
            self.broken = Some(format!("two values of one version, {}, at {:?}", row.version, row.key));
        }
        let cell = &mut cells[replica];
        if cell.as_ref().is_some_and(|cell| cell.version > row.version) {
            return false;
        }
        *cell = Some(Cell { version: row.version, value });
        true
    }

    /// Writes the rows of one partition to those replicas that they reach.
    fn write(&mut self, rows: &[&Row], reached: [bool; REPLICAS]) {
        for (replica, reached) in reached.into_iter().enumerate() {
            if reached {
                for row in rows {
                    self.apply(replica, row);
                }
            } else if self.random.one_in(2) {
                if self.late.len() >= LATE_MAX {
                    self.late.pop_front();
                }
                self.late.push_back((replica, rows.iter().map(|row| (*row).clone()).collect()));
            }
        }
    }

    /// Two of the three, at least.
    fn quorum(&mut self) -> [bool; REPLICAS] {
        let mut reached = [true; REPLICAS];
        if self.random.one_in(self.weather.late_one_in) {
            reached[self.random.below(REPLICAS as u64) as usize] = false;
        }
        reached
    }

    fn any(&mut self) -> [bool; REPLICAS] {
        std::array::from_fn(|_| self.random.one_in(2))
    }

    fn begin(&mut self) {
        let one_in = self.weather.arrive_one_in;
        if self.random.one_in(one_in) {
            self.arrive_one();
        }
    }

    /// The newest of two replicas, all but `without`; both have it afterwards.
    fn read(without: usize, seen: &mut Seen, cells: &mut Cells) -> Option<Arc<[u8]>> {
        let [one, other] = [(without + 1) % REPLICAS, (without + 2) % REPLICAS];
        let version = |at: usize| cells[at].as_ref().map(|cell| cell.version);
        if version(one) != version(other) {
            seen.replicas_differ += 1;
            let (newer, older) = if version(one) > version(other) { (one, other) } else { (other, one) };
            let newest = cells[newer].clone();
            cells[older] = newest;
        }
        cells[one].as_ref()?.value.clone()
    }

    fn commit(&mut self, rows: &[Row]) -> Result<(), CommitError> {
        self.begin();
        for rows in partitions_of(rows) {
            match self.planned.front_mut() {
                Some((0, fate)) => {
                    let fate = *fate;
                    self.planned.pop_front();
                    if fate != Fate::Unsent {
                        let reached = self.any();
                        self.write(&rows, reached);
                    }
                    self.dead = fate == Fate::Crash;
                    return Err(CommitError::Unknown(format!("{fate:?}")));
                }
                Some((left, _)) => *left -= 1,
                None => {}
            }
            let reached = self.quorum();
            self.write(&rows, reached);
        }
        // All is there, and nobody is told.
        if let Some((_, fate)) = self.planned.pop_front_if(|(left, _)| *left == 0) {
            self.dead = fate == Fate::Crash;
            return Err(CommitError::Unknown(format!("{fate:?}")));
        }
        Ok(())
    }
}

/// Rows by their partitions, in the order in which these are first named.
fn partitions_of(rows: &[Row]) -> Vec<Vec<&Row>> {
    let mut order: Vec<Vec<&Row>> = Vec::new();
    let mut places: BTreeMap<(Table, &[u8]), usize> = BTreeMap::new();
    for row in rows {
        let at = *places.entry((row.key.table, &row.key.partition)).or_insert(order.len());
        if at == order.len() {
            order.push(Vec::new());
        }
        order[at].push(row);
    }
    order
}

impl Kv for ReplicatedKv {
    fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, ReadError> {
        let mut inner = self.lock();
        if inner.dead {
            return Err(ReadError::Unavailable("the process is dead".to_owned()));
        }
        inner.begin();
        let Inner { rows, random, seen, .. } = &mut *inner;
        let mut value = |key| Some(Inner::read(random.below(REPLICAS as u64) as usize, seen, rows.get_mut(key)?)?.to_vec());
        Ok(keys.iter().map(&mut value).collect())
    }

    fn range(&self, range: &Range) -> Result<Vec<Entry>, ReadError> {
        let mut inner = self.lock();
        if inner.dead {
            return Err(ReadError::Unavailable("the process is dead".to_owned()));
        }
        inner.begin();
        let key = |sort: &[u8]| Key::new(range.table, range.partition.clone(), sort);
        let from = key(&range.from);
        let until = match &range.until {
            Some(until) if *until <= range.from => return Ok(Vec::new()),
            Some(until) => Bound::Excluded(key(until)),
            // Beyond every sort key.
            None => Bound::Included(key(&[0xff; 256])),
        };
        // One read asks the same two for all: what is atomic there is so here.
        let Inner { rows, random, seen, .. } = &mut *inner;
        let without = random.below(REPLICAS as u64) as usize;
        let within = rows.range_mut((Bound::Included(from), until));
        let mut live = |(key, cells): (&Key, &mut Cells)| Some((key.sort.clone(), Inner::read(without, seen, cells)?.to_vec()));
        Ok(if range.descending {
            within.rev().filter_map(&mut live).take(range.limit).collect()
        } else {
            within.filter_map(&mut live).take(range.limit).collect()
        })
    }

    fn commit(&self, rows: &[Row]) -> Result<(), CommitError> {
        let mut inner = self.lock();
        if inner.dead {
            return Err(CommitError::Stopped("the process is dead".to_owned()));
        }
        inner.commit(rows)
    }

    fn partitions(&self, table: Table, after: Option<&[u8]>, limit: usize) -> Result<Vec<Vec<u8>>, ReadError> {
        let mut inner = self.lock();
        let Inner { rows, random, seen, .. } = &mut *inner;
        let without = random.below(REPLICAS as u64) as usize;
        let mut found: Vec<Vec<u8>> = Vec::new();
        for (key, cells) in rows.iter_mut() {
            let wanted = key.table == table && after.is_none_or(|after| key.partition.as_slice() > after);
            if wanted && found.last() != Some(&key.partition) && Inner::read(without, seen, cells).is_some() {
                found.push(key.partition.clone());
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    fn cache_bytes(&self) -> u64 {
        0
    }
}
