//! Who is who: from nicks to accounts. Knows what a name may look like, but not which names the
//! server has or would mistake for one another; the server's refusal is brought here.

use std::collections::HashMap;

use super::nick::fold;

/// The longest name, in characters.
const NAME_MAX_CHARS: usize = 32;
/// Marks a name that had to give way. No IRC network allows a `.` in a nick, so it takes no
/// other person's name.
const MARK: &str = ".irc";

/// A person of a log: everyone whose nick folds to the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    /// The nick as it was first written.
    pub(crate) nick: String,
    /// The account name to ask for, 1 to 32 characters.
    pub(crate) name: String,
    /// How often the server refused the name: 0, or the name is marked.
    pub(crate) refusals: u32,
}

/// The people of one import.
#[derive(Debug, Default)]
pub(crate) struct Roll {
    people: Vec<Person>,
    by_fold: HashMap<String, usize>,
}

impl Roll {
    /// The person with this nick, by number; new if nobody has it yet. Numbers count from 0 in
    /// the order of the first meeting.
    pub(crate) fn meet(&mut self, nick: &str) -> usize {
        let next = self.people.len();
        let id = *self.by_fold.entry(fold(nick)).or_insert(next);
        if id == next {
            self.people.push(Person { nick: nick.to_owned(), name: account_name(nick), refusals: 0 });
        }
        id
    }

    /// All people, in the order of their numbers.
    pub(crate) fn people(&self) -> &[Person] {
        &self.people
    }

    /// The server will not give a person this name: it is taken, or looks like one that is.
    /// Gives the name to ask for next, none if there is no such person.
    pub(crate) fn refuse(&mut self, id: usize) -> Option<&str> {
        let person = self.people.get_mut(id)?;
        person.refusals += 1;
        person.name = marked_name(&person.nick, person.refusals);
        Some(&person.name)
    }

    /// The people whose names were refused, to be listed.
    pub(crate) fn marked(&self) -> impl Iterator<Item = &Person> {
        self.people.iter().filter(|person| person.refusals > 0)
    }
}

/// The account name to ask for first: the nick, with `_` for every character that no name may
/// have, cut to 32 characters. Whether the name is free and unlike others the server decides.
pub(crate) fn account_name(nick: &str) -> String {
    cut(nick, NAME_MAX_CHARS)
}

/// The name to ask for after so many refusals (from 1): `nick.irc`, then `nick.irc2`, …
fn marked_name(nick: &str, refusals: u32) -> String {
    let number = if refusals > 1 { refusals.to_string() } else { String::new() };
    let room = NAME_MAX_CHARS - MARK.len() - number.len();
    format!("{}{MARK}{number}", cut(nick, room))
}

fn cut(nick: &str, max_chars: usize) -> String {
    let allowed = |c: char| c.is_alphanumeric() || r"_-.[]\`^{}|".contains(c);
    let name: String = nick.chars().take(max_chars).map(|c| if allowed(c) { c } else { '_' }).collect();
    if name.is_empty() { "_".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_fold_is_one_person_and_a_trailing_underscore_is_another() {
        let mut roll = Roll::default();
        let [a, b, c] = ["G[r]eek", "g{R}EEK", "g[r]eek_"].map(|nick| roll.meet(nick));
        assert_eq!((a, b, c), (0, 0, 1));
        assert_eq!(roll.people()[0].nick, "G[r]eek", "the first spelling stands");
    }

    #[test]
    fn names_keep_what_they_can() {
        assert_eq!(account_name("g[r]eek"), "g[r]eek");
        assert_eq!(account_name("a~b c"), "a_b_c");
        assert_eq!(account_name(""), "_");
        assert_eq!(account_name(&"é".repeat(40)), "é".repeat(32));
    }

    #[test]
    fn a_refused_name_is_marked_and_listed() {
        let mut roll = Roll::default();
        let long = "x".repeat(32);
        let id = roll.meet(&long);
        roll.meet("other");
        assert_eq!(roll.refuse(id).unwrap(), format!("{}.irc", "x".repeat(28)));
        assert_eq!(roll.refuse(id).unwrap(), format!("{}.irc2", "x".repeat(27)));
        assert_eq!(roll.refuse(7), None);
        let marked: Vec<_> = roll.marked().map(|person| (person.nick.as_str(), person.refusals)).collect();
        assert_eq!(marked, [(long.as_str(), 2)]);
    }
}
