//! From bytes to lines of text. Knows nothing of IRC.

use std::borrow::Cow;

/// One line without its end.
#[derive(Debug)]
pub(super) struct TextLine<'a> {
    /// The text.
    pub(super) text: Cow<'a, str>,
    /// True if the bytes were not UTF-8 and were read as Windows-1252.
    pub(super) recoded: bool,
}

/// Windows-1252 for the bytes 0x80 to 0x9F. The five that it leaves open stand for themselves,
/// as the WHATWG encoding standard has it.
const HIGH: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8D}', 'Ž', '\u{8F}', //
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9D}', 'ž', 'Ÿ',
];

/// The lines of a file. A line ends at LF or CR LF and nowhere else (a form feed or U+2028 is
/// text); a byte order mark at the very start is dropped. Lines are judged one at a time, because
/// one client with another encoding does not make a file of them.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = TextLine<'_>> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    bytes.split_inclusive(|byte| *byte == b'\n').map(|line| {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match str::from_utf8(line) {
            Ok(text) => TextLine { text: Cow::Borrowed(text), recoded: false },
            Err(_) => TextLine { text: line.iter().map(|byte| windows_1252(*byte)).collect(), recoded: true },
        }
    })
}

fn windows_1252(byte: u8) -> char {
    match byte {
        0x80..=0x9F => HIGH[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Vec<(String, bool)> {
        lines(bytes).map(|line| (line.text.into_owned(), line.recoded)).collect()
    }

    #[test]
    fn a_line_ends_at_lf_or_crlf_and_nowhere_else() {
        assert_eq!(read(b""), []);
        let expected = [("a", false), ("", false), ("b\rc\u{2028}d", false), ("e", false)];
        let got = read("a\r\n\nb\rc\u{2028}d\ne".as_bytes());
        assert_eq!(got, expected.map(|(text, recoded)| (text.to_owned(), recoded)));
    }

    #[test]
    fn only_the_lines_that_are_not_utf8_are_recoded() {
        let got = read(b"\xEF\xBB\xBFna\xC3\xAFve\nna\xEFve \x80 \x81\n");
        assert_eq!(got, [("naïve".to_owned(), false), ("naïve € \u{81}".to_owned(), true)]);
    }
}
