//! Copies of whole stores, none of which is served meanwhile.
//!
//! Must not know: what stores are made of, how an operator is told.

use chirrup_engine::recovery::{self, RecoveryError};
use chirrup_store::copy::{self, CopyError, Survey, Watch};
use chirrup_store::kv::Kv;
use chirrup_stores::{OpenError, Options, StoreName};

use crate::edge;

/// Why there is no whole copy.
#[derive(Debug, thiserror::Error)]
pub enum CopyStoreError {
    /// A store cannot be opened.
    #[error("failed to open {0}: {1}")]
    Open(StoreName, #[source] OpenError),
    /// A store cannot be what it should be.
    #[error("{0}: {1}")]
    Store(StoreName, #[source] RecoveryError),
    /// Rows were not copied, or are not equal.
    #[error(transparent)]
    Rows(#[from] CopyError),
}

/// Copies one store into another, which is empty or holds the unfinished copy of it. To clients
/// it is another store than it was: their cursors answer `reset`.
pub fn copy(from: &StoreName, to: &StoreName, options: &Options, watch: &mut Watch<'_>) -> Result<Survey, CopyStoreError> {
    let source = open(from, options)?;
    let of = |name: &StoreName| {
        let name = name.clone();
        move |error| CopyStoreError::Store(name, error)
    };
    let identity = recovery::identity(&*source).map_err(of(from))?;
    let target = chirrup_stores::open_or_make(to, options).map_err(|error| CopyStoreError::Open(to.clone(), error))?;
    let survey = copy::copy(&*source, &*target, identity, watch)?;
    recovery::renew(&*target, edge::incarnation(), identity.epoch).map_err(of(to))?;
    copy::finish(&*target)?;
    Ok(survey)
}

/// Compares two stores, none of which is served meanwhile.
pub fn check(from: &StoreName, to: &StoreName, options: &Options, watch: &mut Watch<'_>) -> Result<Survey, CopyStoreError> {
    let (source, target) = (open(from, options)?, open(to, options)?);
    Ok(copy::check(&*source, &*target, watch)?)
}

fn open(name: &StoreName, options: &Options) -> Result<std::sync::Arc<dyn Kv>, CopyStoreError> {
    chirrup_stores::open(name, options).map_err(|error| CopyStoreError::Open(name.clone(), error))
}
