//! File systems of their own, in memory and small, where the test may mount them.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::process::temp_dir;

/// A file system, gone when dropped.
pub struct Mount(TempDir);

impl Mount {
    /// With these options; `None` where none may be mounted, with a word about it.
    pub fn new(options: &str) -> Option<Self> {
        let dir = temp_dir();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(dir.path()).output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            println!("SKIPPED: a file system cannot be mounted here");
            return None;
        }
        Some(Self(dir))
    }

    /// Mounts it with other options.
    pub fn again(&self, options: &str) {
        let output = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(self.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A file or directory on it.
    pub fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Takes all the room that is left, in a file.
    pub fn fill(&self, name: &str) {
        let mut bytes = vec![0; 1 << 20];
        let mut file = std::fs::File::create(self.at(name)).unwrap();
        while !bytes.is_empty() {
            if std::io::Write::write_all(&mut file, &bytes).is_err() {
                bytes.truncate(bytes.len() / 2);
            }
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // At once, whoever is still in it.
        drop(Command::new("umount").arg("-l").arg(self.path()).output());
    }
}
