//! Apache Cassandra: one node, started by the script `cassandra` with the first test that wants
//! it, shared by all tests of all test programs of a user, and ended by `keep` soon after the last.

use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use std::os::unix::process::CommandExt;

use rustix::process::Signal;

use crate::packages::{need, say};
use crate::process;

/// How long the node is kept when nobody uses it: what lies between two test programs of a run.
const IDLE_SECONDS: &str = "20";
/// Ports where the node is looked for a place: below those that outgoing connections take, and so
/// that the one its peers would talk to, this far below, is free too.
const PORTS: std::ops::Range<u16> = 14_000..30_000;
const PEER_PORT_BELOW: u16 = 2_042;

/// Keyspaces named by this process.
static KEYSPACES: AtomicU32 = AtomicU32::new(0);

/// A node that runs for as long as this is held, and a while longer.
pub struct Cassandra {
    folder: PathBuf,
    address: String,
    /// Locked: shared, or by this one alone.
    _users: File,
}

impl Cassandra {
    /// The node that tests share. `None`, and told why, where there can be none: `test` is what is
    /// not tested then.
    pub fn shared(test: &str) -> Option<Self> {
        Self::get(test, File::lock_shared)
    }

    /// The same node when nobody else uses it, so that it may be killed and paused.
    pub fn alone(test: &str) -> Option<Self> {
        Self::get(test, File::lock)
    }

    fn get(test: &str, lock: fn(&File) -> io::Result<()>) -> Option<Self> {
        match need(&[("python3", "python3-minimal"), ("java", "openjdk-17-jre-headless"), ("mvn", "maven")]) {
            Ok(()) => Some(Self::start_and_keep(lock).unwrap_or_else(|error| panic!("failed to start Cassandra: {error}"))),
            Err(missing) => {
                say(&format!("not tested over Cassandra: {test}: {missing}"));
                None
            }
        }
    }

    fn start_and_keep(lock: fn(&File) -> io::Result<()>) -> io::Result<Self> {
        let all = std::env::temp_dir().join(format!("chirrup-engines-{}", rustix::process::getuid().as_raw()));
        std::fs::create_dir_all(&all)?;
        let (folder, users_file) = (all.join("cassandra"), all.join("cassandra.users"));
        let users = File::create(&users_file)?;
        lock(&users)?;
        {
            // One at a time, or two would take different ports.
            let starting = File::create(all.join("cassandra.starting"))?;
            starting.lock()?;
            resume(&folder);
            start(&folder)?;
        }
        let mut keep = Command::new(script("keep"));
        keep.arg(&users_file).arg(&folder).arg(IDLE_SECONDS).process_group(0);
        // It outlives this process, which has nothing to wait for.
        keep.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let address = format!("127.0.0.1:{}", port(&folder)?);
        Ok(Self { folder, address, _users: users })
    }

    /// Where it takes queries.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A name for a keyspace that nobody else uses.
    pub fn new_keyspace() -> String {
        let process = std::process::id();
        let began = process::began("self").unwrap_or_default();
        format!("t_{process}_{began}_{}", KEYSPACES.fetch_add(1, Ordering::Relaxed))
    }

    /// SIGKILL. Only one that is held alone may be killed.
    pub fn kill(&self) {
        run("kill", &self.folder, &["1"]).expect("the node that was started can be killed");
    }

    /// Starts it again after it was killed.
    pub fn start(&self) {
        start(&self.folder).expect("the node that was killed can be started again");
    }

    /// SIGSTOP: it answers nothing, and its connections stay.
    pub fn pause(&self) {
        assert!(signal(&self.folder, Signal::STOP), "the node that was started can be stopped");
    }

    /// SIGCONT.
    pub fn resume(&self) {
        resume(&self.folder);
    }
}

impl Drop for Cassandra {
    fn drop(&mut self) {
        resume(&self.folder);
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cassandra").join(name)
}

fn run(command: &str, folder: &Path, words: &[&str]) -> io::Result<Output> {
    let output = Command::new(script("cassandra")).arg(command).arg("--dir").arg(folder).args(words).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(output);
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// Starts the node unless it runs, and waits until it answers.
fn start(folder: &Path) -> io::Result<()> {
    let port = free_port().to_string();
    let first: &[&str] = if folder.join("cluster.json").exists() { &[] } else { &["--port", &port] };
    run("start", folder, first).map(drop)
}

/// The port that a folder's node has.
fn port(folder: &Path) -> io::Result<u16> {
    let known = std::fs::read_to_string(folder.join("cluster.json"))?;
    let port = known.split_once("\"port\": ").map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
    port.and_then(|digits| digits.parse().ok()).ok_or_else(|| io::Error::other("cluster.json has no port"))
}

fn free_port() -> u16 {
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let first = std::process::id() as u16 % (PORTS.end - PORTS.start);
    let places = (0..PORTS.end - PORTS.start).map(|n| PORTS.start + (first + n) % (PORTS.end - PORTS.start));
    let mut free = places.filter(|port| is_free(*port) && is_free(port - PEER_PORT_BELOW));
    free.next().expect("one of thousands of ports is free")
}

fn resume(folder: &Path) {
    signal(folder, Signal::CONT);
}

fn signal(folder: &Path, signal: Signal) -> bool {
    std::fs::read_to_string(folder.join("node1/pid")).is_ok_and(|recorded| process::signal(&recorded, signal))
}
