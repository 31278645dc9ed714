//! Every error that a client can meet: a stable code, what to do, and the close code of a
//! connection that ends by it. The one table of both.

use chirrup_core::refusal::Refusal;
use serde::{Deserialize, Serialize};

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Stable.
    pub code: Code,
    /// A sentence for people; may change.
    pub message: String,
    /// Whether the same request can be sent again.
    pub retry: Retry,
    /// With `retry: "after"`: wait so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<u64>,
}

/// Whether to send the same request again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// It will be answered the same.
    Never,
    /// At once: the outcome is unknown, or the reason has gone.
    Now,
    /// After `after_ms`.
    After,
}

macro_rules! codes {
    ($(#[doc = $meaning:literal] $variant:ident = $name:literal, $retry:ident, $close:literal;)*) => {
        /// Stable codes.
        #[expect(clippy::enum_variant_names, reason = "the names are those on the wire")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Code {
            $(#[doc = $meaning] #[serde(rename = $name)] $variant,)*
            /// A code that this client is too old to know.
            #[serde(other, rename = "unknown_code")]
            UnknownCode,
        }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// As on the wire.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* Self::UnknownCode => "unknown_code" }
            }

            /// What it means, a sentence or two for people who write clients.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning.trim_ascii(),)* Self::UnknownCode => "" }
            }

            /// Whether the same request can be sent again.
            pub fn retry(self) -> Retry {
                match self { $(Self::$variant => Retry::$retry,)* Self::UnknownCode => Retry::Never }
            }

            /// The WebSocket close code (4000 to 4999) of a connection that ends by it.
            pub fn close(self) -> u16 {
                match self { $(Self::$variant => $close,)* Self::UnknownCode => 4000 }
            }
        }
    };
}

codes! {
    /// Not JSON, not of the form of a request, an unknown method or field, or a value out of range.
    BadRequest = "bad_request", Never, 4000;
    /// A frame larger than `frame_bytes_max`, or a binary one.
    BadFrame = "bad_frame", Never, 4001;
    /// No version of the protocol in common.
    VersionNotSupported = "version_not_supported", Never, 4002;
    /// The request needs a session: `hello` first.
    NotLoggedIn = "not_logged_in", Never, 4003;
    /// The token is of no use (any more): log in again.
    TokenInvalid = "token_invalid", Never, 4004;
    /// The name or the password is wrong.
    CredentialsInvalid = "credentials_invalid", Never, 4005;
    /// The account is closed.
    AccountDisabled = "account_disabled", Never, 4006;
    /// This server lets nobody sign up.
    SignUpClosed = "sign_up_closed", Never, 4007;
    /// The password is too short, too long or too common.
    PasswordRefused = "password_refused", Never, 4000;
    /// The name or title has characters or a length that are not taken.
    TextRefused = "text_refused", Never, 4000;
    /// The name, or one that looks like it, is taken.
    NameTaken = "name_taken", Never, 4000;
    /// There is no such thing, or it is not for the asker to know.
    NotFound = "not_found", Never, 4000;
    /// There is no such message.
    MessageNotFound = "message_not_found", Never, 4000;
    /// The message was deleted.
    MessageDeleted = "message_deleted", Never, 4000;
    /// The asker may not do this.
    Forbidden = "forbidden", Never, 4000;
    /// Of a direct conversation: only groups can do this.
    NotAGroup = "not_a_group", Never, 4000;
    /// Somebody named is not a member.
    NotAMember = "not_a_member", Never, 4000;
    /// The last owner or administrator must stay.
    LastOne = "last_one", Never, 4000;
    /// A limit of what one thing can have was met.
    LimitReached = "limit_reached", Never, 4000;
    /// The thread or the message answered does not fit.
    ThreadMismatch = "thread_mismatch", Never, 4000;
    /// The first administrator's code is wrong, used or too old.
    CodeInvalid = "code_invalid", Never, 4000;
    /// The client id was used for another request.
    ClientIdConflict = "client_id_conflict", Never, 4000;
    /// An earlier send into this conversation must be settled first.
    EarlierUnsettled = "earlier_unsettled", Now, 4000;
    /// Too many attempts or requests.
    TooMany = "too_many", After, 4029;
    /// The server has more to do than it can, or its store does not answer now.
    Busy = "busy", After, 4013;
    /// The server has no room on its disk: reading and deleting go on.
    StorageFull = "storage_full", After, 4013;
    /// The store has failed; the server only reads until its operator has looked.
    StorageFailed = "storage_failed", After, 4013;
    /// It is not known whether the request took effect: send it again under the same client id.
    Unknown = "unknown", Now, 4014;
    /// The server stops or restarts.
    ShuttingDown = "shutting_down", After, 4012;
    /// The client did not answer heartbeats.
    HeartbeatMissed = "heartbeat_missed", Now, 4008;
    /// The client does not even read that it is behind.
    TooSlow = "too_slow", After, 4009;
    /// A fault of the server.
    Internal = "internal", After, 4011;
}

/// How long to wait before a retry if the server says nothing better.
pub const RETRY_AFTER_MS: u64 = 1_000;

impl Error {
    /// An error with the retry of its code.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let retry = code.retry();
        Self { code, message: message.into(), retry, after_ms: (retry == Retry::After).then_some(RETRY_AFTER_MS) }
    }

    /// The same, to be retried after this time.
    pub fn after(code: Code, message: impl Into<String>, after_ms: u64) -> Self {
        Self { code, message: message.into(), retry: Retry::After, after_ms: Some(after_ms) }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let code = match &refusal {
            Refusal::NotFound => Code::NotFound,
            Refusal::MessageNotFound => Code::MessageNotFound,
            Refusal::MessageDeleted => Code::MessageDeleted,
            Refusal::NotAuthor | Refusal::NotOwner | Refusal::NotAdministrator => Code::Forbidden,
            Refusal::NotAGroup => Code::NotAGroup,
            Refusal::NotAMember(_) => Code::NotAMember,
            Refusal::LastOwner | Refusal::LastAdministrator => Code::LastOne,
            Refusal::GroupFull(_)
            | Refusal::TooManyEdits(_)
            | Refusal::TooManyReactions(_)
            | Refusal::TooManyDevices(_)
            | Refusal::TooManyAdministrators(_) => Code::LimitReached,
            Refusal::NotAThreadRoot | Refusal::OtherThread => Code::ThreadMismatch,
            Refusal::NameTaken => Code::NameTaken,
            Refusal::DeviceNotFound => Code::NotFound,
            Refusal::AccountDisabled => Code::AccountDisabled,
            Refusal::CodeInvalid => Code::CodeInvalid,
        };
        Self::new(code, refusal.to_string())
    }
}
