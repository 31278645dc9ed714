//! The program as people run it: a server process with data of its own on a free port of this
//! machine, and commands against it. Ends only processes that it started.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};

use chirrup_client::{Client, Options};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Nothing is waited for longer: a test that would hang fails.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// Names the rule that the servers of this run have broken: then `chirrup-mutant` stands in for
/// `chirrup`.
pub(crate) const BROKEN: &str = "CHIRRUP_TEST_MUTANT";
/// The path of `chirrup-mutant`, if it is built already.
pub(crate) const MUTANT: &str = "CHIRRUP_TEST_MUTANT_PROGRAM";
/// A small store, so that its log is turned over and its tables are written in a short test.
pub(crate) const SMALL_STORE: &[(&str, &str)] = &[
    ("store.cache_bytes", "1048576"),
    ("store.memtable_bytes", "1048576"),
    ("store.segment_bytes", "1048576"),
    ("store.log_bytes", "4194304"),
    ("store.low_water_bytes", "3145728"),
    ("store.reserve_bytes", "1048576"),
];
/// Of every account that is opened here.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// A server process, and a directory for the profiles of its users.
pub(crate) struct Server {
    /// Where clients connect; the same after a restart.
    pub(crate) address: SocketAddr,
    /// Where the operator connects; the same after a restart.
    pub(crate) admin_address: SocketAddr,
    /// By which the first administrator becomes one, as long as there is none.
    pub(crate) first_code: Option<String>,
    /// Variables of its environment from the next start on, beside its settings.
    pub environment: Vec<(String, String)>,
    /// Where it dies from the next start on, as `POINT:n` (see `crates/mutants`). Then it is
    /// `chirrup-mutant` that runs, with no rule broken.
    pub dies_at: Option<String>,
    directory: TempDir,
    settings: Vec<(String, String)>,
    process: Option<(Child, ChildStdout)>,
}

impl Server {
    /// A fresh server.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// A fresh server with settings: (`"session.heartbeat_ms"`, `"500"`) for example.
    pub(crate) fn start_with(settings: &[(&str, &str)]) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Self {
            address: any,
            admin_address: any,
            first_code: None,
            environment: Vec::new(),
            dies_at: None,
            directory: tempfile::tempdir().unwrap(),
            settings: settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            process: None,
        };
        server.start_again();
        server
    }

    /// Starts it on its data and its addresses, after it has ended; waits until it serves.
    pub(crate) fn start_again(&mut self) {
        assert!(self.process.is_none(), "it runs");
        let log = std::fs::File::options().create(true).append(true).open(self.log()).unwrap();
        let mut command = match (&self.dies_at, std::env::var_os(BROKEN)) {
            (Some(point), _) => of_the_mutant("CHIRRUP_KILL_AT", point.as_ref()),
            (None, Some(rule)) => of_the_mutant("CHIRRUP_MUTANT", &rule),
            (None, None) => program(),
        };
        command.args(["serve", "--json", "--data"]).arg(self.data());
        command.args(["--listen", &self.address.to_string(), "--admin-listen", &self.admin_address.to_string()]);
        command.env("CHIRRUP_LOG_LEVEL", "warn");
        for (key, value) in &self.settings {
            command.env(format!("CHIRRUP_{}", key.to_uppercase().replace('.', "_")), value);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let (said, stdout) = first_line(stdout);
        self.process = Some((child, stdout));
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let said: Value = serde_json::from_str(&said).unwrap_or_else(|e| panic!("the server did not start: {e}: {said:?}\n{log}"));
        self.address = said["address"].as_str().unwrap().parse().unwrap();
        self.admin_address = said["admin_address"].as_str().unwrap().parse().unwrap();
        self.first_code = said["first_code"].as_str().map(str::to_owned);
    }

    /// Kills it with -9.
    pub(crate) fn kill(&mut self) {
        let (mut child, _) = self.process.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Waits until it has ended by itself, as by kill -9.
    pub(crate) fn died(&mut self) {
        let (mut child, _) = self.process.take().expect("it runs");
        let status = end(&mut child);
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "the server ended with {status}");
    }

    /// Asks it to stop with SIGTERM and waits until it has.
    pub(crate) fn stop(&mut self) {
        let (mut child, _) = self.process.take().expect("it runs");
        signal(&child, Signal::TERM);
        let status = end(&mut child);
        assert!(status.success(), "the server ended with {status}\n{}", std::fs::read_to_string(self.log()).unwrap());
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().expect("it runs").0.id()
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// What it tells its operator, a file.
    pub(crate) fn log(&self) -> PathBuf {
        self.directory.path().join("server.log")
    }

    /// Where the profiles of [`Server::chirrup`] are.
    pub(crate) fn profiles(&self) -> PathBuf {
        self.directory.path().join("profiles")
    }

    /// As clients are given it.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// The program as a user of this profile runs it.
    pub(crate) fn chirrup(&self, profile: &str) -> Command {
        let mut command = program();
        command.env("CHIRRUP_PROFILE_DIR", self.profiles()).env("CHIRRUP_PROFILE", profile).env("CHIRRUP_SERVER", self.url());
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command as this user; answers with what it prints with `--json`.
    pub(crate) fn json(&self, profile: &str, arguments: &[&str]) -> Value {
        json(&output(self.chirrup(profile).arg("--json").args(arguments)))
    }

    /// Opens an account by the command line, under a profile of its name.
    pub(crate) fn sign_up(&self, name: &str) {
        let mut command = self.chirrup(name);
        command.args(["login", "--sign-up", "--password-stdin", name]).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "{PASSWORD}").unwrap();
        let status = end(&mut child);
        assert!(status.success(), "sign-up of {name} ended with {status}");
    }

    /// Opens an account and makes it the first administrator.
    pub(crate) fn sign_up_administrator(&self, name: &str) {
        self.sign_up(name);
        self.json(name, &["admin", "redeem", self.first_code.as_ref().expect("there is no administrator yet")]);
    }

    /// How to connect as the user of a profile.
    pub(crate) fn options(&self, profile: &str) -> Options {
        let file = std::fs::read(self.profiles().join(format!("{profile}.json"))).unwrap();
        let profile: Value = serde_json::from_slice(&file).unwrap();
        Options::new(self.url().parse().unwrap(), Some(profile["token"].as_str().unwrap().to_owned()))
    }

    /// A session of the user of a profile, for asking.
    pub(crate) async fn client(&self, profile: &str) -> Client {
        let (client, _events) = Client::connect(self.options(profile)).unwrap();
        client.ready().await.unwrap();
        client
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.kill();
        }
        if std::thread::panicking() {
            println!("{}", std::fs::read_to_string(self.log()).unwrap_or_default());
        }
    }
}

/// The program, free of settings of whoever runs the tests.
pub(crate) fn program() -> Command {
    clean(env!("CARGO_BIN_EXE_chirrup").as_ref())
}

fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CHIRRUP_")) {
        command.env_remove(name);
    }
    command
}

/// `chirrup-mutant`, told what to do wrong.
fn of_the_mutant(variable: &str, value: &OsStr) -> Command {
    let mut command = clean(mutant());
    command.env(variable, value);
    command
}

/// The path of `chirrup-mutant`, which is built if it is not there or not up to date.
pub(crate) fn mutant() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| std::env::var_os(MUTANT).map_or_else(build_mutant, PathBuf::from))
}

/// Builds it in the profile in which alone it can be.
fn build_mutant() -> PathBuf {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What cargo tells of this test's own package is not meant for others' build scripts.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_PKG_")) {
        cargo.env_remove(name);
    }
    cargo.env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_MANIFEST_PATH").current_dir(workspace());
    cargo.args(["build", "--locked", "--quiet", "--message-format=json-render-diagnostics"]);
    cargo.args(["--package", "chirrup-mutant", "--features", "mutants"]);
    let built = String::from_utf8(output(&mut cargo).stdout).unwrap();
    let made = built.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let path = made.filter_map(|made| made["executable"].as_str().map(PathBuf::from)).next_back();
    path.expect("cargo tells where it is")
}

/// The first line that a process prints, waited for within limits; empty if it ends without one.
pub(crate) fn first_line(stdout: ChildStdout) -> (String, ChildStdout) {
    let (told, line) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stdout);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        // Whoever waited may have given up.
        let _ = told.send((line, reader.into_inner()));
    });
    line.recv_timeout(PATIENCE).expect("a line in time")
}

/// Runs a command to its end, which must be a good one.
pub(crate) fn output(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}\nended with {}\n{stdout}{stderr}", output.status);
    output
}

/// What a command printed with `--json`.
pub(crate) fn json(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("not JSON: {e}: {text}"))
}

/// Sends a signal to a child.
pub(crate) fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Waits for the end of a child, within limits.
pub(crate) fn end(child: &mut Child) -> ExitStatus {
    let mut status = None;
    until("a process ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap()
}

/// Waits until something is so, within limits: for what tells nobody when it comes.
#[expect(clippy::disallowed_methods, reason = "an edge: processes are waited for by looking")]
pub(crate) fn until(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The workspace.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A folder of the collected data: below `CHIRRUP_DATA`, or `../shared/data` beside the workspace;
/// none, and a word about it, where this machine does not have it.
pub(crate) fn collected(folder: &str) -> Option<PathBuf> {
    let data = std::env::var_os("CHIRRUP_DATA").map_or_else(|| workspace().join("../shared/data"), PathBuf::from);
    let folder = data.join(folder);
    if !folder.is_dir() {
        println!("SKIPPED: {} is not on this machine: only the samples of the project are used", folder.display());
        return None;
    }
    Some(folder)
}

/// As [`until`], for what is asked over a socket.
#[expect(clippy::disallowed_methods, reason = "an edge: what tells nobody when it comes is looked for")]
pub(crate) async fn until_async(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is().await {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
