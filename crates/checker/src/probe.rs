//! A session that writes down everything that is asked, answered and seen through it.

use tokio::sync::mpsc;

use crate::adapter::{Account, Adapter, Done, EventPage, Failure, MessagePage, Page, Push, Session};
use crate::history::{Act, At, ConnectionId, Event, Head, Known, Listed, Name, OpId, Path, Recorder, Seq, Turn, Way, What};

/// The recording side of a session. Dropped, its connection ends, and that is written down.
#[derive(Debug)]
pub struct Probe<S> {
    session: S,
    recorder: Recorder,
    on: ConnectionId,
}

/// What the server tells unasked on a connection; written down as it is taken.
#[derive(Debug)]
pub struct Pushes {
    from: mpsc::Receiver<Push>,
    recorder: Recorder,
    on: ConnectionId,
}

/// A session that has begun, with the first page of what it lists.
#[derive(Debug)]
pub struct Begun<S> {
    /// Asks.
    pub probe: Probe<S>,
    /// Is told.
    pub pushes: Pushes,
    /// The first page, written down.
    pub page: Page,
}

impl<S: Session> Probe<S> {
    /// Begins a session.
    ///
    /// # Errors
    /// As [`Adapter::connect`].
    pub async fn connect<A>(adapter: &A, recorder: &Recorder, account: &Account, cursor: Option<&Name>) -> Result<Begun<S>, Failure>
    where
        A: Adapter<Session = S>,
    {
        let asked = recorder.now();
        let opened = adapter.connect(account, cursor.map(|cursor| &**cursor)).await?;
        let on = recorder.connection();
        recorder.note(What::Connected {
            on,
            user: account.user.clone(),
            device: account.device.clone(),
            asked,
            cursor: cursor.cloned(),
            reset: opened.reset,
        });
        let probe = Self { session: opened.session, recorder: recorder.clone(), on };
        probe.list(asked, Way::Sync, &opened.page);
        let pushes = Pushes { from: opened.pushes, recorder: recorder.clone(), on };
        Ok(Begun { probe, pushes, page: opened.page })
    }

    /// The session's connection.
    pub fn on(&self) -> ConnectionId {
        self.on
    }

    /// See [`Session::act`].
    ///
    /// # Errors
    /// As there.
    pub async fn act(&self, act: &Act) -> Result<Done, Failure> {
        let asked = self.recorder.now();
        let op = self.recorder.invoke(self.on, act.clone());
        let mut open = Open { recorder: &self.recorder, op, settled: false };
        let done = self.session.act(act).await;
        open.settled = true;
        match &done {
            Ok(done) => {
                if let Some(position) = &done.position {
                    self.recorder.note(What::Position { on: self.on, asked: Some(asked), position: position.clone() });
                }
                let Done { seq, conversation, duplicate, .. } = done.clone();
                self.recorder.note(What::Ok { op, seq, conversation, duplicate });
            }
            Err(Failure::Refused { code, .. }) => self.recorder.note(What::Failed { op, code: code.clone() }),
            Err(Failure::Unknown { why }) => self.recorder.note(What::Unknown { op, why: why.clone() }),
            Err(Failure::Broken { said }) => {
                self.recorder.note(What::Unknown { op, why: "the answer is not of the protocol".into() });
                self.recorder.note(What::Broken { on: self.on, said: said.clone() });
            }
        }
        done
    }

    /// See [`Session::sync`]; after the last page call [`Probe::listed_all`].
    ///
    /// # Errors
    /// As there.
    pub async fn sync(&self, next: &str) -> Result<Page, Failure> {
        let asked = self.recorder.now();
        let page = self.told(self.session.sync(next).await)?;
        self.list(asked, Way::Sync, &page);
        Ok(page)
    }

    /// Writes down that the session has listed all that it begins with.
    pub fn listed_all(&self) {
        self.recorder.note(What::ListedAll { on: self.on });
    }

    /// Writes down that the device has pulled all that a cursor covers, and keeps it.
    pub fn keep(&self, cursor: &Name) {
        self.recorder.note(What::Cursor { on: self.on, cursor: cursor.clone() });
    }

    /// See [`Session::events`].
    ///
    /// # Errors
    /// As there.
    pub async fn events(&self, conversation: &Name, after: Seq) -> Result<EventPage, Failure> {
        let asked = self.recorder.now();
        let page = self.found(asked, conversation, self.session.events(conversation, after).await)?;
        let events = page.events.iter().map(|event| self.recorder.shared(conversation, event.clone())).collect();
        let (head, digest) = (page.head, page.digest.clone());
        self.recorder.note(What::Events { on: self.on, asked, conversation: conversation.clone(), after, events, head, digest });
        Ok(page)
    }

    /// Pulls all events beyond `after`: how far that leads. A page that is empty or leads nowhere
    /// ends it, whatever head the server claims.
    ///
    /// # Errors
    /// As [`Session::events`].
    pub async fn pull(&self, conversation: &Name, mut after: Seq) -> Result<Seq, Failure> {
        loop {
            let page = self.events(conversation, after).await?;
            let reached = page.events.last().map_or(after, |event| event.seq);
            if reached <= after || reached >= page.head {
                return Ok(after.max(reached));
            }
            after = reached;
        }
    }

    /// See [`Session::messages`].
    ///
    /// # Errors
    /// As there.
    pub async fn messages(&self, conversation: &Name, turn: Turn, thread: Option<Seq>) -> Result<MessagePage, Failure> {
        let asked = self.recorder.now();
        let page = self.found(asked, conversation, self.session.messages(conversation, turn, thread).await)?;
        let (messages, head) = (page.messages.clone(), page.head);
        self.recorder.note(What::Messages { on: self.on, asked, conversation: conversation.clone(), turn, thread, messages, head });
        Ok(page)
    }

    /// Goes all the way through a conversation by a path, and writes down that it has.
    ///
    /// # Errors
    /// As of the methods of [`Session`] by which it goes.
    pub async fn walk(&self, conversation: &Name, path: Path) -> Result<(), Failure> {
        let asked = self.recorder.now();
        match path {
            Path::Events => {
                self.pull(conversation, 0).await?;
            }
            Path::Forward | Path::Backward => self.turn_pages(conversation, path == Path::Forward).await?,
        }
        self.recorder.note(What::Walked { on: self.on, asked, conversation: conversation.clone(), path });
        Ok(())
    }

    async fn turn_pages(&self, conversation: &Name, forward: bool) -> Result<(), Failure> {
        let mut turn = if forward { Turn::After(0) } else { Turn::Newest };
        loop {
            let page = self.messages(conversation, turn, None).await?;
            let next =
                if forward { page.messages.last().map(|m| Turn::After(m.seq)) } else { page.messages.first().map(|m| Turn::Before(m.seq)) };
            match next {
                Some(next) if page.more && next != turn => turn = next,
                _ => return Ok(()),
            }
        }
    }

    /// The whole list of conversations.
    ///
    /// # Errors
    /// As of [`Session::conversations`].
    pub async fn conversations(&self) -> Result<Vec<Listed>, Failure> {
        let (mut all, mut next) = (Vec::new(), None);
        loop {
            let asked = self.recorder.now();
            let page = self.told(self.session.conversations(next.as_deref()).await)?;
            self.list(asked, Way::List, &page);
            all.extend(page.conversations);
            next = page.next;
            if next.is_none() {
                return Ok(all);
            }
        }
    }

    /// See [`Session::conversation`].
    ///
    /// # Errors
    /// As there.
    pub async fn conversation(&self, conversation: &Name) -> Result<Listed, Failure> {
        let asked = self.recorder.now();
        let listed = self.found(asked, conversation, self.session.conversation(conversation).await)?;
        self.recorder.note(What::Conversation { on: self.on, asked, way: Way::One, listed: listed.clone() });
        Ok(listed)
    }

    /// See [`Session::positions`].
    ///
    /// # Errors
    /// As there.
    pub async fn positions(&self, conversation: &Name) -> Result<(), Failure> {
        let asked = self.recorder.now();
        for position in self.found(asked, conversation, self.session.positions(conversation).await)? {
            self.recorder.note(What::Position { on: self.on, asked: Some(asked), position });
        }
        Ok(())
    }

    /// See [`Session::watch`].
    ///
    /// # Errors
    /// As there.
    pub async fn watch(&self, users: &[Name]) -> Result<(), Failure> {
        let asked = self.recorder.now();
        for presence in self.told(self.session.watch(users).await)? {
            self.recorder.note(What::Presence { on: self.on, asked: Some(asked), presence });
        }
        Ok(())
    }

    /// See [`Session::stall`].
    pub async fn stall(&self, ms: u64) {
        self.session.stall(ms).await;
    }

    fn list(&self, asked: At, way: Way, page: &Page) {
        for listed in &page.conversations {
            self.recorder.note(What::Conversation { on: self.on, asked, way, listed: listed.clone() });
        }
    }

    /// Writes down if the conversation is not there, or the answer is not of the protocol.
    fn found<T>(&self, asked: At, conversation: &Name, answer: Result<T, Failure>) -> Result<T, Failure> {
        if answer.as_ref().is_err_and(Failure::is_absence) {
            self.recorder.note(What::Absent { on: self.on, asked, conversation: conversation.clone() });
        }
        self.told(answer)
    }

    fn told<T>(&self, answer: Result<T, Failure>) -> Result<T, Failure> {
        if let Err(Failure::Broken { said }) = &answer {
            self.recorder.note(What::Broken { on: self.on, said: said.clone() });
        }
        answer
    }
}

/// A try that nobody waits for any more is one whose outcome is unknown.
struct Open<'r> {
    recorder: &'r Recorder,
    op: OpId,
    settled: bool,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.recorder.note(What::Unknown { op: self.op, why: "given up".into() });
        }
    }
}

impl<S> Drop for Probe<S> {
    fn drop(&mut self) {
        self.recorder.note(What::Ended { on: self.on });
    }
}

impl Pushes {
    /// The next push; none once the connection has ended.
    pub async fn next(&mut self) -> Option<Push> {
        let push = self.from.recv().await?;
        let on = self.on;
        match &push {
            Push::Event { conversation, event } => self.live(conversation, event),
            Push::Heartbeat { behind, .. } => self.told(Known::Heartbeat, behind),
            Push::Behind(logs) => self.told(Known::Behind, logs),
            Push::Position(position) => self.recorder.note(What::Position { on, asked: None, position: position.clone() }),
            Push::Presence(presence) => self.recorder.note(What::Presence { on, asked: None, presence: presence.clone() }),
            Push::Broken(said) => self.recorder.note(What::Broken { on, said: said.clone() }),
            Push::Removed(conversation) => self.recorder.note(What::Removed { on, conversation: conversation.clone() }),
            Push::Added(conversation) => self.recorder.note(What::Added { on, conversation: conversation.clone() }),
            Push::Reconnect(_) => {}
        }
        Some(push)
    }

    fn live(&self, conversation: &Name, event: &Event) {
        let event = self.recorder.shared(conversation, event.clone());
        self.recorder.note(What::Live { on: self.on, conversation: conversation.clone(), event });
    }

    fn told(&self, known: Known, behind: &[Head]) {
        self.recorder.note(What::Told { on: self.on, known, behind: behind.to_vec() });
    }
}
