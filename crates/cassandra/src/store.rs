//! A connected store: session, statements, claim.

use std::sync::Arc;

use chirrup_store::kv::Table;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::{Consistency, SerialConsistency};

use crate::claim::Claim;
use crate::limits::{CONNECT_TIMEOUT, KEEPALIVE, OPEN_TIMEOUT, REQUEST_TIMEOUT};
use crate::options::{OpenError, Options};
use crate::schema;
use crate::statements::Statements;

/// What commits and reads need.
pub(crate) struct Store {
    pub(crate) session: Arc<Session>,
    pub(crate) claim: Claim,
    /// In the order of [`Table::ALL`], which is that of their numbers from 1.
    statements: Vec<Statements>,
}

impl Store {
    /// Connects, looks at the keyspace or makes it, and takes the claim.
    pub(crate) async fn open(options: &Options, holder: String) -> Result<Self, OpenError> {
        options.check()?;
        let opened = async {
            let session = Arc::new(connect(options).await?);
            schema::open(&session, options).await?;
            let statements = Statements::all(&session, &options.keyspace).await.map_err(|error| OpenError::Prepare(Box::new(error)))?;
            Ok((session, statements))
        };
        let (session, statements) = tokio::time::timeout(OPEN_TIMEOUT, opened).await.map_err(|_| OpenError::Late("the keyspace"))??;
        let claim = Claim::take(Arc::clone(&session), &options.keyspace, holder).await?;
        Ok(Self { session, claim, statements })
    }

    pub(crate) fn statements(&self, table: Table) -> &Statements {
        &self.statements[table as usize - 1]
    }
}

async fn connect(options: &Options) -> Result<Session, OpenError> {
    let profile = ExecutionProfile::builder()
        .consistency(Consistency::LocalQuorum)
        .serial_consistency(Some(SerialConsistency::LocalSerial))
        .request_timeout(Some(REQUEST_TIMEOUT))
        .build();
    let mut builder = SessionBuilder::new()
        .known_nodes(&options.nodes)
        .default_execution_profile_handle(profile.into_handle())
        .connection_timeout(CONNECT_TIMEOUT)
        .keepalive_interval(KEEPALIVE)
        .keepalive_timeout(KEEPALIVE)
        // Of where the replicas of a row are.
        .keyspaces_to_fetch([options.keyspace.as_str()]);
    if let Some(datacenter) = &options.datacenter {
        builder = builder.prefer_datacenter(datacenter.clone());
    }
    if let Some((user, password)) = &options.login {
        builder = builder.user(user, password);
    }
    builder.build().await.map_err(|error| OpenError::Connect { nodes: options.nodes.join(", "), source: Box::new(error) })
}
