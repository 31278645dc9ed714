//! P9 on small file systems of their own, where they may be mounted: without room, without inodes,
//! and read-only.

use crate::mount::Mount;
use crate::people::Chat;
use crate::process::Site;
use crate::support::until_async;

/// Of a small file system.
const INODES: usize = 400;

#[tokio::test]
async fn p9_a_full_disk_takes_deletions_and_everything_again_when_there_is_room() {
    let Some(disk) = Mount::new("size=24m") else { return };
    // The room that is left of a segment must do for a few starts, whatever becomes of the reserve.
    let sizes = [("segment", "1048576"), ("log", "4194304"), ("low_water", "3145728"), ("reserve", "1048576")];
    let site = sizes.iter().fold(Site::at(&disk.at("data")), |site, (of, bytes)| site.with(&format!("store.{of}_bytes"), bytes));
    let served = site.serve();
    let mut chat = Chat::begin(served.address).await;
    let mut sender = chat.sender(served.address).await;
    for _ in 0..40 {
        chat.send(&mut sender, 3_000).await.expect("there is room");
    }
    disk.fill("others");
    let mut refused = None;
    for _ in 0..40 {
        refused = refused.or(chat.send(&mut sender, 3_000).await.err());
    }
    assert_eq!(refused.as_deref(), Some("storage_full"));
    for n in 0..30 {
        assert_eq!(chat.delete_one(&mut sender).await, Ok(()), "deletion {n}: {:?}", served.ask("/readyz"));
        assert_eq!(chat.send(&mut sender, 3_000).await, Err("storage_full".to_owned()));
    }
    let (status, words) = served.ask("/readyz");
    assert!(status == 200 && words.contains("the disk is full"), "{status} {words}");
    assert_eq!(served.figure("chirrup_store_full"), 1);
    chat.check(served.address).await;

    // Not even a start needs room, whatever the one before has left.
    let mut served = served;
    for (killed, more) in [(true, "more"), (false, "and more")] {
        if killed {
            served.kill();
        } else {
            assert!(served.stop().success());
        }
        disk.fill(more);
        served = site.serve();
        chat.check(served.address).await;
        sender = chat.sender(served.address).await;
        assert_eq!(chat.send(&mut sender, 3_000).await, Err("storage_full".to_owned()));
        assert_eq!(chat.delete_one(&mut sender).await, Ok(()));
    }
    for file in ["others", "more", "and more"] {
        std::fs::remove_file(disk.at(file)).unwrap();
    }
    chat.send_until_taken(&mut sender, 3_000, 1).await;
    until_async("health is good again", async || served.is_ready()).await;
    assert_eq!(served.figure("chirrup_store_full"), 0);
    chat.check(served.address).await;
    assert!(served.stop().success());
    chat.check(site.serve().address).await;
}

#[tokio::test]
async fn p9_without_inodes_it_goes_on_by_itself_when_there_are_some() {
    let Some(disk) = Mount::new(&format!("size=64m,nr_inodes={INODES}")) else { return };
    let site = Site::at(&disk.at("data"));
    let served = site.serve();
    let mut chat = Chat::begin(served.address).await;
    let mut sender = chat.sender(served.address).await;
    let taken = (0..INODES).take_while(|n| std::fs::File::create(disk.at(&format!("taken-{n}"))).is_ok()).count();
    let mut refused = None;
    for _ in 0..200 {
        refused = refused.or(chat.send(&mut sender, 3_000).await.err());
    }
    assert_eq!(refused.as_deref(), Some("storage_full"));
    chat.check(served.address).await;
    for n in 0..taken {
        std::fs::remove_file(disk.at(&format!("taken-{n}"))).unwrap();
    }
    chat.send_until_taken(&mut sender, 3_000, 100).await;
    until_async("health is good again", async || served.is_ready()).await;
    served.kill();
    chat.check(site.serve().address).await;
}

#[tokio::test]
async fn p9_on_a_read_only_disk_it_does_not_start_and_says_why() {
    let Some(disk) = Mount::new("size=64m") else { return };
    let site = Site::at(&disk.at("data"));
    let served = site.serve();
    let mut chat = Chat::begin(served.address).await;
    let mut sender = chat.sender(served.address).await;
    for _ in 0..20 {
        chat.send(&mut sender, 100).await.expect("nothing is wrong yet");
    }
    served.kill();
    disk.again("ro");
    let refused = site.start().err().expect("it cannot keep anything");
    assert!(refused.status.code().is_some(), "{refused:?}");
    assert!(refused.why.contains("Read-only file system") && refused.why.contains(disk.path().to_str().unwrap()), "{refused:?}");
    disk.again("rw");
    chat.check(site.serve().address).await;
}
