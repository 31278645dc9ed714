//! The log: to stderr, for people or machines. It never has bodies of messages, passwords or
//! tokens: nothing that holds them is ever given to it.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{Log, LogFormat};

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error("log.level: {0}")]
    Level(#[from] tracing_subscriber::filter::ParseError),
    /// There is a log already.
    #[error("failed to begin the log: {0}")]
    Begun(#[from] tracing_subscriber::util::TryInitError),
}

/// Begins the log of the process, once.
pub fn begin(config: &Log) -> Result<(), TelemetryError> {
    let log = tracing_subscriber::fmt().with_env_filter(EnvFilter::try_new(&config.level)?).with_writer(std::io::stderr);
    match config.format {
        LogFormat::Text => log.finish().try_init()?,
        LogFormat::Json => log.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
}
