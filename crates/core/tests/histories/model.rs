//! A conversation as the rules of PROTOCOL.md tell it, kept as nothing but the list of what
//! happened: every answer is found by reading that list from its beginning. Slow, and without a
//! thought in common with the core's way of folding.

use std::collections::{BTreeMap, BTreeSet};

use chirrup_core::conversation::Action;
use chirrup_core::event::{Content, ConversationKind, Event, Fact, Form, History, Leaver, Role, Text};
use chirrup_core::ids::{Seq, UserId};
use chirrup_core::limits::{EDITS_MAX, MEMBERS_MAX, REACTIONS_MAX};
use chirrup_core::refusal::Refusal;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Created { kind: ConversationKind, title: Option<String>, history: History, leaver: Leaver, members: Vec<UserId> },
    Said { form: Form, text: Text, timeline: bool, root: Option<Seq>, reply_to: Option<Seq> },
    Edited { target: Seq, text: Text },
    Deleted { target: Seq },
    Reacted { target: Seq, emoji: String, add: bool },
    Joined { user: UserId },
    Left { user: UserId },
    Became { user: UserId, role: Role },
    Titled { title: String },
}

impl What {
    /// What an event says, as it was made.
    pub(crate) fn of(event: &Event) -> Self {
        let text = || match event.content() {
            Some(Content::Message(text)) => text.clone(),
            other => panic!("a message has a text, not {other:?}"),
        };
        let title = || match event.content() {
            Some(Content::Title(title)) => Some(title.clone()),
            _ => None,
        };
        match event.envelope.fact.clone() {
            Fact::ConversationCreated { kind, history, leaver, members } => {
                Self::Created { kind, title: title(), history, leaver, members }
            }
            Fact::MessageCreated { form, ordinal, thread, reply_to, .. } => {
                Self::Said { form, text: text(), timeline: ordinal.is_some(), root: thread.map(|t| t.root), reply_to }
            }
            Fact::MessageEdited { target, .. } => Self::Edited { target, text: text() },
            Fact::MessageDeleted { target, .. } => Self::Deleted { target },
            Fact::ReactionAdded { target, emoji } => Self::Reacted { target, emoji, add: true },
            Fact::ReactionRemoved { target, emoji } => Self::Reacted { target, emoji, add: false },
            Fact::MemberAdded { user, .. } => Self::Joined { user },
            Fact::MemberRemoved { user, .. } => Self::Left { user },
            Fact::RoleChanged { user, role, .. } => Self::Became { user, role },
            Fact::ConversationUpdated => Self::Titled { title: title().unwrap_or_default() },
            other => panic!("not of a conversation: {other:?}"),
        }
    }

    fn target(&self) -> Option<Seq> {
        match self {
            Self::Edited { target, .. } | Self::Deleted { target } | Self::Reacted { target, .. } => Some(*target),
            _ => None,
        }
    }
}

/// A message as it stands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) text: Option<Text>,
    pub(crate) edits: Vec<Seq>,
    pub(crate) deleted: bool,
    pub(crate) reactions: Vec<(String, Vec<UserId>)>,
    pub(crate) replies: u64,
    pub(crate) replies_ever: u64,
    pub(crate) last_reply: Option<Seq>,
    /// The last event that changed it.
    pub(crate) changed: Seq,
}

/// What happened, in order: the place in the list is the seq less one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) log: Vec<(UserId, What)>,
}

/// Both ends within; no end while it is open.
pub(crate) type Visible = Vec<(Seq, Option<Seq>)>;

pub(crate) fn contains(visible: &Visible, seq: Seq) -> bool {
    visible.iter().any(|(from, until)| *from <= seq && until.is_none_or(|until| seq <= until))
}

impl Model {
    pub(crate) fn head(&self) -> Seq {
        self.log.len() as u64
    }

    fn entries(&self) -> impl Iterator<Item = (Seq, UserId, &What)> {
        (1..).zip(&self.log).map(|(seq, (author, what))| (seq, *author, what))
    }

    fn at(&self, seq: Seq) -> Option<(UserId, &What)> {
        self.entries().find(|(at, ..)| *at == seq).map(|(_, author, what)| (author, what))
    }

    fn rules(&self) -> (ConversationKind, History, Leaver) {
        match self.log.first() {
            Some((_, What::Created { kind, history, leaver, .. })) => (*kind, *history, *leaver),
            other => panic!("a conversation begins with its creation, not {other:?}"),
        }
    }

    fn roles(&self) -> BTreeMap<UserId, Role> {
        let mut roles = BTreeMap::new();
        for (_, author, what) in self.entries() {
            match what {
                What::Created { kind, members, .. } => {
                    roles.extend(members.iter().map(|user| (*user, Role::Member)));
                    if *kind == ConversationKind::Group {
                        roles.insert(author, Role::Owner);
                    }
                }
                What::Joined { user } => drop(roles.insert(*user, Role::Member)),
                What::Left { user } => drop(roles.remove(user)),
                What::Became { user, role } => drop(roles.insert(*user, *role)),
                _ => {}
            }
        }
        roles
    }

    pub(crate) fn role(&self, user: UserId) -> Option<Role> {
        self.roles().get(&user).copied()
    }

    pub(crate) fn members(&self) -> usize {
        self.roles().len()
    }

    pub(crate) fn owners(&self) -> usize {
        self.roles().values().filter(|role| **role == Role::Owner).count()
    }

    pub(crate) fn title(&self) -> Option<&str> {
        self.entries().fold(None, |before, (_, _, what)| match what {
            What::Created { title: Some(title), .. } | What::Titled { title } => Some(title),
            _ => before,
        })
    }

    /// Everybody who is or was a member.
    pub(crate) fn ever(&self) -> BTreeSet<UserId> {
        let mut ever = BTreeSet::new();
        for (_, _, what) in self.entries() {
            match what {
                What::Created { members, .. } => ever.extend(members),
                What::Joined { user } => drop(ever.insert(*user)),
                _ => {}
            }
        }
        ever
    }

    /// What somebody may see.
    pub(crate) fn visible(&self, user: UserId) -> Visible {
        let mut visible = Visible::new();
        for (seq, _, what) in self.entries() {
            match what {
                What::Created { members, .. } if members.contains(&user) => visible = vec![(1, None)],
                What::Joined { user: other } if *other == user => match self.rules().1 {
                    History::Full => visible = vec![(1, None)],
                    History::FromJoin => visible.push((seq, None)),
                },
                What::Left { user: other } if *other == user => match self.rules().2 {
                    Leaver::Keeps => visible.iter_mut().for_each(|(_, until)| *until = until.or(Some(seq))),
                    Leaver::Loses => visible.clear(),
                },
                _ => {}
            }
        }
        visible
    }

    /// Whether somebody who may see this sees an event whole.
    pub(crate) fn sees(&self, visible: &Visible, seq: Seq) -> bool {
        let target = self.at(seq).and_then(|(_, what)| what.target());
        contains(visible, seq) && target.is_none_or(|target| contains(visible, target))
    }

    /// Seqs of the messages in the timeline: the place is the ordinal less one.
    pub(crate) fn timeline(&self) -> Vec<Seq> {
        self.entries().filter(|(_, _, what)| matches!(what, What::Said { timeline: true, .. })).map(|(seq, ..)| seq).collect()
    }

    /// Seqs of the replies in a thread, whether they also stand in the timeline or not.
    pub(crate) fn thread(&self, of: Seq) -> Vec<Seq> {
        self.entries()
            .filter(|(_, _, what)| matches!(what, What::Said { root: Some(root), .. } if *root == of))
            .map(|(seq, ..)| seq)
            .collect()
    }

    pub(crate) fn deleted(&self, seq: Seq) -> bool {
        self.entries().any(|(_, _, what)| *what == What::Deleted { target: seq })
    }

    /// A message as it stands; none if the event is not a message.
    pub(crate) fn message(&self, seq: Seq) -> Option<Message> {
        let Some((_, What::Said { text, .. })) = self.at(seq) else { return None };
        let mut message = Message {
            text: Some(text.clone()),
            edits: Vec::new(),
            deleted: false,
            reactions: Vec::new(),
            replies: 0,
            replies_ever: 0,
            last_reply: None,
            changed: 0,
        };
        for (at, author, what) in self.entries() {
            match what {
                What::Edited { target, text } if *target == seq => {
                    message.text = Some(text.clone());
                    message.edits.push(at);
                }
                What::Deleted { target } if *target == seq => {
                    message.text = None;
                    message.deleted = true;
                    message.reactions.clear();
                }
                What::Reacted { target, emoji, add } if *target == seq => react(&mut message.reactions, author, emoji, *add),
                What::Said { root: Some(root), .. } if *root == seq => {
                    message.replies += 1;
                    message.replies_ever += 1;
                    message.last_reply = Some(at);
                }
                What::Deleted { target } if self.thread(seq).contains(target) => message.replies -= 1,
                _ => continue,
            }
            message.changed = at;
        }
        Some(message)
    }

    /// Messages that call somebody now, ascending.
    pub(crate) fn calls(&self, user: UserId) -> Vec<Seq> {
        self.texts().filter(|(_, text)| text.mentions.contains(&user)).map(|(seq, _)| seq).collect()
    }

    /// Messages that call everybody now, ascending.
    pub(crate) fn calls_all(&self) -> Vec<Seq> {
        self.texts().filter(|(_, text)| text.mention_all).map(|(seq, _)| seq).collect()
    }

    fn texts(&self) -> impl Iterator<Item = (Seq, Text)> {
        (1..=self.head()).filter_map(|seq| Some((seq, self.message(seq)?.text?)))
    }

    /// Unread by its definition: messages of the timeline beyond the read position, visible, not
    /// the reader's own, not deleted.
    pub(crate) fn unread(&self, user: UserId, read: Seq) -> u64 {
        let visible = self.visible(user);
        let counts = |seq: &Seq| {
            *seq > read && contains(&visible, *seq) && !self.deleted(*seq) && self.at(*seq).is_some_and(|(author, _)| author != user)
        };
        self.timeline().iter().filter(|seq| counts(seq)).count() as u64
    }

    /// The last event by which somebody said something: a send moves the sender's read position.
    pub(crate) fn last_said(&self, user: UserId) -> Seq {
        self.entries().filter(|(_, author, what)| *author == user && matches!(what, What::Said { .. })).last().map_or(0, |(seq, ..)| seq)
    }

    /// What must come of a command: what happens, or every reason for which it must not.
    pub(crate) fn decide(&self, user: UserId, action: &Action) -> Result<Vec<What>, Vec<Refusal>> {
        if let Some(created) = creation(user, action) {
            return Ok(if self.log.is_empty() { vec![created] } else { Vec::new() });
        }
        let role = if self.log.is_empty() { None } else { self.role(user) };
        let Some(role) = role else { return Err(vec![Refusal::NotFound]) };
        let mut reasons = Reasons { model: self, user, role, list: Vec::new() };
        let what = reasons.judge(action);
        if reasons.list.is_empty() { Ok(what) } else { Err(reasons.list) }
    }
}

fn react(reactions: &mut Vec<(String, Vec<UserId>)>, user: UserId, emoji: &str, add: bool) {
    if !reactions.iter().any(|(known, _)| known == emoji) {
        reactions.push((emoji.to_owned(), Vec::new()));
    }
    for (known, users) in reactions.iter_mut() {
        if known == emoji && add {
            users.push(user);
        } else if known == emoji {
            users.retain(|other| *other != user);
        }
    }
    reactions.retain(|(_, users)| !users.is_empty());
}

fn creation(user: UserId, action: &Action) -> Option<What> {
    let (kind, title, history, leaver, others) = match action {
        Action::CreateDirect { with } => (ConversationKind::Direct, None, History::Full, Leaver::Keeps, vec![*with]),
        Action::CreateGroup { title, history, leaver, members } => {
            (ConversationKind::Group, Some(title.clone()), *history, *leaver, members.clone())
        }
        _ => return None,
    };
    let mut members = vec![user];
    for other in others {
        if !members.contains(&other) {
            members.push(other);
        }
    }
    Some(What::Created { kind, title, history, leaver, members })
}

/// Collects every reason against a command of a present member.
struct Reasons<'a> {
    model: &'a Model,
    user: UserId,
    role: Role,
    list: Vec<Refusal>,
}

impl Reasons<'_> {
    fn refuse_if(&mut self, reason: bool, refusal: Refusal) {
        if reason {
            self.list.push(refusal);
        }
    }

    fn group(&mut self) {
        let direct = self.model.rules().0 == ConversationKind::Direct;
        self.refuse_if(direct, Refusal::NotAGroup);
    }

    fn owner(&mut self) {
        let plain = self.role != Role::Owner;
        self.refuse_if(plain, Refusal::NotOwner);
    }

    fn called(&mut self, text: &Text) {
        for user in &text.mentions {
            let stranger = self.model.role(*user).is_none();
            self.refuse_if(stranger, Refusal::NotAMember(*user));
        }
    }

    /// Whether the user sees such a message; a deleted one is a reason too unless it `may_be_gone`.
    fn message(&mut self, seq: Seq, may_be_gone: bool) -> bool {
        let visible = self.model.visible(self.user);
        let seen = self.model.message(seq).is_some() && contains(&visible, seq);
        self.refuse_if(!seen, Refusal::MessageNotFound);
        self.refuse_if(seen && !may_be_gone && self.model.deleted(seq), Refusal::MessageDeleted);
        seen
    }

    fn author(&self, seq: Seq) -> bool {
        self.model.at(seq).is_some_and(|(author, _)| author == self.user)
    }

    fn removed(&mut self, other: UserId) -> Vec<What> {
        self.group();
        match self.model.role(other) {
            None => self.list.push(Refusal::NotAMember(other)),
            Some(role) => {
                let last = role == Role::Owner && self.model.owners() == 1 && self.model.members() > 1;
                self.refuse_if(last, Refusal::LastOwner);
            }
        }
        vec![What::Left { user: other }]
    }

    fn said(&mut self, form: Form, text: &Text, reply_to: Option<Seq>, root: Option<Seq>, also: bool) -> Vec<What> {
        self.called(text);
        if let Some(root) = root
            && self.message(root, false)
        {
            let is_reply = matches!(self.model.at(root), Some((_, What::Said { root: Some(_), .. })));
            self.refuse_if(is_reply, Refusal::NotAThreadRoot);
        }
        if let Some(answered) = reply_to
            && self.message(answered, false)
        {
            let elsewhere = match self.model.at(answered) {
                Some((_, What::Said { timeline: false, root: place, .. })) => *place != root,
                _ => false,
            };
            self.refuse_if(elsewhere, Refusal::OtherThread);
        }
        vec![What::Said { form, text: text.clone(), timeline: root.is_none() || also, root, reply_to }]
    }

    /// What happens if there is no reason against it.
    fn judge(&mut self, action: &Action) -> Vec<What> {
        let model = self.model;
        match action {
            Action::CreateDirect { .. } | Action::CreateGroup { .. } => Vec::new(),
            Action::Send { form, text, reply_to, thread_root, also_in_conversation, .. } => {
                self.said(*form, text, *reply_to, *thread_root, *also_in_conversation)
            }
            Action::Edit { target, text } => {
                let foreign = self.message(*target, false) && !self.author(*target);
                self.refuse_if(foreign, Refusal::NotAuthor);
                self.called(text);
                let message = model.message(*target);
                if message.as_ref().is_some_and(|m| m.text.as_ref() == Some(text)) {
                    return Vec::new();
                }
                let often = message.is_some_and(|m| m.edits.len() >= EDITS_MAX);
                self.refuse_if(often, Refusal::TooManyEdits(EDITS_MAX as u32));
                vec![What::Edited { target: *target, text: text.clone() }]
            }
            Action::Delete { target } => {
                if self.message(*target, true) && model.deleted(*target) {
                    return Vec::new();
                }
                let foreign = !self.author(*target) && self.role != Role::Owner;
                self.refuse_if(foreign, Refusal::NotAuthor);
                vec![What::Deleted { target: *target }]
            }
            Action::React { target, emoji, add } => {
                self.message(*target, false);
                let reactions = model.message(*target).map(|m| m.reactions).unwrap_or_default();
                let stands = reactions.iter().any(|(known, users)| known == emoji && users.contains(&self.user));
                if stands == *add {
                    return Vec::new();
                }
                let many = *add && reactions.len() >= REACTIONS_MAX && !reactions.iter().any(|(known, _)| known == emoji);
                self.refuse_if(many, Refusal::TooManyReactions(REACTIONS_MAX as u32));
                vec![What::Reacted { target: *target, emoji: emoji.clone(), add: *add }]
            }
            Action::Add { users } => {
                self.group();
                let mut joined: Vec<UserId> = Vec::new();
                for user in users {
                    if model.role(*user).is_none() && !joined.contains(user) {
                        joined.push(*user);
                    }
                }
                self.refuse_if(model.members() + joined.len() > MEMBERS_MAX as usize, Refusal::GroupFull(MEMBERS_MAX));
                joined.into_iter().map(|user| What::Joined { user }).collect()
            }
            Action::Remove { user } => {
                if *user != self.user {
                    self.owner();
                }
                self.removed(*user)
            }
            Action::Leave => self.removed(self.user),
            Action::SetRole { user, role } => {
                self.group();
                self.owner();
                let Some(before) = model.role(*user) else {
                    self.list.push(Refusal::NotAMember(*user));
                    return Vec::new();
                };
                if before == *role {
                    return Vec::new();
                }
                self.refuse_if(before == Role::Owner && model.owners() == 1, Refusal::LastOwner);
                vec![What::Became { user: *user, role: *role }]
            }
            Action::SetTitle { title } => {
                self.group();
                self.owner();
                if model.title() == Some(title) {
                    return Vec::new();
                }
                vec![What::Titled { title: title.clone() }]
            }
        }
    }
}
