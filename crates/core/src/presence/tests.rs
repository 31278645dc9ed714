//! Presence against its definition over random histories, and the single rules.

use proptest::prelude::*;

use super::*;

const GRACE_MS: u64 = 5_000;

fn user(n: u8) -> UserId {
    UserId([n; 16])
}

fn seen(n: u8, status: Status, last_active: Option<Time>) -> Seen {
    Seen { user: user(n), status, last_active }
}

#[test]
fn p12_a_reload_does_not_flap() {
    let mut presence = Presence::new(GRACE_MS);
    presence.connect(1, user(1), false, 1_000);
    presence.connect(9, user(9), false, 1_000);
    assert_eq!(presence.watch(9, &[user(1)], 1_000), [seen(1, Status::Online, None)]);
    presence.disconnect(1, 2_000);
    presence.connect(2, user(1), false, 2_000 + GRACE_MS - 1);
    presence.tick(100_000);
    assert_eq!(presence.take_changes(), []);
    assert_eq!(presence.seen(user(1)), seen(1, Status::Online, None));
}

#[test]
fn p12_offline_after_the_grace_with_the_time_of_the_last_close() {
    let mut presence = Presence::new(GRACE_MS);
    presence.connect(1, user(1), false, 1_000);
    presence.connect(9, user(9), true, 1_000);
    presence.watch(9, &[user(1), user(2)], 1_000);
    presence.disconnect(1, 2_000);
    presence.tick(2_000 + GRACE_MS - 1);
    assert_eq!(presence.take_changes(), []);
    presence.tick(2_000 + GRACE_MS);
    assert_eq!(presence.take_changes(), [Change { connection: 9, seen: seen(1, Status::Offline, Some(2_000)) }]);
}

#[test]
fn a_background_connection_does_not_make_one_online() {
    let mut presence = Presence::new(GRACE_MS);
    presence.connect(1, user(1), true, 1_000);
    presence.idle(1, true, 1_000);
    presence.idle(1, false, 1_000);
    assert_eq!(presence.seen(user(1)), seen(1, Status::Offline, None));
    assert_eq!(presence.take_activity(), []);
}

#[test]
fn what_was_watched_before_is_watched_no_longer() {
    let mut presence = Presence::new(0);
    presence.connect(9, user(9), false, 1_000);
    presence.watch(9, &[user(1)], 1_000);
    presence.watch(9, &[user(2)], 1_000);
    presence.connect(1, user(1), false, 1_000);
    assert_eq!(presence.take_changes(), []);
    presence.connect(2, user(2), false, 1_000);
    assert_eq!(presence.take_changes(), [Change { connection: 9, seen: seen(2, Status::Online, None) }]);
    presence.disconnect(9, 1_000);
    presence.disconnect(2, 1_000);
    assert_eq!(presence.take_changes(), []);
    assert!(presence.watchers.is_empty());
}

#[test]
fn a_missed_change_is_told_again_once() {
    let mut presence = Presence::new(0);
    presence.connect(9, user(9), false, 1_000);
    presence.watch(9, &[user(1)], 1_000);
    assert_eq!(presence.take_missed(9), []);
    presence.connect(1, user(1), false, 2_000);
    presence.missed(9);
    assert_eq!(presence.take_missed(9), [seen(1, Status::Online, None)]);
    assert_eq!(presence.take_missed(9), []);
}

/// Of a doubt about somebody: all others.
fn part_all(presence: &mut Presence) -> Option<Doubt> {
    let doubt = presence.take_doubt()?;
    presence.part(&doubt, &doubt.others);
    Some(doubt)
}

#[test]
fn p16_strangers_are_seen_offline_once_and_then_no_more() {
    let mut presence = Presence::new(0);
    for n in 1..=3_u8 {
        presence.connect(n.into(), user(n), false, 1_000);
    }
    presence.watch(1, &[user(1), user(2), user(3), user(4)], 1_000);
    presence.watch(2, &[user(1)], 1_000);
    assert!(!presence.membership_ended(user(5)), "nobody watches them, and they watch nobody");
    assert!(presence.membership_ended(user(1)));
    let doubt = presence.take_doubt().unwrap();
    assert_eq!((doubt.user, &doubt.others[..]), (user(1), &[user(2), user(3), user(4)][..]));
    assert_eq!(presence.take_doubt(), None);
    presence.part(&doubt, &[user(2), user(4)]);
    let told = |connection, who| Change { connection, seen: seen(who, Status::Offline, None) };
    assert_eq!(presence.take_changes(), [told(1, 2), told(2, 1), told(1, 4)]);
    presence.part(&doubt, &[user(2), user(4)]);
    presence.idle(2, true, 2_000);
    presence.idle(1, true, 2_000);
    presence.connect(4, user(4), false, 2_000);
    let own = Change { connection: 1, seen: seen(1, Status::Away, Some(2_000)) };
    assert_eq!(presence.take_changes(), [own], "one sees oneself, and strangers no more");
    presence.idle(3, true, 3_000);
    assert_eq!(presence.take_changes(), [Change { connection: 1, seen: seen(3, Status::Away, Some(3_000)) }]);
    presence.missed(1);
    let all = [seen(1, Status::Away, Some(2_000)), told(1, 2).seen, seen(3, Status::Away, Some(3_000)), told(1, 4).seen];
    assert_eq!(presence.take_missed(1), all, "what was lost is told again, and no more than that");
    for n in 1..=4 {
        presence.disconnect(n, 4_000);
    }
    assert!(presence.watchers.is_empty() && presence.watching.is_empty() && presence.doubted.is_empty());
}

#[test]
fn p16_what_is_watched_anew_while_a_doubt_is_looked_at_stands() {
    let mut presence = Presence::new(0);
    presence.connect(1, user(1), false, 1_000);
    presence.watch(1, &[user(2)], 1_000);
    presence.membership_ended(user(2));
    let doubt = presence.take_doubt().unwrap();
    presence.watch(1, &[user(2)], 1_000);
    presence.part(&doubt, &[user(2)]);
    presence.connect(2, user(2), false, 2_000);
    assert_eq!(presence.take_changes(), [Change { connection: 1, seen: seen(2, Status::Online, None) }]);
    assert_eq!(presence.memberships_ended(), 1);
    assert!(presence.doubt(user(1)));
    assert_eq!(part_all(&mut presence).map(|doubt| doubt.others), Some(vec![user(2)]));
    assert_eq!(presence.take_changes(), [Change { connection: 1, seen: seen(2, Status::Offline, None) }]);
    assert!(!presence.doubt(user(2)), "the pair has ended");
}

#[test]
fn activity_is_kept_until_it_is_stored() {
    let mut presence = Presence::new(0);
    presence.connect(1, user(1), false, 1_000);
    presence.disconnect(1, 2_000);
    assert_eq!(presence.take_activity(), [(user(1), 2_000)]);
    assert_eq!(presence.seen(user(1)), seen(1, Status::Offline, Some(2_000)));
    assert_eq!(presence.take_activity(), []);
    presence.activity_stored(false);
    assert_eq!(presence.take_activity(), [(user(1), 2_000)]);
    presence.activity_stored(true);
    assert_eq!(presence.take_activity(), []);
    assert_eq!(presence.seen(user(1)), seen(1, Status::Offline, None));
}

#[test]
fn p17_a_clock_set_back_does_not_stretch_the_grace() {
    const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
    let mut presence = Presence::new(GRACE_MS);
    presence.connect(1, user(1), false, 2 * DAY_MS);
    presence.disconnect(1, 2 * DAY_MS);
    presence.tick(DAY_MS);
    presence.tick(DAY_MS + GRACE_MS);
    assert_eq!(presence.seen(user(1)).status, Status::Offline);
    assert!(presence.people.is_empty() && presence.due.is_empty());
}

#[derive(Clone, Debug)]
enum Op {
    Connect { user: u8, background: bool },
    Disconnect(usize),
    Idle(usize, bool),
    Watch(usize, Vec<u8>),
    Part(u8, u8),
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (0..4_u8, prop::bool::weighted(0.2)).prop_map(|(user, background)| Op::Connect { user, background }),
        3 => any::<usize>().prop_map(Op::Disconnect),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(at, idle)| Op::Idle(at, idle)),
        1 => (any::<usize>(), prop::collection::vec(0..5_u8, 0..4)).prop_map(|(at, users)| Op::Watch(at, users)),
        1 => (0..5_u8, 1..5_u8).prop_map(|(one, further)| Op::Part(one, (one + further) % 5)),
        4 => (0..2 * GRACE_MS).prop_map(Op::Wait),
    ]
}

/// One interval of one connection during which its idle flag did not change.
struct Stretch {
    connection: u64,
    user: u8,
    background: bool,
    idle: bool,
    until: Option<Time>,
}

/// The definition, from the whole history: (status, last active).
fn defined(history: &[Stretch], who: u8, now: Time) -> (Status, Option<Time>) {
    let own: Vec<&Stretch> = history.iter().filter(|s| s.user == who && !s.background).collect();
    let active_until = own.iter().filter(|s| !s.idle).map(|s| s.until.unwrap_or(now)).max();
    let living: Vec<_> = own.iter().filter(|s| s.until.is_none()).collect();
    if living.iter().any(|s| !s.idle) {
        return (Status::Online, None);
    }
    if !living.is_empty() {
        return (Status::Away, active_until);
    }
    match own.iter().filter_map(|s| s.until).max() {
        Some(closed) if now < closed + GRACE_MS => {
            let before = at_close(&own, closed);
            (before, active_until.filter(|_| before != Status::Online))
        }
        _ => (Status::Offline, active_until),
    }
}

/// As somebody was just before their last connection closed: the last stretch to end decides.
fn at_close(own: &[&Stretch], closed: Time) -> Status {
    let last = own.iter().rfind(|s| s.until == Some(closed) && s.closes(own)).expect("something closed then");
    if last.idle { Status::Away } else { Status::Online }
}

impl Stretch {
    /// Whether the connection ended with this stretch.
    fn closes(&self, all: &[&Stretch]) -> bool {
        all.iter().rfind(|s| s.connection == self.connection).is_some_and(|s| std::ptr::eq(*s, self))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Over random histories everybody is seen as the definition says, and every watcher that
    /// applies the changes to what it was told sees the same, but strangers offline.
    #[test]
    fn p12_presence_equals_its_definition(ops in prop::collection::vec(op(), 1..60)) {
        let mut presence = Presence::new(GRACE_MS);
        let mut history: Vec<Stretch> = Vec::new();
        let mut told: HashMap<(u64, UserId), Status> = HashMap::new();
        let mut strangers: BTreeSet<(UserId, UserId)> = BTreeSet::new();
        let mut live: Vec<u64> = Vec::new();
        let mut now: Time = 1_000_000;
        for (at, op) in ops.into_iter().enumerate() {
            // One event a millisecond, so that the history says what came last.
            now += 1;
            let pick = |n: usize| (!live.is_empty()).then(|| live[n % live.len()]);
            match op {
                Op::Connect { user: who, background } => {
                    let connection = at as u64;
                    presence.connect(connection, user(who), background, now);
                    history.push(Stretch { connection, user: who, background, idle: false, until: None });
                    live.push(connection);
                }
                Op::Disconnect(n) => {
                    let Some(connection) = pick(n) else { continue };
                    presence.disconnect(connection, now);
                    live.retain(|c| *c != connection);
                    told.retain(|(c, _), _| *c != connection);
                    let open = history.iter_mut().find(|s| s.connection == connection && s.until.is_none());
                    open.expect("it lives").until = Some(now);
                }
                Op::Idle(n, idle) => {
                    let Some(connection) = pick(n) else { continue };
                    presence.idle(connection, idle, now);
                    let open = history.iter_mut().find(|s| s.connection == connection && s.until.is_none()).expect("it lives");
                    if open.idle != idle {
                        open.until = Some(now);
                        let next = Stretch { idle, until: None, ..*open };
                        history.push(next);
                    }
                }
                Op::Watch(n, users) => {
                    let Some(connection) = pick(n) else { continue };
                    let own = presence.connections[&connection].user;
                    let users = users.into_iter().map(user).filter(|other| !strangers.contains(&(own, *other)));
                    let users: Vec<UserId> = users.collect();
                    told.retain(|(c, _), _| *c != connection);
                    for seen in presence.watch(connection, &users, now) {
                        told.insert((connection, seen.user), seen.status);
                    }
                }
                Op::Part(one, other) => {
                    presence.tick(now);
                    let (one, other) = (user(one), user(other));
                    strangers.extend([(one, other), (other, one)]);
                    presence.membership_ended(one);
                    while let Some(doubt) = presence.take_doubt() {
                        let found: Vec<_> = doubt.others.iter().copied().filter(|o| strangers.contains(&(doubt.user, *o))).collect();
                        presence.part(&doubt, &found);
                    }
                }
                Op::Wait(ms) => {
                    now += ms;
                    presence.tick(now);
                }
            }
            for change in presence.take_changes() {
                if let Some(status) = told.get_mut(&(change.connection, change.seen.user)) {
                    *status = change.seen.status;
                }
            }
            for who in 0..5 {
                let (status, last_active) = defined(&history, who, now);
                prop_assert_eq!(presence.seen(user(who)), seen(who, status, last_active));
                for ((connection, watched), status_told) in &told {
                    let watcher = presence.connections[connection].user;
                    if *watched == user(who) {
                        let stranger = strangers.contains(&(watcher, user(who)));
                        prop_assert_eq!(*status_told, if stranger { Status::Offline } else { status });
                    }
                }
            }
        }
    }
}
