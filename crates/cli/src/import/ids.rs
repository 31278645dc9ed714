//! Client ids of an import: made of what is imported, so that an import that is run twice, by
//! whomever and from wherever, takes effect once.

use chirrup_core::ids::{ClientId, UserId};

/// Tells these ids from what any other program makes of the same words.
const SPACE: &str = "chirrup import irc";

/// Of a message: its channel, the name of its file, and its line, from 1.
pub(crate) fn of_line(channel: &str, file: &str, line: u32) -> ClientId {
    make("line", &[channel.as_bytes(), file.as_bytes()], line)
}

/// Of the account of everybody with this folded nick.
pub(crate) fn of_person(folded_nick: &str) -> ClientId {
    make("person", &[folded_nick.as_bytes()], 0)
}

/// Of a channel's group.
pub(crate) fn of_group(channel: &str) -> ClientId {
    make("group", &[channel.as_bytes()], 0)
}

/// Of the making of these members.
pub(crate) fn of_members(users: &[UserId]) -> ClientId {
    let users: Vec<&[u8]> = users.iter().map(|user| user.0.as_slice()).collect();
    make("members", &users, 0)
}

/// A UUID of version 8 (RFC 9562, section 5.8): 90 bits of a BLAKE3 hash, then the number. So the
/// ids of a file's lines ascend, which a store likes.
fn make(kind: &str, parts: &[&[u8]], number: u32) -> ClientId {
    let mut hasher = blake3::Hasher::new();
    for part in [SPACE.as_bytes(), kind.as_bytes()].iter().chain(parts) {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut bytes = [0; 16];
    bytes[..12].copy_from_slice(&hasher.finalize().as_bytes()[..12]);
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    bytes[12..].copy_from_slice(&number.to_be_bytes());
    ClientId(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_line_has_its_own_and_always_the_same() {
        let lines = [("a", "b", 1), ("a", "b", 2), ("ab", "", 1), ("", "ab", 1), ("a", "b", 256), ("A", "b", 1)];
        let ids: HashSet<_> = lines.iter().map(|(channel, file, line)| of_line(channel, file, *line)).collect();
        assert_eq!(ids.len(), lines.len());
        assert!(!ids.contains(&of_group("a")) && of_group("ann") != of_person("ann"));
        assert_eq!(of_line("ubuntu", "2008-07-03.raw.txt", 7).to_string(), "4b729763-ee7f-8349-b0af-0fcc00000007");
    }

    #[test]
    fn the_ids_of_a_file_ascend_and_are_of_version_8() {
        let ids: Vec<_> = (1..1_000).map(|line| of_line("c", "f", line)).collect();
        assert!(ids.is_sorted());
        assert!(ids.iter().all(|id| id.0[6] >> 4 == 8 && id.0[8] >> 6 == 2));
    }
}
