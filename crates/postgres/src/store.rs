//! What an open store is made of: where it is, its claim, its connections.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use crate::claim::Claim;
use crate::limits::{AGAIN, CONNECT_TIMEOUT, OPEN_TIMEOUT, READERS};
use crate::options::{OpenError, Options};
use crate::schema;
use crate::session::{Reader, Session, Writer};
use crate::trouble::shuts_out;

pub(crate) struct Store {
    pub(crate) options: Options,
    pub(crate) claim: Claim,
    /// None until the first commit, and after the connection was given up. Whoever commits holds it.
    pub(crate) writer: Mutex<Option<Writer>>,
    /// Taken in turn; none until first used, and after the connection was given up.
    pub(crate) readers: [Mutex<Option<Arc<Reader>>>; READERS],
    pub(crate) next_reader: AtomicUsize,
}

impl Store {
    pub(crate) async fn open(options: &Options, holder: &str) -> Result<Self, OpenError> {
        timeout(OPEN_TIMEOUT, Self::open_unbounded(options, holder)).await.unwrap_or(Err(OpenError::Late))
    }

    async fn open_unbounded(options: &Options, holder: &str) -> Result<Self, OpenError> {
        let session = connect(options).await?;
        schema::open(&session.client, options).await?;
        Ok(Self {
            claim: Claim::take(session, options, holder).await?,
            options: options.clone(),
            writer: Mutex::default(),
            readers: Default::default(),
            next_reader: AtomicUsize::new(0),
        })
    }
}

/// The first connection. An engine that is starting is waited for; whoever is not there, or lets us
/// not in, is told.
async fn connect(options: &Options) -> Result<Session, OpenError> {
    loop {
        match timeout(CONNECT_TIMEOUT, Session::connect(&options.config)).await {
            Ok(Ok(session)) => return Ok(session),
            Ok(Err(error)) if error.code().is_none() || shuts_out(&error) => return Err(OpenError::Connect(error)),
            Ok(Err(_)) => sleep(AGAIN).await,
            Err(_) => return Err(OpenError::Late),
        }
    }
}
