//! The user: profile, devices, and the list of their conversations. Pure.

use minicbor::{Decode, Encode};

use crate::aggregate::{AggregateId, Origin, State, StateBody, Step};
use crate::event::{Content, Draft, Event, Fact, Moved};
use crate::hash::Hash;
use crate::ids::{ConversationId, DeviceId, Seq, Time, UserId};
use crate::limits::DEVICES_MAX;
use crate::refusal::Refusal;
use crate::rows::{InboxEntry, RowKey, RowValue, Rows};
use crate::visibility::Intervals;

/// What can be asked of a user's log. Texts are within `limits`, checked at the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Begin the account; nothing if it exists.
    Create {
        /// Unique name, claimed before.
        name: String,
        /// Shown beside it.
        display_name: String,
    },
    /// Show another name beside the unique one.
    SetProfile {
        /// 1 to 128 characters.
        display_name: String,
    },
    /// Log a device in. If it is there already, only its token changes.
    AddDevice {
        /// Which.
        device: DeviceId,
        /// What its owner calls it.
        label: String,
        /// Hash of its token.
        token: Hash,
    },
    /// Log a device out.
    RevokeDevice {
        /// Which.
        device: DeviceId,
    },
    /// Replace the password and log out every device but one. Asked by the user, or by an
    /// administrator of the server.
    ChangePassword {
        /// Whose account this is.
        user: UserId,
        /// PHC string.
        credential: String,
        /// The device that stays.
        keep: Option<DeviceId>,
    },
    /// Keep the same password under another hash.
    Rehash {
        /// PHC string.
        credential: String,
    },
    /// Close or open the account; closing logs every device out.
    SetDisabled {
        /// Closed or not.
        disabled: bool,
    },
    /// Take over what a conversation says of the user's membership.
    SetMembership {
        /// Which.
        conversation: ConversationId,
        /// Member now or not.
        joined: bool,
        /// What they may see.
        visible: Intervals,
    },
    /// Want to hear of a conversation, or not.
    SetMuted {
        /// Which.
        conversation: ConversationId,
        /// Muted or not.
        muted: bool,
    },
    /// Mark as unread by hand, or take the mark away.
    SetMarkedUnread {
        /// Which.
        conversation: ConversationId,
        /// Marked or not.
        marked: bool,
    },
    /// Tell the user's other devices how far this one has read.
    NotePositions {
        /// At most 256.
        positions: Vec<Moved>,
    },
}

/// The state of a user: a function of their events alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct User {
    /// Unique name, as its owner writes it.
    #[n(0)]
    pub name: String,
    /// Shown beside it.
    #[n(1)]
    pub display_name: String,
    /// Closed by an administrator.
    #[n(2)]
    pub disabled: bool,
    /// Logged-in devices, oldest first.
    #[n(3)]
    pub devices: Vec<Device>,
    /// When the account began.
    #[n(4)]
    pub created: Time,
}

/// A login.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Device {
    /// Which.
    #[n(0)]
    pub id: DeviceId,
    /// What its owner calls it.
    #[n(1)]
    pub label: String,
    /// When it logged in.
    #[n(2)]
    pub added: Time,
}

/// The rows that [`step`] must be given.
pub(crate) fn needs(state: &State, action: &Action) -> Vec<RowKey> {
    let StateBody::User(user) = &state.body else { return Vec::new() };
    match action {
        Action::AddDevice { device, .. } | Action::RevokeDevice { device } => vec![RowKey::DeviceToken(*device)],
        Action::ChangePassword { .. } | Action::SetDisabled { .. } => user.devices.iter().map(|d| RowKey::DeviceToken(d.id)).collect(),
        Action::SetMembership { conversation, .. }
        | Action::SetMuted { conversation, .. }
        | Action::SetMarkedUnread { conversation, .. } => {
            vec![RowKey::Inbox(*conversation)]
        }
        _ => Vec::new(),
    }
}

/// Decides. `id` is told by the origin or by the aggregate; an account that does not exist takes
/// nothing but its creation.
pub(crate) fn step(state: &User, head: Seq, rows: &Rows, origin: &Origin, action: &Action) -> Result<Step, Refusal> {
    match action {
        Action::Create { name, display_name } => {
            if head > 0 {
                return Ok(Step::nothing());
            }
            Ok(Step::one(Draft::with(Fact::UserCreated { name: name.clone() }, Content::Profile(display_name.clone()))))
        }
        _ if head == 0 => Err(Refusal::NotFound),
        Action::SetProfile { display_name } => {
            if *display_name == state.display_name {
                return Ok(Step::nothing());
            }
            Ok(Step::one(Draft::with(Fact::ProfileUpdated, Content::Profile(display_name.clone()))))
        }
        Action::AddDevice { device, label, token } => add_device(state, rows, origin, *device, label, *token),
        Action::RevokeDevice { device } => {
            if !state.devices.iter().any(|d| d.id == *device) {
                return Err(Refusal::DeviceNotFound);
            }
            let mut step = Step::default();
            revoke(rows, *device, &mut step);
            Ok(step)
        }
        Action::ChangePassword { user, credential, keep } => {
            let mut step = Step::one(Draft::of(Fact::PasswordChanged));
            step.rows.push((RowKey::Credential(*user), Some(RowValue::Credential(credential.clone()))));
            for device in state.devices.iter().filter(|d| Some(d.id) != *keep) {
                revoke(rows, device.id, &mut step);
            }
            Ok(step)
        }
        Action::Rehash { credential } => {
            let user = origin.user().ok_or(Refusal::NotFound)?;
            Ok(Step { events: Vec::new(), rows: vec![(RowKey::Credential(user), Some(RowValue::Credential(credential.clone())))] })
        }
        Action::SetDisabled { disabled } => {
            if *disabled == state.disabled {
                return Ok(Step::nothing());
            }
            let mut step = Step::one(Draft::of(Fact::DisabledChanged { disabled: *disabled }));
            for device in state.devices.iter().filter(|_| *disabled) {
                revoke(rows, device.id, &mut step);
            }
            Ok(step)
        }
        Action::SetMembership { conversation, joined, visible } => Ok(set_membership(rows, origin, *conversation, *joined, visible)),
        Action::SetMuted { conversation, muted } => {
            let entry = listed(rows, *conversation)?;
            if entry.muted == *muted {
                return Ok(Step::nothing());
            }
            Ok(Step::one(Draft::of(Fact::MuteChanged { conversation: *conversation, muted: *muted })))
        }
        Action::SetMarkedUnread { conversation, marked } => {
            let entry = listed(rows, *conversation)?;
            if entry.marked_unread == *marked {
                return Ok(Step::nothing());
            }
            Ok(Step::one(Draft::of(Fact::UnreadMarked { conversation: *conversation, marked: *marked })))
        }
        Action::NotePositions { positions } => Ok(Step::one(Draft::of(Fact::PositionsMoved { positions: positions.clone() }))),
    }
}

fn listed(rows: &Rows, conversation: ConversationId) -> Result<&InboxEntry, Refusal> {
    rows.inbox(conversation).filter(|e| !e.visible.is_empty()).ok_or(Refusal::NotFound)
}

fn add_device(state: &User, rows: &Rows, origin: &Origin, device: DeviceId, label: &str, token: Hash) -> Result<Step, Refusal> {
    let user = origin.user().ok_or(Refusal::NotFound)?;
    if state.disabled {
        return Err(Refusal::AccountDisabled);
    }
    let mut step = Step::default();
    if let Some(RowValue::DeviceToken(old)) = rows.get(&RowKey::DeviceToken(device)) {
        step.rows.push((RowKey::Token(*old), None));
    }
    if !state.devices.iter().any(|d| d.id == device) {
        if state.devices.len() >= DEVICES_MAX {
            return Err(Refusal::TooManyDevices(DEVICES_MAX as u32));
        }
        step.events.push(Draft::with(Fact::DeviceAdded { device }, Content::Label(label.to_owned())));
    }
    step.rows.push((RowKey::DeviceToken(device), Some(RowValue::DeviceToken(token))));
    step.rows.push((RowKey::Token(token), Some(RowValue::Token(user, device))));
    Ok(step)
}

fn revoke(rows: &Rows, device: DeviceId, step: &mut Step) {
    if let Some(RowValue::DeviceToken(token)) = rows.get(&RowKey::DeviceToken(device)) {
        step.rows.push((RowKey::Token(*token), None));
        step.rows.push((RowKey::DeviceToken(device), None));
    }
    step.events.push(Draft::of(Fact::DeviceRevoked { device }));
}

/// Effects of one conversation are taken in order: one that is not above the last is too late.
fn set_membership(rows: &Rows, origin: &Origin, conversation: ConversationId, joined: bool, visible: &Intervals) -> Step {
    let Origin::Effect { source: AggregateId::Conversation(from), seq, n } = origin else { return Step::nothing() };
    let late = rows.inbox(conversation).is_some_and(|e| (*seq, *n) <= e.source);
    if late || *from != conversation {
        return Step::nothing();
    }
    let (visible, source) = (visible.clone(), (*seq, *n));
    Step::one(Draft::of(if joined {
        Fact::ConversationAdded { conversation, visible, source }
    } else {
        Fact::ConversationRemoved { conversation, visible, source }
    }))
}

/// The rows that [`fold`] changes.
pub(crate) fn touches(event: &Event) -> Vec<RowKey> {
    match &event.envelope.fact {
        Fact::ConversationAdded { conversation, .. }
        | Fact::ConversationRemoved { conversation, .. }
        | Fact::MuteChanged { conversation, .. }
        | Fact::UnreadMarked { conversation, .. } => vec![RowKey::Inbox(*conversation)],
        _ => Vec::new(),
    }
}

/// Brings state and rows forward.
pub(crate) fn fold(state: &mut User, rows: &mut Rows, event: &Event) {
    let seq = event.seq();
    match &event.envelope.fact {
        Fact::UserCreated { name } => {
            state.name.clone_from(name);
            state.created = event.envelope.time;
            state.display_name = profile_of(event);
        }
        Fact::ProfileUpdated => state.display_name = profile_of(event),
        Fact::DeviceAdded { device } => {
            let label = match event.content() {
                Some(Content::Label(label)) => label.clone(),
                _ => String::new(),
            };
            state.devices.push(Device { id: *device, label, added: event.envelope.time });
        }
        Fact::DeviceRevoked { device } => state.devices.retain(|d| d.id != *device),
        Fact::DisabledChanged { disabled } => state.disabled = *disabled,
        Fact::ConversationAdded { conversation, visible, source } => list(rows, *conversation, seq, |entry| {
            entry.joined = true;
            entry.visible = visible.clone();
            entry.source = *source;
        }),
        Fact::ConversationRemoved { conversation, visible, source } => list(rows, *conversation, seq, |entry| {
            entry.joined = false;
            entry.visible = visible.clone();
            entry.source = *source;
        }),
        Fact::MuteChanged { conversation, muted } => list(rows, *conversation, seq, |entry| entry.muted = *muted),
        Fact::UnreadMarked { conversation, marked } => list(rows, *conversation, seq, |entry| entry.marked_unread = *marked),
        _ => {}
    }
}

fn profile_of(event: &Event) -> String {
    match event.content() {
        Some(Content::Profile(name)) => name.clone(),
        _ => String::new(),
    }
}

fn list(rows: &mut Rows, conversation: ConversationId, seq: Seq, change: impl FnOnce(&mut InboxEntry)) {
    let mut entry = rows.inbox(conversation).cloned().unwrap_or(InboxEntry {
        visible: Intervals::default(),
        joined: false,
        source: (0, 0),
        muted: false,
        marked_unread: false,
        mark: 0,
    });
    if entry.mark < seq {
        entry.mark = seq;
        change(&mut entry);
        rows.put(RowKey::Inbox(conversation), Some(RowValue::Inbox(entry)));
    }
}
