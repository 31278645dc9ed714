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
