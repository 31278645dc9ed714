//! Writes a history while it happens.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::History;
use super::record::{At, ConnectionId, Fault, FaultId, OpId, Record, What};
use super::words::{Act, Event, Name, Seq};
use crate::edge::Clock;

/// Writes down what many tasks tell it, in the order in which they do; cheap to copy.
#[derive(Clone, Debug)]
pub struct Recorder(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    history: History,
    file: Option<BufWriter<File>>,
    /// Each event as it was last seen: the same is kept once, however many see it.
    seen: HashMap<Name, HashMap<Seq, Arc<Event>>>,
    next_op: OpId,
    next_connection: ConnectionId,
    next_fault: FaultId,
    acked: u64,
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

impl Recorder {
    /// A recorder that keeps its history in memory.
    pub fn new() -> Self {
        Self::with(None)
    }

    /// A recorder that writes its history to a file as well, so that it outlives this process.
    ///
    /// # Errors
    /// What creating the file fails with.
    pub fn to_file(path: &Path) -> io::Result<Self> {
        Ok(Self::with(Some(BufWriter::new(File::create(path)?))))
    }

    fn with(file: Option<BufWriter<File>>) -> Self {
        let state =
            State { history: History::default(), file, seen: HashMap::new(), next_op: 1, next_connection: 1, next_fault: 1, acked: 0 };
        Self(Arc::new(Inner { clock: Clock::begin(), state: Mutex::new(state) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whole records are written under the lock, so that a panic elsewhere leaves none half.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Now, for the `asked` of what is about to be asked.
    pub fn now(&self) -> At {
        self.0.clock.now_ns()
    }

    /// Writes something down.
    pub fn note(&self, what: What) {
        let mut state = self.state();
        state.note(self.now(), what);
    }

    /// Writes down that a change is tried.
    pub fn invoke(&self, on: ConnectionId, act: Act) -> OpId {
        let mut state = self.state();
        let op = state.next_op;
        state.next_op += 1;
        state.note(self.now(), What::Invoke { op, on, act });
        op
    }

    /// A number for a connection.
    pub fn connection(&self) -> ConnectionId {
        let mut state = self.state();
        let on = state.next_connection;
        state.next_connection += 1;
        on
    }

    /// Writes down that a fault begins. Call it before the fault is done, and
    /// [`Recorder::healed`] once the server serves again.
    pub fn fault(&self, kind: Fault) -> FaultId {
        let mut state = self.state();
        let fault = state.next_fault;
        state.next_fault += 1;
        state.note(self.now(), What::Fault { fault, kind });
        fault
    }

    /// Writes down that a fault is over.
    pub fn healed(&self, fault: FaultId) {
        self.note(What::Healed { fault });
    }

    /// The event, shared with all who saw the same.
    pub fn shared(&self, conversation: &Name, event: Event) -> Arc<Event> {
        let mut state = self.state();
        let seen = state.seen.entry(conversation.clone()).or_default();
        match seen.get(&event.seq) {
            Some(same) if **same == event => same.clone(),
            _ => {
                let event = Arc::new(event);
                seen.insert(event.seq, event.clone());
                event
            }
        }
    }

    /// How many changes were acked so far.
    pub fn acked(&self) -> u64 {
        self.state().acked
    }

    /// What was written down so far; the file, if there is one, holds it as well.
    ///
    /// # Errors
    /// What writing to the file failed with.
    pub fn history(&self) -> io::Result<History> {
        let mut state = self.state();
        if let Some(file) = &mut state.file {
            file.flush()?;
        }
        Ok(state.history.clone())
    }
}

impl State {
    fn note(&mut self, at: At, what: What) {
        self.acked += u64::from(matches!(what, What::Ok { .. }));
        let record = Record { at, what };
        if let Some(file) = &mut self.file {
            let mut line = serde_json::to_vec(&record).expect("a record is plain data");
            line.push(b'\n');
            if let Err(e) = file.write_all(&line) {
                // A history with a hole would be judged wrongly.
                panic!("failed to write the history: {e}");
            }
        }
        self.history.records.push(record);
    }
}

#[cfg(test)]
mod tests {
    use super::super::words::Kind;
    use super::*;

    #[test]
    fn what_is_written_down_is_in_order_and_in_the_file_as_well() {
        let path = std::env::temp_dir().join(format!("chirrup-checker-{}.jsonl", std::process::id()));
        let recorder = Recorder::to_file(&path).unwrap();
        let on = recorder.connection();
        for n in 0..3 {
            let op = recorder.invoke(on, Act::Read { conversation: "c".into(), seq: n });
            recorder.note(What::Ok { op, seq: n, conversation: None, duplicate: false });
        }
        let fault = recorder.fault(Fault::Cut);
        recorder.healed(fault);
        let history = recorder.history().unwrap();
        assert_eq!((history.records.len(), recorder.acked()), (8, 3));
        assert!(history.records.windows(2).all(|pair| pair[0].at <= pair[1].at));
        let kept = History::read(io::BufReader::new(File::open(&path).unwrap()));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(kept.unwrap(), history);
    }

    #[test]
    fn an_event_that_many_see_is_kept_once_and_one_that_differs_by_itself() {
        let recorder = Recorder::new();
        let (c, d): (Name, Name) = ("c".into(), "d".into());
        let event = |kind| Event { seq: 1, author: None, key: None, time: None, kind };
        let first = recorder.shared(&c, event(Kind::Hidden));
        assert!(Arc::ptr_eq(&first, &recorder.shared(&c, event(Kind::Hidden))));
        assert!(!Arc::ptr_eq(&first, &recorder.shared(&d, event(Kind::Hidden))));
        let other = recorder.shared(&c, event(Kind::Deleted { target: 1 }));
        assert_eq!((&*first, &*other), (&event(Kind::Hidden), &event(Kind::Deleted { target: 1 })));
    }
}
