//! Random histories of a conversation: what users ask, sensible or not.
//!
//! Messages are named by picks, as the generator does not know what the history will hold:
//! [`resolve`] turns a pick into a seq. A small pick is one of the latest events, a large one any
//! event, now and then one that is not there.

use std::fmt;

use chirrup_core::aggregate::{Digest, Origin};
use chirrup_core::conversation::Action;
use chirrup_core::event::{Form, History, Leaver, Role, Text};
use chirrup_core::ids::{ClientId, Seq, UserId};
use proptest::prelude::*;

/// So many users there are.
pub(crate) const USERS: u8 = 6;
const RECENT: u64 = 16;

/// What somebody asks.
#[derive(Clone)]
pub(crate) struct Ask {
    /// Who.
    pub(crate) user: UserId,
    /// What, with picks in place of seqs.
    pub(crate) action: Action,
}

/// On one line, so that a failing history can be read.
impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user {} asks {:?}", self.user.0[0], self.action)
    }
}

/// The `n`th user.
pub(crate) fn user(n: u8) -> UserId {
    UserId([n; 16])
}

/// All users.
pub(crate) fn users() -> impl Iterator<Item = UserId> + Clone {
    (0..USERS).map(user)
}

/// A client's command, different in body if `body` is.
pub(crate) fn origin(user: UserId, n: u64, body: u8) -> Origin {
    let mut client_id = [0; 16];
    client_id[8..].copy_from_slice(&n.to_be_bytes());
    Origin::Client { user, client_id: ClientId(client_id), digest: Digest([body; 16]) }
}

fn resolved(pick: Seq, head: Seq) -> Seq {
    if pick < RECENT { head.saturating_sub(pick) } else { pick % (head + 2) }
}

/// The action with seqs in place of picks, in a log with this head.
pub(crate) fn resolve(mut action: Action, head: Seq) -> Action {
    match &mut action {
        Action::Send { reply_to, thread_root, .. } => {
            for pick in reply_to.iter_mut().chain(thread_root) {
                *pick = resolved(*pick, head);
            }
        }
        Action::Edit { target, .. } | Action::Delete { target } | Action::React { target, .. } => *target = resolved(*target, head),
        _ => {}
    }
    action
}

/// Few do most, so that more of what is asked can be done.
fn any_user() -> impl Strategy<Value = UserId> {
    prop_oneof![6 => 0..1_u8, 5 => 0..3_u8, 2 => 0..USERS].prop_map(user)
}

fn pick() -> impl Strategy<Value = Seq> {
    prop_oneof![5 => 0..4_u64, 3 => 0..RECENT, 3 => RECENT..u64::from(u16::MAX)]
}

fn few_users() -> impl Strategy<Value = Vec<UserId>> {
    prop::collection::vec(prop_oneof![3 => 0..3_u8, 1 => 0..USERS].prop_map(user), 0..4)
}

fn text() -> impl Strategy<Value = Text> {
    let mentions = prop_oneof![2 => Just(Vec::new()), 1 => few_users()];
    (0..3_usize, mentions, prop::bool::weighted(0.15)).prop_map(|(text, mut mentions, mention_all)| {
        mentions.sort();
        mentions.dedup();
        Text { text: ["a", "bb", "ccc"][text].to_owned(), mentions, mention_all }
    })
}

fn send() -> impl Strategy<Value = Action> {
    let form = prop_oneof![4 => Just(Form::Text), 1 => Just(Form::Action)];
    let original = prop_oneof![4 => Just(None), 1 => (1..9_u64).prop_map(Some)];
    (form, text(), prop::option::weighted(0.25, pick()), prop::option::weighted(0.35, pick()), any::<bool>(), original).prop_map(
        |(form, text, reply_to, thread_root, also_in_conversation, original_time)| Action::Send {
            form,
            text,
            reply_to,
            thread_root,
            also_in_conversation,
            original_time,
        },
    )
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![1 => Just(Role::Member), 2 => Just(Role::Owner)]
}

fn group() -> impl Strategy<Value = Action> {
    let history = prop_oneof![Just(History::Full), Just(History::FromJoin)];
    let leaver = prop_oneof![Just(Leaver::Keeps), Just(Leaver::Loses)];
    ("[t-v]", history, leaver, few_users()).prop_map(|(title, history, leaver, members)| Action::CreateGroup {
        title,
        history,
        leaver,
        members,
    })
}

/// The beginning of a conversation by user 0.
pub(crate) fn creation() -> impl Strategy<Value = Action> {
    prop_oneof![8 => group(), 1 => any_user().prop_map(|with| Action::CreateDirect { with })]
}

fn action() -> impl Strategy<Value = Action> {
    let emoji = prop_oneof![Just("👍"), Just("🎉"), Just("x")].prop_map(str::to_owned);
    prop_oneof![
        24 => send(),
        9 => (pick(), text()).prop_map(|(target, text)| Action::Edit { target, text }),
        6 => pick().prop_map(|target| Action::Delete { target }),
        12 => (pick(), emoji, prop::bool::weighted(0.6)).prop_map(|(target, emoji, add)| Action::React { target, emoji, add }),
        8 => few_users().prop_map(|users| Action::Add { users }),
        4 => any_user().prop_map(|user| Action::Remove { user }),
        2 => Just(Action::Leave),
        6 => (any_user(), role()).prop_map(|(user, role)| Action::SetRole { user, role }),
        2 => "[t-v]".prop_map(|title| Action::SetTitle { title }),
        1 => creation(),
    ]
}

/// Something that somebody asks.
pub(crate) fn ask() -> impl Strategy<Value = Ask> {
    (any_user(), action()).prop_map(|(user, action)| Ask { user, action })
}

/// A conversation's beginning and what is asked of it then.
pub(crate) fn history(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Ask>> {
    (creation(), prop::collection::vec(ask(), length)).prop_map(|(creation, mut asks)| {
        asks.insert(0, Ask { user: user(0), action: creation });
        asks
    })
}
