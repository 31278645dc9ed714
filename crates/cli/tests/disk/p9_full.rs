//! P9: whatever finds no room is refused with a clear error and never appears, reads go on, and the
//! server takes everything again by itself once there is room.

use rustix::io::Errno;

use crate::faults::{CREATE, Effect, Fault, Faults, GROW, WRITE};
use crate::people::Chat;
use crate::process::{Served, Site};
use crate::raw::Connection;
use crate::support::until_async;

/// Sends until one is refused, at most so many; the code.
async fn send_until_refused(chat: &mut Chat, sender: &mut Connection, most: usize) -> Option<String> {
    for _ in 0..most {
        if let Err(code) = chat.send(sender, 3_000).await {
            return Some(code);
        }
    }
    None
}

/// That all goes on by itself, once there is room.
async fn recovers(chat: &mut Chat, sender: &mut Connection, served: &Served, what: &str) {
    chat.send_until_taken(sender, 100, 1).await;
    until_async(&format!("health is good again after {what}"), async || served.is_ready()).await;
}

/// From each of the first calls of a kind on there is no room, for a while.
async fn no_room_from_each(calls: u64, path: &'static str, most: u64) {
    let mut site = Site::new();
    let Some(faults) = site.faults() else { return };
    let served = site.serve();
    let mut chat = Chat::begin(served.address).await;
    let mut sender = chat.sender(served.address).await;
    let mut refusals = 0;
    for _ in 0..10 {
        chat.send(&mut sender, 100).await.expect("nothing is wrong yet");
    }
    for skip in 0..most {
        faults.spoil(Fault { path, skip, ..Fault::ever(calls, Effect::FailHalfway(Errno::NOSPC)) });
        let refused = send_until_refused(&mut chat, &mut sender, 60).await;
        let what = format!("the {skip}th call of {calls:#b} and {} more failed on {}", faults.spoilt(), faults.last());
        if let Some(code) = &refused {
            refusals += 1;
            assert_eq!(code, "storage_full", "{what}\n{:?}\n{}", served.ask("/readyz"), site.log());
            // A deletion may find room or not, and says so.
            let deleted = chat.delete_one(&mut sender).await;
            assert!(deleted.is_ok() || deleted == Err("storage_full".to_owned()), "{deleted:?}, {what}");
        }
        assert_eq!(served.ask("/readyz").0, 200, "{what}\n{}", site.log());
        chat.check(served.address).await;
        faults.lift();
        recovers(&mut chat, &mut sender, &served, &what).await;
    }
    println!("{refusals} of {most} rounds met a refusal, {} messages were acked", chat.acked());
    assert!(refusals > 0);
    chat.check(served.address).await;
    served.kill();
    let served = site.serve();
    chat.check(served.address).await;
    assert!(served.stop().success());
    let served = site.serve();
    chat.check(served.address).await;
}

#[tokio::test]
async fn p9_no_room_at_any_write() {
    no_room_from_each(WRITE | GROW, "", 40).await;
}

#[tokio::test]
async fn p9_no_room_for_anything_that_grows() {
    no_room_from_each(GROW, "", 25).await;
}

#[tokio::test]
async fn p9_no_room_for_tables() {
    no_room_from_each(WRITE | GROW, "/store/tables/", 25).await;
}

/// That without new files for a long time all goes on as far as it can, and all of it when there
/// can be files again.
#[tokio::test]
async fn p9_no_inodes() {
    let mut site = Site::new();
    let Some(faults) = site.faults() else { return };
    let served = site.serve();
    let mut chat = Chat::begin(served.address).await;
    let mut sender = chat.sender(served.address).await;
    for round in 0..3 {
        faults.spoil(Fault::ever(CREATE, Effect::Fail(Errno::NOSPC)));
        let refused = send_until_refused(&mut chat, &mut sender, 200).await;
        assert_eq!(refused.as_deref(), Some("storage_full"));
        for _ in 0..5 {
            // What memory holds may find its place in tables that there are.
            let sent = chat.send(&mut sender, 3_000).await;
            assert!(sent.is_ok() || sent == Err("storage_full".to_owned()), "{sent:?}");
        }
        chat.check(served.address).await;
        faults.lift();
        recovers(&mut chat, &mut sender, &served, &format!("no files, round {round}")).await;
    }
    merging_goes_on(&mut chat, &mut sender, &site, &faults).await;
    served.kill();
    chat.check(site.serve().address).await;
}

/// That files are merged: otherwise there would be one more for each part of the log.
async fn merging_goes_on(chat: &mut Chat, sender: &mut Connection, site: &Site, faults: &Faults) {
    faults.spoil(Fault::ever(CREATE, Effect::Slow(0)));
    let files = || std::fs::read_dir(site.data().join("store/tables/01-event/tables")).unwrap().count();
    for _ in 0..10 {
        chat.send_until_taken(sender, 3_000, 40).await;
        if files() <= 8 {
            return;
        }
    }
    panic!("{} files of events are not merged after {} new files", files(), faults.seen());
}
