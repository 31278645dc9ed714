//! Reads back, as every member and as those who are none, by every path, while nothing is changed.

use std::pin::pin;
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::Workload;
use super::device::{Device, take_in};
use super::world::World;
use crate::adapter::{Adapter, Failure};
use crate::history::{Extent, Name, Path, Recorder, What};
use crate::probe::{Begun, Probe, Pushes};
use crate::random::Random;

/// Users who read at once.
const READERS_MAX: usize = 4;
/// Who loses the connection begins anew, so often.
const TRIES_MAX: usize = 4;
/// Paths through a whole conversation.
const PATHS: [Path; 3] = [Path::Events, Path::Forward, Path::Backward];

impl<A: Adapter> Workload<A> {
    /// Reads everything, or a sample of pairs of a user and a conversation, into the recorder. Call
    /// it while nothing else runs, and the server serves.
    ///
    /// # Errors
    /// What the server answers, or that it does not, time and again: then not all was read back.
    pub async fn read_back(&mut self, extent: Extent) -> Result<(), Failure> {
        self.recorder.note(What::ReadBackBegins { extent });
        let readers = readers(&mut self.random, &self.devices, &self.world, extent);
        let (adapter, recorder, world) = (&self.adapter, &self.recorder, &self.world);
        let reading = stream::iter(readers).map(|(device, rooms)| async move {
            for _ in 1..TRIES_MAX {
                match read_as(adapter, recorder, world, device, &rooms).await {
                    Err(Failure::Unknown { .. }) => {}
                    read => return read,
                }
            }
            read_as(adapter, recorder, world, device, &rooms).await
        });
        let read = reading.buffer_unordered(READERS_MAX).try_collect::<Vec<()>>().await;
        self.recorder.note(What::ReadBackEnds);
        read.map(|_| ())
    }
}

/// Which devices read which conversations. In full, each device goes on from its cursor as well,
/// and the first of each user reads everything.
fn readers<'d>(random: &mut Random, devices: &'d [Device], world: &World, extent: Extent) -> Vec<(&'d Device, Vec<Name>)> {
    let rooms: Vec<Name> = world.rooms().iter().map(|room| room.id.clone()).collect();
    let users = world.users.len();
    let chosen = match extent {
        Extent::Full => (0..users).map(|user| (user, rooms.clone())).collect(),
        Extent::Sample(pairs) => sample(random, users, &rooms, pairs),
    };
    let first = |user| devices.iter().find(move |device| device.user == user);
    let mut readers: Vec<_> = chosen.into_iter().filter_map(|(user, rooms)| Some((first(user)?, rooms))).collect();
    if extent == Extent::Full {
        let others = devices.iter().filter(|device| first(device.user).is_some_and(|first| first.number() != device.number()));
        readers.extend(others.map(|device| (device, Vec::new())));
    }
    readers
}

fn sample(random: &mut Random, users: usize, rooms: &[Name], pairs: usize) -> Vec<(usize, Vec<Name>)> {
    let mut chosen: Vec<(usize, Vec<Name>)> = Vec::new();
    for _ in 0..pairs {
        let (user, Some(room)) = (random.below(users), random.of(rooms)) else { break };
        match chosen.iter_mut().find(|(of, _)| *of == user) {
            Some((_, rooms)) if !rooms.contains(room) => rooms.push(room.clone()),
            Some(_) => {}
            None => chosen.push((user, vec![room.clone()])),
        }
    }
    chosen
}

async fn read_as<A: Adapter>(
    adapter: &Arc<A>,
    recorder: &Recorder,
    world: &Arc<World>,
    device: &Device,
    rooms: &[Name],
) -> Result<(), Failure> {
    // Goes on from where the device was, as it will when it runs again.
    let Begun { probe, pushes, page } = Probe::connect(&**adapter, recorder, &device.account, device.cursor.as_ref()).await?;
    listening(pushes, take_in(&probe, page, &device.got)).await?;
    drop(probe);
    if rooms.is_empty() {
        return Ok(());
    }
    let Begun { probe, pushes, page } = Probe::connect(&**adapter, recorder, &device.account, None).await?;
    let reading = async {
        take_in(&probe, page, &device.got).await?;
        probe.conversations().await?;
        probe.watch(&world.users).await?;
        for room in rooms {
            match read_all(&probe, room).await {
                Err(failure) if !failure.is_absence() => return Err(failure),
                _ => {}
            }
        }
        Ok(())
    };
    listening(pushes, reading).await
}

/// Does something, and takes what is pushed meanwhile.
async fn listening<T>(mut pushes: Pushes, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let mut open = true;
    loop {
        tokio::select! {
            done = &mut work => return done,
            push = pushes.next(), if open => open = push.is_some(),
        }
    }
}

async fn read_all<S: crate::adapter::Session>(probe: &Probe<S>, room: &Name) -> Result<(), Failure> {
    probe.conversation(room).await?;
    for path in PATHS {
        probe.walk(room, path).await?;
    }
    if let Err(failure) = probe.positions(room).await
        && !matches!(failure, Failure::Refused { .. })
    {
        return Err(failure);
    }
    Ok(())
}
