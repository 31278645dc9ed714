//! How far somebody has read, and got: registers that only grow, merged and answered when they
//! are written.

use std::sync::Arc;

use chirrup_core::aggregate::AggregateId;
use chirrup_core::ids::{ConversationId, Seq, UserId};
use chirrup_core::refusal::Refusal;
use chirrup_engine::positions::NotRaised;
use chirrup_engine::views::ViewError;
use chirrup_protocol::error::{Code, Error};
use chirrup_protocol::reply::Position;
use chirrup_protocol::request::{Delivered, Positions, Read};
use chirrup_store::record::PositionRow;

use super::change::takes_rows;
use super::check::{bad, read as read_views, seq};
use super::{Context, Plan, Session};

/// One has read up to here.
pub(super) async fn read(context: &Context, session: &Session, request: &Read) -> Result<Plan, Error> {
    raise(context, session.user, request.conversation, request.seq, true).await
}

/// Messages up to here have reached this device.
pub(super) async fn delivered(context: &Context, session: &Session, request: &Delivered) -> Result<Plan, Error> {
    raise(context, session.user, request.conversation, request.seq, false).await
}

async fn raise(context: &Context, user: UserId, conversation: ConversationId, at: Seq, is_read: bool) -> Result<Plan, Error> {
    let at = seq("seq", at)?;
    takes_rows(&context.machine.status())?;
    let found = read_views(context, move |views| {
        let Some(member) = views.member(conversation, user)?.filter(|member| member.role.is_some()) else { return Ok(None) };
        // Nobody has read what there is not: a client that says so is in error (P-1).
        let head = views.head(&AggregateId::Conversation(conversation))?;
        if at > head {
            return Ok(Some(Err(head)));
        }
        if !member.visible.contains(at) {
            return Err(ViewError::MessageNotFound);
        }
        if !is_read {
            return Ok(Some(Ok(PositionRow { delivered: at, ..PositionRow::default() })));
        }
        let read_ordinal = views.timeline_at(conversation, at)?.ordinal;
        Ok(Some(Ok(PositionRow { read: at, read_ordinal, delivered: at })))
    });
    let position = found.await?.ok_or_else(|| Error::from(Refusal::NotFound))?;
    let position = position.map_err(|head| bad(format!("seq must be at most {head}, the head of the conversation")))?;
    let machine = Arc::clone(&context.machine);
    Ok(Plan::Later(Box::new(move |reply| {
        let waiter = Box::new(move |written: Result<PositionRow, NotRaised>| {
            reply.give(match written {
                Ok(PositionRow { read, delivered, .. }) => Ok(Position { read, delivered }.into()),
                Err(NotRaised::Busy) => Err(Error::new(Code::Busy, NotRaised::Busy.to_string())),
                Err(NotRaised::Unknown) => Err(Error::new(Code::Unknown, NotRaised::Unknown.to_string())),
            });
        });
        machine.positions().raise(conversation, user, position, waiter);
    })))
}

/// How far the members are.
pub(super) async fn positions(context: &Context, session: &Session, request: &Positions) -> Result<Plan, Error> {
    let (user, conversation) = (session.user, request.conversation);
    Ok(read_views(context, move |views| views.positions(conversation, user)).await?.into())
}
