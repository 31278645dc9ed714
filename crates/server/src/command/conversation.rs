//! Conversations: begun, listed, and who is in them.

use chirrup_core::aggregate::{Action, AggregateId, Origin};
use chirrup_core::conversation;
use chirrup_core::effects::effects;
use chirrup_core::ids::{ClientId, ConversationId, UserId};
use chirrup_core::limits::MEMBERS_AT_ONCE_MAX;
use chirrup_core::names;
use chirrup_core::refusal::Refusal;
use chirrup_protocol::error::Error;
use chirrup_protocol::limits::{CONVERSATIONS_PAGE_MAX, MEMBERS_PAGE_MAX};
use chirrup_protocol::reply::{Created, Done};
use chirrup_protocol::request::{
    AddMembers, Conversation, Conversations, CreateDirect, CreateGroup, Leave, Members, RemoveMember, Request, SetRole, SetTitle,
};

use super::change::{Change, Told, submit};
use super::check::{bad, open_accounts, page, read, refused};
use super::{Context, Plan, Session};

/// A change of a conversation's log.
pub(super) fn change(
    session: &Session,
    conversation: ConversationId,
    client_id: ClientId,
    request: &Request,
    action: conversation::Action,
) -> Change {
    let aggregate = AggregateId::Conversation(conversation);
    Change::new(aggregate, session.user, client_id, request, Action::Conversation(action))
}

/// Begins the direct conversation with somebody, or finds it.
pub(super) async fn create_direct(context: &Context, session: &Session, request: CreateDirect) -> Result<Plan, Error> {
    let (own, with) = (session.user, request.with);
    if with == own {
        return Err(bad("a direct conversation is with somebody else"));
    }
    open_accounts(context, vec![with]).await?;
    let id = ConversationId::direct(context.machine.key(), own, with);
    let (client_id, action) = (request.client_id, conversation::Action::CreateDirect { with });
    let Change { aggregate, origin, action, .. } = change(session, id, client_id, &request.into(), action);
    let Done { seq, time, duplicate } = submit(context, aggregate, origin, action).await?;
    list_direct(context, own, id).await?;
    Ok(Created { conversation: id, seq, time, duplicate }.into())
}

/// Sees to it that a direct conversation is in the user's list before they are told of it: the
/// other may have begun it just now. The same as the effect of its first event, which is taken
/// once, whoever is the first to bring it.
async fn list_direct(context: &Context, user: UserId, id: ConversationId) -> Result<(), Error> {
    let source = AggregateId::Conversation(id);
    let log = source.clone();
    let first = read(context, move |views| Ok(views.events(&log, 0, 1)?)).await?.pop();
    let effects = first.map(|row| effects(&source, &row.record.event)).unwrap_or_default();
    for (n, (target, action)) in (0..).zip(effects) {
        if target == AggregateId::User(user) {
            submit(context, target, Origin::Effect { source: source.clone(), seq: 1, n }, action).await?;
        }
    }
    Ok(())
}

/// Begins a group.
pub(super) async fn create_group(context: &Context, session: &Session, request: CreateGroup) -> Result<Plan, Error> {
    let title = names::title("the title", &request.title).map_err(refused)?;
    if request.members.len() > MEMBERS_AT_ONCE_MAX {
        return Err(bad(format!("at most {MEMBERS_AT_ONCE_MAX} members at once")));
    }
    open_accounts(context, request.members.clone()).await?;
    let client_id = request.client_id;
    let id = ConversationId(context.machine.key().id("conversation", &[&session.user.0, &client_id.0]));
    let action = conversation::Action::CreateGroup {
        title,
        history: request.history.into(),
        leaver: request.leaver.into(),
        members: request.members.clone(),
    };
    let change = change(session, id, client_id, &request.into(), action);
    Ok(Change { told: Told::Created(id), ..change }.into())
}

/// Makes members.
pub(super) async fn add_members(context: &Context, session: &Session, request: AddMembers) -> Result<Plan, Error> {
    if !(1..=MEMBERS_AT_ONCE_MAX).contains(&request.users.len()) {
        return Err(bad(format!("1 to {MEMBERS_AT_ONCE_MAX} users at once")));
    }
    open_accounts(context, request.users.clone()).await?;
    let action = conversation::Action::Add { users: request.users.clone() };
    Ok(change(session, request.conversation, request.client_id, &request.into(), action).into())
}

/// Ends somebody's membership.
pub(super) fn remove_member(session: &Session, request: RemoveMember) -> Plan {
    let action = conversation::Action::Remove { user: request.user };
    change(session, request.conversation, request.client_id, &request.into(), action).into()
}

/// Ends one's own membership.
pub(super) fn leave(session: &Session, request: Leave) -> Plan {
    change(session, request.conversation, request.client_id, &request.into(), conversation::Action::Leave).into()
}

/// Gives a member another role.
pub(super) fn set_role(session: &Session, request: SetRole) -> Plan {
    let action = conversation::Action::SetRole { user: request.user, role: request.role.into() };
    change(session, request.conversation, request.client_id, &request.into(), action).into()
}

/// Gives a group another title.
pub(super) fn set_title(session: &Session, request: SetTitle) -> Result<Plan, Error> {
    let title = names::title("the title", &request.title).map_err(refused)?;
    let action = conversation::Action::SetTitle { title };
    Ok(change(session, request.conversation, request.client_id, &request.into(), action).into())
}

/// A page of one's list.
pub(super) async fn list(context: &Context, session: &Session, request: Conversations) -> Result<Plan, Error> {
    let (user, limit) = (session.user, page(request.limit, CONVERSATIONS_PAGE_MAX)?);
    Ok(read(context, move |views| views.conversations(user, request.after.as_deref(), limit)).await?.into())
}

/// One conversation.
pub(super) async fn one(context: &Context, session: &Session, request: Conversation) -> Result<Plan, Error> {
    let user = session.user;
    let found = read(context, move |views| Ok(views.conversation(user, request.conversation)?)).await?;
    found.map(Plan::from).ok_or_else(|| Refusal::NotFound.into())
}

/// A page of the members.
pub(super) async fn members(context: &Context, session: &Session, request: Members) -> Result<Plan, Error> {
    let (user, limit) = (session.user, page(request.limit, MEMBERS_PAGE_MAX)?);
    Ok(read(context, move |views| views.members(request.conversation, user, request.after, limit)).await?.into())
}
