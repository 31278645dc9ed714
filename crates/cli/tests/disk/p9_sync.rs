//! P9: the first sync or write that fails stops acks and shows in health and figures; reads go on;
//! after a restart everything acked is there, and nothing stands twice.

use rustix::io::Errno;

use crate::faults::{CHANGE, Effect, Fault, SYNC, WRITE};
use crate::people::Chat;
use crate::process::Site;
use crate::support::until;

const LOG: &str = "/store/log/";
const TABLES: &str = "/store/tables/";

/// That a server whose disk has failed takes nothing, says so, and reads; then that a start on a
/// sound disk finds everything.
async fn stops(fault: Fault) {
    let mut site = Site::new();
    let Some(faults) = site.faults() else { return };
    let served = site.serve();
    let mut chat = Chat::begin(served.address).await;
    let mut sender = chat.sender(served.address).await;
    for _ in 0..10 {
        chat.send(&mut sender, 100).await.expect("nothing is wrong yet");
    }
    faults.spoil(fault);
    // Several at once, so that some are decided on top of what fails; and long enough that tables
    // are written.
    let mut codes = Vec::new();
    for _ in 0..40 {
        codes = chat.send_at_once(&mut sender, 20).await;
        if !codes.is_empty() {
            break;
        }
    }
    assert!(faults.spoilt() > 0, "nothing was spoilt: {fault:?}");
    assert!(!codes.is_empty(), "acks go on: {fault:?}");
    for code in &codes {
        assert!(["unknown", "storage_failed", "earlier_unsettled"].contains(&code.as_str()), "{code} after {fault:?}");
    }
    // The disk may be sound again: what it said before counts until somebody has looked.
    faults.lift();
    for _ in 0..3 {
        assert_eq!(chat.send(&mut sender, 100).await, Err("storage_failed".to_owned()));
        assert_eq!(chat.delete_one(&mut sender).await, Err("storage_failed".to_owned()));
    }
    let (status, why) = served.ask("/readyz");
    assert!(status == 503 && why.contains("failed"), "{status} {why}");
    assert_eq!(served.ask("/livez").0, 200);
    assert_eq!(served.figure("chirrup_store_stopped"), 1);
    chat.check(served.address).await;
    until("the operator is told", || site.log().contains("the store has failed"));
    served.kill();

    let served = site.serve();
    chat.check(served.address).await;
    assert!(served.is_ready());
    assert_eq!(served.figure("chirrup_store_stopped"), 0);
    chat.settle(served.address).await;
    let mut sender = chat.sender(served.address).await;
    chat.send(&mut sender, 100).await.expect("taken again");
    chat.check(served.address).await;
    assert!(served.stop().success());
}

#[tokio::test]
async fn p9_a_sync_of_the_log_that_fails_once_stops_acks() {
    stops(Fault { path: LOG, skip: 3, ..Fault::once(SYNC, Effect::Fail(Errno::IO)) }).await;
}

#[tokio::test]
async fn p9_syncs_of_the_log_that_fail_for_ever_stop_acks() {
    stops(Fault { path: LOG, ..Fault::ever(SYNC, Effect::Fail(Errno::IO)) }).await;
}

#[tokio::test]
async fn p9_a_sync_of_the_tables_that_fails_stops_acks() {
    stops(Fault { path: TABLES, ..Fault::once(SYNC, Effect::Fail(Errno::IO)) }).await;
}

#[tokio::test]
async fn p9_a_write_to_the_log_that_fails_halfway_stops_acks() {
    stops(Fault { path: LOG, ..Fault::once(WRITE, Effect::FailHalfway(Errno::IO)) }).await;
}

#[tokio::test]
async fn p9_a_write_to_the_tables_that_fails_halfway_stops_acks() {
    stops(Fault { path: TABLES, ..Fault::once(WRITE, Effect::FailHalfway(Errno::IO)) }).await;
}

#[tokio::test]
async fn p9_a_disk_that_turns_read_only_stops_acks() {
    stops(Fault::ever(CHANGE, Effect::Fail(Errno::ROFS))).await;
}

/// Each sync and each write that a start and a stop make, failing one after the other: the start is
/// refused by naming what failed, or the server serves.
#[tokio::test]
async fn p9_a_start_on_a_failing_disk_says_what_failed_and_harms_nothing() {
    let mut site = Site::new();
    let served = site.serve();
    let mut chat = Chat::begin(served.address).await;
    let mut sender = chat.sender(served.address).await;
    for _ in 0..20 {
        chat.send(&mut sender, 2_000).await.expect("nothing is wrong yet");
    }
    served.kill();
    let Some(faults) = site.faults() else { return };
    let mut refused = 0;
    for calls in [SYNC, WRITE] {
        for skip in 0.. {
            faults.spoil(Fault { skip, ..Fault::once(calls, Effect::FailHalfway(Errno::IO)) });
            let started = site.start();
            let (spoilt, last) = (faults.spoilt() > 0, faults.last());
            match started {
                Ok(served) => {
                    chat.check(served.address).await;
                    served.kill();
                }
                Err(why) => {
                    assert!(spoilt && why.status.code().is_some(), "{why:?}");
                    assert!(why.why.contains("failed"), "{last}: {}", why.why);
                    refused += 1;
                }
            }
            if !spoilt {
                break;
            }
        }
    }
    println!("{refused} starts were refused");
    assert!(refused > 0);
    faults.lift();
    let served = site.serve();
    chat.check(served.address).await;
}
