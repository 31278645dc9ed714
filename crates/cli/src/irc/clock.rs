//! From what a line shows to a moment: dates out of file names, midnights passed within a file,
//! dials of twelve hours. Knows no log format.

/// Seconds in a day.
const DAY: i64 = 86_400;
/// A clock that shows this much less than the line before has been set (summer time ends, a
/// drift is corrected); one that shows still less has gone round.
const SLIP: i64 = 2 * 3_600;

/// When a line was logged, in seconds since 1970-01-01 00:00 UTC; where a log has no seconds,
/// the start of the minute.
///
/// A log seldom says whose time it shows. It is taken as UTC unless the file names a zone ahead
/// of the line. This is known to be wrong for the old Ubuntu logger (2004 to 2007), which showed
/// the time of central Europe: times to be shown beside a message, never to order by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp(i64);

impl Stamp {
    /// Seconds since 1970-01-01 00:00 UTC.
    pub(crate) fn unix_seconds(self) -> i64 {
        self.0
    }
}

/// How many hours the clock of a file shows before it starts again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dial {
    /// 1 to 12 or 0 to 11, and nothing that tells morning from afternoon.
    Twelve,
    /// 0 to 23.
    TwentyFour,
}

impl Dial {
    /// 12 or 24.
    pub(crate) fn hours(self) -> i64 {
        match self {
            Self::Twelve => 12,
            Self::TwentyFour => 24,
        }
    }
}

/// What the clock showed on a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    /// The date on the line, in days since 1970-01-01.
    pub(super) day: Option<i64>,
    /// Seconds since midnight as shown, 0 to 86,399.
    pub(super) second: u32,
    /// How far the clock is ahead of UTC, in minutes.
    pub(super) zone_minutes: i32,
}

/// What the name of a file says of its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Label {
    /// In days since 1970-01-01.
    pub(super) day: i64,
    /// An hour of that day (0 to 23) that the file holds lines of. Without it the date is that
    /// of the first line.
    pub(super) hour: Option<u32>,
}

impl Label {
    /// Finds `2011-11-13` or `2011-11-13_02` in the last part of a path.
    pub(super) fn of(name: &str) -> Option<Self> {
        let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
        let (day, rest) = (0..name.len()).find_map(|at| date(name.get(at..)?))?;
        let hour = rest
            .strip_prefix('_')
            .and_then(|rest| rest.get(..2).filter(|_| !rest[2..].starts_with(|c: char| c.is_ascii_digit())))
            .and_then(digits)
            .filter(|hour| *hour < 24);
        Some(Self { day, hour })
    }
}

/// Reads `2011-11-13` at the start of a text; gives the days since 1970-01-01 and the rest.
pub(super) fn date(text: &str) -> Option<(i64, &str)> {
    let (date, rest) = text.split_at_checked(10)?;
    let (year, rest_of_date) = date.split_at_checked(4)?;
    let (month, day) = rest_of_date.strip_prefix('-')?.split_once('-')?;
    let (year, month, day) = (digits(year)?, digits(month)?, digits(day)?);
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let length = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return None,
    };
    (1..=length).contains(&day).then(|| (days_since_epoch(year, month, day), rest))
}

/// Days from 1970-01-01 to a valid date of the Gregorian calendar. Years start in March here, so
/// that the leap day is the last (Hinnant, "chrono-compatible low-level date algorithms").
fn days_since_epoch(year: u32, month: u32, day: u32) -> i64 {
    let years = i64::from(year) - i64::from(month < 3);
    let months = i64::from((month + 9) % 12);
    let leap_days = years.div_euclid(4) - years.div_euclid(100) + years.div_euclid(400);
    years * 365 + leap_days + (153 * months + 2) / 5 + i64::from(day) - 719_469
}

/// `H:MM`, `HH:MM` or either with `:SS`, as seconds since midnight.
pub(super) fn second_of_day(time: &str) -> Option<u32> {
    let (hour, rest) = time.split_once(':')?;
    let (minute, second) = rest.split_once(':').unwrap_or((rest, "00"));
    let fits = (1..=2).contains(&hour.len()) && minute.len() == 2 && second.len() == 2;
    let (hour, minute, second) = (digits(hour)?, digits(minute)?, digits(second)?);
    (fits && hour < 24 && minute < 60 && second < 60).then_some(hour * 3_600 + minute * 60 + second)
}

/// A number of nothing but ASCII digits.
pub(super) fn digits(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Gives each reading its moment; none where there is no reading, or no date in it or `label`.
///
/// Time does not run backwards by more than [`SLIP`]: where it seems to, the clock went round.
/// On a dial of twelve hours the half of the day comes from the hour in `label`; failing that
/// the first line is taken to be in the morning.
pub(super) fn resolve(readings: &[Option<Reading>], label: Option<Label>, dial: Dial) -> Vec<Option<Stamp>> {
    let mut hand = Hand { dial, day: None, turns: 0, last: None };
    let elapsed: Vec<_> = readings.iter().map(|reading| reading.map(|reading| (reading, hand.advance(reading)))).collect();

    let start = label.map(|label| start(&elapsed, label, dial));
    let moment = |(reading, elapsed): (Reading, i64)| {
        let start = reading.day.map(|day| day * DAY).or(start)?;
        Some(Stamp(start + elapsed - i64::from(reading.zone_minutes) * 60))
    };
    elapsed.into_iter().map(|reading| reading.and_then(moment)).collect()
}

/// The moment from which the lines without a date of their own count.
fn start(elapsed: &[Option<(Reading, i64)>], label: Label, dial: Dial) -> i64 {
    let midnight = label.day * DAY;
    let Some(hour) = label.hour.map(i64::from) else { return midnight };
    let in_that_hour =
        |(reading, _): &&(Reading, i64)| reading.day.is_none() && i64::from(reading.second) / 3_600 % dial.hours() == hour % dial.hours();
    match elapsed.iter().flatten().rfind(in_that_hour) {
        Some((reading, elapsed)) => midnight + hour * 3_600 + i64::from(reading.second) % 3_600 - elapsed,
        None => midnight,
    }
}

/// The hand of a clock, followed from line to line.
struct Hand {
    dial: Dial,
    day: Option<i64>,
    /// How often it has gone round since the first line, or since midnight on dated lines.
    turns: i64,
    last: Option<i64>,
}

impl Hand {
    /// Seconds since the hand was last known to be at the top: on the first line of the file,
    /// or at midnight of a dated line (which it then cannot pass).
    fn advance(&mut self, reading: Reading) -> i64 {
        if reading.day != self.day {
            *self = Self { dial: self.dial, day: reading.day, turns: 0, last: None };
        }
        let round = self.dial.hours() * 3_600;
        let shown = i64::from(reading.second) % round;
        let went_round = self.last.is_some_and(|last| last - shown > SLIP);
        if went_round && (self.day.is_none() || (self.turns + 2) * round <= DAY) {
            self.turns += 1;
        }
        self.last = Some(shown);
        self.turns * round + shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60;
    const HOUR: i64 = 3_600;

    fn shown(times: &[(u32, u32)]) -> Vec<Option<Reading>> {
        let reading = |(hour, minute): &(u32, u32)| Reading { day: None, second: hour * 3_600 + minute * 60, zone_minutes: 0 };
        times.iter().map(|time| Some(reading(time))).collect()
    }

    /// Hours and minutes since the midnight that starts the labelled day.
    fn resolved(times: &[(u32, u32)], name: &str, dial: Dial) -> Vec<(i64, i64)> {
        let label = Label::of(name).unwrap();
        let stamps = resolve(&shown(times), Some(label), dial);
        let since = |stamp: Option<Stamp>| stamp.unwrap().unix_seconds() - label.day * DAY;
        stamps.into_iter().map(|stamp| (since(stamp).div_euclid(HOUR), since(stamp).rem_euclid(HOUR) / MINUTE)).collect()
    }

    #[test]
    fn a_name_may_hold_a_date_and_an_hour() {
        let day = |name| Label::of(name).map(|label| (label.day, label.hour));
        assert_eq!(day("a/2011-01-01.log"), Some((14_975, None)));
        assert_eq!(day("dev/2011-11-13_02.raw.txt"), Some((15_291, Some(2))));
        assert_eq!(day("1970-01-01_24.txt"), Some((0, None)), "there is no hour 24");
        assert_eq!(day("x-2000-02-29"), Some((11_016, None)));
        assert_eq!(day("2001-02-29.log"), None, "no such day");
        assert_eq!(day("2011-01-01/plain.log"), None, "folders do not date");
        assert_eq!(day("ab\u{e9}2011.log"), None);
    }

    #[test]
    fn a_time_has_two_digits_but_for_the_hour() {
        assert_eq!(second_of_day("4:02"), Some(4 * 3_600 + 120));
        assert_eq!(second_of_day("23:59:59"), Some(86_399));
        for bad in ["24:00", "04:60", "04:2", "004:02", "04:02:60", "04", "+4:02", ""] {
            assert_eq!(second_of_day(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_file_may_pass_midnight_but_a_clock_set_back_is_no_new_day() {
        let times = [(23, 59), (0, 1), (0, 0), (23, 58), (22, 59), (0, 3)];
        let expected = [(23, 59), (24, 1), (24, 0), (47, 58), (46, 59), (48, 3)];
        assert_eq!(resolved(&times, "2008-07-03.txt", Dial::TwentyFour), expected);
    }

    #[test]
    fn an_hour_in_the_name_says_which_day_is_meant() {
        let times = [(21, 29), (0, 10), (2, 30), (3, 26)];
        let expected = [(-3, 29), (0, 10), (2, 30), (3, 26)];
        assert_eq!(resolved(&times, "2011-11-13_02.raw.txt", Dial::TwentyFour), expected);
    }

    #[test]
    fn a_dial_of_twelve_hours_goes_round_at_noon() {
        let times = [(11, 11), (12, 0), (12, 59), (1, 0), (2, 30)];
        let noon = [(11, 11), (12, 0), (12, 59), (13, 0), (14, 30)];
        assert_eq!(resolved(&times, "2005-07-06_14.txt", Dial::Twelve), noon);
        assert_eq!(resolved(&times, "2005-07-06.txt", Dial::Twelve), noon, "morning is the guess");
        let night = [(-1, 11), (0, 0), (0, 59), (1, 0), (2, 30)];
        assert_eq!(resolved(&times, "2005-07-06_02.txt", Dial::Twelve), night);
    }

    #[test]
    fn dated_lines_stay_in_their_day_and_zones_are_taken_off() {
        let dated = |day: i64, hour: u32, zone_minutes: i32| Some(Reading { day: Some(day), second: hour * 3_600, zone_minutes });
        let readings = [dated(0, 9, 0), None, dated(0, 5, 0), dated(0, 1, 0), dated(1, 1, -300)];
        let seconds = |dial| {
            let stamps = resolve(&readings, None, dial);
            stamps.into_iter().map(|stamp| stamp.map(|stamp| stamp.unix_seconds() / HOUR)).collect::<Vec<_>>()
        };
        assert_eq!(seconds(Dial::TwentyFour), [Some(9), None, Some(5), Some(1), Some(30)]);
        assert_eq!(seconds(Dial::Twelve), [Some(9), None, Some(17), Some(13), Some(30)]);
        assert_eq!(resolve(&shown(&[(1, 0)]), None, Dial::TwentyFour), [None], "no date, no moment");
    }
}
