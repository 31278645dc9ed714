//! Makes load: users with devices that chat, leave, come back, lose connections, and send again
//! what they do not know the outcome of. Everything is written down by a [`Recorder`].
//!
//! What it keeps grows with users and conversations, not with the length of a run.

mod choose;
mod device;
mod read_back;
mod world;

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::adapter::{Account, Adapter, Failure};
use crate::history::{Act, Leaver, Name, Past, Recorder};
use crate::probe::Probe;
use crate::random::Random;
use device::{Context, Device};
use world::{Keys, Room, World};

/// How much is going on.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Users; at least 3.
    pub users: usize,
    /// How many of them have a second device; the first of these is slow at times.
    pub second_devices: usize,
    /// Groups at the beginning, beside one direct conversation; more come to be. Every fourth is of each kind of past and leaver.
    pub groups: usize,
    /// Changes that a device has under way at once.
    pub in_flight: usize,
    /// Between two changes of a device, on average.
    pub pause_ms: u64,
    /// How long the slow device reads nothing.
    pub stall_ms: u64,
}

impl Size {
    /// For a test of some seconds.
    pub const SMALL: Self = Self { users: 6, second_devices: 3, groups: 4, in_flight: 4, pause_ms: 4, stall_ms: 300 };
    /// For a run of minutes.
    pub const MEDIUM: Self = Self { users: 16, second_devices: 6, groups: 12, in_flight: 8, pause_ms: 4, stall_ms: 1000 };
}

/// While a workload runs, there come to be so many times the groups that it begins with.
const ROOMS_GROW: usize = 4;

/// Users and conversations on a server, and what they do.
#[derive(Debug)]
pub struct Workload<A> {
    adapter: Arc<A>,
    recorder: Recorder,
    world: Arc<World>,
    devices: Vec<Device>,
    size: Size,
    random: Random,
}

impl<A: Adapter> Workload<A> {
    /// Makes users and conversations. Names and ids come from the seed: on one server each seed
    /// can be used once.
    ///
    /// # Errors
    /// What the server answers, or that it does not: nothing is repeated here.
    pub async fn prepare(adapter: A, recorder: Recorder, seed: u64, size: Size) -> Result<Self, Failure> {
        let mut random = Random::new(seed);
        let mut keys = Keys::new(seed, 0);
        let mut accounts = Vec::new();
        for user in 0..size.users {
            let name = format!("u{user}x{seed:x}");
            accounts.push((user, adapter.sign_up(&keys.next(), &name).await?));
            if user < size.second_devices {
                accounts.push((user, adapter.log_in(&keys.next(), &name).await?));
            }
        }
        let mut of_user: Vec<Option<Account>> = vec![None; size.users];
        for (user, account) in &accounts {
            of_user[*user].get_or_insert_with(|| account.clone());
        }
        let first: Vec<Account> = of_user.into_iter().flatten().collect();
        let rooms = rooms(&adapter, &recorder, &first, &mut keys, size.groups).await?;
        let users = first.iter().map(|account| account.user.clone()).collect();
        let world = Arc::new(World::new(users, rooms, size.groups * ROOMS_GROW + 1));
        let devices = accounts.into_iter().enumerate();
        let devices = devices.map(|(n, (user, account))| {
            // The second of the first user's.
            let slow = n == 1 && size.second_devices > 0;
            Device::new(user, account, slow, Keys::new(seed, n + 1), Random::new(random.next()))
        });
        let devices = devices.collect();
        Ok(Self { adapter: Arc::new(adapter), recorder, world, devices, size, random })
    }

    /// Chats until told to stop. The server may go away and come back meanwhile: devices connect
    /// again by themselves. Can be called again; devices go on from where they were. Whoever drops
    /// it before its end loses the devices that were under way.
    pub async fn run(&mut self, stop: CancellationToken) {
        let mut tasks = JoinSet::new();
        for device in self.devices.drain(..) {
            let context = Context {
                adapter: self.adapter.clone(),
                recorder: self.recorder.clone(),
                world: self.world.clone(),
                size: self.size,
                stop: stop.clone(),
            };
            tasks.spawn(device.run(context));
        }
        self.devices = tasks.join_all().await;
        self.devices.sort_by_key(Device::number);
    }
}

/// One direct conversation and some groups, each owned by the first user.
async fn rooms<A: Adapter>(
    adapter: &A,
    recorder: &Recorder,
    accounts: &[Account],
    keys: &mut Keys,
    groups: usize,
) -> Result<Vec<Room>, Failure> {
    let owner = &accounts[0];
    let begun = Probe::connect(adapter, recorder, owner, None).await?;
    let users: Vec<Name> = accounts.iter().map(|account| account.user.clone()).collect();
    let mut rooms = Vec::new();
    let direct = Act::CreateDirect { key: keys.next().into(), with: users[1].clone() };
    let made = begun.probe.act(&direct).await?;
    rooms.extend(made.conversation.map(|id| Room::new(id, true, owner.user.clone(), users[..2].to_vec())));
    for group in 0..groups {
        // Half of the users, others with each group; the rest joins and leaves.
        let members: Vec<Name> =
            users.iter().skip(1).enumerate().filter(|(n, _)| (n + group) % 2 == 0).map(|(_, user)| user.clone()).collect();
        let past = if group % 2 == 0 { Past::Full } else { Past::FromJoin };
        let leaver = if group / 2 % 2 == 0 { Leaver::Keeps } else { Leaver::Loses };
        let title = format!("group {group}").into();
        let act = Act::CreateGroup { key: keys.next().into(), title, members: members.clone(), past, leaver };
        let made = begun.probe.act(&act).await?;
        let all = std::iter::once(owner.user.clone()).chain(members).collect();
        rooms.extend(made.conversation.map(|id| Room::new(id, false, owner.user.clone(), all)));
    }
    Ok(rooms)
}
