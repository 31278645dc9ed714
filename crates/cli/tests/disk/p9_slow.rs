//! P9: a slow disk makes everything slow, and no more: memory stays bounded, nothing is lost.

use crate::faults::{Effect, Fault, SYNC, WRITE};
use crate::people::Chat;
use crate::process::Site;

/// Sessions that send as much as they may.
const SESSIONS: usize = 8;
/// Sends of a session that wait for their answers at a time.
const WINDOW: usize = 32;
const ROUNDS: usize = 4;
/// What may live in the heap beside the store's cache: what is under way and no more.
const GROWTH_BYTES_MAX: u64 = 16 << 20;

#[tokio::test]
async fn p9_a_slow_disk_is_waited_for() {
    let mut site = Site::new();
    let Some(faults) = site.faults() else { return };
    let served = site.serve();
    let mut chat = Chat::begin(served.address).await;
    let before = served.figure("chirrup_heap_live_bytes");
    faults.spoil(Fault::ever(SYNC, Effect::Slow(30)));
    let mut senders = Vec::new();
    for _ in 0..SESSIONS {
        senders.push(chat.sender(served.address).await);
    }
    let mut most = 0;
    for _ in 0..ROUNDS {
        for sender in &mut senders {
            let codes = chat.send_at_once(sender, WINDOW).await;
            assert!(codes.is_empty(), "{codes:?}");
        }
        most = most.max(served.figure("chirrup_heap_live_bytes"));
    }
    assert!(faults.spoilt() > 0 && served.is_ready());
    assert!(most < before + GROWTH_BYTES_MAX, "{before} bytes lived before, {most} while the disk was slow");
    served.kill();
    faults.lift();
    let served = site.serve();
    chat.check(served.address).await;
    assert_eq!(chat.acked(), SESSIONS * WINDOW * ROUNDS);
}

#[tokio::test]
async fn writes_that_are_done_in_part_are_gone_on_with() {
    let mut site = Site::new();
    let Some(faults) = site.faults() else { return };
    faults.spoil(Fault::ever(WRITE, Effect::Short(1_000)));
    let served = site.serve();
    let mut chat = Chat::begin(served.address).await;
    let mut sender = chat.sender(served.address).await;
    for _ in 0..60 {
        chat.send(&mut sender, 3_000).await.expect("nothing is wrong");
    }
    assert!(faults.spoilt() > 0);
    chat.check(served.address).await;
    served.kill();
    chat.check(site.serve().address).await;
}
