//! A data directory, and the program on it, which may refuse to start.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::faults::Faults;
use crate::support::{self, PATIENCE};

/// A store so small that a few messages turn its log over and write its tables. Positions are
/// written soon.
pub const SETTINGS: &[(&str, &str)] = &[
    ("session.merge_ms", "5"),
    ("store.cache_bytes", "262144"),
    ("store.memtable_bytes", "65536"),
    ("store.segment_bytes", "65536"),
    ("store.log_bytes", "131072"),
    ("store.low_water_bytes", "1048576"),
    ("store.reserve_bytes", "262144"),
];

/// A directory that is gone with the test: in memory where the system has such a place.
pub fn temp_dir() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// Data, and how the program is run on it.
pub struct Site {
    dir: TempDir,
    data: PathBuf,
    settings: Vec<(String, String)>,
    environment: Vec<(&'static str, PathBuf)>,
}

/// A program that serves; killed when dropped.
pub struct Served {
    pub address: SocketAddr,
    pub admin_address: SocketAddr,
    /// By which the first administrator becomes one, as long as there is none.
    pub first_code: Option<String>,
    child: Child,
}

/// A program that ended instead.
#[derive(Debug)]
pub struct Refused {
    pub status: ExitStatus,
    /// What it said.
    pub why: String,
}

impl Site {
    /// No data yet.
    pub fn new() -> Self {
        let dir = temp_dir();
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        Self { dir, data, settings: Vec::new(), environment: Vec::new() }
    }

    /// A copy of this data.
    pub fn copy_of(data: &Path) -> Self {
        let site = Self::new();
        copy_dir(data, &site.data);
        site
    }

    /// Data in this directory, which is another's.
    pub fn at(data: &Path) -> Self {
        Self { data: data.to_owned(), ..Self::new() }
    }

    /// With another value of a setting.
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Nothing is written but what is asked for.
    pub fn quiet(self) -> Self {
        self.with("session.merge_ms", "3600000")
    }

    /// Faults on its data, from the next start on; `None` where none can be made.
    pub fn faults(&mut self) -> Option<Faults> {
        let faults = Faults::on(&self.data, self.dir.path().join("control"))?;
        self.environment = faults.environment.to_vec();
        Some(faults)
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    /// All that programs here told their operator.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// Runs the program until it serves or ends.
    pub fn start(&self) -> Result<Served, Refused> {
        let before = self.log().len();
        let log = fs::File::options().create(true).append(true).open(self.log_path()).unwrap();
        let mut command = support::program();
        command.args(["serve", "--json", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data"]).arg(&self.data);
        command
            .env("CHIRRUP_LOG_LEVEL", "warn")
            .env("RUST_BACKTRACE", "0")
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        let own = self.settings.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        for (key, value) in SETTINGS.iter().copied().chain(own) {
            command.env(format!("CHIRRUP_{}", key.to_uppercase().replace('.', "_")), value);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let (said, _) = support::first_line(child.stdout.take().unwrap());
        let Ok(said) = serde_json::from_str::<Value>(&said) else {
            return Err(Refused { status: support::end(&mut child), why: self.log().split_off(before) });
        };
        let address = |key: &str| said[key].as_str().unwrap().parse().unwrap();
        let first_code = said["first_code"].as_str().map(str::to_owned);
        Ok(Served { address: address("address"), admin_address: address("admin_address"), first_code, child })
    }

    /// Runs the program, which must serve.
    pub fn serve(&self) -> Served {
        self.start().unwrap_or_else(|refused| panic!("it did not start: {refused:?}"))
    }
}

impl Served {
    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Kills it with -9.
    pub fn kill(mut self) {
        self.end();
    }

    /// Asks it to stop and waits until it has.
    pub fn stop(mut self) -> ExitStatus {
        support::signal(&self.child, Signal::TERM);
        support::end(&mut self.child)
    }

    fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    /// What the operator is answered: status and text.
    pub fn ask(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin_address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// A figure of its metrics.
    pub fn figure(&self, name: &str) -> u64 {
        let (_, text) = self.ask("/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(name).and_then(|rest| rest.strip_prefix(' ')));
        line.unwrap_or_else(|| panic!("no {name}: {text}")).parse().unwrap()
    }

    /// Whether it is ready, and says nothing of a full disk.
    pub fn is_ready(&self) -> bool {
        self.ask("/readyz") == (200, "ok\n".to_owned())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.end();
    }
}

/// Copies a directory with all that is in it.
pub fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_dir(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}
