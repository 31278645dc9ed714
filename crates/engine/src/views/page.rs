//! Opaque texts that lead to the next page of a list: the key after which it begins.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The form of page texts that is given out now.
const VERSION: u8 = 1;
/// Characters of the longest page text that is looked at.
const CHARS_MAX: usize = 512;

/// A text of a key.
pub(super) fn encode(after: &[u8]) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(after);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The key of a text; none if the text was not given out.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    if text.len() > CHARS_MAX {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    match bytes.split_first() {
        Some((&VERSION, after)) => Some(after.to_vec()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_their_texts_and_other_texts_lead_nowhere() {
        for key in [&b""[..], b"key", &[0xff; 255]] {
            assert_eq!(decode(&encode(key)).as_deref(), Some(key));
        }
        let other_version = URL_SAFE_NO_PAD.encode([VERSION + 1, 7]);
        for text in ["", "%", "AQ==", &other_version] {
            assert_eq!(decode(text), None, "{text}");
        }
        let longest = CHARS_MAX / 4 * 3 - 1;
        assert_eq!(decode(&encode(&vec![7; longest])).map(|key| key.len()), Some(longest));
        assert_eq!(decode(&encode(&vec![7; longest + 1])), None, "longer than any key that was given out");
    }
}
