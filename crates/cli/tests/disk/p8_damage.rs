//! P8: whatever happens to a file that the server keeps, people are told what they were told before,
//! or an error, or the server does not start; and then it is said which file it is and where.
//!
//! Every kind of file is damaged in every way, and then whatever chance picks: `CHIRRUP_DAMAGES` of
//! them, from `CHIRRUP_SEED` on.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::Value;

use crate::prepared::Prepared;
use crate::process::{Refused, Served, Site};
use crate::random::Random;
use crate::raw::{Failure, code, message, seq};
use crate::record::{self, Record};
use crate::support::until;

/// Damages beside one of each way on each kind of file, unless the environment says otherwise.
const DAMAGES: u64 = 60;
const SEED: u64 = 20_261_124;
/// Servers that run at a time.
const AT_ONCE: usize = 4;
/// After so many damages that the server served with, one is looked at for what comes after.
const LATER_EVERY: usize = 4;

/// What happens to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    FlippedBit,
    Cut,
    Emptied,
    Zeroed(usize),
    Swapped(usize),
    Removed,
}

const DAMAGES_ALL: [Damage; 8] = [
    Damage::FlippedBit,
    Damage::Cut,
    Damage::Emptied,
    Damage::Zeroed(512),
    Damage::Zeroed(4096),
    Damage::Swapped(512),
    Damage::Swapped(4096),
    Damage::Removed,
];

impl Damage {
    /// Does it; which bytes may not be what they were, or `None` if all are.
    fn to(self, bytes: &mut Vec<u8>, random: &mut Random) -> Option<[Range<usize>; 2]> {
        let before = bytes.clone();
        let length = bytes.len();
        let mut below = |bound: usize| random.below(bound as u64) as usize;
        let hurt = match self {
            _ if length == 0 => return None,
            Self::FlippedBit => {
                let at = below(length);
                bytes[at] ^= 1 << below(8);
                [at..at + 1, 0..0]
            }
            Self::Cut => {
                let end = below(length).max(1);
                bytes.truncate(end);
                [end..length, 0..0]
            }
            Self::Emptied | Self::Removed => {
                bytes.clear();
                [0..length, 0..0]
            }
            Self::Zeroed(block) => {
                let start = below(length.div_ceil(block)) * block;
                let hurt = start..(start + block).min(length);
                bytes[hurt.clone()].fill(0);
                [hurt, 0..0]
            }
            Self::Swapped(block) if length < 2 * block => return None,
            Self::Swapped(block) => {
                let (one, other) = (below(length / block), below(length / block));
                let (low, high) = (one.min(other) * block, one.max(other) * block);
                if low < high {
                    let (head, tail) = bytes.split_at_mut(high);
                    head[low..low + block].swap_with_slice(&mut tail[..block]);
                }
                [low..low + block, high..high + block]
            }
        };
        (*bytes != before).then_some(hurt)
    }
}

/// The kind of a file below the data. Whoever adds a kind of file says here what it is.
fn kind(path: &Path) -> Option<String> {
    let parts: Vec<&str> = path.iter().map(|part| part.to_str().unwrap()).collect();
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let kind = match parts[..] {
        ["admin.token" | "serve.json"] | ["store", "FORMAT" | "LOCK" | "RESERVE"] | ["store", "log", "manifest"] => {
            path.display().to_string()
        }
        ["store", "log", name] if name.strip_suffix(".log").is_some_and(is_number) => "a segment of the log".to_owned(),
        ["store", "log", name] if name.strip_prefix("spare-").is_some_and(is_number) => "a spare segment".to_owned(),
        ["store", "log", "unfinished-spare"] => "an unfinished segment".to_owned(),
        ["store", "tables", table, "current"] => format!("what names the list of {table}"),
        ["store", "tables", table, name] if name.strip_prefix('v').is_some_and(is_number) => format!("the list of {table}"),
        ["store", "tables", table, name] if name.starts_with(".tmp") => format!("an unfinished file of {table}"),
        ["store", "tables", table, "tables", name] if is_number(name) => format!("rows of {table}"),
        _ => return None,
    };
    Some(kind)
}

/// All files below the data, of a kind each.
fn files(data: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    let mut dirs = vec![data.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                let path = path.strip_prefix(data).unwrap().to_owned();
                let kind = kind(&path).unwrap_or_else(|| panic!("{} is of no known kind", path.display()));
                found.push((kind, path));
            }
        }
    }
    found.sort();
    found
}

/// One damage to one file.
#[derive(Clone, Debug)]
struct Case {
    number: usize,
    path: PathBuf,
    damage: Damage,
    seed: u64,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Refused,
    /// It was served, and the file was not missed.
    Unharmed,
    /// The commit at the end of the log was taken for unfinished.
    TailCut,
    /// Some reads were answered by an error.
    ReadsFail,
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a number"))
}

/// One of each way on each kind, then by chance.
fn cases(data: &Path) -> Vec<Case> {
    let files = files(data);
    let mut random = Random(number("CHIRRUP_SEED", SEED));
    let mut cases = Vec::new();
    let mut add = |path: &Path, damage: Damage, random: &mut Random| {
        let bytes = fs::read(data.join(path)).unwrap();
        // Some bytes can be damaged without a change: zeros that are zeroed.
        let seeds = std::iter::repeat_with(|| random.next()).take(30);
        let seed = { seeds }.find(|seed| damage.to(&mut bytes.clone(), &mut Random(*seed)).is_some());
        cases.extend(seed.map(|seed| Case { number: cases.len(), path: path.to_owned(), damage, seed }));
    };
    for same in files.chunk_by(|one, other| one.0 == other.0) {
        for damage in DAMAGES_ALL {
            add(&random.of(same).1, damage, &mut random);
        }
    }
    let rows: Vec<_> = files.iter().filter(|(kind, _)| kind.starts_with("rows of")).cloned().collect();
    for n in 0..number("CHIRRUP_DAMAGES", DAMAGES) {
        let damage = *random.of(&DAMAGES_ALL);
        // What is read only when it is asked for is damaged more often.
        add(&random.of(if n % 2 == 0 { &files } else { &rows }).1, damage, &mut random);
    }
    cases
}

/// That what is said of a damage names the file, and a place in it.
fn assert_named(case: &Case, words: &str) {
    let mut named = words.contains(case.path.to_str().unwrap()) && (words.contains(" at byte ") || words.contains("FORMAT"));
    if case.damage == Damage::Removed {
        // What is missing may be told by where it should be.
        named |= words.contains(case.path.ancestors().nth(2).unwrap().to_str().unwrap());
    }
    assert!(named, "{case:?} is not named: {words}");
}

impl Prepared {
    async fn outcome(&self, case: &Case) -> Outcome {
        let site = Site::copy_of(self.site.data()).quiet();
        let path = site.data().join(&case.path);
        let mut bytes = fs::read(&path).unwrap();
        let hurt = case.damage.to(&mut bytes, &mut Random(case.seed)).expect("as when it was chosen");
        match case.damage {
            Damage::Removed => fs::remove_file(&path).unwrap(),
            _ => fs::write(&path, bytes).unwrap(),
        }
        let mut served = match site.start() {
            Ok(served) => served,
            Err(refused) => {
                assert_refused(case, &refused);
                return Outcome::Refused;
            }
        };
        let told = record::everything(served.address, &self.extent).await;
        assert!(served.runs(), "{case:?}: it has ended: {}", site.log());
        if case.path.ends_with("RESERVE") {
            // What is left of it is not the room that it should be.
            let whole = fs::metadata(self.site.data().join(&case.path)).unwrap().len();
            until("the reserve is taken anew", || fs::metadata(&path).is_ok_and(|file| file.len() == whole));
        }
        let in_tail = case.path == self.tail.0 && hurt.iter().any(|hurt| hurt.start < self.tail.1.end && self.tail.1.start < hurt.end);
        let outcome = match &self.told_without_last {
            Some(without) if in_tail && case.damage != Damage::Cut && told == *without => Outcome::TailCut,
            _ => compare(case, &self.told, &told, &site),
        };
        if case.number.is_multiple_of(LATER_EVERY) {
            self.later(case, served, &site).await;
        }
        outcome
    }

    /// What is sent after the damage is there for good, and there is no start that ends otherwise
    /// than those before.
    async fn later(&self, case: &Case, served: Served, site: &Site) {
        let mut acked = Vec::new();
        if let Ok(mut ana) = self.extent.people[0].1.connect(served.address).await {
            for conversation in &self.extent.conversations {
                match ana.call("send", message(conversation, "and now?")).await {
                    Ok(done) => acked.push((conversation, seq(&done))),
                    Err(Failure::Refused(error)) => {
                        let known = ["internal", "busy", "unknown", "storage_failed"];
                        assert!(known.contains(&code(&error)), "{case:?}: {error}");
                        assert_named(case, &site.log());
                    }
                    Err(gone) => panic!("{case:?}: {gone:?}"),
                }
            }
        }
        served.kill();
        for _ in 0..2 {
            let served = match site.start() {
                Ok(served) => served,
                Err(refused) => return assert_refused(case, &refused),
            };
            let told = record::everything(served.address, &self.extent).await;
            for (conversation, seq) in &acked {
                let is = |value: &Value| value["seq"] == *seq && value["text"] == "and now?";
                let there = told.values().flatten().filter_map(|told| told["events"].as_array()).flatten().any(is);
                assert!(there || told.values().any(Result::is_err), "{case:?}: {seq} of {conversation} was acked, and is lost");
            }
        }
    }
}

fn assert_refused(case: &Case, refused: &Refused) {
    assert!(refused.status.code().is_some_and(|code| code != 0), "{case:?}: {refused:?}");
    assert_named(case, &refused.why);
}

/// That what is told now was told before, or is an error that names the damage.
fn compare(case: &Case, before: &Record, now: &Record, site: &Site) -> Outcome {
    for (question, answer) in now {
        match answer {
            Ok(_) => {
                let before = before.get(question);
                assert!(Some(answer) == before, "{case:?}: {question}: {answer:?} instead of {before:?}");
            }
            Err(_) if before.get(question) == Some(answer) => {}
            Err(code) => {
                assert!(code == "internal", "{case:?}: {question} is answered {code}");
                assert_named(case, &site.log());
            }
        }
    }
    if now == before { Outcome::Unharmed } else { Outcome::ReadsFail }
}

/// All damages to this data.
fn damage(prepared: &Prepared) {
    let cases = cases(prepared.site.data());
    let next = Mutex::new(cases.iter());
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                while let Some(case) = { next.lock().unwrap().next() } {
                    let outcome = runtime.block_on(prepared.outcome(case));
                    outcomes.lock().unwrap().push(outcome);
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().unwrap();
    let count = |wanted: Outcome| outcomes.iter().filter(|outcome| **outcome == wanted).count();
    let [refused, unharmed, cut, failing] = [Outcome::Refused, Outcome::Unharmed, Outcome::TailCut, Outcome::ReadsFail].map(count);
    println!("{} damages: {refused} refused, {unharmed} without harm, {cut} tails cut, {failing} with reads that fail", cases.len());
    assert!(refused > 0 && unharmed > 0 && failing > 0);
}

/// That the data has all that can be damaged.
fn assert_every_kind(prepared: &Prepared) {
    let files = files(prepared.site.data());
    let has = |wanted: &str| assert!(files.iter().any(|(kind, _)| kind == wanted), "there is no {wanted}: {files:?}");
    for name in ["store/FORMAT", "store/LOCK", "store/RESERVE", "store/log/manifest", "a segment of the log"] {
        has(name);
    }
    for table in fs::read_dir(prepared.site.data().join("store/tables")).unwrap() {
        let table = table.unwrap().file_name().into_string().unwrap();
        for of in ["what names the list of", "the list of", "rows of"] {
            has(&format!("{of} {table}"));
        }
    }
}

#[tokio::test]
async fn p8_damage_to_any_file_after_a_kill() {
    let prepared = Prepared::killed().await;
    assert_every_kind(&prepared);
    tokio::task::spawn_blocking(move || damage(&prepared)).await.unwrap();
}

#[tokio::test]
async fn p8_damage_to_any_file_after_a_stop() {
    let prepared = Prepared::stopped().await;
    assert_every_kind(&prepared);
    tokio::task::spawn_blocking(move || damage(&prepared)).await.unwrap();
}
