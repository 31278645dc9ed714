//! Who may write: one server, by a random token in the schema that every commit checks. Whoever
//! wants it must hold a lock of the engine's that lasts as long as a connection, so that a server
//! that lives is not taken over by mistake.

use std::sync::{Mutex, PoisonError};

use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, Error};

use crate::limits::{AGAIN, CLAIM_LOOK, CLAIM_WAIT, CONNECT_TIMEOUT, REQUEST_TIMEOUT};
use crate::options::{OpenError, Options};
use crate::session::Session;

/// A claim, held until another takes it or it is given back.
pub(crate) struct Claim {
    options: Options,
    /// In the schema as long as the claim is ours.
    pub(crate) token: String,
    /// Why it is no longer ours.
    lost: Mutex<Option<String>>,
    /// The connection that holds the lock; none between two.
    session: tokio::sync::Mutex<Option<Session>>,
}

impl Claim {
    /// Takes the claim, unless a server holds it that lives.
    pub(crate) async fn take(session: Session, options: &Options, holder: &str) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Statement { what: "claim the schema", source };
        if !timeout(CLAIM_WAIT, lock_when_free(&session.client, &options.schema)).await.unwrap_or(Ok(false)).map_err(failed)?
            && !options.take_over
        {
            return Err(claimed(&session.client, options).await.unwrap_or_else(failed));
        }
        // Waits for the commit that is under way, and after it no other of the last holder is taken.
        let take = format!(
            "UPDATE {}.chirrup SET token = gen_random_uuid()::text, holder = $1, since = clock_timestamp() RETURNING token",
            options.schema
        );
        let token = session.client.query_one(&take, &[&holder]).await.map_err(failed)?.get(0);
        Ok(Self { options: options.clone(), token, lost: Mutex::default(), session: Some(session).into() })
    }

    /// Why the claim is no longer ours, if so.
    pub(crate) fn lost(&self) -> Option<String> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It is another's: nothing is written any more.
    pub(crate) fn lose(&self) -> String {
        let why = format!("another server has taken the schema {}", self.options.schema);
        tracing::error!(%why, "the store has stopped");
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.clone());
        why
    }

    /// Sees to it for ever that the lock is held while the claim is ours.
    pub(crate) async fn keep(&self) {
        while self.lost().is_none() {
            match timeout(CONNECT_TIMEOUT + REQUEST_TIMEOUT, self.look()).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => {
                    self.lose();
                }
                Ok(Err(error)) => {
                    tracing::warn!(error = %crate::trouble::told(&error), "the lock on the store could not be looked after");
                }
                Err(_) => tracing::warn!("the lock on the store could not be looked after in time"),
            }
            sleep(CLAIM_LOOK).await;
        }
        // Whoever took over waits for the lock.
        self.session.lock().await.take();
    }

    /// Whether the token is ours still. A connection that does not answer is given up.
    async fn look(&self) -> Result<bool, Error> {
        let mut held = self.session.lock().await;
        let session = match held.take() {
            Some(session) => session,
            None => Session::connect(&self.options.config).await?,
        };
        // Held already, or not: once for each connection is enough, and it counts.
        if !holds_lock(&session.client, &self.options.schema).await? {
            try_lock(&session.client, &self.options.schema).await?;
        }
        let ours = format!("SELECT count(*) FROM {}.chirrup WHERE token = $1", self.options.schema);
        let count: i64 = session.client.query_one(&ours, &[&self.token]).await?.get(0);
        *held = Some(session);
        Ok(count == 1)
    }

    /// Lets the next server in without a wait.
    pub(crate) async fn give_back(&self) -> Result<(), Error> {
        if self.lost().is_some() {
            return Ok(());
        }
        // The keeper may have been ended in the middle of a look, and its connection with it.
        let session = match self.session.lock().await.take() {
            Some(session) => session,
            None => Session::connect(&self.options.config).await?,
        };
        let give = format!("UPDATE {}.chirrup SET token = NULL WHERE token = $1", self.options.schema);
        session.client.execute(&give, &[&self.token]).await?;
        session.client.batch_execute("SELECT pg_advisory_unlock_all()").await
    }
}

fn key(schema: &str) -> String {
    format!("hashtextextended('chirrup serve {schema}', 0)")
}

async fn try_lock(client: &Client, schema: &str) -> Result<bool, Error> {
    Ok(client.query_one(&format!("SELECT pg_try_advisory_lock({})", key(schema)), &[]).await?.get(0))
}

async fn lock_when_free(client: &Client, schema: &str) -> Result<bool, Error> {
    while !try_lock(client, schema).await? {
        sleep(AGAIN).await;
    }
    Ok(true)
}

async fn holds_lock(client: &Client, schema: &str) -> Result<bool, Error> {
    let held = format!(
        "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted \
         AND objsubid = 1 AND (classid::bigint << 32) | objid::bigint = {})",
        key(schema)
    );
    Ok(client.query_one(&held, &[]).await?.get(0))
}

async fn claimed(client: &Client, options: &Options) -> Result<OpenError, Error> {
    let ask = format!(
        "SELECT coalesce(holder, '?'), coalesce(to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), '?') FROM {}.chirrup",
        options.schema
    );
    let row = client.query_one(&ask, &[]).await?;
    Ok(OpenError::Claimed { schema: options.schema.clone(), holder: row.get(0), since: row.get(1) })
}
