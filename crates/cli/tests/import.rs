//! `chirrup import irc` against a real server process: everything that the logs hold is there, in
//! order, once, by every way of reading, whatever was killed on the way.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "import/archive.rs"]
mod archive;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use chirrup_client::Client;
use chirrup_core::ids::{ConversationId, Ordinal};
use chirrup_protocol::request::{Conversations, Find};
use rustix::process::Signal;
use serde_json::Value;

use archive::{Conversation, Told};
use support::{Server, collected, end, json, output, signal, workspace};

const ADMINISTRATOR: &str = "root";

fn samples() -> PathBuf {
    workspace().join("tests/data/irc")
}

fn server() -> Server {
    let server = Server::start();
    server.sign_up_administrator(ADMINISTRATOR);
    server
}

fn import(server: &Server, folder: &Path) -> Value {
    server.json(ADMINISTRATOR, &["import", "irc", folder.to_str().unwrap()])
}

async fn read(server: &Server, report: &Value) -> Vec<Conversation> {
    archive::read(&server.client(ADMINISTRATOR).await, report).await
}

/// One way of reading.
type Way = fn(&Conversation) -> &[Told];

/// Everything in these logs is there, by every way of reading, and nothing else.
async fn check(server: &Server, folder: &Path, report: &Value, conversations: &[Conversation]) {
    let Some(expected) = archive::second_reader(folder, "--said") else { return };
    let authors: BTreeSet<_> = conversations.iter().flat_map(|c| c.events.iter().map(|told| told.author)).collect();
    let nicks = archive::nicks(&server.client(ADMINISTRATOR).await, authors).await;
    let ways: [(&str, Way); 3] = [("sync", |c| &c.events), ("history forward", |c| &c.forward), ("history backward", |c| &c.backward)];
    for (way, of) in ways {
        let mut records = BTreeMap::new();
        for conversation in conversations {
            records.extend(archive::records(folder, report, &nicks, &conversation.title, of(conversation)));
        }
        let mut found = expected.lines();
        for record in records.values() {
            assert_eq!(Some(record.trim_end_matches('\n')), found.next(), "by {way}");
        }
        assert_eq!(found.next(), None, "by {way} it is missing");
        let all: String = records.into_values().collect();
        assert!(all == expected);
        println!("by {way}: {} messages, BLAKE3 {}", expected.lines().count(), blake3::hash(all.as_bytes()));
    }
}

/// The heads of all groups, with the digests of their chains there, are those of what was read.
async fn unchanged(server: &Server, report: &Value, conversations: &[Conversation]) {
    let read: Vec<_> = conversations.iter().map(|c| (c.title.clone(), c.head, c.chain.clone())).collect();
    assert_eq!(archive::heads(&server.client(ADMINISTRATOR).await, report).await, read);
}

fn total(report: &Value, what: &str) -> u64 {
    report["total"][what].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_taken_over_and_read_back_equal() {
    let folder = collected("irc").unwrap_or_else(samples);
    let mut server = server();
    let report = import(&server, &folder);
    println!("{}", report["total"]);
    for line in report["unparsed"].as_array().unwrap() {
        println!("not understood: {line}");
    }
    let messages = report["groups"].as_array().unwrap().iter().map(|group| group["messages"].as_u64().unwrap()).sum::<u64>();
    assert_eq!((total(&report, "imported"), total(&report, "already"), total(&report, "refused")), (messages, 0, 0));
    assert_eq!(report["left"], 0);

    let conversations = read(&server, &report).await;
    check(&server, &folder, &report, &conversations).await;
    times_are_those_of_the_logs(&report, &conversations);

    server.kill();
    server.start_again();
    assert!(read(&server, &report).await == conversations, "nothing differs after a restart");

    let again = import(&server, &folder);
    assert_eq!((total(&again, "imported"), total(&again, "already"), &again["left"]), (0, messages, &Value::from(0)));
    unchanged(&server, &again, &conversations).await;
}

/// A log whose name is a day holds messages of that day, in any zone.
fn times_are_those_of_the_logs(report: &Value, conversations: &[Conversation]) {
    let Some(channel) = conversations.iter().find(|c| c.title == "duraspace") else { return };
    let first = channel.events.iter().map(|told| told.original_time).min().unwrap();
    let last = channel.events.iter().map(|told| told.original_time).max().unwrap();
    let days = |edge: fn(&mut dyn Iterator<Item = String>) -> Option<String>| {
        let files = report["files"].as_array().unwrap().iter().filter(|file| file["channel"] == "duraspace" && file["speakers"] != 0);
        edge(&mut files.map(|file| file["name"].as_str().unwrap()[..10].to_owned())).unwrap()
    };
    let day = |time: u64| chirrup_protocol::text::time::format(time)[..10].to_owned();
    assert_eq!((day(first), day(last)), (days(|names| names.min()), days(|names| names.max())));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_in_the_middle_the_end_is_the_same() {
    let made_up = made_up();
    let folder = collected("irc/ubuntu-disentanglement/test").unwrap_or_else(|| made_up.path().to_owned());
    let mut server = server();
    let client = server.client(ADMINISTRATOR).await;
    let begin = |server: &Server| {
        let mut command = server.chirrup(ADMINISTRATOR);
        command.args(["--json", "import", "irc", folder.to_str().unwrap()]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };

    // The import, with -9.
    let mut child = begin(&server);
    some_more(&client).await;
    child.kill().unwrap();
    child.wait().unwrap();

    // The server, with -9: the import waits for it, goes on, and is stopped by hand.
    let mut child = begin(&server);
    some_more(&client).await;
    server.kill();
    server.start_again();
    some_more(&client).await;
    signal(&child, Signal::INT);
    let status = end(&mut child);
    let said = child.wait_with_output().unwrap();
    assert_eq!(status.code(), Some(1));
    let report = json(&said);
    assert!(report["left"].as_u64().unwrap() > 0, "stopped in the middle");
    assert!(String::from_utf8_lossy(&said.stderr).contains("the same command goes on"));

    let journal = server.profiles().join(format!("{ADMINISTRATOR}.import.journal"));
    assert!(fs::metadata(&journal).unwrap().len() > 0);
    let report = import(&server, &folder);
    assert_eq!((&report["left"], total(&report, "refused")), (&Value::from(0), 0));
    assert!(total(&report, "imported") > 0 && total(&report, "already") > 0);
    let conversations = read(&server, &report).await;
    check(&server, &folder, &report, &conversations).await;

    fs::remove_file(&journal).unwrap();
    let again = import(&server, &folder);
    assert_eq!(total(&again, "imported"), 0, "without the journal the server knows what it has");
    assert_eq!(total(&again, "already"), total(&report, "imported") + total(&report, "already"));
    unchanged(&server, &again, &conversations).await;
}

/// How many messages the fullest of one's conversations has.
async fn messages(client: &Client) -> Ordinal {
    let list = client.request(Conversations { after: None, limit: 100 }).await.unwrap().conversations;
    list.iter().filter_map(|conversation| conversation.last_message.as_ref()?.ordinal).max().unwrap_or(0)
}

/// Waits until there are some more messages.
async fn some_more(client: &Client) {
    let before = messages(client).await;
    let wait = async { while messages(client).await < before + 300 {} };
    tokio::time::timeout(support::PATIENCE, wait).await.expect("messages come in");
}

/// A folder with these logs.
fn logs(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

/// Ten thousand messages of a hundred people, where real ones are missing.
fn made_up() -> tempfile::TempDir {
    let said = |day: u32, line: u32| format!("[{:02}:{:02}] <p{}> {day}.{line}\n", line / 60 % 24, line % 60, line * day % 100);
    let text = |day: u32| (0..1_000).map(|line| said(day, line)).collect::<String>();
    let files: Vec<_> = (11..21).map(|day| (format!("c/2011-01-{day}.log"), text(day))).collect();
    logs(&files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect::<Vec<_>>())
}

fn only(mut conversations: Vec<Conversation>) -> Conversation {
    assert_eq!(conversations.len(), 1);
    conversations.pop().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_over_is_told_and_the_rest_is() {
    let server = server();
    let long = "x".repeat(8_193);
    let log = format!("[09:00] <ann> before\n[09:01] <ann> {long}\nnot a line\n[09:02] <ann> after\n");
    let folder = logs(&[("c/2011-01-01.log", &log), ("c/undated.log", "[09:00] <ann> when\n"), ("c/README.md", "about\n")]);
    for already in [0, 2] {
        let report = import(&server, folder.path());
        let counts = ["lines", "unparsed", "refused", "already", "imported"].map(|what| total(&report, what));
        assert_eq!(counts, [5, 1, 2, already, 2 - already]);
        let place = |what: &str, n: usize| {
            let line = &report[what][n];
            (Path::new(line["place"].as_str().unwrap()).file_name().unwrap().to_str().unwrap().to_owned(), line["code"].clone())
        };
        assert_eq!(place("refused", 0), ("2011-01-01.log:2".to_owned(), "text_refused".into()));
        assert_eq!(place("refused", 1), ("undated.log:1".to_owned(), "no_date".into()));
        assert_eq!(place("unparsed", 0), ("2011-01-01.log:3".to_owned(), Value::Null));
        assert_eq!(report["not_logs"].as_array().unwrap().len(), 1);
        let texts: Vec<_> = only(read(&server, &report).await).events.into_iter().map(|told| told.text).collect();
        assert_eq!(texts, ["before", "after"]);
    }
    let words = output(server.chirrup(ADMINISTRATOR).args(["import", "irc"]).arg(folder.path()));
    let words = String::from_utf8(words.stdout).unwrap();
    assert!(words.contains("2011-01-01.log:2: refused: the text is too long"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nick_is_one_person_and_takes_nobody_elses_name() {
    let server = server();
    server.sign_up("ann");
    let folder = logs(&[
        ("c/2011-01-01.log", "[09:00] <Ann> a\n[09:01] <BOB> b\n[09:02] <bob> c\n[09:03] <pau1> d\n[09:04] <paul> e\n[09:05] <g~x> f\n"),
        ("d/2011-01-02.log", "[09:00]  * ann g\n"),
    ]);
    let report = import(&server, folder.path());
    let marked: Vec<_> =
        report["marked"].as_array().unwrap().iter().map(|m| [&m["nick"], &m["name"]].map(|v| v.as_str().unwrap())).collect();
    assert_eq!(marked, [["Ann", "Ann.irc"], ["paul", "paul.irc"]], "whoever looks like another gives way to who came first");

    let later = logs(&[("e/2011-01-03.log", "[09:00] <Bob> h\n[09:01] <bOB> i\n[09:02] <ANN> j\n[09:03] <PAUL> k\n")]);
    let after = import(&server, later.path());
    let client = server.client(ADMINISTRATOR).await;
    let mut authors = BTreeMap::new();
    for conversation in archive::read(&client, &report).await.into_iter().chain(archive::read(&client, &after).await) {
        authors.extend(conversation.events.into_iter().map(|told| (told.text, told.author)));
    }
    let same = [["a", "g"], ["a", "j"], ["b", "c"], ["b", "h"], ["b", "i"], ["e", "k"]];
    assert!(same.iter().all(|[one, other]| authors[*one] == authors[*other]), "however it is written, in whichever import: {authors:?}");
    assert_eq!(authors.values().collect::<BTreeSet<_>>().len(), 5);
    let ann = client.request(Find { name: "ann".to_owned() }).await.unwrap().user;
    assert!(!authors.values().any(|author| *author == ann), "nothing is said in the name of somebody who is here");
    assert_eq!(client.request(Find { name: "g_x".to_owned() }).await.unwrap().user, authors["f"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_are_groups_unless_all_goes_into_one() {
    let server = server();
    let several = "rust 2011-01-01 [09:00:00] <ann> a\ngo 2011-01-01 [09:00:01] <ann> b\nrust 2011-01-01 [09:00:02] <bob> c\n";
    let folder = logs(&[("c/several.txt", several), ("c/2010-12-31.log", "[09:00] <cid> d\n")]);
    let texts = |conversation: &Conversation| conversation.events.iter().map(|told| told.text.clone()).collect::<Vec<_>>().concat();
    let titles = |all: &[Conversation]| all.iter().map(|c| (c.title.clone(), texts(c))).collect::<Vec<_>>();
    let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>();

    let report = import(&server, folder.path());
    assert_eq!(titles(&read(&server, &report).await), pairs(&[("c", "d"), ("go", "b"), ("rust", "ac")]));
    let path = folder.path().to_str().unwrap();
    let report = server.json(ADMINISTRATOR, &["import", "irc", path, "--into", "All of it"]);
    assert_eq!(titles(&read(&server, &report).await), pairs(&[("All of it", "dabc")]));
    assert_eq!(report["marked"], Value::Array(Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_taken_over_if_wanted() {
    let server = server();
    let log = "[09:00] <ann> a\n=== x [x@y] has joined #c\n[09:01] <bob> b\n[09:02] <cid> c\n[09:03] <ann> d\n";
    let folder = logs(&[("c/2011-01-01.raw.txt", log), ("c/2011-01-01.annotation.txt", "0 0 -\n0 2 -\n2 3 -\n1 4 -\n")]);
    let path = folder.path().to_str().unwrap();
    for imported in [4, 0] {
        let report = server.json(ADMINISTRATOR, &["import", "irc", "--replies", path]);
        assert_eq!((total(&report, "imported"), total(&report, "already")), (imported, 4 - imported));
        let told = only(read(&server, &report).await).events;
        let seqs: Vec<_> = told.iter().map(|told| told.seq).collect();
        let answers: Vec<_> = told.iter().map(|told| told.reply_to).collect();
        assert_eq!(answers, [None, Some(seqs[0]), Some(seqs[1]), None], "line 4 answers a join, which is no message");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_administrators_import() {
    let server = server();
    server.sign_up("eve");
    let folder = logs(&[("c/2011-01-01.log", "[09:00] <ann> a\n")]);
    let ended = server.chirrup("eve").args(["import", "irc"]).arg(folder.path()).output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("only an administrator"));
    let ended = server.chirrup(ADMINISTRATOR).args(["import", "irc"]).arg(folder.path().join("absent")).output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let ended = server.chirrup("nobody").args(["import", "irc"]).arg(folder.path()).output().unwrap();
    assert_eq!(ended.status.code(), Some(5));
    let client = server.client(ADMINISTRATOR).await;
    let none: Vec<ConversationId> =
        client.request(Conversations { after: None, limit: 100 }).await.unwrap().conversations.iter().map(|c| c.conversation).collect();
    assert_eq!(none, []);
}
