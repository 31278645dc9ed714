//! The configuration: one struct for each subsystem, filled from the commented default file, a
//! file of the operator's, the environment and flags, the later over the earlier. A key that is
//! not in the default file is an error.
//!
//! Must not know: what the settings do.

mod keys;
mod network;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use chirrup_store::embedded::EmbeddedOptions;
use chirrup_stores::{NameError, StoreName};
use serde::Deserialize;
use toml::Table;

pub use network::Network;

/// The default file: every setting with its comment.
pub const DEFAULT_FILE: &str = include_str!("default.toml");

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("failed to read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML.
    #[error("{path} is not valid: {what}")]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        what: String,
    },
    /// There is no such setting.
    #[error("{place}: there is no setting {key:?}; did you mean {nearest:?}?")]
    UnknownKey {
        /// File, environment or flags.
        place: String,
        /// As it was written.
        key: String,
        /// The known one most like it.
        nearest: String,
    },
    /// A value that cannot be taken.
    #[error("{key}: {what}")]
    Value {
        /// Which setting.
        key: &'static str,
        /// What is wrong and what would be right.
        what: String,
    },
    /// A value of the wrong type.
    #[error("{0}")]
    Type(String),
}

/// All settings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What this server is.
    pub server: Server,
    /// Where it is reached.
    pub listen: Listen,
    /// Its certificate.
    pub tls: Tls,
    /// Intervals of connections.
    pub session: Session,
    /// Passwords.
    pub auth: Auth,
    /// Memory and disk.
    pub store: Store,
    /// What it tells its operator.
    pub log: Log,
}

/// What this server is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Who may open an account; ask [`Config::sign_up_open`].
    pub sign_up: SignUp,
    /// Anybody may write to anybody; always on for now.
    pub closed_community: bool,
}

/// Who may open an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignUp {
    /// Anybody while the server is on loopback, nobody otherwise.
    Auto,
    /// Anybody.
    Open,
    /// Nobody.
    Closed,
}

/// Where the server is reached.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// For clients.
    pub address: SocketAddr,
    /// For the operator.
    pub admin_address: SocketAddr,
    /// A proxy does TLS and tells addresses.
    pub behind_proxy: bool,
    /// Which proxies are believed.
    pub trusted_proxies: Vec<Network>,
    /// Origins of other hosts that may connect.
    pub origins: Vec<String>,
    /// Connections in all.
    pub connections_max: usize,
    /// Connections from one address.
    pub connections_per_address_max: usize,
}

/// The certificate.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// PEM, with its chain; empty for none. Ask [`Config::tls_files`].
    pub cert: PathBuf,
    /// PEM; empty for none.
    pub key: PathBuf,
}

/// Intervals of connections, in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// Between heartbeats.
    pub heartbeat_ms: u64,
    /// Between repetitions of "is writing".
    pub typing_ms: u64,
    /// Between writes of positions.
    pub merge_ms: u64,
    /// From the last connection's end to "offline".
    pub grace_ms: u64,
    /// For answers after the signal to stop.
    pub drain_ms: u64,
}

/// Passwords and attempts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// Hashes computed at once.
    pub hashes_at_once: usize,
    /// Wrong passwords from one address before it must wait.
    pub address_attempts: u64,
    /// Accounts from one address before it must wait.
    pub address_sign_ups: u64,
}

/// Which store, and sizes of the embedded one in bytes; see [`EmbeddedOptions`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// As [`StoreName`] reads it; empty for the embedded one in the data directory.
    pub name: String,
    /// Memory for blocks read.
    pub cache_bytes: u64,
    /// Memory for rows not yet in tables.
    pub memtable_bytes: u64,
    /// One file of the log.
    pub segment_bytes: u64,
    /// All of the log.
    pub log_bytes: u64,
    /// Room below which sends are refused.
    pub low_water_bytes: u64,
    /// Room kept aside for deletes.
    pub reserve_bytes: u64,
}

/// What the operator is told.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// For people or machines.
    pub format: LogFormat,
    /// A filter of `tracing`.
    pub level: String,
}

/// Forms of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// A JSON object a line.
    Json,
}

/// The longest interval.
const HOUR_MS: u64 = 3_600_000;
/// The most memory, or room on the disk, of one kind: a pebibyte.
const STORE_BYTES_MAX: u64 = 1 << 50;

impl Default for Config {
    fn default() -> Self {
        Self::load(None, std::iter::empty(), &[]).expect("the default file is valid, as a test shows")
    }
}

impl Config {
    /// Puts all sources together and checks the result. `env` is the whole environment: what
    /// begins with `CHIRRUP_` and a section's name is ours. `flags` are (dotted key, value).
    pub fn load(file: Option<&Path>, env: impl Iterator<Item = (String, String)>, flags: &[(String, String)]) -> Result<Self, ConfigError> {
        let mut table = keys::parse(Path::new("default.toml"), DEFAULT_FILE)?;
        let known = keys::flatten(&table);
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
            let given = keys::parse(path, &text)?;
            keys::check(&known, &given, &path.display().to_string())?;
            keys::merge(&mut table, given);
        }
        for (variable, value) in env {
            if let Some(key) = keys::of_variable(&known, &variable)? {
                keys::set(&mut table, key, &value);
            }
        }
        for (key, value) in flags {
            keys::set(&mut table, keys::known(&known, key, "flags")?, value);
        }
        Self::of(table)
    }

    fn of(table: Table) -> Result<Self, ConfigError> {
        let config: Self = table.try_into().map_err(|e: toml::de::Error| ConfigError::Type(e.to_string().trim_end().to_owned()))?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let value = |key, what: &str| Err(ConfigError::Value { key, what: what.to_owned() });
        if self.tls.cert.as_os_str().is_empty() != self.tls.key.as_os_str().is_empty() {
            return value("tls", "give both cert and key, or neither");
        }
        if self.listen.behind_proxy && self.listen.trusted_proxies.is_empty() {
            return value("listen.trusted_proxies", "name the proxy's addresses if behind_proxy is on");
        }
        if !self.on_loopback() && self.tls_files().is_none() && !self.listen.behind_proxy {
            return value(
                "listen.address",
                "beyond the loopback addresses passwords would go over the network in clear: give tls.cert and tls.key, or set \
                 behind_proxy and trusted_proxies",
            );
        }
        if !self.listen.admin_address.ip().is_loopback() {
            return value("listen.admin_address", "only a loopback address is taken");
        }
        if !self.server.closed_community {
            return value("server.closed_community", "only true is supported yet");
        }
        if self.listen.connections_max == 0 || self.listen.connections_per_address_max == 0 {
            return value("listen.connections_max", "must be at least 1, in all and per address");
        }
        match self.store_name() {
            Ok(StoreName::Embedded(dir)) if dir != self.server.data_dir => {
                return value("store.name", "an embedded store is kept in server.data_dir: leave it empty");
            }
            Ok(_) => {}
            Err(error) => return Err(ConfigError::Value { key: "store.name", what: error.to_string() }),
        }
        let (session, auth, store) = (&self.session, &self.auth, &self.store);
        for (key, number, least, most) in [
            ("session.heartbeat_ms", session.heartbeat_ms, 50, HOUR_MS),
            ("session.typing_ms", session.typing_ms, 10, HOUR_MS),
            ("session.merge_ms", session.merge_ms, 1, HOUR_MS),
            ("session.grace_ms", session.grace_ms, 0, HOUR_MS),
            ("session.drain_ms", session.drain_ms, 0, HOUR_MS),
            ("auth.hashes_at_once", auth.hashes_at_once as u64, 1, 256),
            ("auth.address_attempts", auth.address_attempts, 1, 1_000_000),
            ("auth.address_sign_ups", auth.address_sign_ups, 1, 1_000_000),
            ("store.cache_bytes", store.cache_bytes, 0, STORE_BYTES_MAX),
            ("store.memtable_bytes", store.memtable_bytes, 1 << 16, STORE_BYTES_MAX),
            ("store.segment_bytes", store.segment_bytes, 1 << 16, STORE_BYTES_MAX),
            ("store.log_bytes", store.log_bytes, 1 << 16, STORE_BYTES_MAX),
            ("store.low_water_bytes", store.low_water_bytes, 0, STORE_BYTES_MAX),
            ("store.reserve_bytes", store.reserve_bytes, 0, STORE_BYTES_MAX),
        ] {
            if !(least..=most).contains(&number) {
                return Err(ConfigError::Value { key, what: format!("must be {least} to {most}") });
            }
        }
        Ok(())
    }

    /// Whether clients can only be on this machine.
    pub fn on_loopback(&self) -> bool {
        self.listen.address.ip().is_loopback()
    }

    /// Whether anybody may open an account.
    pub fn sign_up_open(&self) -> bool {
        match self.server.sign_up {
            SignUp::Auto => self.on_loopback() && !self.listen.behind_proxy,
            SignUp::Open => true,
            SignUp::Closed => false,
        }
    }

    /// Certificate and key, if there are.
    pub fn tls_files(&self) -> Option<(&Path, &Path)> {
        (!self.tls.cert.as_os_str().is_empty()).then_some((self.tls.cert.as_path(), self.tls.key.as_path()))
    }

    /// Which store.
    ///
    /// # Errors
    /// What is no name of a store.
    pub fn store_name(&self) -> Result<StoreName, NameError> {
        match self.store.name.as_str() {
            "" => Ok(StoreName::Embedded(self.server.data_dir.clone())),
            name => name.parse(),
        }
    }

    /// How an embedded store is opened.
    pub fn store_options(&self) -> EmbeddedOptions {
        let store = &self.store;
        EmbeddedOptions {
            cache_bytes: store.cache_bytes,
            memtable_bytes: store.memtable_bytes,
            segment_bytes: store.segment_bytes,
            log_bytes: store.log_bytes,
            low_water_bytes: store.low_water_bytes,
            reserve_bytes: store.reserve_bytes,
            ..EmbeddedOptions::default()
        }
    }
}

#[cfg(test)]
mod tests;
