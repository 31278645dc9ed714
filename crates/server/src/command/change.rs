//! Changes: requests that an aggregate decides. They go into the queue in the order in which they
//! were made, and are answered by a callback when they are durable, so that a connection goes on
//! reading meanwhile.
//!
//! Must not know: how anything is decided.

use chirrup_core::aggregate::{Action, AggregateId, Command, Digest, Origin, Outcome};
use chirrup_core::ids::{ClientId, ConversationId, UserId};
use chirrup_engine::batch::{Answer, Submission};
use chirrup_engine::runner::frees_room;
use chirrup_protocol::error::{Code, Error};
use chirrup_protocol::reply::{Created, Done, Nothing};
use chirrup_protocol::request::Request;

use super::{Answered, Context, Order, Reply};
use crate::machine::{Stale, Status};

/// How often a full disk is worth another try, in milliseconds.
const FULL_RETRY_MS: u64 = 5_000;
/// How often a store that does not answer is worth another try, in milliseconds.
const BUSY_RETRY_MS: u64 = 1_000;
/// How often a store that has failed is worth another try, in milliseconds.
const FAILED_RETRY_MS: u64 = 60_000;

/// A change that was checked.
pub(super) struct Change {
    /// Who decides.
    pub(super) aggregate: AggregateId,
    /// Who asks.
    pub(super) origin: Origin,
    /// What is asked.
    pub(super) action: Action,
    /// How the answer is told.
    pub(super) told: Told,
    /// Of what must keep its sender's order.
    pub(super) sending: Option<(ConversationId, ClientId)>,
}

/// How the answer to a change is told.
#[derive(Clone, Copy)]
pub(super) enum Told {
    /// As what was done.
    Done,
    /// As a conversation that stands.
    Created(ConversationId),
    /// As nothing to tell.
    Nothing,
}

impl Change {
    /// A change asked by a user, to be answered as done.
    pub(super) fn new(aggregate: AggregateId, user: UserId, client_id: ClientId, request: &Request, action: Action) -> Self {
        let origin = Origin::Client { user, client_id, digest: digest(request) };
        Self { aggregate, origin, action, told: Told::Done, sending: None }
    }

    /// Puts it into the queue, as soon as there is room and nothing earlier is unsettled.
    pub(super) async fn queue(self, context: &Context, order: &Order, reply: Reply) {
        let Self { aggregate, origin, action, told, sending } = self;
        let command = Command { aggregate, origin, stamp: context.machine.stamp(), action };
        let in_order = || sending.map_or(Ok(()), |(conversation, send)| order.check(conversation, send));
        // Looked at before the order is, so that a refusal in between is noticed by the queue.
        let mut generation = sending.map(|_| context.machine.generation());
        if let Err(error) = in_order().and_then(|()| taken(&context.machine.status(), &command)) {
            return reply.give(Err(error));
        }
        let reply = reply.under_way();
        let answer = Box::new(move |answer| reply.give(outcome(answer).map(|done| told.answer(done))));
        let mut submission = Submission { command, answer };
        while let Err(Stale(back)) = context.machine.push(submission, generation).await {
            submission = back;
            generation = Some(context.machine.generation());
            if in_order().is_err() {
                // As if it had been among those that were refused.
                return (submission.answer)(context.machine.not_taken());
            }
        }
    }
}

impl Told {
    fn answer(self, done: Done) -> Answered {
        let Done { seq, time, duplicate } = done;
        match self {
            Self::Done => done.into(),
            Self::Created(conversation) => Created { conversation, seq, time, duplicate }.into(),
            Self::Nothing => Nothing {}.into(),
        }
    }
}

/// Whether the server takes this command now.
fn taken(status: &Status, command: &Command) -> Result<(), Error> {
    match status {
        Status::Full(_) if frees_room(command) => Ok(()),
        _ => takes_rows(status),
    }
}

/// Whether the server writes anything now that takes room.
pub(super) fn takes_rows(status: &Status) -> Result<(), Error> {
    match status {
        Status::Serving => Ok(()),
        Status::Full(_) => Err(full()),
        Status::Busy(_) => Err(busy()),
        Status::ReadOnly(_) => Err(failed()),
        Status::Stopping => Err(Error::new(Code::ShuttingDown, "the server is about to stop")),
    }
}

fn full() -> Error {
    Error::after(Code::StorageFull, "the server has no room on its disk: reading and deleting go on", FULL_RETRY_MS)
}

fn busy() -> Error {
    Error::after(Code::Busy, "the store does not answer now: nothing is written until it does", BUSY_RETRY_MS)
}

fn failed() -> Error {
    Error::after(Code::StorageFailed, "the store has failed: the server only reads until its operator has looked", FAILED_RETRY_MS)
}

/// Has a command decided and waits for it.
pub(super) async fn submit(context: &Context, aggregate: AggregateId, origin: Origin, action: Action) -> Result<Done, Error> {
    let command = Command { aggregate, origin, stamp: context.machine.stamp(), action };
    taken(&context.machine.status(), &command)?;
    outcome(context.machine.submit(command).await)
}

/// What a client is told of an answer.
fn outcome(answer: Answer) -> Result<Done, Error> {
    match answer {
        Answer::Decided { outcome: Outcome::Done { last, time, .. }, duplicate } => Ok(Done { seq: last, time, duplicate }),
        Answer::Decided { outcome: Outcome::Refused(refusal), .. } => Err(refusal.into()),
        Answer::Conflict => Err(Error::new(Code::ClientIdConflict, "this client id was used for another request")),
        Answer::StorageFull => Err(full()),
        Answer::StorageFailed => Err(failed()),
        Answer::StorageBusy => Err(busy()),
        Answer::Failed(why) => {
            tracing::error!(%why, "a command could not be decided");
            Err(Error::new(Code::Internal, "the server cannot read what it has stored"))
        }
        Answer::Unknown => Err(Error::new(Code::Unknown, "it is not known whether this took effect: send it again")),
    }
}

/// The digest of a request as it came. Secrets must have been taken out.
pub(super) fn digest(request: &Request) -> Digest {
    Digest::of(&serde_json::to_vec(request).expect("requests are writable as JSON"))
}

#[cfg(test)]
mod tests {
    use chirrup_core::aggregate::Stamp;
    use chirrup_core::hash::Salt;
    use chirrup_core::refusal::Refusal;
    use chirrup_core::{conversation, ids::UserId};
    use chirrup_protocol::error::Retry;

    use super::*;

    fn command(action: conversation::Action) -> Command {
        let aggregate = AggregateId::Conversation(ConversationId([1; 16]));
        Command { aggregate, origin: Origin::Timer, stamp: Stamp { time: 0, salt: Salt::default() }, action: Action::Conversation(action) }
    }

    #[test]
    fn on_a_full_disk_only_what_frees_room_is_taken() {
        let title = command(conversation::Action::SetTitle { title: "t".into() });
        let delete = command(conversation::Action::Delete { target: 1 });
        let code = |status: Status, command: &Command| taken(&status, command).map_err(|e| (e.code, e.retry));
        assert_eq!(code(Status::Full(String::new()), &title), Err((Code::StorageFull, Retry::After)));
        assert_eq!(code(Status::Full(String::new()), &delete), Ok(()));
        assert_eq!(code(Status::ReadOnly(String::new()), &delete), Err((Code::StorageFailed, Retry::After)));
        assert_eq!(code(Status::Busy(String::new()), &delete), Err((Code::Busy, Retry::After)));
        assert_eq!(code(Status::Stopping, &delete), Err((Code::ShuttingDown, Retry::After)));
        assert_eq!(code(Status::Serving, &title), Ok(()));
    }

    #[test]
    fn every_answer_is_told() {
        let done = Outcome::Done { first: 3, last: 4, time: 5 };
        let code = |answer| outcome(answer).map_err(|e| e.code);
        assert_eq!(code(Answer::Decided { outcome: done, duplicate: true }), Ok(Done { seq: 4, time: 5, duplicate: true }));
        let refused = Outcome::Refused(Refusal::NotAMember(UserId([1; 16])));
        assert_eq!(code(Answer::Decided { outcome: refused, duplicate: false }), Err(Code::NotAMember));
        assert_eq!(code(Answer::Conflict), Err(Code::ClientIdConflict));
        assert_eq!(code(Answer::StorageFull), Err(Code::StorageFull));
        assert_eq!(code(Answer::StorageFailed), Err(Code::StorageFailed));
        assert_eq!(code(Answer::StorageBusy), Err(Code::Busy));
        assert_eq!(code(Answer::Failed("why".into())), Err(Code::Internal));
        assert_eq!(code(Answer::Unknown), Err(Code::Unknown));
    }
}
