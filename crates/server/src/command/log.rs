//! What was: events as they are, and messages as they stand.

use chirrup_core::ids::SEQ_MAX;
use chirrup_engine::views::{Views, Which};
use chirrup_protocol::error::Error;
use chirrup_protocol::limits::{EVENTS_PAGE_MAX, HISTORY_PAGE_MAX};
use chirrup_protocol::request::{Events, History};

use super::check::{bad, page, read, seq};
use super::{Context, Plan, Session};

/// A page of events: of a conversation, or of one's own log.
pub(super) async fn events(context: &Context, session: &Session, request: Events) -> Result<Plan, Error> {
    let (user, limit) = (session.user, page(request.limit, EVENTS_PAGE_MAX)?);
    if request.after > SEQ_MAX {
        return Err(bad("after must be below 2^53"));
    }
    let page = move |views: &Views| match request.conversation {
        Some(conversation) => views.events_for(conversation, user, request.after, limit),
        None => views.user_events(user, request.after, limit),
    };
    Ok(read(context, page).await?.into())
}

/// A page of messages.
pub(super) async fn history(context: &Context, session: &Session, request: History) -> Result<Plan, Error> {
    let (user, limit) = (session.user, page(request.limit, HISTORY_PAGE_MAX)?);
    let which = which(&request)?;
    let root = request.thread_root.map(|root| seq("thread_root", root)).transpose()?;
    let page = move |views: &Views| views.history(request.conversation, user, which, root, limit);
    Ok(read(context, page).await?.into())
}

fn which(request: &History) -> Result<Which, Error> {
    match (request.before, request.after, request.around) {
        (None, None, None) => Ok(Which::Newest),
        (Some(n), None, None) => seq("before", n).map(Which::Before),
        // Beyond 0: from the beginning.
        (None, Some(n), None) if n <= SEQ_MAX => Ok(Which::After(n)),
        (None, Some(_), None) => Err(bad("after must be below 2^53")),
        (None, None, Some(n)) => seq("around", n).map(Which::Around),
        _ => Err(bad("at most one of before, after and around")),
    }
}

#[cfg(test)]
mod tests {
    use chirrup_core::ids::ConversationId;

    use super::*;

    #[test]
    fn a_page_lies_at_one_place() {
        let request =
            |before, after, around| History { conversation: ConversationId([1; 16]), before, after, around, thread_root: None, limit: 50 };
        assert_eq!(which(&request(None, None, None)), Ok(Which::Newest));
        assert_eq!(which(&request(Some(9), None, None)), Ok(Which::Before(9)));
        assert_eq!(which(&request(None, Some(0), None)), Ok(Which::After(0)));
        assert_eq!(which(&request(None, None, Some(9))), Ok(Which::Around(9)));
        for (before, after, around) in [
            (Some(0), None, None),
            (Some(1), Some(1), None),
            (None, Some(1), Some(1)),
            (None, Some(SEQ_MAX + 1), None),
            (None, None, Some(u64::MAX)),
        ] {
            assert!(which(&request(before, after, around)).is_err(), "{before:?} {after:?} {around:?}");
        }
    }
}
