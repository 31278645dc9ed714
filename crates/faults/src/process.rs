//! The server under fault: a process of its own, on its own data, at one address through all its
//! lives.
//!
//! Must not know: why it is killed. It signals no process but the one that it started.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::edge::Watch;

/// P7: after whatever has happened to it, a server serves within this time.
pub const SERVES_WITHIN: Duration = Duration::from_secs(5);
/// A server that was asked to end does so within this time: longer than it drains.
pub const ENDS_WITHIN: Duration = Duration::from_secs(20);
/// So much of its log is told when it fails.
const LOG_TAIL_LINES: usize = 20;

/// A small store, so that its log is turned over, its tables are written and merged in a short run;
/// and heartbeats that are soon, since they tell cursors, but not so soon that a slow client is cut off.
const SETTINGS: &[(&str, &str)] = &[
    ("CHIRRUP_LOG_LEVEL", "warn"),
    ("CHIRRUP_SESSION_HEARTBEAT_MS", "5000"),
    ("CHIRRUP_SESSION_MERGE_MS", "20"),
    ("CHIRRUP_STORE_CACHE_BYTES", "262144"),
    ("CHIRRUP_STORE_MEMTABLE_BYTES", "262144"),
    ("CHIRRUP_STORE_SEGMENT_BYTES", "262144"),
    ("CHIRRUP_STORE_LOG_BYTES", "1048576"),
    ("CHIRRUP_STORE_LOW_WATER_BYTES", "3145728"),
    ("CHIRRUP_STORE_RESERVE_BYTES", "1048576"),
];

/// What is wrong with a server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// It could not be started, signalled or waited for.
    #[error("{what} failed: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// How it failed.
        source: io::Error,
    },
    /// It ended though it was to go on.
    #[error("the server ended with {status} by itself\n{log}")]
    Died {
        /// How.
        status: ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// It ended before it served.
    #[error("the server ended with {status} before it served\n{log}")]
    Ended {
        /// How.
        status: ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// It takes too long to serve (P7).
    #[error("the server does not serve within {} s\n{log}", SERVES_WITHIN.as_secs())]
    Slow {
        /// The end of its log.
        log: String,
    },
    /// What it printed is not the line of a server that serves.
    #[error("the server printed {said:?}\n{log}")]
    Strange {
        /// It.
        said: String,
        /// The end of its log.
        log: String,
    },
    /// It goes on though it was to end.
    #[error("the server goes on for {} s though it was to end\n{log}", ENDS_WITHIN.as_secs())]
    Endless {
        /// The end of its log.
        log: String,
    },
    /// It ended badly though it was only asked to.
    #[error("asked to end, the server ended with {status}\n{log}")]
    EndedBadly {
        /// How.
        status: ExitStatus,
        /// The end of its log.
        log: String,
    },
}

/// A server: its process, while there is one. Killed when dropped.
#[derive(Debug)]
pub struct Server {
    program: PathBuf,
    data: PathBuf,
    log: PathBuf,
    address: SocketAddr,
    admin_address: SocketAddr,
    environment: Vec<(String, String)>,
    more: Option<(&'static str, String)>,
    process: Option<(Child, BufReader<ChildStdout>)>,
}

impl Server {
    /// One that keeps its data and its log there; not started yet. `program` understands the flags
    /// of `chirrup serve`, and finds these variables in its environment, beside a small store's.
    pub fn new(program: &Path, environment: &[(String, String)], data: PathBuf, log: PathBuf) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (program, environment) = (program.to_owned(), environment.to_vec());
        Self { program, data, log, address: any, admin_address: any, environment, more: None, process: None }
    }

    /// Where clients connect, once it was started: the same for all its lives.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process, while there is one.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().and_then(|(child, _)| child.id())
    }

    /// From its next start on this program runs, with one more variable in its environment, if any.
    pub fn becomes(&mut self, program: &Path, more: Option<(&'static str, String)>) {
        program.clone_into(&mut self.program);
        self.more = more;
    }

    /// Starts it and waits until it serves: how long that took.
    ///
    /// # Errors
    /// If it does not serve within [`SERVES_WITHIN`]; it is killed then.
    pub async fn start(&mut self) -> Result<Duration, ServerError> {
        let watch = Watch::begin();
        let mut child = self.spawn().map_err(io_error("starting the server"))?;
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut said = String::new();
        let Ok(read) = timeout(SERVES_WITHIN, stdout.read_line(&mut said)).await else {
            self.process = Some((child, stdout));
            self.kill().await?;
            return Err(ServerError::Slow { log: self.log_tail() });
        };
        read.map_err(io_error("reading what the server prints"))?;
        if said.is_empty() {
            let status = child.wait().await.map_err(io_error("waiting for the server"))?;
            return Err(ServerError::Ended { status, log: self.log_tail() });
        }
        self.process = Some((child, stdout));
        let told: Value = serde_json::from_str(&said).unwrap_or_default();
        let address = |name: &str| told[name].as_str().and_then(|text| text.parse().ok());
        let (Some(address), Some(admin_address)) = (address("address"), address("admin_address")) else {
            return Err(ServerError::Strange { said, log: self.log_tail() });
        };
        (self.address, self.admin_address) = (address, admin_address);
        Ok(watch.elapsed())
    }

    fn spawn(&self) -> io::Result<Child> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.program);
        // Free of the settings of whoever runs this.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CHIRRUP_")) {
            command.env_remove(name);
        }
        command.args(["serve", "--json", "--data"]).arg(&self.data);
        command.args(["--listen", &self.address.to_string(), "--admin-listen", &self.admin_address.to_string()]);
        command.envs(SETTINGS.iter().copied()).envs(self.environment.iter().cloned()).envs(self.more.clone());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        command.kill_on_drop(true).spawn()
    }

    /// Kills it with -9, and waits until it is gone.
    ///
    /// # Errors
    /// If that fails.
    pub async fn kill(&mut self) -> Result<(), ServerError> {
        if let Some((mut child, _)) = self.process.take() {
            child.kill().await.map_err(io_error("killing the server"))?;
        }
        Ok(())
    }

    /// Lets it stand still until [`Server::go_on`].
    ///
    /// # Errors
    /// If that fails.
    pub fn stand_still(&self) -> Result<(), ServerError> {
        self.signal(Signal::STOP)
    }

    /// See [`Server::stand_still`].
    ///
    /// # Errors
    /// If that fails.
    pub fn go_on(&self) -> Result<(), ServerError> {
        self.signal(Signal::CONT)
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// If it takes longer than [`ENDS_WITHIN`], or ends with an error.
    pub async fn terminate(&mut self) -> Result<(), ServerError> {
        self.signal(Signal::TERM)?;
        let status = self.ended().await?;
        if status.success() { Ok(()) } else { Err(ServerError::EndedBadly { status, log: self.log_tail() }) }
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// If it takes longer than [`ENDS_WITHIN`]; then it still runs.
    pub async fn ended(&mut self) -> Result<ExitStatus, ServerError> {
        let (child, _) = self.process.as_mut().expect("it was started");
        let Ok(ended) = timeout(ENDS_WITHIN, child.wait()).await else { return Err(ServerError::Endless { log: self.log_tail() }) };
        self.process = None;
        ended.map_err(io_error("waiting for the server"))
    }

    /// Whether it does what it is for.
    ///
    /// # Errors
    /// If it has ended.
    pub fn still_runs(&mut self) -> Result<(), ServerError> {
        let Some((child, _)) = &mut self.process else { return Ok(()) };
        match child.try_wait().map_err(io_error("looking at the server"))? {
            Some(status) => Err(ServerError::Died { status, log: self.log_tail() }),
            None => Ok(()),
        }
    }

    fn signal(&self, signal: Signal) -> Result<(), ServerError> {
        let Some(pid) = self.pid().and_then(pid_of) else { return Ok(()) };
        kill_process(pid, signal).map_err(|errno| io_error("signalling the server")(errno.into()))
    }

    fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some((child, _)) = &mut self.process else { return };
        let pid = child.id().and_then(pid_of);
        // Waited for, so that nobody has its files open any more; one that is gone already is what is wanted.
        if let (Ok(()), Some(pid)) = (child.start_kill(), pid) {
            let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        }
    }
}

fn pid_of(id: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(id).ok()?)
}

fn io_error(what: &'static str) -> impl Fn(io::Error) -> ServerError {
    move |source| ServerError::Io { what, source }
}
