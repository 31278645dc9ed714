//! Other people: found by exact name, or by ids that one has.

use chirrup_protocol::error::{Code, Error};
use chirrup_protocol::limits::USERS_AT_ONCE_MAX;
use chirrup_protocol::request::{Find, Users};

use super::check::{bad, read};
use super::{Context, Plan};

/// Finds a user by exact name.
pub(super) async fn find(context: &Context, request: Find) -> Result<Plan, Error> {
    let found = read(context, move |views| Ok(views.find(&request.name)?)).await?;
    found.map(Plan::from).ok_or_else(|| Error::new(Code::NotFound, "there is no user of this name"))
}

/// Profiles by id.
pub(super) async fn users(context: &Context, request: Users) -> Result<Plan, Error> {
    if request.users.len() > USERS_AT_ONCE_MAX {
        return Err(bad(format!("at most {USERS_AT_ONCE_MAX} users at once")));
    }
    Ok(read(context, move |views| Ok(views.users(&request.users)?)).await?.into())
}
