//! Messages: sent, edited, deleted, reacted to. Checked without a look at anything stored, so that
//! a send goes straight into the queue.

use chirrup_core::aggregate::{Action, AggregateId};
use chirrup_core::{conversation, names};
use chirrup_protocol::error::Error;
use chirrup_protocol::reply::Nothing;
use chirrup_protocol::request::{Delete, Edit, React, Send, Withdraw};

use super::change::Change;
use super::check::{refused, seq, text};
use super::conversation::change;
use super::{Order, Plan, Session};

/// Sends a message.
pub(super) fn send(session: &Session, request: Send) -> Result<Plan, Error> {
    let action = conversation::Action::Send {
        form: request.form.into(),
        text: text(request.text.clone(), request.mentions.clone(), request.mention_all)?,
        reply_to: request.reply_to.map(|n| seq("reply_to", n)).transpose()?,
        thread_root: request.thread_root.map(|n| seq("thread_root", n)).transpose()?,
        also_in_conversation: request.also_in_conversation,
        original_time: None,
    };
    let (conversation, client_id) = (request.conversation, request.client_id);
    let aggregate = AggregateId::Conversation(conversation);
    let change = Change::new(aggregate, session.user, client_id, &request.into(), Action::Conversation(action));
    Ok(Change { sending: Some((conversation, client_id)), ..change }.into())
}

/// Gives a send up, so that later ones may follow.
pub(super) fn withdraw(order: &Order, request: &Withdraw) -> Plan {
    order.settle(request.conversation, request.client_id);
    Nothing {}.into()
}

/// Replaces the text of one's own message.
pub(super) fn edit(session: &Session, request: Edit) -> Result<Plan, Error> {
    let action = conversation::Action::Edit {
        target: seq("target", request.target)?,
        text: text(request.text.clone(), request.mentions.clone(), request.mention_all)?,
    };
    Ok(change(session, request.conversation, request.client_id, &request.into(), action).into())
}

/// Deletes a message for all.
pub(super) fn delete(session: &Session, request: Delete) -> Result<Plan, Error> {
    let action = conversation::Action::Delete { target: seq("target", request.target)? };
    Ok(change(session, request.conversation, request.client_id, &request.into(), action).into())
}

/// Puts an emoji to a message, or takes it back.
pub(super) fn react(session: &Session, request: React) -> Result<Plan, Error> {
    names::emoji(&request.emoji).map_err(refused)?;
    let action = conversation::Action::React { target: seq("target", request.target)?, emoji: request.emoji.clone(), add: request.add };
    Ok(change(session, request.conversation, request.client_id, &request.into(), action).into())
}
