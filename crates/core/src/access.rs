//! Who may do what: every rule of access in this one place. Deny by default; "not for you" looks
//! like "not there".

use crate::event::{Event, Fact, Role};
use crate::ids::{Seq, UserId};
use crate::refusal::Refusal;
use crate::rows::{Member, Record, Rows};
use crate::server::Server;
use crate::visibility::Intervals;

/// What somebody sees of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// All of it.
    Whole,
    /// Its seq and that it is hidden.
    Hidden,
}

/// What a reader with these intervals sees of an event: nothing outside of them, and nothing that
/// changes a message outside of them.
pub fn view(visible: &Intervals, seq: Seq, fact: &Fact) -> View {
    if visible.contains(seq) && fact.target().is_none_or(|target| visible.contains(target)) { View::Whole } else { View::Hidden }
}

/// A present member and their role; anybody else is told that nothing is there.
pub(crate) fn member(rows: &Rows, user: Option<UserId>) -> Result<(UserId, &Member, Role), Refusal> {
    let user = user.ok_or(Refusal::NotFound)?;
    let member = rows.member(user).ok_or(Refusal::NotFound)?;
    let role = member.role.ok_or(Refusal::NotFound)?;
    Ok((user, member, role))
}

/// A message that this member may see and that still stands.
pub(crate) fn message<'a>(rows: &'a Rows, member: &Member, seq: Seq) -> Result<&'a Record, Refusal> {
    let record = rows.event(seq).ok_or(Refusal::MessageNotFound)?;
    let is_message = matches!(record.event.envelope.fact, Fact::MessageCreated { .. });
    if !is_message || view(&member.visible, seq, &record.event.envelope.fact) == View::Hidden {
        return Err(Refusal::MessageNotFound);
    }
    if record.deleted() {
        return Err(Refusal::MessageDeleted);
    }
    Ok(record)
}

/// Editing: the author alone.
pub(crate) fn edit(user: UserId, event: &Event) -> Result<(), Refusal> {
    if event.envelope.author == Some(user) { Ok(()) } else { Err(Refusal::NotAuthor) }
}

/// Deleting for all: the author, or an owner of the group.
pub(crate) fn delete(user: UserId, role: Role, event: &Event) -> Result<(), Refusal> {
    if role == Role::Owner { Ok(()) } else { edit(user, event) }
}

/// Removing others, roles and title: owners.
pub(crate) fn govern(role: Role) -> Result<(), Refusal> {
    if role == Role::Owner { Ok(()) } else { Err(Refusal::NotOwner) }
}

/// What only administrators of the server may.
pub fn administer(server: &Server, user: Option<UserId>) -> Result<(), Refusal> {
    if user.is_some_and(|u| server.administrators.contains(&u)) { Ok(()) } else { Err(Refusal::NotAdministrator) }
}
