//! Checks that several groups of requests share.

use chirrup_core::access;
use chirrup_core::aggregate::AggregateId;
use chirrup_core::event::Text;
use chirrup_core::ids::{SEQ_MAX, Seq, UserId};
use chirrup_core::limits::MENTIONS_MAX;
use chirrup_core::names::{self, TextError};
use chirrup_engine::views::{ViewError, Views};
use chirrup_protocol::error::{Code, Error};

use super::Context;

/// Reads, on a thread that may block.
pub(super) async fn read<T: Send + 'static>(
    context: &Context,
    read: impl FnOnce(&Views) -> Result<T, ViewError> + Send + 'static,
) -> Result<T, Error> {
    context.machine.read(read).await.map_err(told)
}

/// What the client is told; the log has the rest.
pub(super) fn told(error: ViewError) -> Error {
    if let ViewError::Read(why) = &error {
        tracing::error!(error = %why, "a read has failed");
    }
    error.into()
}

/// A value that is out of its bounds.
pub(super) fn bad(what: impl Into<String>) -> Error {
    Error::new(Code::BadRequest, what)
}

/// A text that is not taken.
#[expect(clippy::needless_pass_by_value, reason = "so that it can be given to map_err")]
pub(super) fn refused(error: TextError) -> Error {
    Error::new(Code::TextRefused, error.to_string())
}

/// The size of a page, from 1 to `most`.
pub(super) fn page(limit: u32, most: u32) -> Result<u32, Error> {
    if (1..=most).contains(&limit) { Ok(limit) } else { Err(bad(format!("limit must be 1 to {most}"))) }
}

/// The seq of an event.
pub(super) fn seq(what: &str, seq: Seq) -> Result<Seq, Error> {
    if (1..=SEQ_MAX).contains(&seq) { Ok(seq) } else { Err(bad(format!("{what} must be 1 to 2^53 - 1"))) }
}

/// What a message says, with everybody who is called once and in order.
pub(super) fn text(text: String, mut mentions: Vec<UserId>, mention_all: bool) -> Result<Text, Error> {
    names::message(&text).map_err(refused)?;
    if mentions.len() > MENTIONS_MAX {
        return Err(bad(format!("a message may call at most {MENTIONS_MAX} members by name")));
    }
    mentions.sort_unstable();
    mentions.dedup();
    Ok(Text { text, mentions, mention_all })
}

/// Whether this user is an administrator of the server now.
pub(super) async fn is_administrator(context: &Context, user: UserId) -> Result<bool, Error> {
    let server = match context.machine.views().server_at_hand() {
        Some(server) => server,
        None => read(context, |views| Ok(views.server()?)).await?,
    };
    Ok(access::administer(&server, Some(user)).is_ok())
}

/// Refuses who is no administrator of the server.
pub(super) async fn administrator(context: &Context, user: UserId) -> Result<(), Error> {
    if is_administrator(context, user).await? { Ok(()) } else { Err(chirrup_core::refusal::Refusal::NotAdministrator.into()) }
}

/// Refuses users who do not exist or whose account is closed: to the asker they are the same.
pub(super) async fn open_accounts(context: &Context, users: Vec<UserId>) -> Result<(), Error> {
    let missing = read(context, move |views| {
        for user in users {
            let state = views.state(&AggregateId::User(user))?;
            if state.user().is_none_or(|u| u.disabled) {
                return Ok(Some(user));
            }
        }
        Ok(None)
    });
    match missing.await? {
        Some(user) => Err(Error::new(Code::NotFound, format!("there is no user {user}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_bounds_are_named() {
        assert_eq!(page(100, 100), Ok(100));
        for limit in [0, 101, u32::MAX] {
            assert!(page(limit, 100).is_err_and(|e| e.code == Code::BadRequest && e.message.contains("1 to 100")));
        }
        assert_eq!(seq("target", SEQ_MAX), Ok(SEQ_MAX));
        for n in [0, SEQ_MAX + 1, u64::MAX] {
            assert!(seq("target", n).is_err_and(|e| e.message.contains("target")));
        }
    }

    #[test]
    fn everybody_called_is_called_once() {
        let (a, b) = (UserId([1; 16]), UserId([2; 16]));
        let text_of = |mentions| text("hi".to_owned(), mentions, false);
        assert_eq!(text_of(vec![b, a, b]).map(|t| t.mentions), Ok(vec![a, b]));
        assert!(text_of(vec![a; MENTIONS_MAX + 1]).is_err_and(|e| e.code == Code::BadRequest));
        assert!(text(" ".to_owned(), Vec::new(), false).is_err_and(|e| e.code == Code::TextRefused));
    }
}
