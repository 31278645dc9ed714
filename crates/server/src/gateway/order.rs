//! A sender's order on one connection: after a send that was refused but may be tried again, or
//! whose outcome is not known, later sends into that conversation are refused until it is settled
//! or withdrawn (rule R-8).
//!
//! Must not know: how a send is decided.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chirrup_core::ids::{ClientId, ConversationId};
use chirrup_protocol::error::{Code, Error};

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
