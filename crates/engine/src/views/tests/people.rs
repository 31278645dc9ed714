//! Names, profiles, accounts, devices.

use chirrup_core::aggregate::{Action, AggregateId};
use chirrup_core::event::{History, Leaver, Role};
use chirrup_core::hash::{Hash, ServerKey};
use chirrup_core::ids::{ConversationId, DeviceId};
use chirrup_core::{conversation, server, user as core_user};
use chirrup_store::keys;
use chirrup_store::kv::{Kv, Row};
use chirrup_store::record;

use crate::testing::{World, conversation as nth, user};
use crate::views::ViewError;

fn ask(world: &mut World, who: u8, action: core_user::Action) {
    world.run(AggregateId::User(user(who)), user(who), Action::User(action));
}

#[test]
fn a_name_is_found_in_any_case_and_a_look_alike_is_not() {
    let mut world = World::new();
    world.sign_up(user(1), "Paypal");
    let found = world.views.find("payPAL").unwrap().unwrap();
    assert_eq!((found.user, found.name.as_str(), found.disabled), (user(1), "Paypal", false));
    for none in ["pаypаl", "paypa1", "paypall", "", "a b"] {
        assert_eq!(world.views.find(none).unwrap(), None, "{none}");
    }
    // Claimed, while the account is still being made.
    let mut half = World::new();
    half.sign_up(user(1), "half");
    let state = keys::state(&AggregateId::User(user(1)));
    let gone = Row { key: keys::event(&AggregateId::User(user(1)), 1, false), value: None, version: u64::MAX };
    half.kv.commit(&[Row { key: state, value: None, version: u64::MAX }, gone]).unwrap();
    assert_eq!(half.views.find("half").unwrap(), None);
}

#[test]
fn a_profile_is_always_the_one_of_now() {
    let mut world = World::new();
    world.sign_up(user(1), "ana");
    for n in 0..3 {
        let display_name = format!("Ana {n}");
        ask(&mut world, 1, core_user::Action::SetProfile { display_name: display_name.clone() });
        assert_eq!(world.views.user(user(1)).unwrap().unwrap().display_name, display_name);
    }
    ask(&mut world, 1, core_user::Action::SetDisabled { disabled: true });
    assert!(world.views.find("ana").unwrap().unwrap().disabled);
    let known = world.views.users(&[user(2), user(1), user(3)]).unwrap().users;
    assert_eq!(known.iter().map(|u| u.user).collect::<Vec<_>>(), [user(1)]);
}

#[test]
fn tokens_credentials_and_devices_are_read() {
    let mut world = World::new();
    world.sign_up(user(1), "ana");
    assert_eq!(world.views.credential(user(1)).unwrap().as_deref(), Some("phc"));
    assert_eq!(world.views.credential(user(2)).unwrap(), None);
    let (device, token) = (DeviceId([5; 16]), Hash::of(b"token"));
    ask(&mut world, 1, core_user::Action::AddDevice { device, label: "phone".to_owned(), token });
    assert_eq!(world.views.token(&token).unwrap(), Some((user(1), device)));
    let devices = world.views.devices(user(1)).unwrap();
    assert_eq!(devices.iter().map(|d| (d.id, d.label.as_str())).collect::<Vec<_>>(), [(device, "phone")]);
    ask(&mut world, 1, core_user::Action::RevokeDevice { device });
    assert_eq!(world.views.token(&token).unwrap(), None);
    assert!(world.views.devices(user(1)).unwrap().is_empty());
    assert_eq!(world.views.activity(user(1)).unwrap(), None);
    let row = Row { key: keys::activity(user(1)), value: Some(record::encode_time(7)), version: 1 };
    world.kv.commit(&[row]).unwrap();
    assert_eq!(world.views.activity(user(1)).unwrap(), Some(7));
}

#[test]
fn all_accounts_are_listed_once_whatever_the_pages() {
    let mut world = World::new();
    for n in 1..=23 {
        world.sign_up(user(n), &format!("user{n}"));
    }
    let code = Hash::of(b"code");
    world.run(AggregateId::Server, user(3), Action::Server(server::Action::MakeFirstCode { code }));
    world.run(AggregateId::Server, user(3), Action::Server(server::Action::RedeemFirstCode { code }));
    assert_eq!(world.views.server().unwrap().administrators, [user(3)]);
    for limit in [1, 5, 23, 500] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = world.views.accounts(after.as_deref(), limit).unwrap();
            assert!(page.users.len() <= limit as usize);
            seen.extend(page.users.iter().map(|a| (a.user.user, a.administrator)));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let all: Vec<_> = (1..=23).map(|n| (user(n), n == 3)).collect();
        assert_eq!(seen, all, "pages of {limit}");
    }
    assert!(matches!(world.views.accounts(Some("no page"), 5), Err(ViewError::BadPage)));
}

#[test]
fn p16_whoever_shares_no_conversation_any_more_is_a_stranger() {
    let key = ServerKey([1; 32]);
    let mut world = World::of(5);
    let [own, direct, first, second, stranger] = [0, 1, 2, 3, 4].map(user);
    world.act(ConversationId::direct(&key, own, direct), direct, conversation::Action::CreateDirect { with: own });
    let group = |members: &[_]| conversation::Action::CreateGroup {
        title: "a group".to_owned(),
        history: History::Full,
        leaver: Leaver::Keeps,
        members: members.to_vec(),
    };
    world.act(nth(1), own, group(&[first, second]));
    world.act(nth(2), second, group(&[own]));
    let acquainted = |world: &World, who| {
        let found = world.views.acquainted(&key, who, &[own, direct, first, second, stranger]).unwrap();
        [own, direct, first, second, stranger].map(|other| found.contains(&other))
    };
    assert_eq!(acquainted(&world, own), [true, true, true, true, false]);
    assert_eq!(acquainted(&world, direct), [true, true, false, false, false]);
    assert_eq!(acquainted(&world, stranger), [false, false, false, false, true], "oneself");
    world.act(nth(1), own, conversation::Action::Leave);
    world.act(nth(1), own, conversation::Action::Remove { user: own });
    assert_eq!(acquainted(&world, own), [true, true, true, true, false], "the last owner stays");
    world.act(nth(1), own, conversation::Action::SetRole { user: first, role: Role::Owner });
    world.act(nth(1), own, conversation::Action::Leave);
    assert_eq!(acquainted(&world, own), [true, true, false, true, false], "the second shares another");
    assert_eq!(acquainted(&world, first), [false, false, true, true, false]);
}
