//! Secrets are in no log, and are written beside it: whatever a crash leaves, a retry makes them
//! what the log says.

use std::collections::BTreeSet;

use chirrup_core::aggregate::{Action, AggregateId, State, fold};
use chirrup_core::hash::Hash;
use chirrup_core::ids::{DeviceId, UserId};
use chirrup_core::rows::{RowKey, RowValue, Rows};
use chirrup_core::user::Action as Asked;
use chirrup_engine::batch::Answer;
use chirrup_store::kv::{Key, Table};
use chirrup_store::{keys, log, record};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use crate::generator::{origin, user, users};
use crate::store::Fate;
use crate::world::World;
use crate::{cases, judge};

const WHO: u8 = 1;

#[derive(Clone, Copy, Debug)]
enum Ask {
    LogIn(u8),
    LogOut(u8),
    ChangePassword(Option<u8>),
    Disable(bool),
}

fn ask() -> impl Strategy<Value = Ask> {
    prop_oneof![
        4 => (0..4_u8).prop_map(Ask::LogIn),
        2 => (0..4_u8).prop_map(Ask::LogOut),
        1 => prop::option::of(0..4_u8).prop_map(Ask::ChangePassword),
        1 => any::<bool>().prop_map(Ask::Disable),
    ]
}

fn device(n: u8) -> DeviceId {
    DeviceId([n; 16])
}

impl Ask {
    /// Each try is a command of its own, with a token or a hash of its own.
    fn action(self, number: u64) -> Asked {
        match self {
            Self::LogIn(n) => Asked::AddDevice { device: device(n), label: "l".to_owned(), token: Hash::of(&number.to_be_bytes()) },
            Self::LogOut(n) => Asked::RevokeDevice { device: device(n) },
            Self::ChangePassword(keep) => {
                Asked::ChangePassword { user: user(WHO), credential: format!("phc {number}"), keep: keep.map(device) }
            }
            Self::Disable(disabled) => Asked::SetDisabled { disabled },
        }
    }
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![2 => Just(Fate::Made), 1 => Just(Fate::Refused), 4 => (0..12_usize).prop_map(Fate::Torn)]
}

fn state(world: &World) -> State {
    let aggregate = AggregateId::User(user(WHO));
    let mut state = State::new(&aggregate);
    for row in log::events(&*world.kv, &aggregate, 0, 10_000).expect("memory can be read") {
        fold(&mut state, &mut Rows::blind(), &row.record.event);
    }
    state
}

/// Each device has one token and is found by it; nothing else is.
fn tokens_are_those_of_the_devices(world: &World) -> Result<(), TestCaseError> {
    let raw = judge::raw(world);
    let devices: BTreeSet<DeviceId> = state(world).user().expect("it exists").devices.iter().map(|device| device.id).collect();
    let user_row = |device: DeviceId| keys::row(&AggregateId::User(user(WHO)), &RowKey::DeviceToken(device));
    let of_device: Vec<&Key> = raw.keys().filter(|key| key.table == Table::Credential && key.sort.len() > 1).collect();
    let expected: Vec<Key> = devices.iter().map(|device| user_row(*device)).collect();
    prop_assert_eq!(of_device, expected.iter().collect::<Vec<_>>());
    let tokens = raw.keys().filter(|key| key.table == Table::Token).count();
    prop_assert_eq!(tokens, devices.len());
    for key in &expected {
        let hash = record::decode_row(&RowKey::DeviceToken(device(0)), key, &raw[key]);
        let RowValue::DeviceToken(hash) = hash.expect("it was encoded") else { panic!("not a token") };
        prop_assert!(raw.contains_key(&keys::token(&hash)), "a device that cannot come in");
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(1_500))]

    #[test]
    fn a_retry_leaves_the_tokens_of_the_devices(asks in prop::collection::vec((ask(), prop::collection::vec(fate(), 0..3)), 1..12)) {
        let mut world = World::new();
        let who: UserId = user(WHO);
        let mut number = 0;
        for (ask, fates) in asks {
            let mut settled = false;
            for fate in fates.into_iter().chain([Fate::Made]) {
                if settled {
                    break;
                }
                number += 1;
                let command = world.command(AggregateId::User(who), origin(who, number, 0), Action::User(ask.action(number)));
                let answers = world.ask(vec![vec![command]], fate);
                settled = matches!(answers[..], [Answer::Decided { .. }]);
            }
            prop_assert!(settled);
            tokens_are_those_of_the_devices(&world)?;
        }
        judge::sound(&world, &users().map(AggregateId::User).collect::<Vec<_>>())?;
    }
}
