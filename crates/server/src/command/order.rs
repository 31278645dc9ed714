//! A sender's order on one connection: after a send that was refused but may be tried again, or
//! whose outcome is not known, later sends into that conversation are refused until it is settled
//! or withdrawn (rule R-8).
//!
//! Must not know: how a send is decided.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chirrup_core::ids::{ClientId, ConversationId};
use chirrup_protocol::error::{Code, Error, Retry};

use super::Reply;
use crate::limits::UNSETTLED_MAX;

/// The first unsettled send of each conversation.
#[derive(Debug, Default)]
pub struct Order(Mutex<HashMap<ConversationId, ClientId>>);

impl Order {
    fn lock(&self) -> MutexGuard<'_, HashMap<ConversationId, ClientId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses a send while an earlier one is unsettled.
    pub fn check(&self, conversation: ConversationId, send: ClientId) -> Result<(), Error> {
        let unsettled = self.lock();
        match unsettled.get(&conversation) {
            Some(first) if *first != send => Err(Error::new(
                Code::EarlierUnsettled,
                format!("the earlier send {first} into this conversation must be retried or withdrawn first"),
            )),
            None if unsettled.len() >= UNSETTLED_MAX => {
                Err(Error::new(Code::TooMany, "earlier sends into too many conversations must be retried or withdrawn first"))
            }
            _ => Ok(()),
        }
    }

    /// A send may be tried again: it comes before all later ones.
    pub fn unsettle(&self, conversation: ConversationId, send: ClientId) {
        self.lock().entry(conversation).or_insert(send);
    }

    /// A send took effect, never will, or is given up: later ones may follow.
    pub fn settle(&self, conversation: ConversationId, send: ClientId) {
        let mut unsettled = self.lock();
        if unsettled.get(&conversation) == Some(&send) {
            unsettled.remove(&conversation);
        }
    }
}

/// A reply to a send that, when it is given, first says whether the send is settled.
pub(super) fn settling(order: &Arc<Order>, conversation: ConversationId, send: ClientId, reply: Reply) -> Reply {
    let order = Arc::clone(order);
    Reply::new(move |result| {
        match &result {
            Err(error) if error.retry != Retry::Never => order.unsettle(conversation, send),
            _ => order.settle(conversation, send),
        }
        reply.give(result);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: ConversationId = ConversationId([1; 16]);
    const THERE: ConversationId = ConversationId([2; 16]);

    fn send(n: u8) -> ClientId {
        ClientId([n; 16])
    }

    #[test]
    fn later_sends_wait_for_the_first_unsettled_one() {
        let order = Order::default();
        order.unsettle(HERE, send(1));
        order.unsettle(HERE, send(2));
        assert_eq!(order.check(HERE, send(3)).map_err(|e| e.code), Err(Code::EarlierUnsettled));
        assert_eq!(order.check(HERE, send(1)), Ok(()), "its retry may pass");
        assert_eq!(order.check(THERE, send(3)), Ok(()), "other conversations go on");
        order.settle(HERE, send(2));
        assert!(order.check(HERE, send(3)).is_err(), "another one settles nothing");
        order.settle(HERE, send(1));
        assert_eq!(order.check(HERE, send(3)), Ok(()));
    }

    #[test]
    fn an_answer_settles_its_send_or_not() {
        let order = Arc::new(Order::default());
        let answer = |n: u8, result| settling(&order, HERE, send(n), Reply::new(|_| {})).give(result);
        answer(1, Err(Error::new(Code::StorageFull, "later")));
        assert!(order.check(HERE, send(2)).is_err());
        answer(2, Err(order.check(HERE, send(2)).expect_err("refused")));
        assert!(order.check(HERE, send(2)).is_err() && order.check(HERE, send(1)).is_ok(), "the first one stands");
        answer(1, Err(Error::new(Code::TextRefused, "never")));
        assert!(order.check(HERE, send(2)).is_ok());
        drop(settling(&order, HERE, send(3), Reply::new(|_| {})));
        assert!(order.check(HERE, send(4)).is_err(), "a lost answer leaves it unsettled");
        answer(3, Ok(chirrup_protocol::reply::Done { seq: 1, time: 1, duplicate: false }.into()));
        assert!(order.check(HERE, send(4)).is_ok());
    }

    #[test]
    fn what_is_unsettled_is_bounded() {
        let order = Order::default();
        for n in 0..UNSETTLED_MAX as u128 {
            let conversation = ConversationId(n.to_be_bytes());
            order.check(conversation, send(1)).expect("room");
            order.unsettle(conversation, send(1));
        }
        assert_eq!(order.check(ConversationId([255; 16]), send(1)).map_err(|e| e.code), Err(Code::TooMany));
        assert_eq!(order.check(ConversationId([0; 16]), send(1)), Ok(()));
    }
}
