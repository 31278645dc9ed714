//! The people and conversations that all loads share, made once through the protocol: signing up
//! costs what a password's hash costs, on purpose.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::clock;
use crate::load::{self, TEXT_BYTES};
use crate::server::Server;
use crate::wire::{ClientIds, Wire};

/// Users that connect and send.
pub(crate) const TALKERS: usize = 200;
/// Users that never connect.
const SILENT: usize = 200;
/// Conversations of two that each talker has, with silent users: 10,000 in all.
const PAIRS_EACH: usize = 50;
/// Those of them that sends go to, where sending is measured.
pub(crate) const BUSY_PAIRS_EACH: usize = 5;
/// Members of every group.
pub(crate) const GROUP_MEMBERS: usize = 10;
/// Groups for throughput: each talker is in one.
const BUSY_GROUPS: usize = TALKERS / GROUP_MEMBERS;
/// Groups for latency: each talker is in about five.
const CALM_GROUPS: usize = 100;
/// Sign-ups under way at once.
const SIGN_UPS_AT_ONCE: usize = 4;
/// Requests of one connection that wait while the store is filled.
const FILL_IN_FLIGHT: usize = 16;

/// Where a world is kept for a later run, beside its stores.
const KEPT: &str = "world.json";

/// A user.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Person {
    /// Their id.
    pub(crate) user: String,
    /// Their device's token.
    pub(crate) token: String,
}

/// A group and the talkers in it.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Group {
    /// Its id.
    pub(crate) conversation: String,
    /// Places in [`World::talkers`].
    pub(crate) members: Vec<usize>,
}

/// Everybody, and where they talk.
#[derive(Deserialize, Serialize)]
pub(crate) struct World {
    /// Where the server's program is.
    pub(crate) program: PathBuf,
    /// Where data is put.
    dir: PathBuf,
    /// Users that connect.
    pub(crate) talkers: Vec<Person>,
    /// Of each talker: conversations with a silent user.
    pub(crate) pairs: Vec<Vec<String>>,
    /// Each talker in one.
    pub(crate) busy_groups: Vec<Group>,
    /// Each talker in several.
    pub(crate) calm_groups: Vec<Group>,
}

impl World {
    /// What an earlier run kept under `dir`; none if there is nothing.
    pub(crate) fn kept(program: &Path, dir: &Path) -> Result<Option<Self>> {
        match fs::read(dir.join(KEPT)) {
            Ok(bytes) => Ok(Some(Self { program: program.to_owned(), dir: dir.to_owned(), ..serde_json::from_slice(&bytes)? })),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps it for a later run.
    pub(crate) fn keep(&self) -> Result<()> {
        Ok(fs::write(self.dir.join(KEPT), serde_json::to_vec(self)?)?)
    }

    /// Makes everybody, in a store of their own under `dir`.
    pub(crate) async fn make(program: &Path, dir: &Path) -> Result<Self> {
        match fs::remove_dir_all(dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => fs::create_dir_all(dir)?,
        }
        let server = Server::start(program, &dir.join("base"))?;
        let mut people = sign_up(server.address, TALKERS + SILENT).await?;
        let silent = people.split_off(TALKERS);
        let mut world = Self {
            program: program.to_owned(),
            dir: dir.to_owned(),
            talkers: people,
            pairs: Vec::new(),
            busy_groups: Vec::new(),
            calm_groups: Vec::new(),
        };
        let mut tasks = JoinSet::new();
        for (place, person) in world.talkers.iter().enumerate() {
            let others = (0..PAIRS_EACH).map(|n| silent[(place + n * 37) % SILENT].user.clone()).collect();
            tasks.spawn(direct(server.address, person.token.clone(), place, others));
        }
        let mut pairs = load::join(tasks).await?;
        pairs.sort_by_key(|(place, _)| *place);
        world.pairs = pairs.into_iter().map(|(_, conversations)| conversations).collect();
        for group in 0..BUSY_GROUPS {
            let members = (0..GROUP_MEMBERS).map(|k| group * GROUP_MEMBERS + k).collect();
            world.busy_groups.push(world.group(server.address, members).await?);
        }
        for group in 0..CALM_GROUPS {
            // Strides without a common divisor with 200, so that members differ and groups mix.
            let stride = [1, 3, 7, 9, 11][group / BUSY_GROUPS];
            let first = (group % BUSY_GROUPS) * GROUP_MEMBERS;
            let members = (0..GROUP_MEMBERS).map(|k| (first + k * stride) % TALKERS).collect();
            world.calm_groups.push(world.group(server.address, members).await?);
        }
        server.stop()?;
        Ok(world)
    }

    async fn group(&self, server: SocketAddr, members: Vec<usize>) -> Result<Group> {
        let mut wire = Wire::log_in(server, None, &self.talkers[members[0]].token).await?;
        let client_id = client_ids(members[0]).make();
        let others: Vec<&str> = members[1..].iter().map(|m| self.talkers[*m].user.as_str()).collect();
        let params = serde_json::json!({ "client_id": client_id, "title": "a group", "members": others });
        let made = wire.ask("create_group", &params.to_string()).await?;
        Ok(Group { conversation: text(&made, "conversation")?, members })
    }

    /// Connects every talker.
    pub(crate) async fn connect_all(&self, server: SocketAddr) -> Result<Vec<Wire>> {
        let mut wires = Vec::with_capacity(self.talkers.len());
        for person in &self.talkers {
            wires.push(Wire::log_in(server, None, &person.token).await?);
        }
        Ok(wires)
    }

    /// A copy of the store as it was made, and where it lies. The disk is at rest then: what parts
    /// before this wrote and removed, and the copy itself, is no matter of what is measured next.
    pub(crate) fn fresh(&self, name: &str) -> Result<PathBuf> {
        let to = self.dir.join(name);
        let _ = fs::remove_dir_all(&to);
        copy(&self.dir.join("base"), &to)?;
        rustix::fs::sync();
        Ok(to)
    }

    /// Where something of this name lies, if it was made.
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Where something besides stores of the server can be put.
    pub(crate) fn scratch(&self, name: &str) -> Result<PathBuf> {
        let path = self.dir.join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// A store with so many messages, spread over all conversations of two; where it lies.
    pub(crate) async fn filled(&self, name: &str, messages: u64) -> Result<PathBuf> {
        let data = self.fresh(name)?;
        let server = Server::start(&self.program, &data)?;
        self.fill(server.address, messages).await?;
        server.stop()?;
        Ok(data)
    }

    /// Sends so many messages, spread over all conversations of two.
    pub(crate) async fn fill(&self, server: SocketAddr, messages: u64) -> Result<()> {
        let left = Arc::new(AtomicU64::new(messages));
        let mut tasks = JoinSet::new();
        for (place, wire) in self.connect_all(server).await?.into_iter().enumerate() {
            tasks.spawn(fill(wire, place, self.pairs[place].clone(), Arc::clone(&left)));
        }
        load::join(tasks).await?;
        Ok(())
    }
}

/// The client ids of a talker, from now on.
pub(crate) fn client_ids(place: usize) -> ClientIds {
    ClientIds::new(place as u64 + 1, clock::unix_ms())
}

async fn sign_up(server: SocketAddr, count: usize) -> Result<Vec<Person>> {
    let mut tasks = JoinSet::new();
    for worker in 0..SIGN_UPS_AT_ONCE {
        tasks.spawn(async move {
            let mut made = Vec::new();
            let mut wire = Wire::connect(server, None).await?;
            for place in (worker..count).step_by(SIGN_UPS_AT_ONCE) {
                let client_id = client_ids(place).make();
                let params =
                    serde_json::json!({ "client_id": client_id, "name": format!("talker-{place}"), "password": "a long enough one" });
                let person = wire.ask("sign_up", &params.to_string()).await?;
                made.push((place, Person { user: text(&person, "user")?, token: text(&person, "token")? }));
            }
            Ok(made)
        });
    }
    let mut people: Vec<(usize, Person)> = load::join(tasks).await?.into_iter().flatten().collect();
    people.sort_by_key(|(place, _)| *place);
    Ok(people.into_iter().map(|(_, person)| person).collect())
}

async fn direct(server: SocketAddr, token: String, place: usize, others: Vec<String>) -> Result<(usize, Vec<String>)> {
    let mut wire = Wire::log_in(server, None, &token).await?;
    let mut ids = client_ids(place);
    let mut conversations = Vec::new();
    for other in others {
        let params = format!(r#"{{"client_id":"{}","with":"{}"}}"#, ids.make(), other);
        conversations.push(text(&wire.ask("create_direct", &params).await?, "conversation")?);
    }
    Ok((place, conversations))
}

async fn fill(mut wire: Wire, place: usize, conversations: Vec<String>, left: Arc<AtomicU64>) -> Result<()> {
    let mut ids = client_ids(place);
    let take = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
    let body = "x".repeat(TEXT_BYTES);
    let (mut sent, mut waiting) = (0, 0);
    loop {
        while waiting < FILL_IN_FLIGHT && take() {
            sent += 1;
            waiting += 1;
            wire.feed("send", &load::send_params(&ids.make(), &conversations[sent % conversations.len()], &body)).await?;
        }
        if waiting == 0 {
            return Ok(());
        }
        wire.flush().await?;
        waiting -= load::acks(&mut wire, |_| Ok(())).await?;
    }
}

fn text(value: &Value, name: &str) -> Result<String> {
    value[name].as_str().map(str::to_owned).with_context(|| format!("no {name} in {value}"))
}

/// Bytes of disk that a directory takes.
pub(crate) fn disk_bytes(dir: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { disk_bytes(&entry.path())? } else { entry.metadata()?.blocks() * 512 };
    }
    Ok(bytes)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
