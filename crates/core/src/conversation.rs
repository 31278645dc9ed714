//! The conversation: its messages, members and title. Here it is decided what may happen; what
//! then becomes of state and rows is in `fold`. Pure: no clock, no randomness, no I/O.

mod fold;

use minicbor::{Decode, Encode};

use crate::access;
use crate::aggregate::Step;
use crate::event::{Content, ConversationKind, Draft, Fact, Form, History, Leaver, Role, Text, ThreadPlace};
use crate::ids::{Ordinal, Seq, Time, UserId};
use crate::limits::{EDITS_MAX, MEMBERS_MAX, REACTIONS_MAX};
use crate::refusal::Refusal;
use crate::rows::{RowKey, RowValue, Rows};
use crate::visibility::Intervals;
pub(crate) use fold::{fold, touches};

/// Seqs in one bucket of a log's partition.
pub const BUCKET: u64 = 1_000;

/// What can be asked of a conversation. Texts and lists are within `limits`, checked at the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Begin the direct conversation of the asker and another; nothing if it exists.
    CreateDirect {
        /// The other.
        with: UserId,
    },
    /// Begin a group with the asker as its owner.
    CreateGroup {
        /// 1 to 128 characters.
        title: String,
        /// For members who come later.
        history: History,
        /// For members who go.
        leaver: Leaver,
        /// The first members beside the asker.
        members: Vec<UserId>,
    },
    /// Send a message.
    Send {
        /// Said or done.
        form: Form,
        /// What.
        text: Text,
        /// The message answered.
        reply_to: Option<Seq>,
        /// The message whose thread it goes to.
        thread_root: Option<Seq>,
        /// Whether a reply in a thread also stands in the timeline.
        also_in_conversation: bool,
        /// When it was first sent, elsewhere.
        original_time: Option<Time>,
    },
    /// Replace the text of one's own message.
    Edit {
        /// Which.
        target: Seq,
        /// By what.
        text: Text,
    },
    /// Delete a message for all.
    Delete {
        /// Which.
        target: Seq,
    },
    /// Put an emoji to a message, or take it back.
    React {
        /// Which message.
        target: Seq,
        /// Which emoji.
        emoji: String,
        /// Put (true) or take back.
        add: bool,
    },
    /// Make members.
    Add {
        /// Whom; who is one already stays one.
        users: Vec<UserId>,
    },
    /// End somebody's membership.
    Remove {
        /// Whose.
        user: UserId,
    },
    /// End one's own membership.
    Leave,
    /// Give a member another role.
    SetRole {
        /// Whom.
        user: UserId,
        /// Which.
        role: Role,
    },
    /// Give the group another title.
    SetTitle {
        /// 1 to 128 characters.
        title: String,
    },
}

/// The state of a conversation: a function of its events alone.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Conversation {
    /// Direct or group.
    #[n(0)]
    pub kind: ConversationKind,
    /// Of a group; empty for a direct one, and after an erasure.
    #[n(1)]
    pub title: String,
    /// For new members.
    #[n(2)]
    pub history: History,
    /// For former members.
    #[n(3)]
    pub leaver: Leaver,
    /// Messages that its timeline ever had: the highest ordinal.
    #[n(4)]
    pub ordinals: Ordinal,
    /// Present members.
    #[n(5)]
    pub members: u32,
    /// Present owners.
    #[n(6)]
    pub owners: u32,
    /// The last message of the timeline, deleted or not.
    #[n(7)]
    pub last_message: Option<Seq>,
    /// The two of a direct conversation.
    #[n(8)]
    pub pair: Vec<UserId>,
    /// When it began.
    #[n(9)]
    pub created: Time,
    /// The event that gave it its title.
    #[n(10)]
    pub titled: Seq,
}

impl Default for Conversation {
    fn default() -> Self {
        Self {
            kind: ConversationKind::Group,
            title: String::new(),
            history: History::Full,
            leaver: Leaver::Keeps,
            ordinals: 0,
            members: 0,
            owners: 0,
            last_message: None,
            pair: Vec::new(),
            created: 0,
            titled: 0,
        }
    }
}

/// The rows that [`step`] must be given.
pub(crate) fn needs(user: Option<UserId>, action: &Action) -> Vec<RowKey> {
    let mut keys: Vec<RowKey> = user.into_iter().map(RowKey::Member).collect();
    match action {
        Action::CreateDirect { .. } | Action::CreateGroup { .. } => keys.clear(),
        Action::Send { text, reply_to, thread_root, .. } => {
            keys.extend(reply_to.iter().chain(thread_root).map(|seq| RowKey::Event(*seq)));
            keys.extend(text.mentions.iter().map(|u| RowKey::Member(*u)));
        }
        Action::Edit { target, text } => {
            keys.push(RowKey::Event(*target));
            keys.extend(text.mentions.iter().map(|u| RowKey::Member(*u)));
        }
        Action::Delete { target } => keys.push(RowKey::Event(*target)),
        Action::React { target, emoji, .. } => {
            keys.push(RowKey::Event(*target));
            keys.extend(user.map(|u| RowKey::Reaction(*target, emoji.clone(), u)));
        }
        Action::Add { users } => keys.extend(users.iter().map(|u| RowKey::Member(*u))),
        Action::Remove { user } | Action::SetRole { user, .. } => keys.push(RowKey::Member(*user)),
        Action::Leave | Action::SetTitle { .. } => {}
    }
    keys
}

/// Decides.
pub(crate) fn step(state: &Conversation, head: Seq, rows: &Rows, user: Option<UserId>, action: &Action) -> Result<Step, Refusal> {
    match action {
        Action::CreateDirect { with } => {
            create(head, user, ConversationKind::Direct, std::slice::from_ref(with), History::Full, Leaver::Keeps, None)
        }
        Action::CreateGroup { title, history, leaver, members } => {
            create(head, user, ConversationKind::Group, members, *history, *leaver, Some(title.clone()))
        }
        _ if head == 0 => Err(Refusal::NotFound),
        Action::Send { .. } => send(state, rows, user, action),
        Action::Edit { target, text } => {
            let (user, member, _) = access::member(rows, user)?;
            let record = access::message(rows, member, *target)?;
            access::edit(user, &record.event)?;
            mentioned(rows, text)?;
            if record.text() == Some(text) {
                return Ok(Step::nothing());
            }
            if record.fold.as_ref().is_some_and(|f| f.edits.len() >= EDITS_MAX) {
                return Err(Refusal::TooManyEdits(EDITS_MAX as u32));
            }
            let uncalled = record.text().map(|before| before.calls_beyond(Some(text))).unwrap_or_default();
            Ok(Step::one(Draft::with(Fact::MessageEdited { target: *target, uncalled }, Content::Message(text.clone()))))
        }
        Action::Delete { target } => delete(rows, user, *target),
        Action::React { target, emoji, add } => react(rows, user, *target, emoji, *add),
        Action::Add { users } => add(state, head, rows, user, users),
        Action::Remove { user: other } => {
            let (user, _, role) = access::member(rows, user)?;
            if user != *other {
                group(state)?;
                access::govern(role)?;
            }
            remove(state, head, rows, *other)
        }
        Action::Leave => {
            let (user, _, _) = access::member(rows, user)?;
            remove(state, head, rows, user)
        }
        Action::SetRole { user: other, role } => set_role(state, rows, user, *other, *role),
        Action::SetTitle { title } => {
            let (_, _, own) = access::member(rows, user)?;
            group(state)?;
            access::govern(own)?;
            if *title == state.title {
                return Ok(Step::nothing());
            }
            Ok(Step::one(Draft::with(Fact::ConversationUpdated, Content::Title(title.clone()))))
        }
    }
}

fn group(state: &Conversation) -> Result<(), Refusal> {
    if state.kind == ConversationKind::Group { Ok(()) } else { Err(Refusal::NotAGroup) }
}

fn create(
    head: Seq,
    user: Option<UserId>,
    kind: ConversationKind,
    others: &[UserId],
    history: History,
    leaver: Leaver,
    title: Option<String>,
) -> Result<Step, Refusal> {
    let user = user.ok_or(Refusal::NotFound)?;
    if head > 0 {
        return Ok(Step::nothing());
    }
    let mut members = vec![user];
    for other in others {
        if !members.contains(other) {
            members.push(*other);
        }
    }
    let fact = Fact::ConversationCreated { kind, history, leaver, members };
    Ok(Step::one(Draft { fact, content: title.map(Content::Title) }))
}

fn mentioned(rows: &Rows, text: &Text) -> Result<(), Refusal> {
    match text.mentions.iter().find(|u| rows.member(**u).and_then(|m| m.role).is_none()) {
        Some(stranger) => Err(Refusal::NotAMember(*stranger)),
        None => Ok(()),
    }
}

fn send(state: &Conversation, rows: &Rows, user: Option<UserId>, action: &Action) -> Result<Step, Refusal> {
    let Action::Send { form, text, reply_to, thread_root, also_in_conversation, original_time } = action else {
        return Err(Refusal::NotFound);
    };
    let (_, member, _) = access::member(rows, user)?;
    mentioned(rows, text)?;
    let thread = match thread_root {
        Some(root) => {
            let record = access::message(rows, member, *root)?;
            if !matches!(record.event.envelope.fact, Fact::MessageCreated { thread: None, .. }) {
                return Err(Refusal::NotAThreadRoot);
            }
            Some(ThreadPlace { root: *root, ordinal: record.fold.as_ref().map_or(0, |f| f.replies_ever) + 1 })
        }
        None => None,
    };
    if let Some(seq) = reply_to {
        let record = access::message(rows, member, *seq)?;
        let other = match record.event.envelope.fact {
            Fact::MessageCreated { ordinal: None, thread: Some(place), .. } => Some(place.root),
            _ => None,
        };
        if other.is_some() && other != *thread_root {
            return Err(Refusal::OtherThread);
        }
    }
    let in_timeline = thread.is_none() || *also_in_conversation;
    let fact = Fact::MessageCreated {
        form: *form,
        ordinal: in_timeline.then_some(state.ordinals + 1),
        thread,
        reply_to: *reply_to,
        original_time: *original_time,
    };
    Ok(Step::one(Draft::with(fact, Content::Message(text.clone()))))
}

fn delete(rows: &Rows, user: Option<UserId>, target: Seq) -> Result<Step, Refusal> {
    let (user, member, role) = access::member(rows, user)?;
    let record = match access::message(rows, member, target) {
        Err(Refusal::MessageDeleted) => return Ok(Step::nothing()),
        other => other?,
    };
    access::delete(user, role, &record.event)?;
    let (ordinal, thread_root) = match &record.event.envelope.fact {
        Fact::MessageCreated { ordinal, thread, .. } => (*ordinal, thread.map(|t| t.root)),
        _ => (None, None),
    };
    let edits = record.fold.as_ref().map(|f| f.edits.clone()).unwrap_or_default();
    let uncalled = record.text().map(|text| text.calls_beyond(None)).unwrap_or_default();
    Ok(Step::one(Draft::of(Fact::MessageDeleted { target, edits, ordinal, thread_root, uncalled })))
}

fn react(rows: &Rows, user: Option<UserId>, target: Seq, emoji: &str, add: bool) -> Result<Step, Refusal> {
    let (user, member, _) = access::member(rows, user)?;
    let record = access::message(rows, member, target)?;
    let stands = matches!(rows.get(&RowKey::Reaction(target, emoji.to_owned(), user)), Some(RowValue::Reaction(_, true)));
    if stands == add {
        return Ok(Step::nothing());
    }
    let emoji = emoji.to_owned();
    if !add {
        return Ok(Step::one(Draft::of(Fact::ReactionRemoved { target, emoji })));
    }
    if let Some(fold) = &record.fold
        && fold.reactions.len() >= REACTIONS_MAX
        && !fold.reactions.iter().any(|r| r.emoji == emoji)
    {
        return Err(Refusal::TooManyReactions(REACTIONS_MAX as u32));
    }
    Ok(Step::one(Draft::of(Fact::ReactionAdded { target, emoji })))
}

fn add(state: &Conversation, head: Seq, rows: &Rows, user: Option<UserId>, users: &[UserId]) -> Result<Step, Refusal> {
    access::member(rows, user)?;
    group(state)?;
    let mut events: Vec<Draft> = Vec::new();
    let mut seen: Vec<UserId> = Vec::new();
    for other in users {
        let row = rows.member(*other);
        if row.is_some_and(|m| m.role.is_some()) || seen.contains(other) {
            continue;
        }
        seen.push(*other);
        let mut visible = row.map(|m| m.visible.clone()).unwrap_or_default();
        match state.history {
            History::Full => visible = Intervals::everything(),
            History::FromJoin => visible.open(head + 1 + events.len() as u64, state.ordinals),
        }
        events.push(Draft::of(Fact::MemberAdded { user: *other, role: Role::Member, visible }));
    }
    if state.members as usize + events.len() > MEMBERS_MAX as usize {
        return Err(Refusal::GroupFull(MEMBERS_MAX));
    }
    Ok(Step { events, rows: Vec::new() })
}

fn remove(state: &Conversation, head: Seq, rows: &Rows, other: UserId) -> Result<Step, Refusal> {
    group(state)?;
    let row = rows.member(other).ok_or(Refusal::NotAMember(other))?;
    let role = row.role.ok_or(Refusal::NotAMember(other))?;
    if role == Role::Owner && state.owners == 1 && state.members > 1 {
        return Err(Refusal::LastOwner);
    }
    let mut visible = row.visible.clone();
    match state.leaver {
        Leaver::Keeps => visible.close(head + 1, state.ordinals),
        Leaver::Loses => visible.clear(),
    }
    Ok(Step::one(Draft::of(Fact::MemberRemoved { user: other, role, visible })))
}

fn set_role(state: &Conversation, rows: &Rows, user: Option<UserId>, other: UserId, role: Role) -> Result<Step, Refusal> {
    let (_, _, own) = access::member(rows, user)?;
    group(state)?;
    access::govern(own)?;
    let before = rows.member(other).and_then(|m| m.role).ok_or(Refusal::NotAMember(other))?;
    if before == role {
        return Ok(Step::nothing());
    }
    if before == Role::Owner && state.owners == 1 {
        return Err(Refusal::LastOwner);
    }
    Ok(Step::one(Draft::of(Fact::RoleChanged { user: other, role, before })))
}
