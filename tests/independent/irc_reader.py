#!/usr/bin/env python3
"""Reads IRC logs and says what should be in the conversation. Python 3, standard library only.

This is a witness, not a part of the server: it was written from the shapes of the logs and
shares no code with the program whose import it checks, and it goes about it the other way
round. It takes a whole file as one text and lets one regular expression for each shape claim
the lines it matches; what nobody claims is unparsed. Keep it that way: when it and the server's
reader disagree, look at the line of the log and decide which of them is wrong.

    irc_reader.py FOLDER             counts and digests of every log below FOLDER, as JSON
    irc_reader.py FOLDER --table     the counts and digests, one file a line, tabs between
    irc_reader.py FOLDER --said      what should be in the conversation, one record a line
    irc_reader.py FOLDER --unparsed  the lines that were not understood

A record is `file TAB line TAB folded nick TAB kind TAB text LF`, in UTF-8: `file` with `/`
relative to FOLDER, lines from 1, kind `message` or `action`. Files go by the bytes of their
names. `said_sha256` is over the records of a file; that of the totals is over all records.
`time_sha256` is over `line TAB seconds since 1970 LF` of the same records, `-` for no time.
"""

import argparse
import calendar
import hashlib
import json
import os
import re
import sys

# Shapes ---------------------------------------------------------------------------------------

CLOCK = r"(?P<h>2[0-3]|[01]?[0-9]):(?P<m>[0-5][0-9])(?::(?P<s>[0-5][0-9]))?"
HALF_CLOCK = r"(?P<h>1[0-2]|0?[1-9]):(?P<m>[0-5][0-9]):(?P<s>[0-5][0-9]) (?P<half>[AP]M)"
NICK = r"(?:[^\W]|[\[\]\\`^{|}.~-])+"
# The old Ubuntu logger put a space behind every closing bracket, in nicks too.
GAPPED = r"(?:[^\W]|[\[\\`^{|}.~-]|\](?: |(?=[>\n])|\Z))+"
# Files of several channels put this in front, and blanks behind.
DATED = r"(?P<channel>[^ \n\[=<][^ \n]*) (?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2}) "
# Two blanks before `has` are the old logger's hand.
CAME = (rf"(?:(?P<nick>{NICK}) \[[^ \n]*@[^ \n]*\] has "
        rf"|(?P<gapped>{GAPPED}) \[(?:[^\] \n]|\] )*@(?:[^\] \n]|\] (?! has ))*\]  has )")

# (kind, expression); an expression stands for whole lines. The first that claims a line has it.
PLAIN = [
    ("message", rf"\[{CLOCK}\] +<[@+%&]*(?:(?P<nick>{NICK})|(?P<gapped>{GAPPED}))> ?(?P<text>[^\n]*)"),
    ("message", rf"\[{CLOCK}\] +\((?P<nick>{NICK})/#[^ \n]*?\) (?P<text>[^\n]*)"),
    ("action", rf"\[{CLOCK}\] +\* *(?P<nick>{NICK})(?:[ \t](?P<text>[^\n]*))?"),
    ("other", rf"\[{CLOCK}\] +-[^ \n]*?- [^\n]*"),
]
EVENTS = [
    ("join", rf"{CAME}joined #[^\n]*"),
    ("part", rf"{CAME}left #[^\n]*"),
    ("quit", rf"{CAME}quit[^\n]*"),
    ("kick", rf"(?:(?P<nick>{NICK})|(?P<gapped>{GAPPED})) was kicked off #[^ \n]* by [^\n]*"),
    ("rename", rf"(?:(?P<nick>{NICK})|(?P<gapped>{GAPPED})) (?:is now known as|has changed nick to) "
               rf"(?:(?P<to>{NICK})|(?P<gapped_to>{GAPPED})) *"),
]
NEWS = [
    ("other", r"mode/#[^\n]*"),
    ("other", r"(?:\.\.\[topic/#|Topic for #|Topic \(#)[^\n]*"),
    ("other", rf"{NICK} changed the topic of #[^\n]*"),
    ("other", r"(?:Starting logfile|netjoined:|netsplit:) [^\n]*"),
]
# Only the old logger wrote actions so: in its files, anything else behind === is one.
OLD_ACTION = ("action", rf"(?P<gapped>{GAPPED})(?: (?P<text>[^\n]*))?")

SPAN = r'<span class="irc-date">\[' + CLOCK + r'\]</span> <span class="irc-'
SPAN_END = r"</span><br />"
HOST = r" \((?:(?!\) )[^\n])*\) "
PAGES = [
    ("message", rf'{SPAN}black">&lt;(?P<nick>{NICK})&gt; ?(?P<markup>[^\n]*){SPAN_END}'),
    ("other", rf'{SPAN}black">&lt;- \*[^\n]*{SPAN_END}'),
    ("action", rf'{SPAN}brick">\* (?P<nick>{NICK})(?: (?P<markup>[^\n]*))?{SPAN_END}'),
    ("other", rf"{SPAN}(?:green|navy)\">\* (?:Topic is '|Set by )[^\n]*{SPAN_END}"),
    ("other", rf'{SPAN}(?:green|navy)">\* Disconnected\.{SPAN_END}'),
    ("rename", rf'{SPAN}(?:green|navy)">\* (?P<nick>{NICK}) is now known as (?P<to>{NICK}){SPAN_END}'),
    ("join", rf'{SPAN}(?:green|navy)">\* (?P<nick>{NICK}){HOST}has joined #[^\n]*{SPAN_END}'),
    ("part", rf'{SPAN}(?:green|navy)">\* (?P<nick>{NICK}){HOST}has left #[^\n]*{SPAN_END}'),
    ("quit", rf'{SPAN}(?:green|navy)">\* (?P<nick>{NICK}){HOST}Quit[^\n]*{SPAN_END}'),
    ("other", rf'{SPAN}(?:brown|red)">[^\n]*{SPAN_END}'),
    ("action", rf'(?:<font color="[^"\n]*">)?<font size="2">\({HALF_CLOCK}\)</font> <b>\*\*\*(?P<nick>{NICK})'
               r"</b></font> ?(?P<markup>[^\n]*)<br/>"),
    ("message", rf'(?:<font color="[^"\n]*">)?<font size="2">\({HALF_CLOCK}\)</font> <b>(?P<nick>{NICK}):'
                r"</b></font> ?(?P<markup>[^\n]*)<br/>"),
    ("join", rf'<font size="2">\({HALF_CLOCK}\)</font><b> (?P<nick>{NICK}) \[<em>[^\n]*</em>\] entered the room\.</b><br/>'),
    ("part", rf'<font size="2">\({HALF_CLOCK}\)</font><b> (?P<nick>{NICK}) left the room\.</b><br/>'),
    ("quit", rf'<font size="2">\({HALF_CLOCK}\)</font><b> (?P<nick>{NICK}) left the room \(quit: [^\n]*</b><br/>'),
    ("other", r"</?pre>"),
    ("other", r"<h[34]>[^\n]*"),
]


def whole_line(pattern):
    return re.compile(rf"^{pattern}$", re.MULTILINE)


def shapes(old_logger):
    """Every shape in the order of their claims, compiled, with and without a channel in front."""
    behind_bars = EVENTS + NEWS + ([OLD_ACTION] if old_logger else [])
    forms = [(kind, f"=== {pattern}") for kind, pattern in behind_bars] + PLAIN
    forms += [(kind, rf"\[{CLOCK}\] +== {pattern}") for kind, pattern in EVENTS]
    for kind, pattern in forms + PAGES:
        yield kind, whole_line(pattern)
    for kind, pattern in forms:
        yield kind, whole_line(rf"{DATED}{pattern}")


CATALOGUE = {old: list(shapes(old)) for old in (False, True)}
OLD_LOGGER = re.compile(r"^(?:[^ \n]+ [0-9-]{10} )?=== [^\n]*\]  has (?:joined|left) #", re.MULTILINE)
LATE_HOUR = re.compile(r"^(?:[^ \n]+ [0-9-]{10} )?\[(?:1[3-9]|2[0-3]):", re.MULTILINE)

# Text -----------------------------------------------------------------------------------------

FOLDED = str.maketrans(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ[]\\~",
    "abcdefghijklmnopqrstuvwxyz{}|^",
)
# What counts as nothing to see: Unicode's White_Space.
WHITE = "\t\n\v\f\r \x85\u00a0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
NAMES = ("nick", "gapped", "to", "gapped_to")
NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'", "nbsp": "\u00a0"}


def fold(nick):
    return nick.translate(FOLDED)


def cp1252(raw):
    """Windows-1252, the five open bytes standing for themselves."""
    try:
        return raw.decode("cp1252")
    except UnicodeDecodeError:
        return "".join(cp1252(raw[i:i + 1]) if raw[i] not in b"\x81\x8d\x8f\x90\x9d" else chr(raw[i])
                       for i in range(len(raw)))


def text_of(raw):
    """The whole file as text with LF ends, and how many lines were not UTF-8."""
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    recoded, lines = 0, []
    pieces = raw.split(b"\n")
    if pieces[-1] == b"":
        pieces.pop()
    for line in pieces:
        line = line.removesuffix(b"\r")
        try:
            lines.append(line.decode("utf-8"))
        except UnicodeDecodeError:
            lines.append(cp1252(line))
            recoded += 1
    return "\n".join(lines), len(lines), recoded


def character(match):
    name = match[1]
    if name in NAMED:
        return NAMED[name]
    number = re.fullmatch(r"#(?:[xX](?P<hex>[0-9a-fA-F]+)|(?P<dec>[0-9]+))", name)
    code = number and (int(number["hex"], 16) if number["hex"] else int(number["dec"]))
    usable = code and 0x20 <= code < 0x110000 and not 0x7F <= code < 0xA0 and not 0xD800 <= code < 0xE000
    return chr(code) if usable else match[0]


def from_markup(markup):
    return re.sub(r"&([^;&]*);", character, re.sub(r"<[^>]*>", "", markup))


# Time -----------------------------------------------------------------------------------------

ZONES = {"UTC": 0, "GMT": 0, "CET": 1, "CEST": 2, "EDT": -4, "EST": -5, "CDT": -5, "CST": None,
         "MDT": -6, "MST": -7, "PDT": -7, "PST": -8}


def midnight(date):
    year, month, day = map(int, date.split("-"))
    if not (1 <= month <= 12 and 1 <= day <= calendar.monthrange(year or 4, month)[1]):
        return None
    return calendar.timegm((year, month, day, 0, 0, 0))


def shown(match):
    """Seconds since midnight as the line shows them; none if it shows no time."""
    found = match.groupdict()
    if not found.get("h"):
        return None
    hour = int(found["h"])
    if found.get("half"):
        hour = hour % 12 + (12 if found["half"] == "PM" else 0)
    return hour * 3600 + int(found["m"]) * 60 + int(found["s"] or 0)


def times(name, text, claims, twelve):
    """Line number to seconds since 1970, for the lines that show a time."""
    zones, ahead = {}, 0
    for number, line in enumerate(text.split("\n"), 1):
        heading = re.match(r"<h[34]>.*?imes below are ([A-Z]+)", line)
        if heading and ZONES.get(heading[1]) is not None:
            ahead = ZONES[heading[1]] * 3600
        zones[number] = ahead

    lap = 12 * 3600 if twelve else 24 * 3600
    label = re.search(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:_([01][0-9]|2[0-3])(?![0-9]))?", os.path.basename(name))
    named_day = midnight(label[1]) if label else None

    # Lines with a date of their own are a track each day, all others are one track; on a track
    # time falls back by more than two hours only where the clock went round.
    tracks, run, before = [], None, object()
    for number, (_, match) in sorted(claims.items()):
        clock = shown(match)
        if clock is None:
            continue
        day = match.groupdict().get("day")
        if day != before:
            run = []
            tracks.append((day, run))
            before = day
        run.append((number, clock))

    when = {}
    for day, run in tracks:
        laps, last, track = 0, None, []
        for number, clock in run:
            hand = clock % lap
            if last is not None and last - hand > 7200 and (day is None or twelve and laps == 0):
                laps += 1
            last = hand
            track.append((number, clock, laps * lap + hand))
        zero = named_day if day is None else midnight(day)
        if zero is None:
            continue
        if day is None and label[2]:
            hour = int(label[2])
            for _, clock, along in track:
                if clock // 3600 % (lap // 3600) == hour % (lap // 3600):
                    zero = named_day + hour * 3600 + clock % 3600 - along
        for number, _, along in track:
            when[number] = zero + along - zones[number]
    return when


# Files ----------------------------------------------------------------------------------------


def read(path, name):
    """All there is to say of one file; None if it is no log."""
    with open(path, "rb") as file:
        text, lines, recoded = text_of(file.read())
    starts = [0] + [at + 1 for at, c in enumerate(text) if c == "\n"]
    number_at = {start: number for number, start in enumerate(starts, 1)}
    old_logger = bool(OLD_LOGGER.search(text))

    claims = {}
    for kind, expression in CATALOGUE[old_logger]:
        for match in expression.finditer(text):
            day = match.groupdict().get("day")
            if day is None or midnight(day) is not None:
                claims.setdefault(number_at[match.start()], (kind, match))

    shown_lines = text.split("\n") if lines else []
    blank = {number for number, line in enumerate(shown_lines, 1) if not line.strip(WHITE)}
    unparsed = [number for number in range(1, lines + 1) if number not in claims and number not in blank]
    if not claims or len(claims) < len(unparsed):
        return None

    count = dict.fromkeys(["message", "action", "join", "part", "quit", "kick", "rename", "other"], 0)
    when = times(name, text, claims, old_logger and not LATE_HOUR.search(text))
    records, moments, silent, speakers, persons = [], [], 0, set(), set()
    for number, (kind, match) in sorted(claims.items()):
        count[kind] += 1
        found = match.groupdict()
        nicks = [fold(found[key].replace("] ", "]")) for key in NAMES if found.get(key)]
        persons.update(nicks)
        if kind not in ("message", "action"):
            continue
        said = from_markup(found["markup"] or "") if "markup" in found else found.get("text") or ""
        if found.get("day"):
            said = re.sub(r"[ \t]+\Z", "", re.sub(r"\A[ \t]+" if kind == "action" else r"\A\t ?", "", said))
        if not said.strip(WHITE):
            silent += 1
            continue
        speakers.add(nicks[0])
        records.append(f"{name}\t{number}\t{nicks[0]}\t{kind}\t{said}\n".encode())
        moments.append(f"{number}\t{when.get(number, '-')}\n".encode())

    return {
        "file": name,
        "lines": lines,
        "messages": count["message"],
        "actions": count["action"],
        "joins": count["join"],
        "parts": count["part"],
        "quits": count["quit"],
        "kicks": count["kick"],
        "renames": count["rename"],
        "other": count["other"],
        "blank": len(blank),
        "unparsed": unparsed,
        "silent": silent,
        "recoded": recoded,
        "speakers": speakers,
        "persons": persons,
        "said_sha256": hashlib.sha256(b"".join(records)).hexdigest(),
        "time_sha256": hashlib.sha256(b"".join(moments)).hexdigest(),
        "records": records,
        "shown": [(number, shown_lines[number - 1]) for number in unparsed],
    }


def logs(folder):
    names = []
    for place, _, files in os.walk(folder):
        names += [os.path.relpath(os.path.join(place, file), folder).replace(os.sep, "/") for file in files]
    others = []
    found = []
    for name in sorted(names, key=os.fsencode):
        log = read(os.path.join(folder, name), name)
        if log:
            found.append(log)
        else:
            others.append(name)
    return found, others


COUNTS = ["lines", "messages", "actions", "joins", "parts", "quits", "kicks", "renames", "other",
          "blank", "unparsed", "silent", "recoded", "speakers", "persons"]


def number(value):
    return value if isinstance(value, int) else len(value)


def totals(found):
    total = {key: sum(number(log[key]) for log in found) for key in COUNTS[:-2]}
    for key in COUNTS[-2:]:
        total[key] = len(set().union(*(log[key] for log in found)))
    digest = hashlib.sha256()
    for log in found:
        digest.update(b"".join(log["records"]))
    return total | {"files": len(found), "said_sha256": digest.hexdigest()}


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder")
    form = options.add_mutually_exclusive_group()
    form.add_argument("--table", action="store_true")
    form.add_argument("--said", action="store_true")
    form.add_argument("--unparsed", action="store_true")
    asked = options.parse_args()
    found, others = logs(asked.folder)
    out = sys.stdout.buffer
    if asked.said:
        for log in found:
            out.write(b"".join(log["records"]))
    elif asked.unparsed:
        for log in found:
            for line, text in log["shown"]:
                out.write(f"{log['file']}:{line}: {text}\n".encode())
    elif asked.table:
        for log in found:
            row = [log["file"]] + [str(number(log[key])) for key in COUNTS] + [log["said_sha256"], log["time_sha256"]]
            out.write(("\t".join(row) + "\n").encode())
        total = totals(found)
        row = ["*"] + [str(total[key]) for key in COUNTS] + [total["said_sha256"], "-"]
        out.write(("\t".join(row) + "\n").encode())
    else:
        keep = COUNTS + ["said_sha256", "time_sha256"]
        shown_logs = [{"file": log["file"]} | {
            key: len(log[key]) if isinstance(log[key], set) else log[key] for key in keep
        } for log in found]
        json.dump({"files": shown_logs, "total": totals(found), "not_logs": others}, sys.stdout, indent=1)
        print()


if __name__ == "__main__":
    main()
