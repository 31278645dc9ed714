//! What each view of a group must tell, beside what is counted by hand.

use chirrup_core::aggregate::{self, AggregateId, State};
use chirrup_core::ids::{Seq, UserId};
use chirrup_core::rows::Rows;
use chirrup_protocol::event::Message;
use chirrup_protocol::reply;
use chirrup_store::keys;
use chirrup_store::kv::{Kv, Row};

use super::group::Group;
use super::oracle::{Oracle, page};
use crate::views::{TimelinePlace, ViewError, Which};

impl Group {
    /// A state that was never stored is folded from the first event on.
    pub(super) fn forget_state(&self) {
        let key = keys::state(&AggregateId::Conversation(self.id));
        self.world.kv.commit(&[Row { key, value: None, version: u64::MAX }]).unwrap();
    }

    pub(super) fn check_state(&self) {
        let aggregate = AggregateId::Conversation(self.id);
        let (mut state, mut rows) = (State::new(&aggregate), Rows::blind());
        let events = self.world.events(&aggregate);
        for event in &events {
            aggregate::fold(&mut state, &mut rows, event);
        }
        let views = &self.world.views;
        assert_eq!(views.state(&aggregate).unwrap(), state);
        assert_eq!(views.head(&aggregate).unwrap(), state.head);
        let last = views.last_event(&aggregate).unwrap().unwrap();
        assert_eq!(last.offset, self.world.published.iter().rfind(|p| p.aggregate == aggregate).unwrap().offset);
        assert_eq!(last.record.event.envelope, events.last().unwrap().envelope);
    }

    /// Events are dense, and the same whatever the pages.
    pub(super) fn check_events(&self, oracle: &Oracle, who: UserId, limit: u32) {
        let views = &self.world.views;
        let Some(expected) = oracle.events_for(who) else {
            assert!(matches!(views.events_for(self.id, who, 0, limit), Err(ViewError::NotFound)));
            return;
        };
        let mut got = Vec::new();
        while got.len() < expected.len() {
            let page = views.events_for(self.id, who, got.len() as Seq, limit).unwrap();
            assert_eq!(page.head, expected.len() as Seq);
            assert_eq!(page.events.len(), (limit as usize).min(expected.len() - got.len()));
            got.extend(page.events);
            assert_eq!(page.digest, Some(oracle.digest(got.len() as Seq)));
        }
        assert_eq!(got, expected);
        for beyond in [expected.len() as Seq, expected.len() as Seq + 5, Seq::MAX >> 11] {
            let page = views.events_for(self.id, who, beyond, limit).unwrap();
            assert_eq!((page.events.len(), page.digest), (0, None));
        }
    }

    /// Pages at random places, and all pages one after the other in both directions.
    pub(super) fn check_history(&self, oracle: &Oracle, who: UserId, thread: Option<Seq>, asked: &[(u8, u64, usize)]) {
        let views = &self.world.views;
        let list = oracle.history(who, thread);
        let Some(last) = oracle.seen(who).last() else {
            assert!(matches!(views.history(self.id, who, Which::Newest, thread, 5), Err(ViewError::NotFound)));
            return;
        };
        let nothing = thread.is_some_and(|root| list.is_empty() && !(oracle.messages.contains_key(&root) && oracle.seen(who).sees(root)));
        for (which, at, limit) in asked {
            let at = at % (oracle.head() + 3);
            let which = match which {
                0 => Which::Newest,
                1 => Which::Before(at),
                2 => Which::After(at),
                _ => Which::Around(at),
            };
            let got = views.history(self.id, who, which, thread, *limit as u32);
            if nothing {
                assert!(matches!(got, Err(ViewError::MessageNotFound)), "{got:?}");
                continue;
            }
            let (messages, more_before, more_after) = page(&list, which, *limit);
            let expected = reply::History { messages: messages.to_vec(), more_before, more_after, head: last };
            assert_eq!(got.unwrap(), expected, "{which:?}, {limit} of thread {thread:?}");
        }
        if nothing {
            return;
        }
        let limit = asked.first().map_or(1, |(_, _, limit)| *limit).max(list.len() / 20) as u32;
        let (mut back, mut next) = (Vec::new(), Which::Newest);
        loop {
            let page = views.history(self.id, who, next, thread, limit).unwrap();
            assert!(!page.messages.is_empty() || !page.more_before);
            back.splice(0..0, page.messages);
            if !page.more_before {
                break;
            }
            next = Which::Before(back[0].seq);
        }
        assert_eq!(back, list);
        let mut forth = Vec::new();
        loop {
            let after = forth.last().map_or(0, |m: &Message| m.seq);
            let page = views.history(self.id, who, Which::After(after), thread, limit).unwrap();
            assert!(!page.messages.is_empty() || !page.more_after);
            forth.extend(page.messages);
            if !page.more_after {
                break;
            }
        }
        assert_eq!(forth, list);
    }

    /// Counts by their definitions, and all else that a user is told of the conversation.
    pub(super) fn check_conversation(&self, oracle: &Oracle, who: UserId) {
        let got = self.world.views.conversation(who, self.id).unwrap();
        let seen = oracle.seen(who);
        let Some(last) = seen.last() else {
            assert_eq!(got, None);
            return;
        };
        let got = got.unwrap();
        let read = self.read.get(&who).copied().unwrap_or(0);
        assert_eq!((got.head, got.joined, got.read, got.delivered), (last, seen.member, read, read));
        assert_eq!(got.title, oracle.title(who));
        assert_eq!(got.members as usize, if seen.member { oracle.members().len() } else { 0 });
        assert_eq!(got.unread, reply::Unread { count: oracle.unread(who, read), at_least: false });
        let mentions = oracle.mentions(who, read);
        assert_eq!(got.mentions, reply::Unread { count: mentions.min(1_000), at_least: mentions > 1_000 });
        assert_eq!(got.last_message, oracle.history(who, None).last().cloned());
        let listed = self.world.views.conversations(who, None, 10).unwrap();
        assert_eq!((listed.conversations, listed.next), (vec![got], None));
    }

    pub(super) fn check_members(&self, oracle: &Oracle, who: UserId) {
        let views = &self.world.views;
        if !oracle.seen(who).member {
            assert!(matches!(views.members(self.id, who, None, 5), Err(ViewError::NotFound)));
            assert!(matches!(views.positions(self.id, who), Err(ViewError::NotFound)));
            return;
        }
        let mut got = Vec::new();
        let mut after = None;
        loop {
            let page = views.members(self.id, who, after, 2).unwrap();
            got.extend(page.members.into_iter().map(|m| m.user.user));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(got, oracle.members().into_iter().collect::<Vec<_>>());
        let told: Vec<_> = views.positions(self.id, who).unwrap().positions.iter().map(|p| (p.user, p.read)).collect();
        let read: Vec<_> = got.iter().filter_map(|user| Some((*user, *self.read.get(user)?))).collect();
        assert_eq!(told, read);
    }

    pub(super) fn check_places(&self, oracle: &Oracle) {
        for seq in [0, 1, 2, oracle.head() / 2, 999, 1_000, 1_001, oracle.head(), oracle.head() + 1, Seq::MAX >> 11] {
            let place = TimelinePlace { exists: seq > 0 && seq <= oracle.head(), ordinal: oracle.ordinal_at(seq) };
            assert_eq!(self.world.views.timeline_at(self.id, seq).unwrap(), place, "{seq}");
        }
    }
}
