//! A world that lives through a schedule: users, one server at a time over one store, and a judge
//! who hears every answer.
//!
//! Must not know: how a schedule is drawn or shortened.

use std::sync::PoisonError;

use chirrup_core::aggregate::{AggregateId, Outcome};
use chirrup_engine::batch::{Answer, Submission};
use chirrup_engine::positions::NotRaised;
use chirrup_store::record::PositionRow;

use crate::client::{self, Device, Wish, conversation, user};
use crate::control::Control;
use crate::judge::{Judge, Violation};
use crate::kv::{Fate, Seen, Weather};
use crate::met::{Met, Rare};
use crate::node::{Died, Ground, Node, Told, listen, wait};
use crate::plan::{CONVERSATIONS, Plan, Step, USERS, What};
use crate::random::Random;

/// Deaths in a row of a server that starts, in a schedule: of more than are planned, it is stuck.
const STARTS_MAX: usize = 64;
/// Rounds in which all must be settled when the faults are over.
const ROUNDS_MAX: usize = 500;
/// Reads at once.
const PAGE: usize = 1_000;

/// Who asked for a position, where, and up to where.
struct Raise {
    user: u8,
    conversation: u8,
    position: PositionRow,
}

pub(crate) struct World {
    ground: Ground,
    node: Option<Node>,
    devices: Vec<Device>,
    wishes: Vec<Wish>,
    raises: Vec<Raise>,
    answers: Told<Answer>,
    raised: Told<Result<PositionRow, NotRaised>>,
    judge: Judge,
    /// What happened, line by line, if it is to be told.
    story: Option<Vec<String>>,
}

/// How a schedule went.
pub struct Lived {
    /// What was wrong, if anything was.
    pub violation: Option<Violation>,
    /// What happened; empty unless it was asked for.
    pub story: Vec<String>,
}

/// Lives through a schedule.
pub fn live(plan: &Plan, control: Option<Control>, met: &Met, told: bool) -> Lived {
    let mut world = World::new(control, met.clone(), told);
    let violation = world.begin(plan).and_then(|()| world.run(plan)).err();
    let Seen { late_and_lower, replicas_differ } = world.ground.kv.seen();
    met.add(Rare::LateAndLower, late_and_lower);
    met.add(Rare::ReplicasDiffer, replicas_differ);
    Lived { violation, story: world.story.unwrap_or_default() }
}

impl World {
    fn new(control: Option<Control>, met: Met, told: bool) -> Self {
        Self {
            ground: Ground::new(control, met),
            node: None,
            devices: (0..USERS).map(|_| Device::default()).collect(),
            wishes: Vec::new(),
            raises: Vec::new(),
            answers: Told::default(),
            raised: Told::default(),
            judge: Judge::default(),
            story: told.then(Vec::new),
        }
    }

    /// The first lives of the server, the users, and what they will begin with.
    fn begin(&mut self, plan: &Plan) -> Result<(), Violation> {
        self.ground.kv.reseed(plan.seed);
        self.ground.kv.set_weather(Weather { late_one_in: plan.late_one_in, arrive_one_in: plan.arrive_one_in });
        for after in &plan.first_deaths {
            self.ground.kv.plan(usize::from(*after), Fate::Crash);
        }
        self.serve();
        self.ground.kv.unplan();
        for n in 0..USERS {
            let command = client::sign_up(n, self.ground.stamp());
            if let Some(node) = &mut self.node {
                node.push(Submission { command, answer: Box::new(|_| {}) });
            }
        }
        self.work(USERS.into(), 1);
        let mut random = Random::new(plan.seed);
        for n in 0..CONVERSATIONS {
            self.wish(0, n, client::creation(&mut random));
        }
        self.hear()
    }

    fn say(&mut self, line: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push(line());
        }
    }

    fn run(&mut self, plan: &Plan) -> Result<(), Violation> {
        for Step { what, seed } in &plan.steps {
            self.ground.kv.reseed(*seed);
            self.say(|| format!("{what:?}"));
            self.step(*what, &mut Random::new(*seed))?;
            self.hear()?;
        }
        self.finish()
    }

    fn step(&mut self, what: What, random: &mut Random) -> Result<(), Violation> {
        match what {
            What::Ask { user, conversation } => {
                let head = self.judge.head(conversation);
                let action = client::action(random, self.wishes.len(), head);
                self.wish(user, conversation, action);
            }
            What::Work { take, ahead } => self.work(usize::from(take), usize::from(ahead)),
            What::Effects { max } => {
                self.serve();
                if let Some(node) = &mut self.node {
                    node.send_effects(&mut self.ground, usize::from(max));
                }
            }
            What::Flush => self.flush(),
            What::FlushStopped { after, dies } => {
                self.serve();
                self.ground.kv.unplan();
                self.ground.kv.plan(usize::from(after), if dies { Fate::Crash } else { Fate::Unknown });
                self.flush();
                self.ground.kv.unplan();
            }
            What::Read { user, conversation, again } => return self.read(user, conversation, again),
            What::Raise { user, conversation, read } => self.raise(user, conversation, read, random),
            What::Lose { user } => self.devices[usize::from(user)].under_way = false,
            What::Repeat { user } => {
                let first = self.devices[usize::from(user)].waiting.front().copied();
                if let Some(number) = first.filter(|number| self.wishes[*number].tries > 0) {
                    self.send(number, false);
                }
            }
            What::Recall { user, other } => {
                let mut settled = self.wishes.iter().filter(|wish| wish.user == user && wish.settled.is_some());
                let count = settled.clone().count() as u64;
                if let Some(number) = settled.nth(random.below(count) as usize).map(|wish| wish.number) {
                    self.send(number, other);
                }
            }
            What::Crash { after } => self.ground.kv.plan(usize::from(after), Fate::Crash),
            What::Unknown { after } => self.ground.kv.plan(usize::from(after), Fate::Unknown),
            What::Kill => {
                self.ground.kv.die();
                self.buried(true);
            }
            What::Late { count } => self.ground.kv.arrive(u64::from(count)),
            What::Clock { hours } => self.ground.skew_ms += i64::from(hours) * 3_600_000,
        }
        Ok(())
    }

    fn flush(&mut self) {
        self.serve();
        let died = self.node.as_mut().is_some_and(|node| node.flush(&mut self.ground).is_err());
        self.buried(died);
    }

    fn wish(&mut self, user: u8, conversation: u8, action: chirrup_core::conversation::Action) {
        let number = self.wishes.len();
        self.say(|| format!("  wish {number} of {user} in {conversation}: {action:?}"));
        self.wishes.push(Wish { user, conversation, action, number, settled: None, decided: false, doubted: false, tries: 0 });
        self.devices[usize::from(user)].waiting.push_back(number);
    }

    /// Starts the server if there is none.
    fn serve(&mut self) {
        for _ in 0..STARTS_MAX {
            if self.node.is_some() {
                break;
            }
            self.ground.kv.revive();
            self.node = Node::start(&mut self.ground).ok();
            let started = self.node.is_some();
            let life = self.ground.lives;
            self.say(|| format!("  life {life} {}", if started { "begins" } else { "dies at its start" }));
        }
    }

    /// Everything that the process had in memory is gone, and so are its connections.
    fn buried(&mut self, died: bool) {
        if died {
            self.say(|| "  the process dies".to_owned());
            self.node = None;
            for device in &mut self.devices {
                if std::mem::take(&mut device.under_way)
                    && let Some(first) = device.waiting.front()
                {
                    self.wishes[*first].doubted = true;
                }
            }
        }
    }

    fn send(&mut self, number: usize, other: bool) {
        let stamp = self.ground.stamp();
        let command = self.wishes[number].command(stamp, other);
        self.wishes[number].tries += u32::from(!other);
        let told = self.answers.clone();
        // Odd numbers are of another body.
        let submission = listen(&told, 2 * number + usize::from(other), command);
        self.serve();
        if let Some(node) = &mut self.node {
            node.push(submission);
        }
    }

    fn work(&mut self, take: usize, ahead: usize) {
        self.serve();
        for n in 0..self.devices.len() {
            let device = &mut self.devices[n];
            if !device.under_way
                && let Some(number) = device.waiting.front().copied()
                && self.exists(number)
            {
                self.devices[n].under_way = true;
                self.send(number, false);
            }
        }
        let died = self.node.as_mut().is_some_and(|node| node.work(&mut self.ground, take, ahead).is_err());
        self.buried(died);
    }

    /// Whether the conversation of a wish is known to exist, or is made by it: what is refused where
    /// nothing is yet is remembered nowhere, and may be granted later.
    fn exists(&self, number: usize) -> bool {
        let conversation = usize::from(self.wishes[number].conversation);
        number < usize::from(CONVERSATIONS) || self.wishes[conversation].settled.is_some()
    }

    /// Hears what was answered.
    fn hear(&mut self) -> Result<(), Violation> {
        for (number, answer) in take(&self.answers) {
            self.say(|| format!("  wish {}{}: {answer:?}", number / 2, if number % 2 == 1 { ", another body" } else { "" }));
            if number % 2 == 0 { self.answered(number / 2, answer)? } else { self.answered_other(number / 2, &answer)? }
        }
        for (number, result) in take(&self.raised) {
            let Raise { user, conversation, position } = self.raises[number];
            self.say(|| format!("  position {position:?} of {user} in {conversation}: {result:?}"));
            match result {
                Ok(position) => self.judge.raised(user, conversation, position)?,
                Err(NotRaised::Unknown) => self.ground.met.note(Rare::PositionUnknown),
                Err(NotRaised::Busy) => {}
            }
        }
        match self.ground.kv.broken() {
            Some(broken) => Err(Violation::new("the store's own rule", broken)),
            None => Ok(()),
        }
    }

    fn answered(&mut self, number: usize, answer: Answer) -> Result<(), Violation> {
        let wish = &mut self.wishes[number];
        let device = &mut self.devices[usize::from(wish.user)];
        let is_first = device.waiting.front() == Some(&number);
        let Answer::Decided { outcome, duplicate } = answer else {
            if matches!(answer, Answer::Conflict | Answer::Failed(_)) {
                return Err(Violation::new("one answer", format!("wish {number} was answered {answer:?}")));
            }
            wish.doubted |= answer == Answer::Unknown;
            device.under_way &= !is_first;
            return Ok(());
        };
        if !duplicate && std::mem::replace(&mut wish.decided, true) {
            return Err(Violation::new("one effect", format!("wish {number} was decided twice, at last {outcome:?}")));
        }
        let life = self.ground.lives;
        if let Some((before, told)) = &wish.settled {
            if *before != outcome {
                return Err(Violation::new("one effect", format!("wish {number} was answered {before:?}, and then {outcome:?}")));
            }
            self.ground.met.note(match outcome {
                Outcome::Refused(_) => Rare::RefusalRemembered,
                Outcome::Done { .. } if *told < life => Rare::DuplicateAfterRestart,
                Outcome::Done { .. } => Rare::Duplicate,
            });
        } else {
            if duplicate {
                self.ground.met.note(Rare::Duplicate);
            }
            if let Outcome::Done { last, .. } = outcome {
                self.judge.acked(wish.conversation, last);
            }
            wish.settled = Some((outcome, life));
        }
        if is_first {
            device.waiting.pop_front();
            device.under_way = false;
        }
        Ok(())
    }

    fn answered_other(&mut self, number: usize, answer: &Answer) -> Result<(), Violation> {
        match answer {
            Answer::Decided { .. } => return Err(Violation::new("one body", format!("wish {number} took effect with another body"))),
            Answer::Conflict => self.ground.met.note(Rare::Conflict),
            _ => {}
        }
        Ok(())
    }

    fn read(&mut self, user: u8, conversation: u8, again: bool) -> Result<(), Violation> {
        let after = if again { 0 } else { self.judge.seen_by(user, conversation) };
        self.serve();
        let Some(node) = &self.node else { return Ok(()) };
        let events = node.views.events(&AggregateId::Conversation(client::conversation(conversation)), after, PAGE);
        if node.in_doubt() {
            self.ground.met.note(Rare::ReadInDoubt);
        }
        let events = events?;
        self.say(|| format!("  {user} reads {} events after {after} in {conversation}", events.len()));
        self.judge.read(user, conversation, after, &events)
    }

    fn raise(&mut self, user: u8, conversation: u8, read: bool, random: &mut Random) {
        let (told, number) = (self.raised.clone(), self.raises.len());
        let head = self.judge.head(conversation);
        let at = head.saturating_sub(random.below(3)).max(1.min(head));
        self.serve();
        let Some(node) = &self.node else { return };
        let (place, of) = (client::conversation(conversation), client::user(user));
        let is_member = node.views.member(place, of).ok().flatten().is_some_and(|member| member.role.is_some());
        let Ok(timeline) = node.views.timeline_at(place, at) else { return };
        if at == 0 || !is_member || !timeline.exists {
            return;
        }
        let asked = PositionRow { read: at, read_ordinal: timeline.ordinal, delivered: at };
        let position = if read { asked } else { PositionRow { delivered: at, ..PositionRow::default() } };
        node.raise(place, of, position, wait(&told, number));
        self.raises.push(Raise { user, conversation, position });
    }

    /// The faults are over: everything is settled, and the whole is judged.
    fn finish(&mut self) -> Result<(), Violation> {
        self.ground.kv.unplan();
        self.ground.kv.set_weather(Weather::default());
        for _ in 0..ROUNDS_MAX {
            self.work(8, 2);
            self.hear()?;
            let Some(node) = &mut self.node else { break };
            node.send_effects(&mut self.ground, 8);
            node.flush(&mut self.ground)?;
            self.hear()?;
            let settled = self.devices.iter().all(|device| device.waiting.is_empty());
            if settled && self.node.as_mut().is_some_and(Node::is_at_rest) {
                return self.judged();
            }
        }
        Err(Violation::new("calm", "something is not settled when the faults are over".to_owned()))
    }

    fn judged(&mut self) -> Result<(), Violation> {
        self.ground.kv.calm();
        // What a later life finds is what is there.
        self.node = None;
        self.serve();
        let Some(node) = &mut self.node else { return Err(Died.into()) };
        while !node.is_at_rest() {
            node.send_effects(&mut self.ground, 8);
            node.work(&mut self.ground, 8, 1)?;
        }
        for n in 0..CONVERSATIONS {
            for of in 0..USERS {
                let position = node.views.position(conversation(n), user(of));
                self.judge.raised(of, n, position?)?;
            }
        }
        let Ground { seam, kv, met, .. } = &self.ground;
        self.judge.whole(&**seam, kv, &self.wishes, met)
    }
}

/// What has arrived.
fn take<T>(told: &Told<T>) -> Vec<(usize, T)> {
    std::mem::take(&mut *told.lock().unwrap_or_else(PoisonError::into_inner))
}

impl From<Died> for Violation {
    fn from(_: Died) -> Self {
        Self::new("calm", "the process died when no fault was left".to_owned())
    }
}
