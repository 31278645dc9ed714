//! Faults between a program and its files: what `preload.c` does, told while the program runs.
//!
//! Must not know: what the program is.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use rustix::io::Errno;

/// Reads.
pub const READ: u64 = 1;
/// Writes, and room that is asked for.
pub const WRITE: u64 = 1 << 1;
/// What takes room: writes beyond the end of a file, room that is asked for, new files.
pub const GROW: u64 = 1 << 2;
/// Opens that may make a file, and new directories.
pub const CREATE: u64 = 1 << 3;
/// Syncs of files and directories.
pub const SYNC: u64 = 1 << 4;
/// Whatever changes anything.
pub const CHANGE: u64 = 1 << 5;

/// For ever, as a number of times.
pub const EVER: u64 = u64::MAX;

/// The status of a program in which no faults can be made.
const NOT_HERE: i32 = 86;
const PATH_BYTES: usize = 256;
/// Where the numbers of calls begin in the control file, which begins with six others.
const SEEN_AT: u64 = 48;
const SPOILT_AT: u64 = 56;
const WHERE_AT: u64 = 64;
const LAST_AT: u64 = WHERE_AT + PATH_BYTES as u64;
const CONTROL_BYTES: u64 = LAST_AT + PATH_BYTES as u64;

/// What becomes of a call.
#[derive(Clone, Copy, Debug)]
pub enum Effect {
    /// It is not done; the error.
    Fail(Errno),
    /// Half of it is done; the error.
    FailHalfway(Errno),
    /// So many bytes of it are done at most, as it tells.
    Short(u64),
    /// It is done after so many milliseconds.
    Slow(u64),
}

/// Which calls are spoilt, and how.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Kinds of calls, together.
    pub calls: u64,
    /// Only on files with this in their path.
    pub path: &'static str,
    /// So many such calls are let through …
    pub skip: u64,
    /// … before so many are spoilt.
    pub times: u64,
    pub effect: Effect,
}

impl Fault {
    /// All such calls, from now on.
    pub fn ever(calls: u64, effect: Effect) -> Self {
        Self { calls, path: "", skip: 0, times: EVER, effect }
    }

    /// The next such call.
    pub fn once(calls: u64, effect: Effect) -> Self {
        Self { times: 1, ..Self::ever(calls, effect) }
    }
}

/// The faults of one program on the files in one directory.
pub struct Faults {
    control: File,
    /// For the environment of the program.
    pub environment: [(&'static str, PathBuf); 3],
}

impl Faults {
    /// None yet, on the files in `dir`; `control` is a new file. `None` where faults cannot be
    /// made, with a word about it.
    pub fn on(dir: &Path, control: PathBuf) -> Option<Self> {
        static LIBRARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        let library = match LIBRARY.get_or_init(library) {
            Ok(library) => library.clone(),
            Err(why) => {
                println!("SKIPPED: no faults can be made here: {why}");
                return None;
            }
        };
        let file = File::options().read(true).write(true).create_new(true).open(&control).unwrap();
        file.set_len(CONTROL_BYTES).unwrap();
        let dir = dir.canonicalize().unwrap();
        assert!(dir.as_os_str().len() < PATH_BYTES, "the library takes no longer path");
        Some(Self { control: file, environment: [("LD_PRELOAD", library), ("FAULT_CONTROL", control), ("FAULT_DIR", dir)] })
    }

    /// From now on, instead of what was before.
    pub fn spoil(&self, fault: Fault) {
        self.lift();
        let (effect, value) = match fault.effect {
            Effect::Fail(errno) => (1, u64::try_from(errno.raw_os_error()).unwrap()),
            Effect::FailHalfway(errno) => (2, u64::try_from(errno.raw_os_error()).unwrap()),
            Effect::Short(bytes) => (3, bytes),
            Effect::Slow(ms) => (4, ms),
        };
        for (at, number) in [fault.calls, fault.skip, fault.times, effect, value, 0, 0].into_iter().enumerate() {
            self.write(8 + 8 * at as u64, &number.to_ne_bytes());
        }
        let mut path = [0; PATH_BYTES];
        path[..fault.path.len()].copy_from_slice(fault.path.as_bytes());
        self.write(WHERE_AT, &path);
        self.write(LAST_AT, &[0; PATH_BYTES]);
        self.write(0, &1_u64.to_ne_bytes());
    }

    /// No faults from now on.
    pub fn lift(&self) {
        self.write(0, &0_u64.to_ne_bytes());
    }

    /// How many calls there were of those named last.
    pub fn seen(&self) -> u64 {
        self.number(SEEN_AT)
    }

    /// How many of them were spoilt.
    pub fn spoilt(&self) -> u64 {
        self.number(SPOILT_AT)
    }

    /// The file of the last call that was spoilt.
    pub fn last(&self) -> String {
        let mut path = [0; PATH_BYTES];
        self.control.read_exact_at(&mut path, LAST_AT).unwrap();
        String::from_utf8_lossy(&path).trim_end_matches('\0').to_owned()
    }

    fn write(&self, at: u64, bytes: &[u8]) {
        self.control.write_all_at(bytes, at).unwrap();
    }

    fn number(&self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        self.control.read_exact_at(&mut bytes, at).unwrap();
        u64::from_ne_bytes(bytes)
    }
}

/// Compiles the library and tries it on a small program; why it is of no use here.
fn library() -> Result<PathBuf, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/disk/preload.c");
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let library = place.join("preload.so");
    // Another run of the tests may be using it.
    let made = tempfile::Builder::new().tempfile_in(place).unwrap().into_temp_path();
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&made).arg(source).output();
    let compiled = compiled.map_err(|error| format!("there is no C compiler: {error}"))?;
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    made.persist(&library).unwrap();
    let tried = tempfile::tempdir().unwrap();
    let control = tried.path().join("control");
    File::create(&control).unwrap().set_len(CONTROL_BYTES).unwrap();
    let mut command = Command::new("true");
    command.env("LD_PRELOAD", &library).env("FAULT_CONTROL", &control).env("FAULT_DIR", tried.path());
    match command.status().unwrap() {
        status if status.success() => Ok(library),
        status if status.code() == Some(NOT_HERE) => Err("the system does not hand over calls".to_owned()),
        status => panic!("a program with the library ended with {status}"),
    }
}
