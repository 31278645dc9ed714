//! What a device does next: a mix by weights.

use super::device::Device;
use super::world::{Room, World};
use crate::history::{Act, Leaver, Name, Past, Turn};

/// What comes after a token, so that bytes which servers like to change are among what is sent.
const TAILS: &[&str] = &[
    "",
    " ",
    " e\u{301}\u{1f426}\u{200d}\u{2b1b}",
    " <b>&amp;</b> \\\" \u{2028}",
    " \u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{202b}abc\u{202c}",
    "\n\tindented\n",
    " I\u{307}\u{fb01}\u{212b}",
];
const EMOJI: &[&str] = &["👍", "🎉", "❤️"];
/// A long body has so many copies of its token.
const COPIES: usize = 60;

/// What to do next.
pub(super) enum Step {
    /// Change something.
    Act(Act),
    /// Look at something.
    Look(Look),
    /// Read nothing for a while.
    Stall,
    /// Leave without a word, and come back.
    Leave,
    /// Nothing.
    Rest,
}

/// What to look at.
pub(super) enum Look {
    Page(Name, Turn),
    Thread(Name, u64),
    Events(Name, u64),
    Entry(Name),
    List,
    Positions(Name),
}

impl Device {
    /// Chooses what to do next.
    pub(super) fn choose(&mut self, world: &World) -> Step {
        if self.random.once_in(3)
            && let Some(act) = world.unsettled(self.user)
        {
            // Some are given up, so that what nobody settles is seen as well.
            return if self.random.once_in(5) { Step::Rest } else { Step::Act(act) };
        }
        let me = self.account.user.clone();
        let Some(room) = world.room_of(&me, &mut self.random) else { return Step::Rest };
        let room = &*room;
        let act = match self.random.below(1000) {
            0..480 => Some(self.send(room)),
            480..550 => self.edit(room, &me),
            550..590 => self.delete(room, &me),
            590..670 => self.react(room),
            670..735 => self.position(room),
            735..740 => self.group(world, &me),
            740..770 => self.membership(world, room, &me),
            770..810 => self.random.of(self.old.make_contiguous()).cloned(),
            810..820 => self.conflict(),
            820..830 => room.borrowed(&me, &mut self.random),
            830..860 => self.race(room, world),
            860..985 => return Step::Look(self.look(room)),
            985..992 if self.slow => return Step::Stall,
            985..992 => return Step::Leave,
            _ => None,
        };
        act.map_or(Step::Rest, Step::Act)
    }

    fn key(&mut self) -> Name {
        self.keys.next().into()
    }

    fn body(&mut self) -> Name {
        let token = self.keys.token();
        let tail = TAILS[self.random.below(TAILS.len())];
        if self.random.once_in(20) { format!("{} {tail}", vec![token; COPIES].join(" ")) } else { format!("said {token}{tail}") }.into()
    }

    fn send(&mut self, room: &Room) -> Act {
        let key = self.key();
        let (mut reply_to, mut thread) = (None, None);
        match self.random.below(10) {
            0 | 1 => reply_to = room.recent(&mut self.random, |_| true).map(|sent| sent.seq),
            2 | 3 => thread = room.recent(&mut self.random, |sent| !sent.in_thread).map(|sent| sent.seq),
            _ => {}
        }
        let also_in_conversation = thread.is_some() && self.random.once_in(2);
        Act::Send { conversation: room.id.clone(), key, body: self.body(), reply_to, thread, also_in_conversation }
    }

    fn edit(&mut self, room: &Room, me: &Name) -> Option<Act> {
        let target = room.recent(&mut self.random, |sent| sent.author == *me)?.seq;
        Some(Act::Edit { conversation: room.id.clone(), key: self.key(), target, body: self.body() })
    }

    fn delete(&mut self, room: &Room, me: &Name) -> Option<Act> {
        let target = room.recent(&mut self.random, |sent| sent.author == *me || room.owner == *me)?.seq;
        Some(Act::Delete { conversation: room.id.clone(), key: self.key(), target })
    }

    /// An edit while the owner may delete, or a deletion while the author may edit: of the newest.
    fn race(&mut self, room: &Room, world: &World) -> Option<Act> {
        let me = self.account.user.clone();
        let last = room.last()?;
        let sent = room.recent(&mut self.random, |sent| sent.seq == last)?;
        let key = self.key();
        let conversation = room.id.clone();
        let edit = |device: &Self| Act::Edit {
            conversation: conversation.clone(),
            key: key.clone(),
            target: last,
            body: format!("raced {}", device.keys.token()).into(),
        };
        let delete = Act::Delete { conversation: conversation.clone(), key: key.clone(), target: last };
        if sent.author == me {
            // One of them at once, the other by whichever device of the user comes next.
            let other = Act::Delete { conversation: conversation.clone(), key: self.key(), target: last };
            world.not_settled(self.user, other);
            return Some(edit(self));
        }
        (room.owner == me).then_some(delete)
    }

    fn react(&mut self, room: &Room) -> Option<Act> {
        let target = room.recent(&mut self.random, |_| true)?.seq;
        let emoji = EMOJI[self.random.below(EMOJI.len())].into();
        Some(Act::React { conversation: room.id.clone(), key: self.key(), target, emoji, add: !self.random.once_in(3) })
    }

    /// Early and late ones in any order, as from several devices.
    fn position(&mut self, room: &Room) -> Option<Act> {
        let got = self.got.get(&room.id).copied().filter(|got| *got > 0)?;
        let seq = got.saturating_sub(self.random.below(8) as u64).max(1);
        let conversation = room.id.clone();
        Some(if self.random.once_in(2) { Act::Read { conversation, seq } } else { Act::Delivered { conversation, seq } })
    }

    /// Another group, owned by whoever begins it.
    fn group(&mut self, world: &World, me: &Name) -> Option<Act> {
        if !world.has_room_for_more() {
            return None;
        }
        let key = self.key();
        let members = world.users.iter().filter(|user| *user != me && self.random.once_in(2)).cloned().collect();
        let past = if self.random.once_in(2) { Past::Full } else { Past::FromJoin };
        let leaver = if self.random.once_in(2) { Leaver::Keeps } else { Leaver::Loses };
        let title = format!("group {}", self.keys.token()).into();
        Some(Act::CreateGroup { key, title, members, past, leaver })
    }

    /// The owner adds and removes; members leave seldom.
    fn membership(&mut self, world: &World, room: &Room, me: &Name) -> Option<Act> {
        if room.direct {
            return None;
        }
        let (conversation, key) = (room.id.clone(), self.key());
        if room.owner != *me {
            let user = me.clone();
            return self.random.once_in(6).then_some(Act::RemoveMember { conversation, key, user });
        }
        let user = self.random.of(&world.users).filter(|user| *user != me)?.clone();
        Some(if room.is_member(&user) { Act::RemoveMember { conversation, key, user } } else { Act::AddMember { conversation, key, user } })
    }

    /// Something else under an id that was used.
    fn conflict(&mut self) -> Option<Act> {
        let old = self.random.of(self.old.make_contiguous())?.clone();
        let Act::Send { conversation, key, reply_to, thread, also_in_conversation, .. } = old else { return None };
        self.key();
        let body = format!("another {}", self.keys.token()).into();
        Some(Act::Send { conversation, key, body, reply_to, thread, also_in_conversation })
    }

    fn look(&mut self, room: &Room) -> Look {
        let got = self.got.get(&room.id).copied().unwrap_or(0);
        let from = self.random.below(usize::try_from(got).unwrap_or(0) + 1) as u64;
        let id = room.id.clone();
        match self.random.below(8) {
            0 => Look::Page(id, Turn::Newest),
            1 => Look::Page(id, Turn::Before(from + 1)),
            2 => Look::Page(id, Turn::After(from)),
            3 => Look::Events(id, from),
            4 => Look::Entry(id),
            5 => Look::List,
            6 => Look::Positions(id),
            _ => match room.recent(&mut self.random, |sent| !sent.in_thread) {
                Some(root) => Look::Thread(id, root.seq),
                None => Look::Entry(id),
            },
        }
    }
}
