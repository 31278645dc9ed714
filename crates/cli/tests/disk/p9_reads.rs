//! P9 for reads: a read that fails, or gives less than there is, is an error to whoever asked and
//! never a wrong answer; the next one is answered.

use rustix::io::Errno;
use serde_json::json;

use crate::faults::{Effect, Fault, READ};
use crate::people::Chat;
use crate::process::Site;
use crate::raw::{Failure, code};

/// Asks for pages while every so-manieth read is spoilt.
async fn spoilt_reads(effect: Effect) {
    // Without memory for blocks, so that files are read.
    let mut site = Site::new().with("store.cache_bytes", "0");
    let Some(faults) = site.faults() else { return };
    let served = site.serve();
    let mut chat = Chat::begin(served.address).await;
    let mut sender = chat.sender(served.address).await;
    for _ in 0..120 {
        chat.send(&mut sender, 2_000).await.expect("nothing is wrong yet");
    }
    served.kill();
    let mut served = site.serve();
    let mut reader = chat.ben.connect(served.address).await.expect("a session");
    let page = json!({"conversation": chat.group, "after": 0, "limit": 100});
    let whole = reader.ok("events", page.clone()).await;
    let mut errors = 0;
    for skip in 0..40 {
        faults.spoil(Fault { path: "/store/tables/", skip, ..Fault::once(READ, effect) });
        let answer = reader.call("events", page.clone()).await;
        let spoilt = faults.spoilt() > 0;
        faults.lift();
        match answer {
            Ok(page) => assert_eq!(page, whole),
            Err(Failure::Refused(error)) => {
                assert!(spoilt, "{error}");
                assert_eq!(code(&error), "busy", "the read may be tried again: {error}\n{}", site.log());
                errors += 1;
            }
            Err(Failure::Gone(how)) => panic!("the connection ended: {how:?}"),
        }
        assert_eq!(reader.ok("events", page.clone()).await, whole, "the next one is answered");
    }
    println!("{errors} reads failed");
    assert!(errors > 0);
    assert!(served.runs() && served.is_ready());
    chat.check(served.address).await;
}

#[tokio::test]
async fn p9_a_read_that_fails_is_an_error_and_the_next_one_is_answered() {
    spoilt_reads(Effect::Fail(Errno::IO)).await;
}

#[tokio::test]
async fn p9_a_read_that_ends_early_is_an_error_and_the_next_one_is_answered() {
    spoilt_reads(Effect::Short(100)).await;
}
