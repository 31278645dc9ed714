//! Sign-up and log-in. A retry under the same client id makes the same user and the same device,
//! which gets another token; retries at the same time all get the same one.
//!
//! What is told of names: a sign-up tells that a name is taken, a log-in never tells whether a
//! name exists, neither by its words nor by its time.

use std::net::IpAddr;

use chirrup_core::aggregate::{Action, AggregateId, Digest, Origin, StateBody};
use chirrup_core::ids::{ClientId, DeviceId, UserId};
use chirrup_core::{name, names, user};
use chirrup_protocol::error::{Code, Error};
use chirrup_protocol::limits::PASSWORD_CHARS_MAX;
use chirrup_protocol::reply::LoggedIn;
use chirrup_protocol::request::{LogIn, Request, SignUp};

use super::change::{digest, submit};
use super::check::{read, refused};
use super::{Context, Plan};
use crate::auth::password::{self, Compared};
use crate::auth::token;
use crate::edge;

/// Opens an account and logs its first device in.
pub(super) async fn sign_up(context: &Context, address: IpAddr, request: SignUp) -> Result<Plan, Error> {
    if !context.sign_up_open {
        return Err(Error::new(Code::SignUpClosed, "this server lets nobody sign up"));
    }
    let name = names::name(&request.name).map_err(refused)?;
    let display_name = names::title("the display name", request.display_name.as_ref().unwrap_or(&name)).map_err(refused)?;
    names::title("the device label", &request.device_label).map_err(refused)?;
    password::check(&request.password, &name)?;
    let (password, client_id, label) = (request.password.clone(), request.client_id, request.device_label.clone());
    let request = Request::from(request);
    let slot = context.auth.recent.slot(&whole(&request), edge::now_ms());
    let mut recent = slot.lock().await;
    if let Some(logged_in) = still_good(context, recent.as_ref()).await? {
        return Ok(logged_in.into());
    }
    let account = NewAccount { name, display_name, client_id, digest: digest(&without_secrets(request)) };
    let user = account.claim(context, address, password).await?;
    account.create(context, user).await?;
    let logged_in = add_device(context, user, client_id, label).await?;
    *recent = Some(logged_in.clone());
    Ok(logged_in.into())
}

/// An account that is being made.
pub(super) struct NewAccount {
    /// Checked.
    pub(super) name: String,
    /// Checked.
    pub(super) display_name: String,
    /// Of the request.
    pub(super) client_id: ClientId,
    /// Of the request, without secrets.
    pub(super) digest: Digest,
}

impl NewAccount {
    /// The name's log, and the user that this request makes of it.
    fn ids(&self, context: &Context) -> (AggregateId, UserId) {
        let folded = names::fold(&self.name);
        let user = UserId(context.machine.key().id("user", &[folded.as_bytes(), &self.client_id.0]));
        (AggregateId::Name(folded), user)
    }

    /// Takes the name, or finds it taken by an earlier try of the same request.
    async fn claim(&self, context: &Context, address: IpAddr, password: String) -> Result<UserId, Error> {
        let (name, user) = self.ids(context);
        let owner = owner(context, name).await?;
        let credential = match owner {
            Some(owner) if owner == user => {
                self.same_password(context, address, user, password.clone()).await?;
                None
            }
            Some(_) => return Err(chirrup_core::refusal::Refusal::NameTaken.into()),
            None => {
                context.auth.sign_up(address, edge::now_ms())?;
                Some(context.auth.passwords.hash(password.clone()).await?)
            }
        };
        let is_first = credential.is_some();
        let done = self.take_name(context, credential).await?;
        if is_first && done.1 {
            // Another try was faster, and perhaps somebody else's.
            self.same_password(context, address, user, password).await?;
        }
        Ok(user)
    }

    /// Takes the name for its user: who, and whether it was taken by an earlier try.
    pub(super) async fn take_name(&self, context: &Context, credential: Option<String>) -> Result<(UserId, bool), Error> {
        let (aggregate, user) = self.ids(context);
        let origin = Origin::Client { user, client_id: self.client_id, digest: self.digest };
        let action = name::Action::Claim { user, name: self.name.clone(), display_name: self.display_name.clone(), credential };
        let done = submit(context, aggregate, origin, Action::Name(action)).await?;
        Ok((user, done.duplicate))
    }

    /// Makes the account of a name that is taken: what the effect of taking it does, at once.
    pub(super) async fn create(&self, context: &Context, user: UserId) -> Result<(), Error> {
        let action = user::Action::Create { name: self.name.clone(), display_name: self.display_name.clone() };
        submit(context, AggregateId::User(user), Origin::Timer, Action::User(action)).await.map(|_| ())
    }

    /// Refuses who retries a sign-up without its password.
    async fn same_password(&self, context: &Context, address: IpAddr, user: UserId, password: String) -> Result<(), Error> {
        let conflict = || Error::new(Code::ClientIdConflict, "this client id was used for another sign-up");
        let stored = read(context, move |views| Ok(views.credential(user)?)).await?;
        match compare(context, address, &names::fold(&self.name), password, stored).await? {
            Compared::Right { .. } => Ok(()),
            Compared::Wrong => Err(conflict()),
        }
    }
}

async fn owner(context: &Context, name: AggregateId) -> Result<Option<UserId>, Error> {
    let state = read(context, move |views| Ok(views.state(&name)?)).await?;
    Ok(match state.body {
        StateBody::Name(name) => name.owner,
        _ => None,
    })
}

/// Logs a device in.
pub(super) async fn log_in(context: &Context, address: IpAddr, request: LogIn) -> Result<Plan, Error> {
    let wrong = || Error::new(Code::CredentialsInvalid, "the name or the password is wrong");
    names::title("the device label", &request.device_label).map_err(refused)?;
    if request.password.len() > PASSWORD_CHARS_MAX * 4 {
        return Err(wrong());
    }
    // What cannot be a name is nobody's: looked for and compared like any other.
    let name = names::name(&request.name).unwrap_or_default();
    let (client_id, label, password) = (request.client_id, request.device_label.clone(), request.password.clone());
    let slot = context.auth.recent.slot(&whole(&request.into()), edge::now_ms());
    let mut recent = slot.lock().await;
    if let Some(logged_in) = still_good(context, recent.as_ref()).await? {
        return Ok(logged_in.into());
    }
    let asked = name.clone();
    let found = read(context, move |views| {
        let Some(user) = views.find(&asked)? else { return Ok(None) };
        Ok(Some((user.user, user.disabled, views.credential(user.user)?)))
    });
    let (account, stored) = match found.await? {
        Some((user, disabled, stored)) => (Some((user, disabled)), stored),
        None => (None, None),
    };
    let compared = compare(context, address, &names::fold(&name), password, stored).await?;
    let (Compared::Right { rehashed }, Some((user, disabled))) = (compared, account) else { return Err(wrong()) };
    if disabled {
        return Err(chirrup_core::refusal::Refusal::AccountDisabled.into());
    }
    if let Some(credential) = rehashed {
        rehash(context, user, credential).await;
    }
    let logged_in = add_device(context, user, client_id, label).await?;
    *recent = Some(logged_in.clone());
    Ok(logged_in.into())
}

/// Compares a password, as one of the attempts that a name and an address have. Only a wrong one
/// is counted.
pub(super) async fn compare(
    context: &Context,
    address: IpAddr,
    folded_name: &str,
    password: String,
    stored: Option<String>,
) -> Result<Compared, Error> {
    context.auth.attempt(folded_name, address, edge::now_ms())?;
    let compared = context.auth.passwords.compare(password, stored).await;
    if compared == Ok(Compared::Wrong) {
        context.metrics.passwords_wrong.one();
    } else {
        context.auth.forgive(folded_name, address);
    }
    compared
}

/// Keeps a password under the costs of today. If it fails, the next log-in tries again.
async fn rehash(context: &Context, user: UserId, credential: String) {
    let action = Action::User(user::Action::Rehash { credential });
    if let Err(error) = submit(context, AggregateId::User(user), once(user), action).await {
        tracing::warn!(code = error.code.name(), "a password was not kept under its new costs");
    }
}

/// The origin of a command that is decided each time it is asked, retry or not.
pub(super) fn once(user: UserId) -> Origin {
    let client_id = edge::client_id(edge::now_ms());
    Origin::Client { user, client_id, digest: Digest::of(&client_id.0) }
}

/// Gives a device a new token; the device is made if it is not there.
async fn add_device(context: &Context, user: UserId, client_id: ClientId, label: String) -> Result<LoggedIn, Error> {
    let device = DeviceId(context.machine.key().id("device", &[&user.0, &client_id.0]));
    let token = token::device();
    let action = user::Action::AddDevice { device, label, token: token::hash(&token) };
    submit(context, AggregateId::User(user), once(user), Action::User(action)).await?;
    Ok(LoggedIn { user, device, token })
}

/// The answer that was given to this request a moment ago, if its token is still the device's.
async fn still_good(context: &Context, recent: Option<&LoggedIn>) -> Result<Option<LoggedIn>, Error> {
    let Some(logged_in) = recent.cloned() else { return Ok(None) };
    read(context, move |views| {
        let owner = views.token(&token::hash(&logged_in.token))?;
        Ok((owner == Some((logged_in.user, logged_in.device))).then_some(logged_in))
    })
    .await
}

fn whole(request: &Request) -> Vec<u8> {
    serde_json::to_vec(request).expect("requests are writable as JSON")
}

/// The request as it may be remembered: passwords and codes are taken out.
pub(super) fn without_secrets(mut request: Request) -> Request {
    match &mut request {
        Request::SignUp(request) => request.password.clear(),
        Request::LogIn(request) => request.password.clear(),
        Request::ChangePassword(request) => {
            request.old.clear();
            request.new.clear();
        }
        Request::ResetPassword(request) => request.password.clear(),
        Request::RedeemFirstCode(request) => request.code.clear(),
        _ => {}
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_has_no_secrets() {
        let client_id = ClientId([7; 16]);
        let secret = || "canary-secret".to_owned();
        let requests: [Request; 4] = [
            SignUp { client_id, name: "ana".into(), password: secret(), display_name: None, device_label: "d".into() }.into(),
            LogIn { client_id, name: "ana".into(), password: secret(), device_label: "d".into() }.into(),
            chirrup_protocol::request::ChangePassword { client_id, old: secret(), new: secret() }.into(),
            chirrup_protocol::request::ResetPassword { client_id, user: UserId([1; 16]), password: secret() }.into(),
        ];
        for request in requests {
            assert!(String::from_utf8(whole(&request)).expect("text").contains("canary"));
            assert!(!String::from_utf8(whole(&without_secrets(request))).expect("text").contains("canary"));
        }
    }
}
