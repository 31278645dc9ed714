//! P13: data of every format that was ever written opens and reads equal; data of another format is
//! refused before anything is touched, and so is data that another process has open.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;

use chirrup_store::embedded::{EmbeddedKv, EmbeddedOptions, FORMAT};
use serde_json::{Value, json};

use crate::log;
use crate::raw::{Connection, User, server};
use crate::support::{PASSWORD, Server, end, output, workspace};
use crate::world::World;

/// The store directory of a server that was killed, with rows in tables and in the log.
const STORE: &str = "store.tar.gz";
/// Messages in each group of it, before some more in one of them.
const MESSAGES: usize = 6;
/// Who is in it, and the digest of what it reads.
const KNOWN: &str = "known.json";

fn run(server: &Server, arguments: &[&str]) -> Output {
    let mut command = server.chirrup("operator");
    command.args(arguments).arg("--data").arg(server.data());
    command.output().unwrap()
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The digest of every event's place, hash and text, in the order of an export; the hash covers all
/// that an event says for ever, whatever the export says of it in a later version.
fn digest(server: &Server) -> String {
    let out = server.data().with_file_name("export");
    output(server.chirrup("operator").arg("export").arg(&out).arg("--data").arg(server.data()));
    let mut digest = blake3::Hasher::new();
    for line in fs::read_to_string(&out).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        for field in ["log", "id", "seq", "hash", "text"].iter().filter(|_| line.get("log").is_some()) {
            digest.update(line[field].to_string().as_bytes()).update(b"\n");
        }
    }
    fs::remove_file(out).unwrap();
    digest.finalize().to_string()
}

/// Makes what is kept of the present format: once, when the format is new.
async fn keep(dir: &Path) {
    // Short segments, so that what is in tables leaves the log.
    let settings = [("store.segment_bytes", "65536"), ("store.low_water_bytes", "0"), ("store.reserve_bytes", "0")];
    let mut server = Server::start_with(&settings);
    let mut world = World::talk_of(&server, MESSAGES).await;
    server.stop();
    let kv = EmbeddedKv::open(&server.data().join("store"), EmbeddedOptions::small()).unwrap();
    kv.checkpoint().unwrap();
    drop(kv);
    server.start_again();
    world.say_more(&server).await;
    server.kill();
    fs::create_dir_all(dir).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0"]);
    tar.args(["--exclude=RESERVE", "--exclude=spare-*", "--exclude=unfinished*", "-I", "gzip -9", "-cf"]);
    output(tar.arg(dir.join(STORE)).arg("-C").arg(server.data()).arg("store"));
    let tokens: Vec<&str> = world.users.iter().map(|user| user.token.as_str()).collect();
    let known = json!({"tokens": tokens, "conversations": world.conversations, "digest": digest(&server)});
    fs::write(dir.join(KNOWN), format!("{known:#}\n")).unwrap();
}

/// A client id that nothing that is kept was sent under: the process that sent it counted from 1, too.
fn unused_id(n: u64) -> String {
    format!("01936b2e-8f3c-7c4e-b1a2-f{n:011x}")
}

/// Puts what is kept in the place of a server's data.
fn unpack(server: &mut Server, dir: &Path) {
    server.kill();
    fs::remove_dir_all(server.data()).unwrap();
    fs::create_dir(server.data()).unwrap();
    output(Command::new("tar").arg("-xzf").arg(dir.join(STORE)).arg("-C").arg(server.data()));
}

#[tokio::test(flavor = "multi_thread")]
async fn p13_data_of_every_format_that_is_kept_opens_and_reads_equal() {
    let all = workspace().join("tests/data");
    let present = all.join(format!("format-{FORMAT}"));
    if !present.exists() {
        keep(&present).await;
        panic!("{} is new: look at it, and keep it with the change of the format", present.display());
    }
    let formats = fs::read_dir(all).unwrap().map(|entry| entry.unwrap().path());
    for dir in formats.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("format-")) {
        let known: Value = serde_json::from_slice(&fs::read(dir.join(KNOWN)).unwrap()).unwrap();
        let mut server = server();
        unpack(&mut server, &dir);
        assert_eq!(digest(&server), known["digest"], "{}", dir.display());
        // As it was left by the kill once more, for the server to open.
        server.start_again();
        unpack(&mut server, &dir);
        server.start_again();
        for (n, token) in (0..).zip(known["tokens"].as_array().unwrap()) {
            let device = User { id: String::new(), device: String::new(), token: token.as_str().unwrap().to_owned() };
            let mut connection = device.on(&server).await;
            let conversation = known["conversations"][0].as_str().unwrap();
            assert!(log::history(&mut connection, conversation).await.len() > MESSAGES, "the messages are there");
            let head = log::events(&mut connection, conversation).await.len() as u64;
            let send = json!({"client_id": unused_id(n), "conversation": conversation, "text": "and on"});
            assert_eq!(connection.ok("send", send).await["seq"], head + 1);
        }
        let mut connection = Connection::open(server.address).await.unwrap();
        connection.ok("log_in", json!({"client_id": unused_id(99), "name": "ana", "password": PASSWORD})).await;
        server.stop();
    }
}

/// Every file and directory below one: when it was changed, and what it holds.
fn state(dir: &Path) -> BTreeMap<PathBuf, (SystemTime, Vec<u8>)> {
    let mut found = BTreeMap::from([(dir.to_owned(), (fs::metadata(dir).unwrap().modified().unwrap(), Vec::new()))]);
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(state(&path));
        } else {
            found.insert(path.clone(), (fs::metadata(&path).unwrap().modified().unwrap(), fs::read(&path).unwrap()));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn p13_an_older_and_a_newer_format_are_refused_before_anything_is_touched() {
    let mut server = server();
    let world = World::talk(&server).await;
    server.stop();
    let format = server.data().join("store/FORMAT");
    let own = fs::read(&format).unwrap();
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("out").display().to_string();
    for found in ["0", "2", "1.1", "4294967296"] {
        fs::write(&format, format!("chirrup embedded store, format {found}\n")).unwrap();
        let before = state(&server.data());
        for arguments in [
            &["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"][..],
            &["backup", &out],
            &["export", &out],
            &["export", "--salvage", &out],
        ] {
            let refused = run(&server, arguments);
            let words = words(&refused);
            assert_eq!(refused.status.code(), Some(1), "{arguments:?}: {words}");
            assert!(words.contains(&format!("store format {found}; this version reads format {FORMAT}")), "{arguments:?}: {words}");
        }
        let told = run(&server, &["doctor"]);
        assert!(String::from_utf8_lossy(&told.stdout).contains(&format!("store format {found}")), "{told:?}");
        assert!(state(&server.data()) == before, "something was touched");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "something was made");
    }
    fs::write(&format, own).unwrap();
    server.start_again();
    world.assert_known(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p13_data_is_opened_once_and_the_lock_of_a_killed_process_is_no_obstacle() {
    let mut server = server();
    let world = World::talk(&server).await;
    let [serve, token] = ["serve.json", "admin.token"].map(|name| fs::read(server.data().join(name)).unwrap());
    let mut second = server.chirrup("operator");
    second.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data"]).arg(server.data());
    let mut second = second.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    assert_eq!(end(&mut second).code(), Some(1));
    let words = std::io::read_to_string(second.stderr.take().unwrap()).unwrap();
    assert!(words.contains("in use by another process"), "{words}");
    let now = ["serve.json", "admin.token"].map(|name| fs::read(server.data().join(name)).unwrap());
    assert!(now == [serve, token], "the first is still the one that is told of");
    world.assert_known(&server).await;
    server.kill();
    assert!(server.data().join("store/LOCK").exists());
    server.start_again();
    world.assert_known(&server).await;
}
