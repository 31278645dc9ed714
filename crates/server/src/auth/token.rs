//! Tokens of devices, and the first administrator's code: random, told once, kept as a hash.
//!
//! A hash is looked up by itself, so nothing is learnt from how long a comparison takes: whoever
//! guesses tokens does not choose the hashes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chirrup_core::hash::Hash;

use crate::edge;
use crate::limits::FIRST_CODE_BYTES;

/// What every device's token begins with, so that a leaked one is found by search.
const PREFIX: &str = "chs_";
/// Letters and digits that are not taken for each other when read aloud.
const SIGNS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// A new device token of 256 bits: `chs_` and 43 characters of base64url.
pub fn device() -> String {
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(edge::random::<32>()))
}

/// A new secret for the operator's own commands, as 43 characters of base64url.
pub fn operator() -> String {
    URL_SAFE_NO_PAD.encode(edge::random::<32>())
}

/// What is kept of a token.
pub fn hash(token: &str) -> Hash {
    Hash::of(token.as_bytes())
}

/// A new code for the first administrator: 128 bits in groups of four signs.
pub fn first_code() -> String {
    let bits = u128::from_be_bytes(edge::random::<FIRST_CODE_BYTES>());
    let signs: Vec<u8> = (0..26).rev().map(|i| SIGNS[((bits >> (i * 5)) & 31) as usize]).collect();
    let groups: Vec<&str> = signs.chunks(4).map(|group| std::str::from_utf8(group).expect("the signs are ASCII")).collect();
    groups.join("-")
}

/// What is kept of a code, in whatever way it was typed: case, spaces and hyphens do not count.
pub fn first_code_hash(code: &str) -> Hash {
    let plain: String = code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect();
    Hash::of(plain.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_their_form_and_differ() {
        let (a, b) = (device(), device());
        assert_ne!(a, b);
        assert!(a.starts_with("chs_") && a.len() == 47, "{a}");
        assert_ne!(hash(&a), hash(&b));
    }

    #[test]
    fn a_code_is_known_however_it_is_typed() {
        let code = first_code();
        assert_eq!(code.len(), 26 + 6, "{code}");
        assert_eq!(first_code_hash(&code), first_code_hash(&format!(" {} ", code.to_lowercase().replace('-', " "))));
        assert_ne!(first_code_hash(&code), first_code_hash(&first_code()));
    }
}
