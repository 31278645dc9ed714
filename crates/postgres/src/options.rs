//! Where the store is, and why it could not be opened.

use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

use crate::schema::FORMAT;
use crate::trouble::told;

/// Longest name of a schema.
const SCHEMA_CHARS: usize = 63;

/// Where the store is. Shown without the password.
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) config: Config,
    pub(crate) schema: String,
    /// Takes the claim away from a server that has it and may be alive. That server writes nothing
    /// any more.
    pub take_over: bool,
    /// Takes an engine that acknowledges writes before they are on disk (`fsync` off): a power cut
    /// then loses what was acknowledged.
    pub accept_late_sync: bool,
}

impl Options {
    /// The schema `schema` (a lower-case letter, then up to 62 of those, digits and `_`), made if it
    /// is not there, in the database that `connection` names: `host=… port=… user=… password=…
    /// dbname=…`, or as an address, `postgresql://…`. Without TLS: `sslmode=require` is refused.
    ///
    /// # Errors
    /// [`OpenError::Options`] says what is not understood, or not there yet.
    pub fn new(connection: &str, schema: impl Into<String>) -> Result<Self, OpenError> {
        let config: Config = connection.parse().map_err(|error| OpenError::Options(told(&error)))?;
        if config.get_ssl_mode() == SslMode::Require {
            let why = "sslmode=require: this driver speaks no TLS; connect over loopback or a private network";
            return Err(OpenError::Options(why.to_owned()));
        }
        let schema = schema.into();
        let mut chars = schema.chars();
        let first = chars.next().is_some_and(|c| c.is_ascii_lowercase());
        let rest = chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        // Names go into statements as they are, and those with pg_ are the engine's own.
        if !first || !rest || schema.len() > SCHEMA_CHARS || schema.starts_with("pg_") {
            let why = format!("{schema:?} is no name of a schema: a lower-case letter, then up to 62 of those, digits and '_'");
            return Err(OpenError::Options(why));
        }
        Ok(Self { config, schema, take_over: false, accept_late_sync: false })
    }

    /// The schema's name.
    pub fn schema(&self) -> &str {
        &self.schema
    }
}

/// Why the store could not be opened. Nothing was written to it, unless it was being made.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// What was asked for makes no sense.
    #[error("{0}")]
    Options(String),
    /// There is no connection, or none for this user and password.
    #[error("failed to connect to PostgreSQL: {}", told(.0))]
    Connect(tokio_postgres::Error),
    /// A statement failed.
    #[error("failed to {what}: {}", told(source))]
    Statement {
        /// What it was for.
        what: &'static str,
        /// As the engine or the library tells it.
        source: tokio_postgres::Error,
    },
    /// It took too long.
    #[error("PostgreSQL did not answer in time")]
    Late,
    /// The schema is somebody else's.
    #[error("the schema {0} holds tables that are not Chirrup's: name another")]
    Foreign(String),
    /// A newer version has made it.
    #[error("the schema {schema} has format {found}, this version knows up to {FORMAT}: nothing was touched")]
    Newer {
        /// Its name.
        schema: String,
        /// Its format.
        found: i32,
    },
    /// Another server serves it.
    #[error("the schema {schema} is served by {holder} since {since}: only one server may serve a store")]
    Claimed {
        /// Its name.
        schema: String,
        /// As that server calls itself.
        holder: String,
        /// When it began, by the engine's clock, UTC.
        since: String,
    },
    /// The engine is set up in a way that does not keep what it acknowledges.
    #[error("PostgreSQL is set up with {setting}: {needed}")]
    Setting {
        /// Name and value.
        setting: String,
        /// What is needed, and why.
        needed: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_go_into_statements() {
        let check = |name: &str| Options::new("host=127.0.0.1 user=a", name).is_ok();
        assert!(check("chirrup_2"));
        for name in ["", "2a", "Chirrup", "a-b", "a;", "pg_chat", &"a".repeat(64)] {
            assert!(!check(name), "{name}");
        }
    }

    #[test]
    fn tls_is_refused_where_it_is_required_and_no_password_is_shown() {
        let refused = Options::new("host=127.0.0.1 user=a sslmode=require", "chat").unwrap_err();
        assert!(refused.to_string().contains("TLS"), "{refused}");
        let options = Options::new("postgresql://ada:geheim@127.0.0.1/chat", "chat").unwrap();
        assert!(!format!("{options:?}").contains("geheim"));
    }
}
