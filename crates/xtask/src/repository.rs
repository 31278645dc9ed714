//! The files of the repository: those that git tracks, or would if they were added.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The working tree.
pub(crate) struct Repository {
    root: PathBuf,
    /// Relative to the root, with `/`.
    pub(crate) files: Vec<String>,
}

impl Repository {
    /// The tree that this crate lies in.
    ///
    /// # Errors
    /// A sentence, if git is missing or this is no clone.
    pub(crate) fn open() -> Result<Self, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let output = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(&root)
            .output()
            .map_err(|e| format!("failed to run git: {e}"))?;
        if !output.status.success() {
            return Err(format!("failed to list files: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
        let listed = String::from_utf8_lossy(&output.stdout);
        let files = listed.split('\0').filter(|f| !f.is_empty()).map(str::to_owned).collect();
        Ok(Self { root, files })
    }

    /// Whether there is a file or folder at this path.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    /// The text of a file; `None` if it is none, or gone.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok()
    }

    /// Replaces a file.
    pub(crate) fn write(&self, path: &str, text: &str) -> Result<(), String> {
        fs::write(self.root.join(path), text).map_err(|e| format!("failed to write {path}: {e}"))
    }
}
