//! One device: connects, keeps up, acts, loses its connection, comes back where it was.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Size;
use super::choose::{Look, Step};
use super::world::{Keys, World};
use crate::adapter::{Account, Adapter, Again, Done, Failure, Page, Push, Session};
use crate::history::{Act, Head, Name, Recorder, Seq};
use crate::probe::{Begun, Probe, Pushes};
use crate::random::Random;

/// Acked messages that are sent again on purpose: a device's last ones.
const OLD_MAX: usize = 32;
/// Waits between attempts to connect: doubled from the first to the last.
const BACKOFF_MS: (u64, u64) = (20, 500);
/// A change that is refused for now is sent again so often; then the connection is given up.
const TRIES_MAX: usize = 20;
/// What is refused for now is sent again after this at the latest.
const AGAIN_MS_MAX: u64 = 500;
/// What is under way when a device leaves in peace is waited for so long.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// What all devices share.
pub(super) struct Context<A> {
    pub(super) adapter: Arc<A>,
    pub(super) recorder: Recorder,
    pub(super) world: Arc<World>,
    pub(super) size: Size,
    pub(super) stop: CancellationToken,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) user: usize,
    pub(super) account: Account,
    pub(super) slow: bool,
    pub(super) keys: Keys,
    pub(super) random: Random,
    pub(super) cursor: Option<Name>,
    /// Up to where each conversation was got without a gap.
    pub(super) got: BTreeMap<Name, Seq>,
    pub(super) old: VecDeque<Act>,
}

/// What became of something under way.
enum Outcome {
    /// A change, by its number.
    Acted(u64, Result<Done, Failure>),
    /// Logs were pulled; all that a cursor covers, if there is one.
    Kept(Vec<Head>, Option<Name>),
    /// Something else went well.
    Well,
    /// The session is of no use any more.
    Lost,
}

/// A session of a device.
struct Live<'d, S> {
    device: &'d mut Device,
    world: &'d World,
    size: Size,
    probe: Arc<Probe<S>>,
    busy: FuturesUnordered<BoxFuture<'static, Outcome>>,
    /// Changes under way, by number.
    flying: BTreeMap<u64, Act>,
    next: u64,
    /// Logs that are known to go further than what was got.
    dirty: BTreeMap<Name, Seq>,
}

impl Device {
    pub(super) fn new(user: usize, account: Account, slow: bool, keys: Keys, random: Random) -> Self {
        Self { user, account, slow, keys, random, cursor: None, got: BTreeMap::new(), old: VecDeque::new() }
    }

    /// Its place among all.
    pub(super) fn number(&self) -> usize {
        self.keys.device()
    }

    /// Lives until it is told to stop; the server may come and go.
    pub(super) async fn run<A: Adapter>(mut self, context: Context<A>) -> Self {
        let mut wait_ms = BACKOFF_MS.0;
        while !context.stop.is_cancelled() {
            let cursor = self.cursor_to_show();
            let connecting = Probe::connect(&*context.adapter, &context.recorder, &self.account, cursor.as_ref());
            let begun = tokio::select! {
                begun = connecting => begun,
                () = context.stop.cancelled() => break,
            };
            match begun {
                Ok(begun) => {
                    wait_ms = BACKOFF_MS.0;
                    Live::begin(&mut self, &context, begun).await;
                }
                Err(_) => wait_ms = BACKOFF_MS.1.min(wait_ms * 2),
            }
            tokio::select! {
                () = sleep(Duration::from_millis(wait_ms)) => {}
                () = context.stop.cancelled() => {}
            }
        }
        self
    }

    /// Mostly its own; seldom none, as after its data were lost, or a damaged one.
    fn cursor_to_show(&mut self) -> Option<Name> {
        let cursor = self.cursor.clone()?;
        match self.random.below(16) {
            0 => None,
            1 => Some(cursor.chars().take(cursor.chars().count() / 2).collect::<String>().into()),
            _ => Some(cursor),
        }
    }

    fn reached(&mut self, conversation: &Name, seq: Seq) {
        let got = self.got.entry(conversation.clone()).or_default();
        *got = seq.max(*got);
    }

    fn remember(&mut self, act: Act) {
        if self.old.len() == OLD_MAX {
            self.old.pop_front();
        }
        self.old.push_back(act);
    }
}

impl<'d, S: Session> Live<'d, S> {
    async fn begin<A: Adapter<Session = S>>(device: &'d mut Device, context: &'d Context<A>, begun: Begun<S>) {
        let probe = Arc::new(begun.probe);
        let (world, size) = (&*context.world, context.size);
        let mut live =
            Self { device, world, size, probe, busy: FuturesUnordered::new(), flying: BTreeMap::new(), next: 0, dirty: BTreeMap::new() };
        live.busy.push(catch_up(live.probe.clone(), begun.page, live.device.got.clone()).boxed());
        let (probe, users) = (live.probe.clone(), world.users.clone());
        live.busy.push(async move { probe.watch(&users).await.map_or(Outcome::Lost, |()| Outcome::Well) }.boxed());
        live.go(begun.pushes, &context.stop).await;
        // What nobody waits for any more may have taken effect.
        for act in std::mem::take(&mut live.flying).into_values() {
            live.world.not_settled(live.device.user, act);
        }
    }

    /// Until the connection ends, the device leaves, or is told to stop: then it waits for answers.
    async fn go(&mut self, mut pushes: Pushes, stop: &CancellationToken) {
        loop {
            let pause = Duration::from_millis(self.device.random.below(usize::try_from(self.size.pause_ms).unwrap_or(1) * 2 + 1) as u64);
            let goes_on = tokio::select! {
                push = pushes.next() => match push {
                    Some(push) => self.push(push),
                    None => false,
                },
                Some(outcome) = self.busy.next(), if !self.busy.is_empty() => self.take(outcome),
                () = sleep(pause), if self.flying.len() < self.size.in_flight => self.step(),
                () = stop.cancelled() => break,
            };
            if !goes_on {
                return;
            }
        }
        let last_answers = async {
            while let Some(outcome) = self.busy.next().await {
                if !self.take(outcome) {
                    break;
                }
            }
        };
        // Whatever takes longer is sent again.
        let _ = timeout(LAST_ANSWERS, last_answers).await;
    }

    fn take(&mut self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Well => true,
            Outcome::Lost => false,
            Outcome::Kept(pulled, cursor) => {
                for log in pulled {
                    self.device.reached(&log.conversation, log.head);
                    self.dirty.remove(&log.conversation);
                }
                if let Some(cursor) = cursor.filter(|_| self.dirty.is_empty()) {
                    self.probe.keep(&cursor);
                    self.device.cursor = Some(cursor);
                }
                true
            }
            Outcome::Acted(number, result) => self.acted(number, result),
        }
    }

    fn acted(&mut self, number: u64, result: Result<Done, Failure>) -> bool {
        let Some(act) = self.flying.remove(&number) else { return true };
        match result {
            Ok(done) => {
                if !done.duplicate {
                    self.world.acked(&self.device.account.user, &act, done.seq);
                }
                if let Some(id) = done.conversation {
                    self.world.began(&self.device.account.user, &act, id);
                }
                if matches!(act, Act::Send { .. }) {
                    self.device.remember(act);
                }
                true
            }
            Err(Failure::Unknown { .. } | Failure::Broken { .. }) => {
                self.world.not_settled(self.device.user, act);
                true
            }
            Err(Failure::Refused { again: Again::Never, .. }) => true,
            Err(Failure::Refused { .. }) => {
                self.world.not_settled(self.device.user, act);
                false
            }
        }
    }

    fn push(&mut self, push: Push) -> bool {
        match push {
            Push::Event { conversation, event } => {
                let got = self.device.got.get(&conversation).copied().unwrap_or(0);
                if event.seq == got + 1 {
                    self.device.reached(&conversation, event.seq);
                } else if event.seq > got {
                    self.pull(vec![Head { conversation, head: event.seq }], None);
                }
            }
            Push::Added(conversation) => self.pull(vec![Head { conversation, head: Seq::MAX }], None),
            Push::Heartbeat { behind, cursor } => self.pull(behind, cursor),
            Push::Behind(logs) => self.pull(logs, None),
            Push::Reconnect(_) => return false,
            Push::Removed(_) | Push::Position(_) | Push::Presence(_) | Push::Broken(_) => {}
        }
        true
    }

    /// Pulls logs, and whatever else is missing, so that a cursor can be kept.
    fn pull(&mut self, behind: Vec<Head>, cursor: Option<Name>) {
        for log in behind {
            let got = self.device.got.get(&log.conversation).copied().unwrap_or(0);
            if log.head > got {
                // How far it goes is found out; until then it is further than what was got.
                self.dirty.insert(log.conversation, got + 1);
            }
        }
        let missing: Vec<Head> = self.dirty.keys().map(|conversation| self.got(conversation)).collect();
        self.busy.push(keep(self.probe.clone(), missing, cursor).boxed());
    }

    fn got(&self, conversation: &Name) -> Head {
        Head { conversation: conversation.clone(), head: self.device.got.get(conversation).copied().unwrap_or(0) }
    }

    fn step(&mut self) -> bool {
        let probe = self.probe.clone();
        match self.device.choose(self.world) {
            Step::Act(act) => {
                let number = self.next;
                self.next += 1;
                self.flying.insert(number, act.clone());
                self.busy.push(async move { Outcome::Acted(number, until_settled(&probe, &act).await) }.boxed());
            }
            Step::Look(what) => self.busy.push(look(probe, what).boxed()),
            Step::Stall => {
                let stall_ms = self.size.stall_ms;
                self.busy.push(async move { probe.stall(stall_ms).await }.map(|()| Outcome::Well).boxed());
            }
            Step::Leave => return false,
            Step::Rest => {}
        }
        true
    }
}

/// Sends a change again while it is refused for now.
async fn until_settled<S: Session>(probe: &Probe<S>, act: &Act) -> Result<Done, Failure> {
    for _ in 1..TRIES_MAX {
        match probe.act(act).await {
            Err(Failure::Refused { again: Again::After(ms), .. }) => sleep(Duration::from_millis(ms.clamp(1, AGAIN_MS_MAX))).await,
            settled => return settled,
        }
    }
    probe.act(act).await
}

/// Pulls logs from where they were got to.
async fn pull_all<S: Session>(probe: &Probe<S>, from: Vec<Head>) -> Result<Vec<Head>, Failure> {
    let mut reached = Vec::new();
    for log in from {
        match probe.pull(&log.conversation, log.head).await {
            Ok(head) => reached.push(Head { conversation: log.conversation, head }),
            // Who is a member no longer has nothing to pull.
            Err(failure) if failure.is_absence() => reached.push(log),
            Err(failure) => return Err(failure),
        }
    }
    Ok(reached)
}

async fn keep<S: Session>(probe: Arc<Probe<S>>, missing: Vec<Head>, cursor: Option<Name>) -> Outcome {
    pull_all(&probe, missing).await.map_or(Outcome::Lost, |reached| Outcome::Kept(reached, cursor))
}

/// Takes in what a session begins with: all pages, and the events of what they list.
pub(super) async fn take_in<S: Session>(
    probe: &Probe<S>,
    mut page: Page,
    got: &BTreeMap<Name, Seq>,
) -> Result<(Vec<Head>, Option<Name>), Failure> {
    let mut missing = Vec::new();
    loop {
        for listed in &page.conversations {
            let from = got.get(&listed.conversation).copied().unwrap_or(0);
            if listed.head > from {
                missing.push(Head { conversation: listed.conversation.clone(), head: from });
            }
        }
        match page.next {
            Some(next) => page = probe.sync(&next).await?,
            None => break,
        }
    }
    probe.listed_all();
    Ok((pull_all(probe, missing).await?, page.cursor))
}

async fn catch_up<S: Session>(probe: Arc<Probe<S>>, page: Page, got: BTreeMap<Name, Seq>) -> Outcome {
    take_in(&probe, page, &got).await.map_or(Outcome::Lost, |(reached, cursor)| Outcome::Kept(reached, cursor))
}

async fn look<S: Session>(probe: Arc<Probe<S>>, what: Look) -> Outcome {
    let looked = match what {
        Look::Page(conversation, turn) => probe.messages(&conversation, turn, None).await.map(|_| ()),
        Look::Thread(conversation, root) => probe.messages(&conversation, crate::history::Turn::After(0), Some(root)).await.map(|_| ()),
        Look::Events(conversation, after) => probe.events(&conversation, after).await.map(|_| ()),
        Look::Entry(conversation) => probe.conversation(&conversation).await.map(|_| ()),
        Look::List => probe.conversations().await.map(|_| ()),
        Look::Positions(conversation) => probe.positions(&conversation).await,
    };
    match looked {
        Ok(()) | Err(Failure::Refused { .. }) => Outcome::Well,
        Err(Failure::Unknown { .. } | Failure::Broken { .. }) => Outcome::Lost,
    }
}
