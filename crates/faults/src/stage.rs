//! A server under fault: how each fault is done to it, and how it is brought back.
//!
//! Must not know: when, and who chats meanwhile.

use std::future::Future;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::Duration;

use chirrup_checker::history::{Fault, Recorder};
use chirrup_mutants::KillAt;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::task::block_in_place;
use tokio::time::{sleep, timeout};

use crate::disk::Place;
use crate::plan::Round;
use crate::points;
use crate::process::{Server, ServerError};
use crate::report::Done;
use crate::run::RunError;

/// After a fault a round lasts until so many more changes are acked: retries are among them.
const ACKS_AFTER: u64 = 40;
/// Acks come within this time, or never.
pub(crate) const ACKS_WITHIN: Duration = Duration::from_mins(1);
/// How often acks are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// See the module. Dropped in this order: the server, then the disk that it writes to.
#[derive(Debug)]
pub(crate) struct Stage<'p> {
    program: &'p Path,
    pub(crate) server: Server,
    pub(crate) place: Place,
    /// Holds the server's log.
    _home: TempDir,
    pub(crate) recorder: Recorder,
    pub(crate) done: Done,
}

impl<'p> Stage<'p> {
    /// A fresh server that serves.
    pub(crate) async fn set(program: &'p Path, environment: &[(String, String)], recorder: Recorder) -> Result<Self, RunError> {
        let home = tempfile::tempdir()?;
        let place = block_in_place(Place::new)?;
        let server = Server::new(program, environment, place.path().join("data"), home.path().join("server.log"));
        let mut stage = Self { program, server, place, _home: home, recorder, done: Done::default() };
        stage.start().await?;
        Ok(stage)
    }

    /// Does a fault when its moment comes, and waits until the load goes on after it.
    pub(crate) async fn strike(&mut self, round: &Round, stop_for: Duration) -> Result<(), RunError> {
        self.acks(round.after_acks).await?;
        sleep(Duration::from_micros(round.after_us)).await;
        match &round.fault {
            Fault::Cut => self.cut().await?,
            Fault::Stop => self.stand_still(stop_for).await?,
            Fault::Term => self.terminate().await?,
            Fault::Kill | Fault::Other(_) => self.kill().await?,
        }
        self.acks(ACKS_AFTER).await
    }

    /// Runs a program that dies at this point, until it has; then the usual one again.
    pub(crate) async fn die_at(&mut self, program: &Path, kill: KillAt) -> Result<(), RunError> {
        self.during(Fault::Kill, async |stage| {
            stage.server.kill().await?;
            stage.server.becomes(program, Some((points::VARIABLE, points::text(kill))));
            let status = match stage.server.start().await {
                Ok(_) => stage.server.ended().await?,
                Err(ServerError::Ended { status, .. }) => status,
                Err(error) => return Err(error.into()),
            };
            if status.signal() != Some(Signal::KILL.as_raw()) {
                return Err(RunError::NotThere { point: kill.point.name(), status });
            }
            stage.done.points += 1;
            stage.server.becomes(stage.program, None);
            stage.start().await
        })
        .await?;
        self.acks(ACKS_AFTER).await
    }

    async fn cut(&mut self) -> Result<(), RunError> {
        if self.place.no_cuts().is_some() {
            return self.kill().await;
        }
        self.during(Fault::Cut, async |stage| {
            block_in_place(|| stage.place.cut_power())?;
            stage.server.kill().await?;
            block_in_place(|| stage.place.power_on())?;
            stage.done.cuts += 1;
            stage.start().await
        })
        .await
    }

    async fn kill(&mut self) -> Result<(), RunError> {
        self.during(Fault::Kill, async |stage| {
            stage.server.kill().await?;
            stage.done.kills += 1;
            stage.start().await
        })
        .await
    }

    async fn terminate(&mut self) -> Result<(), RunError> {
        self.during(Fault::Term, async |stage| {
            stage.server.terminate().await?;
            stage.done.terms += 1;
            stage.start().await
        })
        .await
    }

    async fn stand_still(&mut self, time: Duration) -> Result<(), RunError> {
        self.during(Fault::Stop, async |stage| {
            stage.server.stand_still()?;
            sleep(time).await;
            stage.server.go_on()?;
            stage.done.stops += 1;
            Ok(())
        })
        .await
    }

    /// Writes down when a fault began and when it was over.
    async fn during<'s, F>(&'s mut self, kind: Fault, fault: impl FnOnce(&'s mut Self) -> F) -> Result<(), RunError>
    where
        F: Future<Output = Result<(), RunError>>,
    {
        let recorder = self.recorder.clone();
        let begun = recorder.fault(kind);
        fault(self).await?;
        recorder.healed(begun);
        Ok(())
    }

    async fn start(&mut self) -> Result<(), RunError> {
        let took = self.server.start().await?;
        self.done.slowest_start = took.max(self.done.slowest_start);
        Ok(())
    }

    /// Waits until so many more changes are acked.
    async fn acks(&mut self, more: u64) -> Result<(), RunError> {
        let wanted = self.recorder.acked() + more;
        let (recorder, server) = (&self.recorder, &mut self.server);
        let come = async {
            while recorder.acked() < wanted {
                server.still_runs()?;
                sleep(LOOK_EVERY).await;
            }
            Ok(())
        };
        timeout(ACKS_WITHIN, come).await.unwrap_or(Err(RunError::NoAcks))
    }
}
