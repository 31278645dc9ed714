//! The lines of an export.

use chirrup_core::aggregate::AggregateId;
use chirrup_core::event::{Event, Fact};
use chirrup_core::ids::Seq;
use chirrup_protocol::event::Event as Told;
use chirrup_store::embedded::Loss;
use serde::Serialize;
use serde_json::{Map, Value};

/// The form of the lines.
const FORM: u32 = 1;

/// The first line.
#[derive(Debug, Serialize)]
pub(super) struct First {
    chirrup_export: u32,
    /// Whether damage was gone past.
    salvage: bool,
}

impl First {
    pub(super) fn new(salvage: bool) -> Self {
        Self { chirrup_export: FORM, salvage }
    }
}

/// The last line.
#[derive(Debug, Serialize)]
pub(super) struct Last<T> {
    pub(super) end: T,
}

/// Which log a line is of.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Log {
    log: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

impl Log {
    pub(super) fn of(aggregate: &AggregateId) -> Self {
        let (log, id) = match aggregate {
            AggregateId::Conversation(id) => ("conversation", Some(id.to_string())),
            AggregateId::User(id) => ("user", Some(id.to_string())),
            AggregateId::Name(name) => ("name", Some(name.clone())),
            AggregateId::Server => ("server", None),
        };
        Self { log, id }
    }
}

/// An event.
#[derive(Debug, Serialize)]
pub(super) struct EventLine<'a> {
    #[serde(flatten)]
    pub(super) log: &'a Log,
    #[serde(flatten)]
    pub(super) event: Map<String, Value>,
    /// BLAKE3 of its envelope, which holds the hash of the envelope before: of the log up to here.
    pub(super) hash: String,
    /// How it stands to the event before, if not as it should.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) chain: Option<Chain>,
}

/// How an event stands to the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Chain {
    /// The one before could not be read, so nothing vouches for its place.
    AfterGap,
    /// It was not made after that one, or its content is not the one that it was made with.
    Broken,
}

/// Events that could not be read.
#[derive(Debug, Serialize)]
pub(super) struct Missing<'a> {
    #[serde(flatten)]
    pub(super) log: &'a Log,
    pub(super) missing: Run,
    /// Damaged places that they may have been at.
    pub(super) why: Vec<Place>,
}

/// Seqs, both ends within.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Run {
    pub(super) from: Seq,
    pub(super) to: Seq,
}

/// A damaged place.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Place {
    pub(super) file: String,
    pub(super) at_byte: u64,
    pub(super) what: String,
}

impl Place {
    pub(super) fn of(loss: &Loss) -> Self {
        Self { file: loss.path.display().to_string(), at_byte: loss.offset, what: loss.what.clone() }
    }
}

/// An event as clients are told it; what no client is told, too, but for secrets.
pub(super) fn told(event: &Event) -> Map<String, Value> {
    let Ok(Value::Object(mut told)) = serde_json::to_value(Told::whole(event)) else { unreachable!("an event is written as an object") };
    let mut put = |kind: &str, fields: &[(&str, String)]| {
        told.insert("type".to_owned(), kind.into());
        told.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into())));
    };
    match &event.envelope.fact {
        Fact::NameClaimed { user, name, .. } => put("name.claimed", &[("user", user.to_string()), ("name", name.clone())]),
        Fact::NameConfirmed => put("name.confirmed", &[]),
        Fact::FirstCodeMade { .. } => put("first_code.made", &[]),
        Fact::AdministratorAdded { user, .. } => put("administrator.added", &[("user", user.to_string())]),
        Fact::AdministratorRemoved { user, .. } => put("administrator.removed", &[("user", user.to_string())]),
        _ => {}
    }
    told
}
