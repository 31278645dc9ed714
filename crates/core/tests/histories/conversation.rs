//! Conversations over random histories.

use std::collections::BTreeMap;

use chirrup_core::access::{View, view};
use chirrup_core::aggregate::{Action, AggregateId, State};
use chirrup_core::conversation::{Action as Asked, BUCKET};
use chirrup_core::effects::effects;
use chirrup_core::event::{Content, Envelope, Event, Fact, Form, Text};
use chirrup_core::ids::{ConversationId, Ordinal, Seq, UserId};
use chirrup_core::rows::{Member, Record, RowKey, RowValue};
use chirrup_core::unread::{BLOCK, DeletedBlock, Unread, blocks, unread};
use chirrup_core::user;
use chirrup_core::visibility::Intervals;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{TestCaseError, TestRunner};

use crate::cases;
use crate::generator::{Ask, ask, history, origin, resolve, user, users};
use crate::heart::{Heart, Stored};
use crate::model::{Model, Visible, What, contains};

const CONVERSATION: ConversationId = ConversationId([0xc0; 16]);

/// The core and the model after the same history.
struct Both {
    heart: Heart,
    model: Model,
    asked: u64,
}

impl Both {
    fn new() -> Self {
        Self { heart: Heart::new(AggregateId::Conversation(CONVERSATION)), model: Model::default(), asked: 0 }
    }

    fn after(asks: &[Ask]) -> Result<Self, TestCaseError> {
        let mut both = Self::new();
        asks.iter().try_for_each(|ask| both.ask(ask))?;
        Ok(both)
    }

    /// Asks both; the core must decide what the model says.
    fn ask(&mut self, Ask { user, action }: &Ask) -> Result<(), TestCaseError> {
        self.asked += 1;
        let action = resolve(action.clone(), self.heart.head());
        let expected = self.model.decide(*user, &action);
        let decided = self.heart.ask(origin(*user, self.asked, 0), Action::Conversation(action.clone()));
        match (&expected, decided) {
            (Ok(what), Ok(events)) => {
                let made: Vec<What> = events.iter().map(What::of).collect();
                prop_assert_eq!(&made, what, "{:?} asked {:?} at head {}", user, action, self.model.head());
                self.model.log.extend(made.into_iter().map(|what| (*user, what)));
            }
            (Err(reasons), Err(refusal)) if reasons.contains(&refusal) => {}
            (expected, decided) => {
                let log = &self.model.log;
                prop_assert!(false, "{user:?} asked {action:?}\nmodel: {expected:?}\ncore: {decided:?}\nlog: {log:#?}");
            }
        }
        Ok(())
    }
}

/// The same thing said so often that what follows crosses the ends of the first bucket of seqs
/// and of the first block of ordinals.
fn small_talk(both: &mut Both, times: usize) -> Result<(), TestCaseError> {
    let talk = Ask { user: user(0), action: talk() };
    (0..times).try_for_each(|_| both.ask(&talk))
}

fn talk() -> Asked {
    Asked::Send {
        form: Form::Text,
        text: Text { text: "…".to_owned(), mentions: Vec::new(), mention_all: false },
        reply_to: None,
        thread_root: None,
        also_in_conversation: false,
        original_time: None,
    }
}

fn intervals(visible: &Intervals) -> Visible {
    visible.iter().map(|i| (i.from, i.until.map(|end| end.seq))).collect()
}

/// Intervals say what the model says, and so do the ordinals at their ends.
fn check_visible(model: &Model, user: UserId, found: &Intervals) -> Result<(), TestCaseError> {
    prop_assert_eq!(intervals(found), model.visible(user), "what {:?} sees", user);
    let timeline = model.timeline();
    let up_to = |seq: Seq| timeline.iter().filter(|at| **at <= seq).count() as Ordinal;
    for interval in found.iter() {
        prop_assert_eq!(interval.ordinals_before, up_to(interval.from - 1));
        if let Some(end) = interval.until {
            prop_assert_eq!(end.ordinals, up_to(end.seq));
        }
    }
    Ok(())
}

fn check_state(model: &Model, state: &State) -> Result<(), TestCaseError> {
    let conversation = state.conversation().expect("it exists");
    let timeline = model.timeline();
    prop_assert_eq!(state.head, model.head());
    prop_assert_eq!(conversation.members as usize, model.members());
    prop_assert_eq!(conversation.owners as usize, model.owners());
    prop_assert_eq!(conversation.title.as_str(), model.title().unwrap_or_default());
    prop_assert_eq!(conversation.ordinals, timeline.len() as u64);
    prop_assert_eq!(conversation.last_message, timeline.last().copied());
    Ok(())
}

fn check_members(model: &Model, rows: &Stored) -> Result<(), TestCaseError> {
    let found: BTreeMap<UserId, &Member> = rows
        .iter()
        .filter_map(|(key, value)| match (key, value) {
            (RowKey::Member(user), RowValue::Member(member)) => Some((*user, member)),
            _ => None,
        })
        .collect();
    prop_assert!(found.keys().eq(&model.ever()), "{:?}", found.keys());
    for (user, member) in found {
        prop_assert_eq!(member.role, model.role(user));
        check_visible(model, user, &member.visible)?;
    }
    Ok(())
}

fn check_messages(model: &Model, heart: &Heart) -> Result<(), TestCaseError> {
    for seq in 1..=model.head() {
        let record = heart.record(seq);
        let Some(expected) = model.message(seq) else {
            prop_assert!(record.fold.is_none(), "a fold at {}, which is no message", seq);
            continue;
        };
        let fold = record.fold.clone().unwrap_or_default();
        prop_assert_eq!(record.text(), expected.text.as_ref(), "text of {}", seq);
        prop_assert_eq!(record.deleted(), expected.deleted);
        prop_assert_eq!(&fold.edits, &expected.edits);
        let reactions: Vec<_> = fold.reactions.iter().map(|r| (r.emoji.clone(), r.users.clone())).collect();
        prop_assert_eq!(&reactions, &expected.reactions, "reactions of {}", seq);
        prop_assert!(fold.reactions.iter().all(|r| r.count == r.users.len() as u64));
        prop_assert_eq!((fold.replies, fold.replies_ever), (expected.replies, expected.replies_ever), "replies of {}", seq);
        prop_assert_eq!(fold.last_reply, expected.last_reply);
        prop_assert_eq!(fold.mark, expected.changed, "what changed {} last", seq);
    }
    Ok(())
}

/// Ordinals and places in threads are dense, in the order of seq.
fn check_ordinals(model: &Model, heart: &Heart) -> Result<(), TestCaseError> {
    let timeline = model.timeline();
    for event in &heart.log {
        let Fact::MessageCreated { ordinal, thread, .. } = &event.envelope.fact else { continue };
        let expected = timeline.iter().position(|seq| *seq == event.seq()).map(|at| at as u64 + 1);
        prop_assert_eq!(*ordinal, expected);
        if let Some(place) = thread {
            let expected = model.thread(place.root).iter().position(|seq| *seq == event.seq());
            prop_assert_eq!(Some(place.ordinal as usize), expected.map(|at| at + 1));
        }
    }
    Ok(())
}

/// The rows by which others find something: exactly those that the model gives, and no more.
fn check_indexes(model: &Model, rows: &Stored) -> Result<(), TestCaseError> {
    let timeline = model.timeline();
    let ordinal = |seq: Seq| timeline.iter().position(|at| *at == seq).map_or(0, |at| at as u64 + 1);
    let mut expected = Stored::new();
    for user in users() {
        expected.extend(model.calls(user).into_iter().map(|seq| (RowKey::Mention(user, seq), RowValue::Mention(ordinal(seq)))));
    }
    expected.extend(model.calls_all().into_iter().map(|seq| (RowKey::MentionAll(seq), RowValue::Mention(ordinal(seq)))));
    for root in 1..=model.head() {
        expected.extend(model.thread(root).into_iter().map(|seq| (RowKey::Reply(root, seq), RowValue::Present)));
    }
    for seq in timeline.iter().rev() {
        expected.insert(RowKey::Bucket(seq / BUCKET), RowValue::Bucket(ordinal(*seq)));
    }
    for seq in timeline.iter().filter(|seq| model.deleted(**seq)) {
        let block = (ordinal(*seq) - 1) / BLOCK;
        let value = expected.entry(RowKey::Deleted(block)).or_insert_with(|| RowValue::Deleted(DeletedBlock::default()));
        if let RowValue::Deleted(block) = value {
            block.insert(ordinal(*seq));
        }
    }
    let is_index = |key: &&RowKey| {
        matches!(key, RowKey::Mention(..) | RowKey::MentionAll(_) | RowKey::Reply(..) | RowKey::Bucket(_) | RowKey::Deleted(_))
    };
    let found: Stored = rows.iter().filter(|(key, _)| is_index(key)).map(|(key, value)| (key.clone(), value.clone())).collect();
    prop_assert_eq!(found, expected);
    Ok(())
}

fn check_views(model: &Model, heart: &Heart) -> Result<(), TestCaseError> {
    for user in model.ever() {
        let Some(RowValue::Member(member)) = heart.rows.get(&RowKey::Member(user)) else { continue };
        let visible = model.visible(user);
        for event in &heart.log {
            let sees = view(&member.visible, event.seq(), &event.envelope.fact) == View::Whole;
            prop_assert_eq!(sees, model.sees(&visible, event.seq()), "{:?} and event {}", user, event.seq());
        }
        let last = (1..=model.head()).rev().find(|seq| contains(&visible, *seq)).unwrap_or(0);
        prop_assert_eq!(member.visible.last(model.head()), last);
    }
    Ok(())
}

/// What a user has unread, by the rows alone.
fn counted(heart: &Heart, model: &Model, user: UserId, read: Seq) -> Unread {
    let Some(RowValue::Member(member)) = heart.rows.get(&RowKey::Member(user)) else { return Unread::Exactly(0) };
    let head = heart.state.conversation().expect("it exists").ordinals;
    let read = model.timeline().iter().filter(|seq| **seq <= read).count() as Ordinal;
    let (first, last) = blocks(&member.visible, read, head).unwrap_or((1, 0));
    let deleted: Vec<(u64, DeletedBlock)> = (first..=last)
        .filter_map(|block| match heart.rows.get(&RowKey::Deleted(block)) {
            Some(RowValue::Deleted(bits)) => Some((block, bits.clone())),
            _ => None,
        })
        .collect();
    unread(&member.visible, read, head, &deleted)
}

fn check_chain(heart: &Heart) -> Result<(), TestCaseError> {
    let mut prev = Envelope::genesis(&heart.aggregate);
    let mut time = 0;
    for (seq, made) in (1..).zip(&heart.log) {
        let kept = &heart.record(seq).event;
        prop_assert_eq!(&kept.envelope, &made.envelope, "an envelope never changes");
        prop_assert_eq!((kept.envelope.seq, kept.envelope.prev), (seq, prev));
        prop_assert!(kept.envelope.time >= time);
        time = kept.envelope.time;
        prev = kept.envelope.hash();
        if let Some(sealed) = &kept.sealed {
            prop_assert_eq!(Some(sealed.hash()), kept.envelope.content_hash);
            prop_assert_eq!(Some(sealed), made.sealed.as_ref());
        }
    }
    prop_assert_eq!(heart.state.hash, prev);
    Ok(())
}

/// A content is there unless the message that it belongs to was deleted.
fn check_redaction(model: &Model, heart: &Heart) -> Result<(), TestCaseError> {
    for event in &heart.log {
        let of = match &event.envelope.fact {
            Fact::MessageCreated { .. } => Some(event.seq()),
            Fact::MessageEdited { target, .. } => Some(*target),
            _ => None,
        };
        let removed = of.is_some_and(|seq| model.deleted(seq));
        let kept = heart.record(event.seq());
        prop_assert_eq!(kept.event.sealed.is_some(), event.sealed.is_some() && !removed, "content of {}", event.seq());
        prop_assert!(!removed || kept.fold.as_ref().is_none_or(|fold| fold.edited.is_none()));
    }
    Ok(())
}

/// Every change of a membership, and nothing else, is told to the user whom it concerns.
fn check_effects(model: &Model, heart: &Heart) -> Result<(), TestCaseError> {
    let told = |event: &Event| -> Vec<(UserId, bool)> {
        let effects = effects(&heart.aggregate, event);
        effects
            .into_iter()
            .map(|effect| match effect {
                (AggregateId::User(user), Action::User(user::Action::SetMembership { conversation, joined, visible })) => {
                    assert_eq!(conversation, CONVERSATION);
                    let seen = Model { log: model.log[..event.seq() as usize].to_vec() }.visible(user);
                    assert_eq!(intervals(&visible), seen);
                    (user, joined)
                }
                other => panic!("no effect of a conversation: {other:?}"),
            })
            .collect()
    };
    for event in &heart.log {
        let expected = match What::of(event) {
            What::Created { members, .. } => members.into_iter().map(|user| (user, true)).collect(),
            What::Joined { user } => vec![(user, true)],
            What::Left { user } => vec![(user, false)],
            _ => Vec::new(),
        };
        prop_assert_eq!(told(event), expected);
    }
    Ok(())
}

fn check_everything(model: &Model, heart: &Heart) -> Result<(), TestCaseError> {
    check_state(model, &heart.state)?;
    check_members(model, &heart.rows)?;
    check_messages(model, heart)?;
    check_ordinals(model, heart)?;
    check_indexes(model, &heart.rows)?;
    check_views(model, heart)?;
    check_chain(heart)?;
    check_redaction(model, heart)?;
    check_effects(model, heart)
}

/// Folding again from the state as of `mark`, over rows of which each is as some event from then
/// on has left it, gives what never crashed.
fn check_fold_again(heart: &Heart, mark: Seq, choices: &[u8]) -> Result<(), TestCaseError> {
    let mut choices = choices.iter().cycle();
    let torn = heart.torn(mark, |of| usize::from(*choices.next().expect("endless")) % of);
    let (state, rows) = heart.fold_again(heart.states[mark as usize].clone(), torn);
    prop_assert_eq!(&state, &heart.state);
    for (key, value) in heart.projections() {
        prop_assert_eq!(rows.get(&key), Some(&value), "{:?} folded again from {}", key, mark);
    }
    let extra: Vec<_> = rows.keys().filter(|key| !heart.rows.contains_key(key)).collect();
    prop_assert!(extra.is_empty(), "folded again from {mark}, too much: {extra:?}");
    Ok(())
}

proptest! {
    #![proptest_config(cases(4_000))]

    #[test]
    fn decisions_rows_and_views_are_those_of_the_model(asks in history(0..70)) {
        let both = Both::after(&asks)?;
        check_everything(&both.model, &both.heart)?;
    }

    /// P-4: also when an old message is deleted after later ones were read, over several visible
    /// intervals, with thread replies of both kinds.
    #[test]
    fn unread_is_its_definition(asks in history(10..80), reads in prop::collection::vec(any::<prop::sample::Index>(), 24)) {
        let Both { heart, model, .. } = Both::after(&asks)?;
        for (user, read) in users().cycle().zip(reads) {
            let read = (read.index(asks.len() + 1) as Seq).min(model.head()).max(model.last_said(user));
            let expected = if model.ever().contains(&user) { model.unread(user, read) } else { 0 };
            prop_assert_eq!(counted(&heart, &model, user, read), Unread::Exactly(expected), "{:?} who has read up to {}", user, read);
        }
    }

    #[test]
    fn folding_again_repairs_what_a_crash_leaves(
        asks in history(0..70),
        tears in prop::collection::vec((any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 1..40)), 4),
    ) {
        let Both { heart, .. } = Both::after(&asks)?;
        for (mark, choices) in tears {
            check_fold_again(&heart, mark.index(heart.states.len()) as Seq, &choices)?;
        }
    }

    #[test]
    fn replay_equals_snapshot(asks in history(0..70), marks in prop::collection::vec(any::<prop::sample::Index>(), 4)) {
        let Both { heart, .. } = Both::after(&asks)?;
        // From nothing but the events as they are kept, removed contents and all.
        let events = heart.log.iter().map(|event| {
            let kept = heart.record(event.seq()).event.clone();
            (RowKey::Event(kept.seq()), RowValue::Event(Box::new(Record::new(kept))))
        });
        let (state, rows) = heart.fold_again(heart.states[0].clone(), events.collect());
        prop_assert_eq!(&state, &heart.state);
        prop_assert_eq!(rows, heart.projections());
        // From the newest rows, wherever the state has stopped: nothing is counted twice.
        for mark in marks {
            let mark = mark.index(heart.states.len());
            let (state, rows) = heart.fold_again(heart.states[mark].clone(), heart.projections());
            prop_assert_eq!(&state, &heart.state);
            prop_assert_eq!(rows, heart.projections(), "from {}", mark);
        }
    }
}

proptest! {
    #![proptest_config(cases(40))]

    /// Over the ends of a bucket of seqs and of a block of ordinals.
    #[test]
    fn long_histories_are_as_short_ones(
        begin in history(0..30),
        times in 960..1_000_usize,
        end in prop::collection::vec(ask(), 20..40),
        reads in prop::collection::vec(900..1_030_u64, 6),
        mark in 900..1_000_usize,
        choices in prop::collection::vec(any::<u8>(), 40),
    ) {
        let mut both = Both::after(&begin)?;
        small_talk(&mut both, times)?;
        end.iter().try_for_each(|ask| both.ask(ask))?;
        let Both { heart, model, .. } = both;
        check_everything(&model, &heart)?;
        check_fold_again(&heart, mark.min(heart.states.len() - 1) as Seq, &choices)?;
        for (user, read) in users().zip(reads) {
            let read = read.min(model.head()).max(model.last_said(user));
            let expected = if model.ever().contains(&user) { model.unread(user, read) } else { 0 };
            prop_assert_eq!(counted(&heart, &model, user, read), Unread::Exactly(expected));
        }
    }
}

/// The histories hold what the properties are about, or the properties would say little.
#[test]
fn histories_meet_what_matters() {
    let mut met = BTreeMap::new();
    let mut runner = TestRunner::deterministic();
    for _ in 0..300 {
        let asks = history(10..80).new_tree(&mut runner).expect("a history can be made").current();
        let Both { heart, model, .. } = Both::after(&asks).expect("as the model says");
        let deleted: Vec<Seq> = (1..=model.head()).filter(|seq| model.deleted(*seq)).collect();
        let intervals = |user: &UserId| model.visible(*user).len();
        let messages: Vec<_> = (1..=model.head()).filter_map(|seq| model.message(seq)).collect();
        for (what, is_there) in [
            ("an edited message deleted", messages.iter().any(|m| m.deleted && !m.edits.is_empty())),
            ("a message with replies deleted", messages.iter().any(|m| m.deleted && m.replies > 0)),
            ("a reply deleted", deleted.iter().any(|seq| (1..*seq).any(|root| model.thread(root).contains(seq)))),
            ("a reply in its thread only", heart.log.iter().any(|e| matches!(What::of(e), What::Said { timeline: false, .. }))),
            (
                "a reply that also stands in the timeline",
                heart.log.iter().any(|e| matches!(What::of(e), What::Said { timeline: true, root: Some(_), .. })),
            ),
            ("two visible intervals", model.ever().iter().any(|user| intervals(user) > 1)),
            ("a former member who keeps", model.ever().iter().any(|user| model.role(*user).is_none() && intervals(user) > 0)),
            ("a former member who loses", model.ever().iter().any(|user| model.role(*user).is_none() && intervals(user) == 0)),
            (
                "a change of a message that a member cannot see",
                model.ever().iter().any(|user| {
                    let visible = model.visible(*user);
                    (1..=model.head()).any(|seq| contains(&visible, seq) && !model.sees(&visible, seq))
                }),
            ),
            ("an old message deleted", deleted.iter().any(|seq| model.timeline().iter().filter(|later| *later > seq).count() > 3)),
            (
                "an edit that calls fewer",
                heart.log.iter().any(|e| matches!(&e.envelope.fact, Fact::MessageEdited { uncalled, .. } if !uncalled.users.is_empty())),
            ),
            ("several emoji", messages.iter().any(|m| m.reactions.len() > 1)),
            ("a direct conversation", matches!(asks[0].action, Asked::CreateDirect { .. })),
            ("two owners", model.owners() > 1),
        ] {
            *met.entry(what).or_insert(0) += usize::from(is_there);
        }
    }
    assert!(met.values().all(|times| *times >= 6), "{met:#?}");
}

/// What a deletion removes is the text, and who was called by it cannot be read from the events
/// any more.
#[test]
fn a_deleted_message_leaves_no_content() {
    let mut both = Both::new();
    let create = Ask { user: user(0), action: Asked::CreateDirect { with: user(1) } };
    let say = Ask { user: user(0), action: talk() };
    let delete = Ask { user: user(0), action: Asked::Delete { target: 0 } };
    for ask in [create, say, delete] {
        both.ask(&ask).expect("as the model says");
    }
    assert_eq!(both.heart.head(), 3);
    assert!(matches!(both.heart.log[1].content(), Some(Content::Message(_))));
    assert_eq!(both.heart.record(2).event.content(), None);
    assert!(both.heart.record(2).event.envelope.content_hash.is_some());
}
