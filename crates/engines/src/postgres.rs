//! PostgreSQL: a server of a test's own or one shared by the tests of a program, on loopback, with
//! its data in a directory that goes with it.
//!
//! It ends with its last user. One whose program died is ended by the next that starts one.

use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rustix::process::Signal;

use crate::packages::{need_found, say};
use crate::process;

/// Its one user, who may do everything, and that user's password.
pub const USER: &str = "chirrup";
/// See [`USER`].
pub const PASSWORD: &str = "a password for tests";

/// Whom it runs as where this is root: it refuses to be root.
const ACCOUNT: &str = "postgres";
/// Ports where a place is looked for: below those that outgoing connections take.
const PORTS: std::ops::Range<u16> = 14_000..30_000;
/// How often it is asked whether it is ready, and with what pause.
const LOOKS: u32 = 1_200;
const LOOK: Duration = Duration::from_millis(50);
/// Who owns a directory: a file in it.
const OWNER: &str = "owner";
/// The file that records the server, as `process::signal` reads it.
const PID: &str = "pid";

static SERVERS: AtomicU32 = AtomicU32::new(0);
static PORTS_TAKEN: AtomicU16 = AtomicU16::new(0);
static SCHEMAS: AtomicU32 = AtomicU32::new(0);
static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());

/// A server.
pub struct Postgres {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    /// None while it is killed.
    server: Mutex<Option<Child>>,
}

impl Postgres {
    /// The one that tests of this program share. `None`, and told why, where there can be none:
    /// `test` is what is not tested then.
    pub fn shared(test: &str) -> Option<Arc<Self>> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return Some(server);
        }
        let server = Arc::new(Self::alone(test)?);
        *shared = Arc::downgrade(&server);
        Some(server)
    }

    /// One of a test's own, so that it may be killed and paused. `None` as for [`Postgres::shared`].
    pub fn alone(test: &str) -> Option<Self> {
        match need_found("PostgreSQL", "postgresql", programs) {
            Ok(programs) => Some(Self::make(programs).unwrap_or_else(|error| panic!("failed to start PostgreSQL: {error}"))),
            Err(missing) => {
                say(&format!("not tested over PostgreSQL: {test}: {missing}"));
                None
            }
        }
    }

    fn make(programs: PathBuf) -> io::Result<Self> {
        let all = std::env::temp_dir().join(format!("chirrup-engines-{}", rustix::process::getuid().as_raw()));
        let all = all.join("postgres");
        fs::create_dir_all(&all)?;
        let me = std::process::id();
        let folder = all.join(format!("{me}-{}", SERVERS.fetch_add(1, Ordering::Relaxed)));
        {
            // One at a time, so that none is taken for dead that has not said yet whose it is.
            let starting = File::create(all.with_extension("starting"))?;
            starting.lock()?;
            sweep(&all)?;
            fs::create_dir(&folder)?;
            fs::write(folder.join(OWNER), format!("{me} {}", process::began("self").unwrap_or_default()))?;
        }
        fs::write(folder.join("password"), PASSWORD)?;
        if rustix::process::getuid().is_root() {
            run(Command::new("chown").args(["-R", ACCOUNT]).arg(&folder))?;
        }
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
        let server = Self { port: free_port(), server: Mutex::default(), programs, folder };
        let mut init = server.command("initdb");
        init.args(["--username", USER, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"]);
        init.arg("--pwfile").arg(server.folder.join("password")).arg("--pgdata").arg(server.data());
        run(&mut init)?;
        server.launch()?;
        Ok(server)
    }

    /// A connection string for this database, without options.
    pub fn address(&self, database: &str) -> String {
        format!("host=127.0.0.1 port={} user={USER} password='{PASSWORD}' dbname={database}", self.port)
    }

    /// Where it listens on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A name for a schema that nobody else uses.
    pub fn new_schema() -> String {
        format!("t_{}_{}", std::process::id(), SCHEMAS.fetch_add(1, Ordering::Relaxed))
    }

    /// SIGKILL to all of its processes.
    pub fn kill(&self) {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut child) = server.take() {
            // Stopped first, so that it makes no more while they are looked for.
            self.signal_all(child.id(), Signal::STOP);
            self.signal_all(child.id(), Signal::KILL);
            child.wait().expect("the server that was started can be waited for");
        }
    }

    /// Starts it again after it was killed, and waits until it has recovered.
    pub fn start(&self) {
        self.launch().expect("the server that was killed can be started again");
    }

    /// SIGSTOP to all of its processes: it answers nothing, and its connections stay.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(child) = server.as_ref() {
            self.signal_all(child.id(), signal);
        }
    }

    fn signal_all(&self, server: u32, signal: Signal) {
        let recorded = fs::read_to_string(self.folder.join(PID)).unwrap_or_default();
        let children = children(server);
        process::signal(&recorded, signal);
        for child in children {
            process::signal(&child, signal);
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// One of its programs, run as whom it may be run.
    fn command(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let mut command = if rustix::process::getuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", ACCOUNT, "--regid", ACCOUNT, "--clear-groups"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(&self.folder).stdin(Stdio::null());
        command
    }

    fn launch(&self) -> io::Result<()> {
        let log = File::options().append(true).create(true).open(self.folder.join("log"))?;
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        command.args(["-c", "unix_socket_directories=", "-c", "fsync=on", "-c", "max_connections=60"]);
        let mut child = command.stdout(log.try_clone()?).stderr(log).spawn()?;
        let id = child.id();
        fs::write(self.folder.join(PID), format!("{id} {}", process::began(&id.to_string()).unwrap_or_default()))?;
        for _ in 0..LOOKS {
            if let Some(status) = child.try_wait()? {
                let log = fs::read_to_string(self.folder.join("log"))?;
                return Err(io::Error::other(format!("it ended with {status}: {log}")));
            }
            let mut ready = Command::new(self.programs.join("pg_isready"));
            ready.args(["--quiet", "--host", "127.0.0.1", "--port", &self.port.to_string()]);
            if ready.status()?.success() {
                *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
                return Ok(());
            }
            std::thread::park_timeout(LOOK);
        }
        child.kill()?;
        child.wait()?;
        Err(io::Error::other("it does not get ready"))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
        // What is left of it is ended and deleted by the next that starts one.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Where the newest version's programs are.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let has = |folder: &PathBuf| folder.join("postgres").is_file() && folder.join("initdb").is_file();
    let debian = versions.filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin"))));
    let newest = debian.filter(|(_, folder)| has(folder)).max().map(|(_, folder)| folder);
    newest.or_else(|| std::env::split_paths(&std::env::var_os("PATH")?).find(has))
}

/// Ends and deletes what programs left that are no more.
fn sweep(all: &Path) -> io::Result<()> {
    for folder in fs::read_dir(all)?.flatten().map(|entry| entry.path()) {
        let owner = fs::read_to_string(folder.join(OWNER)).unwrap_or_default();
        let mut words = owner.split_whitespace();
        let (process, began) = (words.next().unwrap_or_default(), words.next());
        if began.is_some() && process::began(process).as_deref() == began {
            continue;
        }
        // Its processes end by themselves when the first of them has.
        if let Ok(recorded) = fs::read_to_string(folder.join(PID)) {
            process::signal(&recorded, Signal::KILL);
        }
        // Who still writes there is ending; the next sweep takes the rest.
        let _ = fs::remove_dir_all(&folder);
    }
    Ok(())
}

/// The processes that this one has begun, as `process::signal` reads them.
fn children(parent: u32) -> Vec<String> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ours = |process: &String| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
        fields.split_whitespace().nth(1).is_some_and(|of| of == parent.to_string())
    };
    let processes = all.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| name.bytes().all(|b| b.is_ascii_digit()));
    processes.filter(ours).filter_map(|process| Some(format!("{process} {}", process::began(&process)?))).collect()
}

/// A port that is free now, and was not given out by this program before.
fn free_port() -> u16 {
    let count = PORTS.end - PORTS.start;
    let first = std::process::id() as u16 % count;
    let mut ports = (0..count).map(|_| PORTS.start + (first + PORTS_TAKEN.fetch_add(1, Ordering::Relaxed)) % count);
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("one of thousands of ports is free")
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr))))
}
