//! Each shape of line, and each way to be none.

use super::super::line::Reason;
use super::super::{Dial, LineKind, Log, Stamp};
use super::samples;

fn kinds(name: &str, text: &str) -> Vec<LineKind> {
    Log::parse(name, text.as_bytes()).lines.into_iter().map(|line| line.kind).collect()
}

fn kind(line: &str) -> LineKind {
    kinds("", line).remove(0)
}

fn message(nick: &str, text: &str) -> LineKind {
    LineKind::Message { nick: nick.to_owned(), text: text.to_owned() }
}

fn action(nick: &str, text: &str) -> LineKind {
    LineKind::Action { nick: nick.to_owned(), text: text.to_owned() }
}

fn rename(from: &str, to: &str) -> LineKind {
    LineKind::Rename { from: from.to_owned(), to: to.to_owned() }
}

#[test]
fn plain_lines() {
    assert_eq!(kind("[09:14] <|QuaD->  two blanks "), message("|QuaD-", " two blanks "));
    assert_eq!(kind("[09:14] <@op> <x> y"), message("op", "<x> y"));
    assert_eq!(kind("[09:14:59] <a>"), message("a", ""));
    assert_eq!(kind("[09:14]  * a waves"), action("a", "waves"));
    assert_eq!(kind("[09:14] * a"), action("a", ""));
    assert_eq!(kind("[05:12] -a:#ubuntu- x"), LineKind::Notice);
    assert_eq!(kind("[01:09] (a/#ubuntu) b: x"), message("a", "b: x"));
    assert_eq!(kind("[09:06] == a has changed nick to b"), rename("a", "b"));
    assert_eq!(kind("[09:04] == a [b@c] has quit [Changing host]"), LineKind::Quit { nick: "a".to_owned() });
    assert_eq!(kind(" \t"), LineKind::Blank);
}

#[test]
fn lines_behind_bars() {
    let nick = "a[b".to_owned();
    assert_eq!(kind("=== a[b [~c@d] has joined #Ubuntu"), LineKind::Join { nick: nick.clone() });
    assert_eq!(kind("=== a[b [~c@d] has left #ubuntu []"), LineKind::Part { nick: nick.clone() });
    let kick = LineKind::Kick { nick, by: "op".to_owned() };
    assert_eq!(kind("=== a[b was kicked off #ubuntu by op (flood)"), kick);
    assert_eq!(kind("=== a[b] is now known as c"), rename("a[b]", "c"));
    assert_eq!(kind("=== mode/#ubuntu [+o a] by ChanServ"), LineKind::Mode);
    assert_eq!(kind("=== a changed the topic of #ubuntu to: x"), LineKind::Topic);
    assert_eq!(kind("=== netjoined: a -> b"), LineKind::System);
}

/// Behind `===` an unknown line is an action if the old logger wrote the file, else unknown.
#[test]
fn the_old_logger_is_known_by_its_blanks() {
    let old = "=== x [y@z]  has joined #ubuntu";
    let lines = "=== bur[n] er wonders\n[09:14] <g[r] eek> x[1] y\n=== Guard] [an [n=G@h]  has left #ubuntu []\n\
                 === zcat[1] _ is now known as [A] ndy\n=== no: nick";
    let kinds_of = |text: String| kinds("2005-01-01.txt", &text);
    let expected = [
        LineKind::Join { nick: "x".to_owned() },
        action("bur[n]er", "wonders"),
        message("g[r]eek", "x[1] y"),
        LineKind::Part { nick: "Guard][an".to_owned() },
        rename("zcat[1]_", "[A]ndy"),
        LineKind::Unparsed { reason: Reason::Nick, text: "=== no: nick".to_owned() },
    ];
    assert_eq!(kinds_of(format!("{old}\n{lines}")), expected);
    let unknown = kinds_of("=== a waves".to_owned());
    assert_eq!(unknown, [LineKind::Unparsed { reason: Reason::Form, text: "=== a waves".to_owned() }]);

    let dial = |text: String| Log::parse("2005-01-01.txt", text.as_bytes()).dial;
    assert_eq!(dial(format!("{old}\n[12:59] <a> b")), Dial::Twelve);
    assert_eq!(dial(format!("{old}\n[13:00] <a> b")), Dial::TwentyFour);
    assert_eq!(dial("[12:59] <a> b".to_owned()), Dial::TwentyFour);
}

#[test]
fn channel_files_hold_several_channels_and_pad_their_lines() {
    let text = "mediawiki 2013-01-26 [15:04:04] <a>\t  b  \nstripe 2019-10-05 [00:10:52] <a>    b \n\
                mediawiki 2007-09-14 [11:05:00] *a \twaves  \nx 2006-04-30 === a [b@c]  has joined #x ";
    let log = Log::parse("no date here", text.as_bytes());
    let kinds: Vec<_> = log.lines.iter().map(|line| line.kind.clone()).collect();
    let join = LineKind::Join { nick: "a".to_owned() };
    assert_eq!(kinds, [message("a", " b"), message("a", "   b"), action("a", "waves"), join]);
    let channels: Vec<_> = log.lines.iter().filter_map(|line| line.channel.as_deref()).collect();
    assert_eq!(channels, ["mediawiki", "stripe", "mediawiki", "x"]);
    let times: Vec<_> = log.lines.iter().map(|line| line.at.map(Stamp::unix_seconds)).collect();
    assert_eq!(times, [Some(1_359_212_644), Some(1_570_234_252), Some(1_189_767_900), None]);
}

/// Invented files with every shape and every fault: all that is wrong is found and named.
#[test]
fn the_made_up_files_hold_every_reason() {
    let file = |name: &str| std::fs::read(samples().join("made-up").join(name)).unwrap();
    let mut reasons = Vec::new();
    for name in ["2020-02-28_22.plain.txt", "2006-01-31.old-logger.txt", "2011-06-29.pages.log", "channels.txt"] {
        let log = Log::parse(name, &file(name));
        assert!(log.is_log());
        for line in log.unparsed() {
            let LineKind::Unparsed { reason, text } = &line.kind else { unreachable!() };
            println!("{name}:{}: {}: {text}", line.number, reason.words());
            reasons.push(*reason);
        }
    }
    for reason in [Reason::Shape, Reason::Time, Reason::Form, Reason::Nick] {
        assert!(reasons.contains(&reason), "{reason:?}");
    }
    let plain = Log::parse("2020-02-28_22.plain.txt", &file("2020-02-28_22.plain.txt"));
    assert_eq!(plain.recoded, 2);
    assert!(plain.lines.iter().any(|line| line.kind == message("ann", "naïve “quoted” € \u{81}")));
    assert!(!Log::parse("not-a-log.md", &file("not-a-log.md")).is_log());
    assert!(!Log::parse("nothing", b"").is_log());
}

/// No bytes make it fail.
#[test]
fn any_bytes_are_read() {
    let seeds: [&[u8]; 6] = [
        b"[12:00] <a> b",
        b"=== a] b [c@d]  has joined #e",
        b"x 2013-01-26 [15:04:04] *a \tb",
        b"<span class=\"irc-date\">[4:02]</span> <span class=\"irc-black\">&lt;a&gt; b&amp;</span><br />",
        b"<font color=\"#1\"><font size=\"2\">(2:52:27 PM)</font> <b>***a</b></font> b<br/>",
        "\u{feff}é\u{2028}".as_bytes(),
    ];
    for seed in seeds {
        for at in 0..=seed.len() {
            for piece in [&b""[..], b"\xff", b"\n", b"]", b"> ", "€".as_bytes(), b"&#x110000;"] {
                let mut bytes = seed[..at].to_vec();
                bytes.extend(piece);
                bytes.extend(&seed[at..]);
                let log = Log::parse("2011-01-01_02", &bytes);
                let tally = log.tally();
                assert_eq!(tally.lines as usize, log.lines.len());
                Log::parse(&String::from_utf8_lossy(&bytes), &seed[at..]);
            }
        }
    }
}
