//! A disk whose power can be cut: ext4 in an image file, on a loop device. What was not synced
//! before the cut is gone after it, as if the machine had lost its power.
//!
//! Must not know: what is kept on it. Only root may mount, and not on every machine.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::Command;

use rustix::ioctl::{Opcode, Setter, ioctl};
use tempfile::TempDir;

/// How large it seems; the image file takes what is written.
const IMAGE_BYTES: u64 = 2 << 30;
/// The journal is written by whoever syncs, and by nobody else while a run lasts: what a server did
/// not sync itself must not be saved by chance.
const MOUNT_OPTIONS: &str = "loop,noatime,commit=3600";
/// `EXT4_IOC_SHUTDOWN` of Linux' `fs/ext4/ext4.h`: `_IOR('X', 125, __u32)`.
const SHUTDOWN: Opcode = 0x8004_587d;
/// `EXT4_GOING_FLAGS_NOLOGFLUSH`: not even the journal is written.
const NO_LOG_FLUSH: u32 = 2;

/// Why there is no such disk.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// A program of the system failed, with this to say.
    #[error("{program} failed: {said}")]
    Failed {
        /// Which.
        program: &'static str,
        /// Its words.
        said: String,
    },
    /// A call failed.
    #[error("{what} failed: {source}")]
    Io {
        /// Which.
        what: &'static str,
        /// How.
        source: io::Error,
    },
}

/// It, mounted. Unmounted and gone when dropped, whoever still has files open there.
#[derive(Debug)]
pub struct Disk {
    home: TempDir,
    mounted: bool,
}

impl Disk {
    /// Makes one and mounts it.
    ///
    /// # Errors
    /// Where that is not allowed, with the system's reason.
    pub fn mount() -> Result<Self, DiskError> {
        let home = tempfile::tempdir().map_err(io_error("making a directory"))?;
        std::fs::create_dir(home.path().join("mount")).map_err(io_error("making a directory"))?;
        let image = File::create(home.path().join("image")).map_err(io_error("making an image"))?;
        image.set_len(IMAGE_BYTES).map_err(io_error("making an image"))?;
        let mut disk = Self { home, mounted: false };
        // Nothing is to be written later that need not be.
        let lazy = "lazy_itable_init=1,lazy_journal_init=1,nodiscard";
        command("mkfs.ext4", Command::new("mkfs.ext4").args(["-q", "-F", "-E", lazy]).arg(disk.image()))?;
        disk.attach()?;
        Ok(disk)
    }

    /// Where its files are.
    pub fn path(&self) -> PathBuf {
        self.home.path().join("mount")
    }

    /// Cuts the power: from now on nothing reaches the disk, and all that was not synced is gone.
    /// Whoever has files open there is told of errors, and must end before [`Disk::power_on`].
    ///
    /// # Errors
    /// What the system answers.
    pub fn cut_power(&self) -> Result<(), DiskError> {
        let root = File::open(self.path()).map_err(io_error("opening the mount"))?;
        shut_down(&root).map_err(io_error("shutting the file system down"))
    }

    /// Mounts it again after [`Disk::cut_power`], as a machine does that has power again.
    ///
    /// # Errors
    /// What the system answers: that it is in use, while there are files open.
    pub fn power_on(&mut self) -> Result<(), DiskError> {
        command("umount", Command::new("umount").arg(self.path()))?;
        self.mounted = false;
        self.attach()
    }

    fn attach(&mut self) -> Result<(), DiskError> {
        // The loop device goes with the mount.
        command("mount", Command::new("mount").args(["-t", "ext4", "-o", MOUNT_OPTIONS]).arg(self.image()).arg(self.path()))?;
        self.mounted = true;
        Ok(())
    }

    fn image(&self) -> PathBuf {
        self.home.path().join("image")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted && command("umount", Command::new("umount").arg(self.path())).is_err() {
            // Somebody is still in it: it goes when they do. Nobody could be told of a failure.
            drop(command("umount", Command::new("umount").arg("-l").arg(self.path())));
        }
    }
}

// The one place with `unsafe`. Sound because the request reads 32 bits and writes none, to which
// `Setter` hands a pointer that lives as long as the call; on a file system of another kind the
// number means nothing, and is refused.
#[expect(unsafe_code, reason = "no library knows this request; see the proof above")]
fn shut_down(root: &File) -> io::Result<()> {
    // SAFETY: `SHUTDOWN` takes a pointer to the flags, a `u32`.
    let request = unsafe { Setter::<SHUTDOWN, u32>::new(NO_LOG_FLUSH) };
    // SAFETY: the same; `root` is open.
    unsafe { ioctl(root, request) }?;
    Ok(())
}

fn io_error(what: &'static str) -> impl Fn(io::Error) -> DiskError {
    move |source| DiskError::Io { what, source }
}

fn command(program: &'static str, command: &mut Command) -> Result<(), DiskError> {
    let output = command.output().map_err(io_error(program))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(DiskError::Failed { program, said })
}

/// A directory whose power may be cut, where this machine allows it.
#[derive(Debug)]
pub enum Place {
    /// On a disk of its own.
    Disk(Disk),
    /// A plain directory, and why there is no more.
    Plain(TempDir, String),
}

impl Place {
    /// The best that this machine allows.
    ///
    /// # Errors
    /// If there is not even a directory.
    pub fn new() -> Result<Self, DiskError> {
        match Disk::mount() {
            Ok(disk) => Ok(Self::Disk(disk)),
            Err(why) => Ok(Self::Plain(tempfile::tempdir().map_err(io_error("making a directory"))?, why.to_string())),
        }
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        match self {
            Self::Disk(disk) => disk.path(),
            Self::Plain(directory, _) => directory.path().to_owned(),
        }
    }

    /// As [`Disk::cut_power`]; nothing in a plain directory.
    ///
    /// # Errors
    /// What the system answers.
    pub fn cut_power(&self) -> Result<(), DiskError> {
        match self {
            Self::Disk(disk) => disk.cut_power(),
            Self::Plain(..) => Ok(()),
        }
    }

    /// As [`Disk::power_on`]; nothing in a plain directory.
    ///
    /// # Errors
    /// What the system answers.
    pub fn power_on(&mut self) -> Result<(), DiskError> {
        match self {
            Self::Disk(disk) => disk.power_on(),
            Self::Plain(..) => Ok(()),
        }
    }

    /// Why there are no power cuts, if there are none.
    pub fn no_cuts(&self) -> Option<&str> {
        match self {
            Self::Disk(_) => None,
            Self::Plain(_, why) => Some(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::path::Path;

    use super::*;

    fn disk() -> Option<Disk> {
        Disk::mount().inspect_err(|why| println!("SKIPPED: no disk can be mounted here: {why}")).ok()
    }

    fn write(path: &Path) -> File {
        let mut file = File::create(path).unwrap();
        file.write_all(&[7; 10_000]).unwrap();
        file
    }

    #[test]
    fn what_was_synced_is_there_after_a_cut_and_nothing_else_is() {
        let Some(mut disk) = disk() else { return };
        let (synced, unsynced) = (disk.path().join("synced"), disk.path().join("unsynced"));
        let file = write(&synced);
        file.sync_all().unwrap();
        File::open(disk.path()).unwrap().sync_all().unwrap();
        let mut grown = File::options().append(true).open(&synced).unwrap();
        grown.write_all(&[8; 5000]).unwrap();
        drop((file, grown, write(&unsynced)));
        disk.cut_power().unwrap();
        assert!(File::create(disk.path().join("late")).is_err(), "nothing is written without power");
        disk.power_on().unwrap();
        assert_eq!(std::fs::read(&synced).unwrap(), [7; 10_000]);
        assert!(!unsynced.exists());
    }

    #[test]
    fn a_disk_is_gone_when_dropped_even_in_a_panic_with_open_files() {
        let Some(disk) = disk() else { return };
        let path = disk.path();
        let file = write(&path.join("open"));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _disk = disk;
            panic!("on purpose");
        }));
        assert!(panicked.is_err());
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        assert!(!mounts.contains(path.to_str().unwrap()), "{mounts}");
        drop(file);
    }
}
