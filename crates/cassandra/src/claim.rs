//! That only one server writes: a claim in the keyspace, taken by a conditional statement, which
//! lapses unless it is renewed. Whoever could not renew it in time writes nothing before it is
//! renewed; whoever finds that it was taken writes nothing any more.
//!
//! `number` counts how often the claim was taken and never lapses, so that a holder that comes
//! back late knows whether anybody was there in between; `holder` and `beat` lapse.
//!
//! Must not know: what is written.

use std::sync::Arc;
use std::time::Instant;

use scylla::client::session::Session;
use scylla::statement::SerialConsistency;
use scylla::statement::prepared::PreparedStatement;
use tokio::sync::watch;

use crate::answer::{applied, rows};
use crate::clock::now;
use crate::limits::{CLAIM_LOOK, CLAIM_RENEW, CLAIM_SECONDS, CLAIM_VALID, REQUEST_TIMEOUT};
use crate::options::OpenError;
use crate::schema::CHIRRUP;

/// Name of the claim's row.
const ROW: &str = "server";
/// How long whoever wants the claim waits for a holder that shows no sign of life.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2 * CLAIM_SECONDS as u64);

/// How a claim stands.
#[derive(Clone, Debug)]
pub(crate) enum Standing {
    /// Rows may be written until then, and later if it is renewed.
    Until(Instant),
    /// It is another's; why that is known.
    Lost(String),
}

/// What is asked and told of the claim's row.
struct Statements {
    read: PreparedStatement,
    make: PreparedStatement,
    take: PreparedStatement,
    renew: PreparedStatement,
    give_back: PreparedStatement,
}

/// The claim of this server.
pub(crate) struct Claim {
    session: Arc<Session>,
    statements: Statements,
    holder: String,
    /// How often it had been taken when this server took it.
    number: i64,
    standing: watch::Sender<Standing>,
}

/// The row: how often it was taken, by whom, and their last sign of life.
type Told = (Option<i64>, Option<String>, Option<i64>);

impl Claim {
    /// Takes the claim, or says who has it. Waits for one that has not been given back until it
    /// lapses, as a server leaves it that was killed.
    pub(crate) async fn take(session: Arc<Session>, keyspace: &str, holder: String) -> Result<Self, OpenError> {
        let statements = Statements::prepare(&session, keyspace).await?;
        let standing = watch::Sender::new(Standing::Until(now()));
        let mut claim = Self { session, statements, holder, number: 0, standing };
        claim.run(&claim.statements.make, (ROW, 0_i64)).await?;
        let until = now() + PATIENCE;
        let mut seen: Option<Told> = None;
        loop {
            let told = claim.read(keyspace).await?;
            let Some(holder) = told.1.clone() else {
                if claim.try_taking(told.0.unwrap_or(0)).await? {
                    return Ok(claim);
                }
                continue;
            };
            if seen.as_ref().is_some_and(|seen| *seen != told) || now() > until {
                return Err(OpenError::Claimed { keyspace: keyspace.to_owned(), holder });
            }
            seen = Some(told);
            tokio::time::sleep(CLAIM_LOOK).await;
        }
    }

    /// Counts up first, which only one can do, and then holds it unless it was counted up again.
    async fn try_taking(&mut self, number: i64) -> Result<bool, OpenError> {
        if !self.run(&self.statements.take, (number + 1, ROW, number)).await? {
            return Ok(false);
        }
        self.number = number + 1;
        let asked = now();
        let held = self.renew(0).await?;
        self.standing.send_replace(Standing::Until(asked + CLAIM_VALID));
        Ok(held)
    }

    async fn renew(&self, beat: i64) -> Result<bool, OpenError> {
        self.run(&self.statements.renew, (CLAIM_SECONDS, &self.holder, beat, ROW, self.number)).await
    }

    /// Renews the claim for ever, or until it is another's.
    pub(crate) async fn keep(&self) {
        let mut beat = 0_i64;
        loop {
            tokio::time::sleep(CLAIM_RENEW).await;
            beat += 1;
            let asked = now();
            match self.renew(beat).await {
                Ok(true) => {
                    self.standing.send_replace(Standing::Until(asked + CLAIM_VALID));
                }
                Ok(false) => {
                    let why = "another server has taken the store".to_owned();
                    tracing::error!("{why}: nothing more is written");
                    self.standing.send_replace(Standing::Lost(why));
                    return;
                }
                Err(error) => tracing::warn!(%error, "the claim on the store could not be renewed"),
            }
        }
    }

    /// Returns when rows may be sent at this moment.
    ///
    /// # Errors
    /// Why they never may.
    pub(crate) async fn hold(&self) -> Result<(), String> {
        let mut standing = self.standing.subscribe();
        let may = |standing: &Standing| match standing {
            Standing::Until(until) => now() < *until,
            Standing::Lost(_) => true,
        };
        let standing = standing.wait_for(may).await.expect("the sender is this claim's own");
        match &*standing {
            Standing::Until(_) => Ok(()),
            Standing::Lost(why) => Err(why.clone()),
        }
    }

    /// Whether rows may be sent at this moment.
    pub(crate) fn is_good(&self) -> bool {
        matches!(*self.standing.borrow(), Standing::Until(until) if now() < until)
    }

    /// How it stands.
    pub(crate) fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Lets others have it at once.
    pub(crate) async fn give_back(&self) -> Result<(), OpenError> {
        let left = self.run(&self.statements.give_back, (self.number + 1, ROW, self.number));
        tokio::time::timeout(REQUEST_TIMEOUT, left).await.unwrap_or(Ok(false)).map(drop)
    }

    async fn run(&self, statement: &PreparedStatement, values: impl scylla::serialize::row::SerializeRow) -> Result<bool, OpenError> {
        let source = |source| OpenError::Statement { what: "claim the store", source: Box::new(source) };
        let result = self.session.execute_unpaged(statement, values).await.map_err(source)?;
        applied(result).map_err(|what| OpenError::Shape(CHIRRUP.to_owned(), what))
    }

    async fn read(&self, keyspace: &str) -> Result<Told, OpenError> {
        let source = |source| OpenError::Statement { what: "look who serves the store", source: Box::new(source) };
        let result = self.session.execute_unpaged(&self.statements.read, (ROW,)).await.map_err(source)?;
        let told = rows::<Told>(result).map_err(|what| OpenError::Shape(keyspace.to_owned(), what))?;
        Ok(told.into_iter().next().unwrap_or_default())
    }
}

impl Statements {
    async fn prepare(session: &Session, keyspace: &str) -> Result<Self, OpenError> {
        let table = format!("{keyspace}.{CHIRRUP}");
        let prepare = async |statement: String| {
            let mut prepared = session.prepare(statement).await.map_err(|error| OpenError::Prepare(Box::new(error)))?;
            prepared.set_serial_consistency(Some(SerialConsistency::LocalSerial));
            prepared.set_is_idempotent(true);
            Ok::<_, OpenError>(prepared)
        };
        let mut read = prepare(format!("SELECT number, holder, beat FROM {table} WHERE name = ?")).await?;
        // Sees every conditional statement that was decided before.
        read.set_consistency(scylla::statement::Consistency::LocalSerial);
        Ok(Self {
            read,
            make: prepare(format!("INSERT INTO {table} (name, number) VALUES (?, ?) IF NOT EXISTS")).await?,
            take: prepare(format!("UPDATE {table} SET number = ? WHERE name = ? IF number = ? AND holder = null")).await?,
            renew: prepare(format!("UPDATE {table} USING TTL ? SET holder = ?, beat = ? WHERE name = ? IF number = ?")).await?,
            // Counts up, so that a renewal that is still under way finds nothing to renew.
            give_back: prepare(format!("UPDATE {table} SET number = ?, holder = null, beat = null WHERE name = ? IF number = ?")).await?,
        })
    }
}
