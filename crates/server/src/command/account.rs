//! What a user does with their own account: devices, password, profile, marks of their list.

use std::net::IpAddr;

use chirrup_core::aggregate::{Action, AggregateId, Origin};
use chirrup_core::ids::ClientId;
use chirrup_core::{names, user};
use chirrup_protocol::error::{Code, Error};
use chirrup_protocol::reply::{Device, Devices};
use chirrup_protocol::request::{ChangePassword, MarkUnread, Mute, Request, RevokeDevice, SetProfile};

use super::change::{Change, Told, digest};
use super::check::{read, refused};
use super::login::{compare, once, without_secrets};
use super::{Context, Plan, Session};
use crate::auth::password::{self, Compared};

/// A change of one's own log.
fn own(session: &Session, client_id: ClientId, request: &Request, action: user::Action) -> Plan {
    Change::new(AggregateId::User(session.user), session.user, client_id, request, Action::User(action)).into()
}

/// Logs this device out; its connections are closed by the event.
pub(super) fn log_out(session: &Session) -> Plan {
    let aggregate = AggregateId::User(session.user);
    let action = Action::User(user::Action::RevokeDevice { device: session.device });
    Change { aggregate, origin: once(session.user), action, told: Told::Nothing, sending: None }.into()
}

/// Replaces the password and logs all other devices out.
pub(super) async fn change_password(context: &Context, address: IpAddr, session: &Session, request: ChangePassword) -> Result<Plan, Error> {
    let (user, device) = (session.user, session.device);
    let account = read(context, move |views| Ok((views.user(user)?, views.credential(user)?)));
    let (Some(profile), stored) = account.await? else {
        return Err(Error::new(Code::TokenInvalid, "there is no such account"));
    };
    password::check(&request.new, &profile.name)?;
    let folded = names::fold(&profile.name);
    let credential = match compare(context, address, &folded, request.old.clone(), stored.clone()).await? {
        Compared::Right { .. } => context.auth.passwords.hash(request.new.clone()).await?,
        // A retry finds the new password already there.
        Compared::Wrong => match (compare(context, address, &folded, request.new.clone(), stored.clone()).await?, stored) {
            (Compared::Right { .. }, Some(stored)) => stored,
            _ => return Err(Error::new(Code::CredentialsInvalid, "the old password is wrong")),
        },
    };
    let client_id = request.client_id;
    let origin = Origin::Client { user, client_id, digest: digest(&without_secrets(request.into())) };
    let action = Action::User(user::Action::ChangePassword { user, credential, keep: Some(device) });
    Ok(Change { aggregate: AggregateId::User(user), origin, action, told: Told::Nothing, sending: None }.into())
}

/// Lists one's devices.
pub(super) async fn devices(context: &Context, session: &Session) -> Result<Plan, Error> {
    let user = session.user;
    let devices = read(context, move |views| Ok(views.devices(user)?)).await?;
    let router = context.machine.router();
    let devices = devices.into_iter().map(|device| Device {
        this: device.id == session.device,
        connected: router.device_connected(user, device.id),
        device: device.id,
        label: device.label,
        added: device.added,
    });
    Ok(Devices { devices: devices.collect() }.into())
}

/// Logs one of one's devices out.
pub(super) fn revoke_device(session: &Session, request: RevokeDevice) -> Plan {
    let (client_id, action) = (request.client_id, user::Action::RevokeDevice { device: request.device });
    own(session, client_id, &request.into(), action)
}

/// Shows another name.
pub(super) fn set_profile(session: &Session, request: SetProfile) -> Result<Plan, Error> {
    let display_name = names::title("the display name", &request.display_name).map_err(refused)?;
    let client_id = request.client_id;
    Ok(own(session, client_id, &request.into(), user::Action::SetProfile { display_name }))
}

/// Wants to hear of a conversation, or not.
pub(super) fn mute(session: &Session, request: Mute) -> Plan {
    let (client_id, action) = (request.client_id, user::Action::SetMuted { conversation: request.conversation, muted: request.muted });
    own(session, client_id, &request.into(), action)
}

/// Marks a conversation as unread by hand, or takes the mark away.
pub(super) fn mark_unread(session: &Session, request: MarkUnread) -> Plan {
    let (client_id, action) =
        (request.client_id, user::Action::SetMarkedUnread { conversation: request.conversation, marked: request.marked });
    own(session, client_id, &request.into(), action)
}
