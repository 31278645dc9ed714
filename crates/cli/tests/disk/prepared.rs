//! Data with something of every kind in it, as a server leaves it, and what people are told from it.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::people::sign_up;
use crate::process::{Served, Site};
use crate::raw::{Connection, User, client_id, message, seq};
use crate::record::{self, Extent, Record};

/// Frames of the log begin at multiples of this, and with these bytes, then the bytes of payload.
const FRAME_ALIGN: usize = 4096;
const FRAME_MAGIC: &[u8] = b"chfr";
const FRAME_HEADER: usize = 32;

/// Data that no server runs on.
pub struct Prepared {
    pub site: Site,
    pub extent: Extent,
    /// What everybody is told.
    pub told: Record,
    /// What everybody would be told without the last frame of the log, where that may be taken for
    /// a commit that was not finished.
    pub told_without_last: Option<Record>,
    /// The newest segment of the log, below the data, and where its last frame is.
    pub tail: (PathBuf, Range<usize>),
}

/// Sends after which the log may be full.
const LAST_SENDS_MAX: usize = 5;

impl Prepared {
    /// After a kill: the last frame is that of the last send.
    pub async fn killed() -> Self {
        let (site, extent) = written().await;
        // Nothing else is written from here on.
        let site = site.quiet();
        for _ in 0..LAST_SENDS_MAX {
            let served = site.serve();
            let mut ana = extent.people[0].1.connect(served.address).await.expect("a session");
            let last = ana.send(&extent.conversations[0], "the last words").await;
            served.kill();
            let tail = tail(site.data());
            let torn = Site::copy_of(site.data()).quiet();
            let path = torn.data().join(&tail.0);
            let mut bytes = fs::read(&path).unwrap();
            bytes[tail.1.clone()].fill(0);
            fs::write(&path, bytes).unwrap();
            match torn.start() {
                Ok(served) => served.kill(),
                // With that send the log was full, and tables were written: it cannot be torn off any more.
                Err(refused) if refused.why.contains("holds rows of frame") => continue,
                Err(refused) => panic!("it did not start: {refused:?}"),
            }
            let told = told(&site, &extent).await;
            let without = self::told(&torn, &extent).await;
            assert_eq!((head(&told, &extent), head(&without, &extent)), (last, last - 1), "the last frame is that of the last send");
            return Self { site, extent, told, told_without_last: Some(without), tail };
        }
        panic!("tables were written after each of {LAST_SENDS_MAX} sends");
    }

    /// After a stop in good order: nothing may be taken for unfinished.
    pub async fn stopped() -> Self {
        let (site, extent) = written().await;
        assert!(site.serve().stop().success());
        let told = told(&site, &extent).await;
        let tail = tail(site.data());
        Self { site, extent, told, told_without_last: None, tail }
    }
}

/// What is told from a copy of this data.
async fn told(site: &Site, extent: &Extent) -> Record {
    let copy = Site::copy_of(site.data()).quiet();
    let served = copy.serve();
    record::everything(served.address, extent).await
}

/// The head of the first conversation, as recorded.
fn head(record: &Record, extent: &Extent) -> u64 {
    let question = format!("ana asks conversation {}", json!({"conversation": extent.conversations[0]}));
    record[&question].as_ref().unwrap()["head"].as_u64().unwrap()
}

/// The newest segment and its last frame.
fn tail(data: &Path) -> (PathBuf, Range<usize>) {
    let names = fs::read_dir(data.join("store/log")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let newest = names.filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "log")).max().unwrap();
    let path = PathBuf::from("store/log").join(newest);
    let bytes = fs::read(data.join(&path)).unwrap();
    let mut last = 0..0;
    let mut at = FRAME_ALIGN;
    while bytes.get(at..at + FRAME_HEADER).is_some_and(|header| header.starts_with(FRAME_MAGIC)) {
        let payload = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
        last = at..at + FRAME_HEADER + payload;
        at += (FRAME_HEADER + payload).next_multiple_of(FRAME_ALIGN);
    }
    assert!(!last.is_empty(), "there is a frame");
    (path, last)
}

/// Everything that people can do, done.
async fn written() -> (Site, Extent) {
    let site = Site::new();
    let served = site.serve();
    let mut people = Vec::new();
    for name in ["ana", "ben", "cleo"] {
        people.push((name, sign_up(served.address, name).await));
    }
    let (ana, ben, cleo) = (&people[0].1, &people[1].1, &people[2].1);
    let mut owner = ana.connect(served.address).await.expect("a session");
    owner.ok("redeem_first_code", json!({"client_id": client_id(), "code": served.first_code})).await;
    let all = owner.group(&[ben, cleo]).await;
    let with = json!({"client_id": client_id(), "with": ben.id});
    let direct = owner.ok("create_direct", with).await["conversation"].as_str().unwrap().to_owned();
    let made = json!({"client_id": client_id(), "title": "later", "members": [ben.id], "history": "from_join", "leaver": "loses"});
    let later = owner.ok("create_group", made).await["conversation"].as_str().unwrap().to_owned();
    let mut threads = Vec::new();
    for round in 0..12 {
        threads = talk(&mut owner, &served, ben, &all, &direct, round).await;
        for n in 0..6 {
            owner.send(&later, &format!("later {round} {n}")).await;
        }
    }
    comings_and_goings(&mut owner, ben, cleo, &later).await;
    drop(owner);
    // Frames enough that the tables of every kind of row are written.
    let mut ben = ben.connect(served.address).await.expect("a session");
    for n in 0..60 {
        ben.send(&all, &format!("and then, {n}, {}", "x".repeat(n * 40))).await;
    }
    served.kill();
    (site, Extent { people, conversations: vec![all, direct, later], threads })
}

/// A piece of talk between two; messages with threads.
async fn talk(owner: &mut Connection, served: &Served, ben: &User, all: &str, direct: &str, round: u64) -> Vec<u64> {
    let mut other = ben.connect(served.address).await.expect("a session");
    let first = owner.send(all, &format!("round {round} begins")).await;
    let of = |extra: &[(&str, Value)]| {
        let mut params = message(all, &format!("round {round}: an answer"));
        for (key, value) in extra {
            params[*key] = value.clone();
        }
        params
    };
    other.ok("send", of(&[("reply_to", first.into())])).await;
    other.ok("send", of(&[("thread_root", first.into())])).await;
    other.ok("send", of(&[("mention_all", true.into())])).await;
    let mentions = seq(&owner.ok("send", of(&[("mentions", json!([ben.id]))])).await);
    let deleted = owner.send(all, "said too much").await;
    let on = |target: u64| json!({"client_id": client_id(), "conversation": all, "target": target});
    let mut edited = on(mentions);
    edited["text"] = format!("round {round}: rather this").into();
    owner.ok("edit", edited).await;
    owner.ok("delete", on(deleted)).await;
    let mut reacted = on(first);
    reacted["emoji"] = "👍".into();
    other.ok("react", reacted).await;
    owner.send(direct, &format!("between us, {round}")).await;
    for (method, at) in [("read", first), ("delivered", mentions)] {
        other.ok(method, json!({"conversation": all, "seq": at})).await;
    }
    vec![first]
}

/// Members and devices that come and go, and settings.
async fn comings_and_goings(owner: &mut Connection, ben: &User, cleo: &User, later: &str) {
    let of = |extra: Value| {
        let mut params = json!({"client_id": client_id(), "conversation": later});
        params.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        params
    };
    owner.ok("add_members", of(json!({"users": [cleo.id]}))).await;
    owner.ok("set_role", of(json!({"user": cleo.id, "role": "owner"}))).await;
    owner.send(later, "welcome").await;
    owner.ok("remove_member", of(json!({"user": ben.id}))).await;
    owner.ok("set_title", of(json!({"title": "much later"}))).await;
    owner.ok("mute", of(json!({"muted": true}))).await;
    owner.ok("mark_unread", of(json!({"marked": true}))).await;
    owner.ok("set_profile", json!({"client_id": client_id(), "display_name": "Ana the First"})).await;
}
