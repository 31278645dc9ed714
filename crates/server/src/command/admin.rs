//! What administrators of the server do, and how the first becomes one.

use chirrup_core::aggregate::{Action, AggregateId};
use chirrup_core::{server, user};
use chirrup_protocol::error::{Code, Error};
use chirrup_protocol::limits::USERS_PAGE_MAX;
use chirrup_protocol::request::{DisableUser, ListUsers, RedeemFirstCode, ResetPassword, SetAdministrator};

use super::change::Change;
use super::check::{administrator, open_accounts, page, read};
use super::login::without_secrets;
use super::{Context, Plan, Session};
use crate::auth::{password, token};

/// Becomes the first administrator.
pub(super) fn redeem_first_code(session: &Session, request: RedeemFirstCode) -> Plan {
    let action = server::Action::RedeemFirstCode { code: token::first_code_hash(&request.code) };
    let client_id = request.client_id;
    let request = without_secrets(request.into());
    Change::new(AggregateId::Server, session.user, client_id, &request, Action::Server(action)).into()
}

/// A page of all accounts.
pub(super) async fn list_users(context: &Context, session: &Session, request: ListUsers) -> Result<Plan, Error> {
    let limit = page(request.limit, USERS_PAGE_MAX)?;
    administrator(context, session.user).await?;
    Ok(read(context, move |views| views.accounts(request.after.as_deref(), limit)).await?.into())
}

/// Closes or opens an account.
pub(super) async fn disable_user(context: &Context, session: &Session, request: DisableUser) -> Result<Plan, Error> {
    administrator(context, session.user).await?;
    if request.user == session.user && request.disabled {
        return Err(Error::new(Code::Forbidden, "you cannot close your own account"));
    }
    let (client_id, aggregate) = (request.client_id, AggregateId::User(request.user));
    let action = user::Action::SetDisabled { disabled: request.disabled };
    Ok(Change::new(aggregate, session.user, client_id, &request.into(), Action::User(action)).into())
}

/// Gives an account another password, and logs all its devices out.
pub(super) async fn reset_password(context: &Context, session: &Session, request: ResetPassword) -> Result<Plan, Error> {
    administrator(context, session.user).await?;
    let (user, client_id) = (request.user, request.client_id);
    let profile = read(context, move |views| Ok(views.user(user)?)).await?;
    let profile = profile.ok_or_else(|| Error::new(Code::NotFound, "there is no such user"))?;
    password::check(&request.password, &profile.name)?;
    let credential = context.auth.passwords.hash(request.password.clone()).await?;
    let action = Action::User(user::Action::ChangePassword { user, credential, keep: None });
    Ok(Change::new(AggregateId::User(user), session.user, client_id, &without_secrets(request.into()), action).into())
}

/// Makes or unmakes an administrator.
pub(super) async fn set_administrator(context: &Context, session: &Session, request: SetAdministrator) -> Result<Plan, Error> {
    administrator(context, session.user).await?;
    if request.administrator {
        open_accounts(context, vec![request.user]).await?;
    }
    let action = server::Action::SetAdministrator { user: request.user, administrator: request.administrator };
    let client_id = request.client_id;
    Ok(Change::new(AggregateId::Server, session.user, client_id, &request.into(), Action::Server(action)).into())
}
