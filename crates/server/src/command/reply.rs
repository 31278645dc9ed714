//! Answers to requests, and those who wait for them.

use chirrup_protocol::error::{Code, Error};
use chirrup_protocol::reply;
use serde::Serialize;

macro_rules! answered {
    ($($name:ident),*) => {
        /// What a request is answered: any of the protocol's replies.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[serde(untagged)]
        #[expect(missing_docs, reason = "each is documented where it is defined, in the protocol")]
        pub enum Answered {
            $($name(reply::$name),)*
        }

        $(impl From<reply::$name> for Answered {
            fn from(reply: reply::$name) -> Self { Self::$name(reply) }
        })*
    };
}

answered!(
    Done,
    Created,
    LoggedIn,
    Ready,
    SyncPage,
    Conversation,
    User,
    Users,
    Accounts,
    Devices,
    Conversations,
    Members,
    Position,
    Positions,
    Events,
    History,
    Presences,
    Nothing
);

type Tell = Box<dyn FnOnce(Result<Answered, Error>) + Send>;

/// Whoever waits for the answer to one request. They are told once, whatever happens: also if
/// this is dropped, as in a panic.
pub struct Reply {
    tell: Option<Tell>,
    lost: Code,
}

impl Reply {
    /// Tells by a callback, which must not block.
    pub fn new(tell: impl FnOnce(Result<Answered, Error>) + Send + 'static) -> Self {
        Self { tell: Some(Box::new(tell)), lost: Code::Internal }
    }

    /// Gives the answer.
    pub fn give(mut self, result: Result<Answered, Error>) {
        if let Some(tell) = self.tell.take() {
            tell(result);
        }
    }

    /// From here on the request may take effect: if the answer is lost, nobody knows.
    #[must_use]
    pub(super) fn under_way(mut self) -> Self {
        self.lost = Code::Unknown;
        self
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(tell) = self.tell.take() {
            tell(Err(Error::new(self.lost, "the server lost this request")));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[test]
    fn an_answer_is_told_once_even_if_it_is_lost() {
        let (told, heard) = sync_channel(9);
        let reply = || {
            let told = told.clone();
            Reply::new(move |result: Result<Answered, Error>| told.send(result.map_err(|e| e.code)).expect("room"))
        };
        reply().give(Ok(reply::Nothing {}.into()));
        drop(reply());
        drop(reply().under_way());
        let all: Vec<_> = heard.try_iter().collect();
        assert_eq!(all, [Ok(Answered::Nothing(reply::Nothing {})), Err(Code::Internal), Err(Code::Unknown)]);
    }
}
