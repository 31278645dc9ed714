//! A run: a server on a disk whose power can be cut, the checker's workload, one fault after the
//! other, each followed by a read back; in the end everything is read back and judged.
//!
//! Must not know: what the workload does, nor how its history is judged.

use std::future::Future;
use std::io;
use std::path::Path;
use std::process::ExitStatus;

use chirrup_checker::adapter::Failure;
use chirrup_checker::chirrup::Chirrup;
use chirrup_checker::history::{Extent, Recorder};
use chirrup_checker::judge::judge;
use chirrup_checker::workload::{Size, Workload};
use tokio_util::sync::CancellationToken;

use crate::disk::DiskError;
use crate::plan::Plan;
use crate::points::{self, Points};
use crate::process::ServerError;
use crate::report::Report;
use crate::slow;
use crate::stage::{ACKS_WITHIN, Stage};

/// Pairs of a user and a conversation that are read back after a round.
const SAMPLE: usize = 2;

/// Why a run cannot go on: a finding in itself, or a machine that does not allow it.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The server.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A file of the harness.
    #[error("keeping the history or the log failed: {0}")]
    Keep(#[from] io::Error),
    /// Users and conversations could not be made.
    #[error("making users and conversations failed: {0}")]
    Prepare(Failure),
    /// What is there could not be read.
    #[error("reading back failed: {0}")]
    ReadBack(Failure),
    /// The server runs, but acks nothing any more.
    #[error("acks did not come within {} s", ACKS_WITHIN.as_secs())]
    NoAcks,
    /// The server did not die where it was to.
    #[error("it was to die at {point}, and ended with {status}")]
    NotThere {
        /// Where.
        point: &'static str,
        /// How it ended.
        status: ExitStatus,
    },
    /// It was told to stop.
    #[error("interrupted")]
    Interrupted,
}

/// What a run needs beside its plan.
#[derive(Clone, Copy, Debug)]
pub struct Means<'m> {
    /// The server's program.
    pub program: &'m Path,
    /// Variables of its environment, beside a small store's settings.
    pub environment: &'m [(String, String)],
    /// Where the history is kept as well, for whoever wants to look.
    pub history: Option<&'m Path>,
    /// Is told how far it is.
    pub tell: fn(&str),
}

/// Does what the plan says, then dies at each of these points; reads everything back and judges.
/// Power cuts are but kills where the machine allows no disk of its own: the report says so.
///
/// To be called on a runtime of several threads, since mounting blocks. Whatever is under way when
/// `interrupt` comes is dropped: the server is killed, the disk unmounted.
///
/// # Errors
/// If it cannot go on, or was interrupted.
pub async fn run(plan: &Plan, points: Option<&Points<'_>>, means: Means<'_>, interrupt: &CancellationToken) -> Result<Report, RunError> {
    interrupt.run_until_cancelled(to_the_end(plan, points, means)).await.unwrap_or(Err(RunError::Interrupted))
}

async fn to_the_end(plan: &Plan, points: Option<&Points<'_>>, means: Means<'_>) -> Result<Report, RunError> {
    let recorder = means.history.map_or_else(|| Ok(Recorder::new()), Recorder::to_file)?;
    let mut stage = Stage::set(means.program, means.environment, recorder.clone()).await?;
    let chirrup = Chirrup::at(stage.server.address());
    if plan.slow {
        (means.tell)("a slow reader falls behind");
        slow::fall_behind(&chirrup, &recorder, plan.seed).await.map_err(RunError::Prepare)?;
    }
    let prepared = Workload::prepare(chirrup, recorder, plan.seed, Size::SMALL).await;
    let mut workload = prepared.map_err(RunError::Prepare)?;
    let rounds = plan.rounds();
    for (n, round) in rounds.iter().enumerate() {
        (means.tell)(&format!("round {} of {}: {:?}", n + 1, rounds.len(), round.fault));
        load_during(&mut workload, stage.strike(round, plan.stop_for)).await?;
        read_back(&mut workload, Extent::Sample(SAMPLE)).await?;
    }
    for kill in points.iter().flat_map(|points| &points.kills) {
        (means.tell)(&format!("a death at {}", points::text(*kill)));
        let program = points.map_or(means.program, |points| points.program);
        load_during(&mut workload, stage.die_at(program, *kill)).await?;
        read_back(&mut workload, Extent::Sample(SAMPLE)).await?;
    }
    (means.tell)("everything is read back");
    read_back(&mut workload, Extent::Full).await?;
    let verdict = judge(&stage.recorder.history()?);
    let no_cuts = stage.place.no_cuts().map(str::to_owned);
    Ok(Report { done: stage.done.clone(), verdict, no_cuts })
}

/// Chats while something is done, and until it is.
async fn load_during(workload: &mut Workload<Chirrup>, what: impl Future<Output = Result<(), RunError>>) -> Result<(), RunError> {
    let stop = CancellationToken::new();
    let done = async {
        let done = what.await;
        stop.cancel();
        done
    };
    tokio::join!(workload.run(stop.clone()), done).1
}

async fn read_back(workload: &mut Workload<Chirrup>, extent: Extent) -> Result<(), RunError> {
    workload.read_back(extent).await.map_err(RunError::ReadBack)
}
