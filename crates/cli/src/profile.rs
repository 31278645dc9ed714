//! Who one is on which server: kept in a file that only its owner can read.
//!
//! Must not know: the protocol.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// A login of this machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Profile {
    /// Address of the server.
    pub(crate) server: String,
    /// The account's name.
    pub(crate) name: String,
    /// The account.
    pub(crate) user: String,
    /// The device's token.
    pub(crate) token: String,
}

/// Where a profile and what belongs to it lie.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    directory: PathBuf,
    name: String,
}

impl Place {
    /// The place of a profile: in `directory`, or where the desktop's conventions put it.
    pub(crate) fn new(directory: Option<PathBuf>, name: &str) -> Result<Self> {
        anyhow::ensure!(
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'),
            "a profile's name has letters, digits, - and _ only: {name:?}"
        );
        let directory = match directory {
            Some(directory) => directory,
            None => conventional().context("neither XDG_CONFIG_HOME nor HOME is set: say where with --profile-dir")?,
        };
        Ok(Self { directory, name: name.to_owned() })
    }

    /// The profile; none if nobody is logged in.
    pub(crate) fn load(&self) -> Result<Option<Profile>> {
        let path = self.file("json");
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).with_context(|| format!("failed to read {}", path.display()))?)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("failed to read {}", path.display())),
        }
    }

    /// Keeps a profile, readable by its owner alone.
    pub(crate) fn save(&self, profile: &Profile) -> Result<()> {
        create_private(&self.directory)?;
        let path = self.file("json");
        chirrup_client::files::replace(&path, &serde_json::to_vec_pretty(profile)?)?;
        Ok(())
    }

    /// Forgets the profile, and what one had not sent with it.
    pub(crate) fn remove(&self) -> Result<()> {
        for path in [self.file("json"), self.resume()] {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("failed to remove {}", path.display()));
                }
                _ => {}
            }
        }
        match std::fs::remove_dir_all(self.outbox()) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context("failed to remove the outbox"),
            _ => Ok(()),
        }
    }

    /// Directory of what is said and not settled.
    pub(crate) fn outbox(&self) -> PathBuf {
        self.file("outbox")
    }

    /// File that tells how far `tail` has come.
    pub(crate) fn resume(&self) -> PathBuf {
        self.file("resume.json")
    }

    /// File in which an import keeps how far it has come.
    pub(crate) fn journal(&self) -> PathBuf {
        self.file("import.journal")
    }

    /// What a person calls it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn file(&self, extension: &str) -> PathBuf {
        self.directory.join(format!("{}.{extension}", self.name))
    }
}

fn conventional() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config"))).map(|base| base.join("chirrup"))
}

fn create_private(directory: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .with_context(|| format!("failed to make {}", directory.display()))
}
