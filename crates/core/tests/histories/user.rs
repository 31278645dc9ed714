//! The log of a user over random histories: effects of conversations that come twice, late and
//! out of order among them.

use std::collections::BTreeMap;

use chirrup_core::aggregate::{Action, AggregateId, Origin};
use chirrup_core::hash::Hash;
use chirrup_core::ids::{ConversationId, DeviceId, Seq, UserId};
use chirrup_core::limits::DEVICES_MAX;
use chirrup_core::refusal::Refusal;
use chirrup_core::rows::{Record, RowKey, RowValue};
use chirrup_core::user::Action as Asked;
use chirrup_core::visibility::Intervals;
use proptest::prelude::*;

use crate::cases;
use crate::generator::{origin, user};
use crate::heart::Heart;

const ME: UserId = UserId([1; 16]);

fn conversation(n: u8) -> ConversationId {
    ConversationId([n; 16])
}

fn device(n: u8) -> DeviceId {
    DeviceId([n; 16])
}

fn membership(of: u8, seq: Seq, joined: bool) -> (Origin, Asked) {
    let mut visible = Intervals::default();
    visible.open(seq, seq);
    if !joined {
        visible.close(seq, seq);
    }
    let source = AggregateId::Conversation(conversation(of));
    (Origin::Effect { source, seq, n: 0 }, Asked::SetMembership { conversation: conversation(of), joined, visible })
}

fn own(asked: Asked) -> (Origin, Asked) {
    (Origin::Client { user: ME, client_id: chirrup_core::ids::ClientId([0; 16]), digest: chirrup_core::aggregate::Digest([0; 16]) }, asked)
}

fn asked() -> impl Strategy<Value = (Origin, Asked)> {
    prop_oneof![
        // Whether event `seq` of a conversation adds or removes is always the same.
        8 => (0..2_u8, 1..20_u64).prop_map(|(of, seq)| membership(of, seq, seq % 2 == 1)),
        2 => (0..2_u8, any::<bool>()).prop_map(|(of, muted)| own(Asked::SetMuted { conversation: conversation(of), muted })),
        2 => (0..2_u8, any::<bool>()).prop_map(|(of, marked)| own(Asked::SetMarkedUnread { conversation: conversation(of), marked })),
        // A device's tokens are never those of another.
        3 => (0..4_u8, 0..3_u8).prop_map(|(n, token)| {
            own(Asked::AddDevice { device: device(n), label: "l".to_owned(), token: Hash([n * 16 + token; 32]) })
        }),
        2 => (0..4_u8).prop_map(|n| own(Asked::RevokeDevice { device: device(n) })),
        1 => prop::option::of(0..4_u8).prop_map(|keep| {
            own(Asked::ChangePassword { user: ME, credential: "phc".to_owned(), keep: keep.map(device) })
        }),
        1 => any::<bool>().prop_map(|disabled| own(Asked::SetDisabled { disabled })),
        1 => "[a-c]".prop_map(|display_name| own(Asked::SetProfile { display_name })),
    ]
}

fn account() -> Heart {
    let mut heart = Heart::new(AggregateId::User(ME));
    let create = Asked::Create { name: "me".to_owned(), display_name: "Me".to_owned() };
    heart.ask(Origin::Effect { source: AggregateId::Name("me".to_owned()), seq: 1, n: 0 }, Action::User(create)).expect("it is new");
    heart
}

proptest! {
    #![proptest_config(cases(4_000))]

    /// A late "added" does not undo a "removed": what counts is the conversation's order.
    #[test]
    fn memberships_end_as_the_conversation_has_them(mut told in prop::collection::vec((0..2_u8, 1..20_u64), 1..30)) {
        let mut heart = account();
        let mut last = BTreeMap::new();
        for (of, seq) in told.drain(..) {
            let (origin, asked) = membership(of, seq, seq % 2 == 1);
            heart.ask(origin, Action::User(asked)).expect("an effect is taken or ignored");
            let newest = last.entry(of).or_insert(seq);
            *newest = seq.max(*newest);
            let Some(RowValue::Inbox(entry)) = heart.rows.get(&RowKey::Inbox(conversation(of))) else { panic!("no entry") };
            prop_assert_eq!((entry.joined, entry.source), (*newest % 2 == 1, (*newest, 0)));
            prop_assert_eq!(entry.visible.last(u64::MAX), if entry.joined { u64::MAX } else { *newest });
        }
    }

    #[test]
    fn tokens_are_those_of_the_devices(asks in prop::collection::vec(asked(), 0..40)) {
        let mut heart = account();
        for (origin, asked) in asks {
            drop(heart.ask(origin, Action::User(asked)).map(<[_]>::len));
            let devices = &heart.state.user().expect("it exists").devices;
            for (key, value) in &heart.rows {
                match (key, value) {
                    (RowKey::DeviceToken(device), RowValue::DeviceToken(token)) => {
                        prop_assert!(devices.iter().any(|d| d.id == *device), "a token of a device that is gone");
                        prop_assert!(heart.rows.contains_key(&RowKey::Token(*token)));
                    }
                    (RowKey::Token(hash), RowValue::Token(user, device)) => {
                        prop_assert_eq!(*user, ME);
                        let of_device = heart.rows.get(&RowKey::DeviceToken(*device));
                        prop_assert_eq!(of_device, Some(&RowValue::DeviceToken(*hash)), "a token that is not the device's");
                    }
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn folding_again_repairs_a_user(
        asks in prop::collection::vec(asked(), 0..40),
        mark in any::<prop::sample::Index>(),
        choices in prop::collection::vec(any::<usize>(), 40),
    ) {
        let mut heart = account();
        for (origin, asked) in asks {
            drop(heart.ask(origin, Action::User(asked)).map(<[_]>::len));
        }
        let mark = mark.index(heart.states.len());
        let mut choices = choices.iter().cycle();
        let torn = heart.torn(mark as Seq, |of| choices.next().expect("endless") % of);
        let (state, rows) = heart.fold_again(heart.states[mark].clone(), torn);
        prop_assert_eq!(&state, &heart.state);
        prop_assert_eq!(rows, heart.projections());
        let bare = heart.log.iter().map(|e| (RowKey::Event(e.seq()), RowValue::Event(Box::new(Record::new(e.clone())))));
        let (state, rows) = heart.fold_again(heart.states[0].clone(), bare.collect());
        prop_assert_eq!(&state, &heart.state);
        prop_assert_eq!(rows, heart.projections());
    }
}

#[test]
fn a_user_has_a_limited_number_of_devices() {
    let mut heart = account();
    for n in 0..=DEVICES_MAX as u8 {
        let (_, asked) = own(Asked::AddDevice { device: device(n), label: "l".to_owned(), token: Hash([n; 32]) });
        let answer = heart.ask(origin(ME, u64::from(n), 0), Action::User(asked)).map(<[_]>::len);
        let expected = if usize::from(n) < DEVICES_MAX { Ok(1) } else { Err(Refusal::TooManyDevices(DEVICES_MAX as u32)) };
        assert_eq!(answer, expected);
    }
}

#[test]
fn nothing_is_taken_before_the_account_exists() {
    let mut heart = Heart::new(AggregateId::User(ME));
    let (origin, asked) = membership(1, 1, true);
    assert_eq!(heart.ask(origin, Action::User(asked)), Err(Refusal::NotFound));
    // Nor what a conversation says of another conversation.
    let mut heart = account();
    let (_, asked) = membership(1, 1, true);
    let stranger = Origin::Effect { source: AggregateId::Conversation(conversation(2)), seq: 9, n: 0 };
    assert_eq!(heart.ask(stranger, Action::User(asked)).map(<[_]>::len), Ok(0));
    assert_ne!(user(0), ME);
}
