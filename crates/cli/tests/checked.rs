//! The checker against the real program: many users chat while the server is killed with -9 and
//! started again; everything is read back by every member on every path, and judged. Once raw, as
//! a peer of ours would be judged, and once through our own SDK (rules, E-1 to E-7,
//! S-1 to S-7, P-1, P-2, P-4, P-5).

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "checked/sdk.rs"]
mod sdk;
mod support;

use std::path::Path;

use chirrup_checker::adapter::Adapter;
use chirrup_checker::chirrup::Chirrup;
use chirrup_checker::history::{Extent, Fault, Recorder, What};
use chirrup_checker::judge::{Rare, Verdict, judge};
use chirrup_checker::workload::{Size, Workload};
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;

use sdk::Sdk;
use support::{SMALL_STORE, Server, until_async};

/// Heartbeats that come often, positions that are written soon, and people who are gone soon.
const SOON: &[(&str, &str)] = &[("session.heartbeat_ms", "1000"), ("session.merge_ms", "5"), ("session.grace_ms", "100")];
/// Two heartbeats, and 5 s (P12).
const PRESENCE_WITHIN_MS: u64 = 7_000;
/// Changes that are acked between two kills.
const ACKS: u64 = 250;
const KILLS: u64 = 2;
/// More chance to meet what is rare: so often the server is killed once more.
const ROUNDS_MAX: usize = 6;
/// What a run must have met in any case.
const NEEDED: &[Rare] = &[
    Rare::Fault,
    Rare::Refused,
    Rare::Retry,
    Rare::DuplicateAnswered,
    Rare::ConflictRefused,
    Rare::JoinedLate,
    Rare::FormerMemberRead,
    Rare::DeletedRead,
    Rare::HiddenRead,
    Rare::ThreadReply,
    Rare::TwoDevicesAtOnce,
    Rare::Resumed,
    Rare::ReadBackInFull,
];
/// What a run must have met where nothing hides the server's faults from who acts.
const NEEDED_RAW: &[Rare] = &[
    Rare::Unknown,
    Rare::UnknownTookEffect,
    Rare::UnknownWithoutEffect,
    Rare::FaultBeforeAnswer,
    Rare::ReconnectDuringBacklog,
    Rare::Reset,
];

/// Chats over kills until all that is needed was met, reads everything back, and judges.
async fn judged<A: Adapter>(adapter: impl Fn(&Server) -> A, seed: u64, needed: &[Rare], name: &str) {
    let mut server = Server::start_with(&[SOON, SMALL_STORE].concat());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("checked-{name}.jsonl"));
    let recorder = Recorder::to_file(&path).unwrap();
    recorder.note(What::Terms { presence_within_ms: PRESENCE_WITHIN_MS });
    let mut workload = Workload::prepare(adapter(&server), recorder.clone(), seed, Size::SMALL).await.unwrap();
    let mut verdict = Verdict::default();
    for round in 0..ROUNDS_MAX {
        let stop = CancellationToken::new();
        let kills = async {
            for _ in 0..if round == 0 { KILLS } else { 1 } {
                more_acks(&recorder).await;
                let fault = recorder.fault(Fault::Kill);
                block_in_place(|| {
                    server.kill();
                    server.start_again();
                });
                recorder.healed(fault);
            }
            more_acks(&recorder).await;
            stop.cancel();
        };
        tokio::join!(workload.run(stop.clone()), kills);
        workload.read_back(Extent::Full).await.unwrap();
        verdict = judge(&recorder.history().unwrap());
        assert!(verdict.is_clean(), "judged by {}:\n{verdict}", path.display());
        if verdict.counts(needed) && verdict.counts(NEEDED) {
            return;
        }
    }
    panic!("not met: {:?} {:?}\n{verdict}", verdict.missing(needed), verdict.missing(NEEDED));
}

async fn more_acks(recorder: &Recorder) {
    let enough = recorder.acked() + ACKS;
    until_async("enough is acked", async || recorder.acked() >= enough).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_p2_p3_p4_p5_p6_p12_p16_hold_over_kills_for_who_speaks_raw_json() {
    judged(|server| Chirrup::at(server.address), 20_261_124, NEEDED_RAW, "raw").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_p2_p3_p4_p5_p6_p12_p16_hold_over_kills_through_the_sdk() {
    judged(|server| Sdk::of(server.url()), 20_261_125, &[], "sdk").await;
}
