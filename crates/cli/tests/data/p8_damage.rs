//! P8, for the operator: damaged data is refused by file and place, `chirrup doctor` says what that
//! means, and `chirrup export --salvage` saves all that is not damaged.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::raw::server;
use crate::support::Server;
use crate::world::{World, filled, paths};

const PAGE: usize = 4096;

fn run(server: &Server, arguments: &[&str], out: Option<&Path>) -> Output {
    let mut command = server.chirrup("operator");
    command.args(arguments).args(out).arg("--data").arg(server.data());
    command.output().unwrap()
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The lines of an export, but for the first and the last, which are checked.
fn lines(out: &Path, salvage: bool) -> Vec<Value> {
    let text = fs::read_to_string(out).unwrap();
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (first, last) = (lines.remove(0), lines.pop().unwrap());
    assert!(first["chirrup_export"] == 1 && first["salvage"] == salvage, "{first}");
    assert!(last["end"]["events"].is_u64(), "{last}");
    lines
}

/// The log that a line is of.
fn log(line: &Value) -> String {
    format!("{}/{}", line["log"].as_str().unwrap(), line["id"].as_str().unwrap_or_default())
}

/// Events by log and seq, as clients are told them.
fn events(lines: &[Value]) -> BTreeMap<(String, u64), Value> {
    let mut events = BTreeMap::new();
    for line in lines.iter().filter(|line| line.get("missing").is_none()) {
        let mut event = line.clone();
        for own in ["log", "id", "hash", "chain"] {
            event.as_object_mut().unwrap().remove(own);
        }
        assert!(events.insert((log(line), line["seq"].as_u64().unwrap()), event).is_none(), "twice: {line}");
    }
    events
}

/// A stopped server with some data, and its export.
async fn exported() -> (Server, World, Vec<Value>) {
    let (mut server, world) = filled(server()).await;
    let told = world.told(&server).await;
    let out = server.data().with_file_name("export");
    let refused = run(&server, &["export"], Some(&out));
    assert!(!refused.status.success() && words(&refused).contains("in use"), "{}", words(&refused));
    server.stop();
    let done = run(&server, &["export"], Some(&out));
    assert!(done.status.success(), "{}", words(&done));
    let lines = lines(&out, false);
    let events = events(&lines);
    for (id, log) in told[0]["logs"].as_object().unwrap() {
        for event in log["events"].as_array().unwrap() {
            assert_eq!(events[&(format!("conversation/{id}"), event["seq"].as_u64().unwrap())], *event, "as clients are told it");
        }
    }
    assert!(lines.iter().all(|line| line.get("chain").is_none() && line["hash"].as_str().unwrap().len() == 64));
    assert!(["user/", "name/", "server/"].iter().all(|kind| lines.iter().any(|line| log(line).starts_with(kind))));
    assert!(!lines.iter().any(|line| line["text"] == "message 2"), "what was deleted is not in it");
    (server, world, lines)
}

fn change(path: &Path, how: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    how(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// The largest file of the table of events, and the oldest segment of the log.
fn table_and_segment(server: &Server) -> [PathBuf; 2] {
    let store = server.data().join("store");
    let tables = paths(&store.join("tables/01-event/tables"));
    let table = tables.into_iter().max_by_key(|path| fs::metadata(path).unwrap().len()).expect("events were written to tables");
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "log");
    [table, paths(&store.join("log")).into_iter().find(is_segment).unwrap()]
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_salvage_gives_all_of_the_undamaged_rest_and_tells_what_is_missing_and_why() {
    let (server, _world, before) = exported().await;
    let [table, segment] = table_and_segment(&server);
    change(&table, |bytes| bytes[10 * PAGE..12 * PAGE].fill(0));
    // The middle of the frames that are there.
    change(&segment, |bytes| {
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() / 2 / PAGE * PAGE;
        bytes[used..used + 2 * PAGE].fill(0);
    });
    let damaged: Vec<Vec<u8>> = [&table, &segment].map(|path| fs::read(path).unwrap()).to_vec();

    let out = server.data().with_file_name("strict");
    let refused = run(&server, &["export"], Some(&out));
    assert!(refused.status.code() == Some(1) && words(&refused).contains(&segment.display().to_string()), "{}", words(&refused));
    assert!(!out.exists());

    let out = server.data().with_file_name("salvaged");
    let done = run(&server, &["--json", "export", "--salvage"], Some(&out));
    assert!(done.status.success(), "{}", words(&done));
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    let after = lines(&out, true);
    let (events_before, events_after) = (events(&before), events(&after));
    assert!(events_after.iter().all(|(place, event)| events_before.get(place) == Some(event)), "nothing is there that was not before");
    let mut missing: Vec<(String, u64)> = events_before.keys().filter(|place| !events_after.contains_key(*place)).cloned().collect();
    println!("{} of {} events are missing", missing.len(), events_before.len());
    assert!(!missing.is_empty() && missing.len() <= 40, "two blocks of rows, two frames: {missing:?}");
    assert_eq!(report["missing"], missing.len());
    for line in after.iter().filter(|line| line.get("missing").is_some()) {
        let run = |end: &str| line["missing"][end].as_u64().unwrap();
        missing.retain(|(of, seq)| *of != log(line) || !(run("from")..=run("to")).contains(seq));
        let why = line["why"].as_array().unwrap();
        let named = |place: &Value| [&table, &segment].iter().any(|path| place["file"] == path.display().to_string());
        assert!(!why.is_empty() && why.iter().all(named), "{line}");
    }
    assert!(missing.is_empty(), "missing, and not told: {missing:?}");
    let hashes = |lines: &[Value]| lines.iter().filter_map(|line| line["hash"].as_str().map(str::to_owned)).collect::<Vec<_>>();
    assert!(hashes(&after).iter().all(|hash| hashes(&before).contains(hash)));
    assert!(after.iter().all(|line| line["chain"] != "broken") && after.iter().any(|line| line["chain"] == "after_gap"));
    assert_eq!([&table, &segment].map(|path| fs::read(path).unwrap()).to_vec(), damaged, "the data is left as it was");
    assert!(!out.with_file_name("salvaged.scratch").exists());
    let again = run(&server, &["export", "--salvage"], Some(&out));
    assert!(!again.status.success() && words(&again).contains("is there already"), "{}", words(&again));
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_doctor_names_each_damaged_place_and_says_what_it_means_and_what_to_do() {
    let (mut server, _world, _) = exported().await;
    let places = || -> Vec<(String, u64, String)> {
        let told = run(&server, &["--json", "doctor"], None);
        let found: Value = serde_json::from_slice(&told.stdout).unwrap();
        let damaged = found.as_array().unwrap().iter().filter(|finding| finding["what"] == "damage");
        let place = |finding: &Value| {
            let text = |field: &str| finding[field].as_str().unwrap().to_owned();
            (text("file"), finding["at_byte"].as_u64().unwrap(), text("words"))
        };
        damaged.map(place).collect()
    };
    assert_eq!(places(), []);
    let [table, segment] = table_and_segment(&server);
    let whole = [&table, &segment].map(|path| fs::read(path).unwrap());
    let list = server.data().join("store/tables/09-credential/current");
    let credential = fs::read(&list).unwrap();

    change(&table, |bytes| bytes[10 * PAGE + 100] ^= 1);
    let found = places();
    assert!(found.len() == 1 && found[0].0 == table.display().to_string(), "{found:?}");
    assert!(found[0].1 <= 10 * PAGE as u64 + 100 && found[0].1 + 2 * PAGE as u64 > 10 * PAGE as u64, "{found:?}");
    assert!(found[0].2.contains("messages"), "{found:?}");

    change(&segment, |bytes| bytes[PAGE + 40] ^= 1);
    change(&list, |bytes| bytes[0] ^= 1);
    let found = places();
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(
        found
            .iter()
            .any(|(file, at, words)| *file == segment.display().to_string() && *at == PAGE as u64 && words.contains("acknowledged"))
    );
    assert!(found.iter().any(|(file, _, words)| file.contains("09-credential") && words.contains("passwords")), "{found:?}");
    let told = run(&server, &["doctor"], None);
    assert_eq!(told.status.code(), Some(1));
    for word in ["WRONG", "what to do", "chirrup restore", "chirrup export --salvage"] {
        assert!(words(&told).contains(word), "{word}: {}", words(&told));
    }
    fs::write(&table, &whole[0]).unwrap();
    fs::write(&segment, &whole[1]).unwrap();
    fs::write(&list, credential).unwrap();
    assert!(run(&server, &["doctor"], None).status.success(), "all is well again");
    server.start_again();
}
