//! The server under measurement: a process of its own, asked over its sockets and `/proc`.
//!
//! Must not know: what is measured.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::clock;

/// How long a server may take to serve or to stop.
const PATIENCE: Duration = Duration::from_mins(1);
/// Of an answer from the operator's address.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
/// Ticks of `/proc/PID/stat` in a second, on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running server.
pub(crate) struct Server {
    child: Child,
    /// Where clients connect.
    pub(crate) address: SocketAddr,
    admin: SocketAddr,
}

/// The figures that a server tells.
pub(crate) struct Metrics(HashMap<String, f64>);

impl Server {
    /// Starts `program` on this data, and returns at once.
    pub(crate) fn spawn(program: &Path, data: &Path) -> Result<Self> {
        let address = free_address()?;
        let admin = free_address()?;
        let log = fs::File::options().create(true).append(true).open(data.with_extension("log"))?;
        let child = Command::new(program)
            .arg("serve")
            .env("CHIRRUP_SERVER_DATA_DIR", data)
            .env("CHIRRUP_LISTEN_ADDRESS", address.to_string())
            .env("CHIRRUP_LISTEN_ADMIN_ADDRESS", admin.to_string())
            .env("CHIRRUP_LOG_LEVEL", "warn")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("failed to start {}", program.display()))?;
        Ok(Self { child, address, admin })
    }

    /// Starts it and waits until it says that it is ready.
    pub(crate) fn start(program: &Path, data: &Path) -> Result<Self> {
        let mut server = Self::spawn(program, data)?;
        let started = clock::now();
        while !server.get("/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            if let Some(status) = server.child.try_wait()? {
                bail!("the server ended ({status}); see {}", data.with_extension("log").display());
            }
            if clock::since(started) > PATIENCE {
                bail!("the server is not ready after {PATIENCE:?}");
            }
            clock::pause();
        }
        Ok(server)
    }

    fn get(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.admin, ANSWER_PATIENCE)?;
        stream.set_read_timeout(Some(ANSWER_PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.admin)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Its figures now.
    pub(crate) fn metrics(&self) -> Result<Metrics> {
        let answer = self.get("/metrics")?;
        let lines = answer.lines().filter(|line| line.starts_with("chirrup_"));
        let pairs = lines.filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Ok(Metrics(pairs.collect()))
    }

    /// Bytes of memory that are its own.
    pub(crate) fn resident_bytes(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1024.0)
    }

    /// Seconds of processor that it has used.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name, in brackets, may have spaces; user and system time are the 12th and 13th after it.
        let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>).sum::<Result<f64, _>>()?;
        Ok(ticks / TICKS_PER_SECOND)
    }

    /// Asks it to stop and waits for it.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        let asked = clock::now();
        while self.child.try_wait()?.is_none() {
            if clock::since(asked) > PATIENCE {
                bail!("the server has not stopped after {PATIENCE:?}");
            }
            clock::pause();
        }
        Ok(())
    }

    /// Kills it with -9.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.signal(Signal::KILL)?;
        self.child.wait()?;
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("no process id")?;
        Ok(kill_process(pid, signal)?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already if it was stopped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Metrics {
    /// A figure by its name; 0 if the server does not have it.
    pub(crate) fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or(0.0)
    }

    /// By how much a figure grew since an earlier look.
    pub(crate) fn grew(&self, earlier: &Self, name: &str) -> f64 {
        self.get(name) - earlier.get(name)
    }
}

fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?)
}
