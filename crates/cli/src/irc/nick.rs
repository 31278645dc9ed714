//! Nicks: what can be one, and which two are the same.

/// Folds a nick to lower case as IRC servers do (RFC 1459, 2.2): besides A to Z, `[]\~` are the
/// upper case of `{}|^`. Two nicks with one fold are one person.
pub(crate) fn fold(nick: &str) -> String {
    nick.chars()
        .map(|c| match c {
            '[' => '{',
            ']' => '}',
            '\\' => '|',
            '~' => '^',
            _ => c.to_ascii_lowercase(),
        })
        .collect()
}

/// Whether this can be a nick: letters, digits and the marks RFC 2812 allows, and `.` and `~`,
/// which some networks add. Not bounded in length.
pub(super) fn is_nick(nick: &str) -> bool {
    !nick.is_empty() && nick.chars().all(|c| c.is_alphanumeric() || "[]\\`_^{|}-.~".contains(c))
}

/// Takes out the space that the old Ubuntu logger put behind every `]`. No nick has a space, so
/// this changes nothing that was written by another.
pub(super) fn mend(nick: &str) -> String {
    nick.replace("] ", "]")
}

/// Splits what the old Ubuntu logger wrote as `nick rest`: a nick goes on behind `] `, and ends
/// at the first space that is not such a one. The rest is none if the nick is all there is.
pub(super) fn split_mended(line: &str) -> (String, Option<&str>) {
    let mut before = '\0';
    for (at, c) in line.char_indices() {
        if c == ' ' && before != ']' {
            return (mend(&line[..at]), Some(&line[at + 1..]));
        }
        before = c;
    }
    (mend(line), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_fold_as_letters_do() {
        assert_eq!(fold(r"Foo[A]\~"), "foo{a}|^");
        assert_eq!(fold("|capirra"), fold(r"\CAPIRRA"));
        assert_ne!(fold("nick"), fold("nick_"));
        assert_eq!(fold("ÄÖ"), "ÄÖ", "only ASCII folds");
    }

    #[test]
    fn the_loggers_spaces_come_out_of_nicks() {
        assert_eq!(mend("g[r] eek"), "g[r]eek");
        assert_eq!(mend("brad[] "), "brad[]");
        assert_eq!(split_mended("bur[n] er wonders [x] y"), ("bur[n]er".to_owned(), Some("wonders [x] y")));
        assert_eq!(split_mended("Rubin[work]  laughs"), ("Rubin[work]".to_owned(), Some("laughs")));
        assert_eq!(split_mended("Guard] [an [n=a@b] "), ("Guard][an".to_owned(), Some("[n=a@b] ")));
        assert_eq!(split_mended("alone"), ("alone".to_owned(), None));
    }

    #[test]
    fn what_cannot_be_a_nick() {
        for good in ["a", "1up", "g[r]eek", "|capirra", "`x`", "Zoë", "a.b"] {
            assert!(is_nick(good), "{good}");
        }
        for bad in ["", "a b", "netjoined:", "..[topic/#ubuntu:Seveas]", "a\u{7}", "<a"] {
            assert!(!is_nick(bad), "{bad}");
        }
    }
}
