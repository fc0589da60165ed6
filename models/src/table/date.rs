//! Dates and times of day as microseconds since 1970-01-01, UTC (proleptic Gregorian calendar).
//!
//! Read: `2026-05-01` (also with `/` or `.`), `1.5.2026`, `5/1/2026` or `1/5/2026` (the column says which), `1-May-2026`,
//! `1 May 2026`, `May 1, 2026`; each may be followed by `T` or a space, `12:30`, `12:30:15` or `12:30:15.123456`, AM or PM,
//! and `Z`, `UTC`, `+02:00`, `+0200` or `+02`. A time without a zone is UTC.

use std::fmt;

/// Microseconds a day.
pub(crate) const DAY: i64 = 24 * 60 * 60 * 1_000_000;
const MONTHS: [&[u8]; 12] = [
    b"january",
    b"february",
    b"march",
    b"april",
    b"may",
    b"june",
    b"july",
    b"august",
    b"september",
    b"october",
    b"november",
    b"december",
];

/// Reads trimmed text. `day_first` tells how `1/5/2026` is meant.
pub(crate) fn parse(text: &[u8], day_first: bool) -> Option<i64> {
    let mut scanner = Scanner { rest: text };
    let (year, month, day) = scanner.date(day_first)?;
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    let days = days_from_civil(year, month, day);
    let seconds_and_micros = if scanner.rest.is_empty() { 0 } else { scanner.time()? };
    if !scanner.rest.is_empty() {
        return None;
    }
    // The first and last day of the range begin or end beyond it.
    i64::try_from(i128::from(days) * i128::from(DAY) + i128::from(seconds_and_micros)).ok()
}

/// What is left to read; every method reads something off its start or gives none.
struct Scanner<'a> {
    rest: &'a [u8],
}

impl Scanner<'_> {
    /// A run of `least` to `most` digits, and how many they were.
    fn digits(&mut self, least: usize, most: usize) -> Option<(i64, usize)> {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count < least || count > most {
            return None;
        }
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        Some((digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')), count))
    }

    fn one_of(&mut self, bytes: &[u8]) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        bytes.contains(first).then(|| {
            self.rest = rest;
            *first
        })
    }

    /// A month by its name or the name's first three letters.
    fn month_name(&mut self) -> Option<i64> {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let (word, rest) = self.rest.split_at(count);
        let named = |name: &[u8]| word.eq_ignore_ascii_case(name) || word.eq_ignore_ascii_case(&name[..3]);
        let (month, _) = (1..).zip(MONTHS).find(|(_, name)| named(name))?;
        self.rest = rest;
        Some(month)
    }

    fn date(&mut self, day_first: bool) -> Option<(i64, i64, i64)> {
        if self.rest.first().is_some_and(u8::is_ascii_alphabetic) {
            let month = self.month_name()?;
            self.one_of(b" ")?;
            let (day, _) = self.digits(1, 2)?;
            if self.one_of(b",").is_none() && self.rest.first() != Some(&b' ') {
                return None;
            }
            let _ = self.one_of(b" ");
            let (year, _) = self.digits(4, 4)?;
            return Some((year, month, day));
        }
        // ISO 8601 writes years beyond 0 to 9999 with a sign.
        let sign = self.one_of(b"+-");
        let (first, count) = self.digits(1, 6)?;
        if sign.is_some() || count >= 4 {
            if (sign.is_some() && count < 4) || (sign.is_none() && count > 4) {
                return None;
            }
            let separator = self.one_of(b"-/.")?;
            let (month, _) = self.digits(1, 2)?;
            self.one_of(&[separator])?;
            let (day, _) = self.digits(1, 2)?;
            return Some((if sign == Some(b'-') { -first } else { first }, month, day));
        }
        if count > 2 {
            return None;
        }
        let separator = self.one_of(b"/.- ")?;
        if self.rest.first().is_some_and(u8::is_ascii_alphabetic) {
            let month = self.month_name()?;
            self.one_of(&[separator])?;
            let (year, _) = self.digits(4, 4)?;
            return Some((year, month, first));
        }
        if separator == b' ' {
            return None;
        }
        let (second, _) = self.digits(1, 2)?;
        self.one_of(&[separator])?;
        let (year, _) = self.digits(4, 4)?;
        // Dots are written by those who put the day first.
        Some(if day_first || separator == b'.' { (year, second, first) } else { (year, first, second) })
    }

    /// Microseconds of the time of day, less the zone's.
    fn time(&mut self) -> Option<i64> {
        self.one_of(b"Tt ")?;
        let (mut hour, _) = self.digits(1, 2)?;
        self.one_of(b":")?;
        let (minute, _) = self.digits(2, 2)?;
        let (mut second, mut micros) = (0, 0);
        if self.one_of(b":").is_some() {
            (second, _) = self.digits(2, 2)?;
            if self.one_of(b".,").is_some() {
                micros = self.fraction()?;
            }
        }
        let spaced = self.one_of(b" ").is_some();
        if let Some(half) = self.one_of(b"AaPp") {
            self.one_of(b"Mm")?;
            if !(1..=12).contains(&hour) {
                return None;
            }
            hour = hour % 12 + if half.eq_ignore_ascii_case(&b'p') { 12 } else { 0 };
        } else if spaced && self.rest.is_empty() {
            return None;
        }
        // 60 is a leap second; it is counted as the next minute's first.
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let zone_minutes = self.zone()?;
        Some(((hour * 60 + minute - zone_minutes) * 60 + second) * 1_000_000 + micros)
    }

    /// Microseconds of a fraction of a second; finer digits are cut off.
    fn fraction(&mut self) -> Option<i64> {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return None;
        }
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        Some((0..6).fold(0, |micros, place| micros * 10 + digits.get(place).map_or(0, |digit| i64::from(digit - b'0'))))
    }

    /// Minutes that the zone is ahead of UTC.
    fn zone(&mut self) -> Option<i64> {
        if let Some(rest) = self.rest.strip_prefix(b"UTC").or_else(|| self.rest.strip_prefix(b"GMT")) {
            self.rest = rest;
            return Some(0);
        }
        let Some(sign) = self.one_of(b"Zz+-") else { return Some(0) };
        if sign.eq_ignore_ascii_case(&b'z') {
            return Some(0);
        }
        let (number, count) = self.digits(2, 4)?;
        let (hours, minutes) = match count {
            2 if self.one_of(b":").is_some() => (number, self.digits(2, 2)?.0),
            2 => (number, 0),
            4 => (number / 100, number % 100),
            _ => return None,
        };
        if hours > 23 || minutes > 59 {
            return None;
        }
        let ahead = hours * 60 + minutes;
        Some(if sign == b'-' { -ahead } else { ahead })
    }
}

const fn is_leap(year: i64) -> bool {
    year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0)
}

const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01, by eras of 400 years that begin in March (Howard Hinnant, `days_from_civil`).
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month (from 1) and day (from 1) of a number of days since 1970-01-01.
pub(crate) const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + if month <= 2 { 1 } else { 0 }, month, day)
}

/// Microseconds since 1970-01-01, shown in ISO 8601: the date alone at midnight. [`parse`] reads it back.
pub(crate) struct Iso(pub(crate) i64);

impl fmt::Display for Iso {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.0.div_euclid(DAY));
        if (0..=9999).contains(&year) {
            write!(f, "{year:04}-{month:02}-{day:02}")?;
        } else {
            write!(f, "{year:+05}-{month:02}-{day:02}")?;
        }
        let micros = self.0.rem_euclid(DAY);
        if micros == 0 {
            return Ok(());
        }
        let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
        write!(f, "T{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)?;
        if fraction == 0 { Ok(()) } else { write!(f, ".{fraction:06}") }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_the_spellings_of_one_moment() {
        // date -u -d '2026-05-01T12:30:15' +%s
        let moment = 1_777_638_615_000_000;
        for text in [
            "2026-05-01T12:30:15",
            "2026-05-01 12:30:15Z",
            "2026-05-01 12:30:15 UTC",
            "2026/5/1 12:30:15.000",
            "2026-05-01T14:30:15+02:00",
            "2026-05-01T14:30:15 +0200",
            "2026-05-01T11:30:15-01",
            "5/1/2026 12:30:15 PM",
            "1.5.2026 12:30:15",
            "1-May-2026 12:30:15",
            "1 may 2026 12:30:15",
            "May 1, 2026 12:30:15",
        ] {
            assert_eq!(parse(text.as_bytes(), false), Some(moment), "{text}");
        }
        assert_eq!(parse(b"1/5/2026 12:30:15", true), Some(moment));
        assert_eq!(parse(b"2026-05-01T12:30:15.25", false), Some(moment + 250_000));
        assert_eq!(parse(b"1970-01-01", false), Some(0));
        assert_eq!(parse(b"2000-02-29", false), Some(951_782_400_000_000));
    }

    #[test]
    fn refuses_what_is_no_date() {
        for text in [
            "",
            "2026",
            "20260501",
            "2026-13-01",
            "2026-02-29",
            "2026-05-32",
            "2026-05-01T",
            "2026-05-01T25:00",
            "2026-05-01 12",
            "2026-05-01x",
            "1/5/26",
            "13/13/2026",
            "12:30",
            "May 2026",
            "2026-05/01",
            "2026-05-01T12:30 ",
            "2026-05-01T13:00 PM",
            "99999-01-01",
            "2026-05-01T12:30+24:00",
            "Mayday 1, 2026",
            "999999999999-01-01",
            "1 2 2026",
        ] {
            assert_eq!(parse(text.as_bytes(), false), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn iso_form_reads_back(micros in any::<i64>()) {
            prop_assert_eq!(parse(Iso(micros).to_string().as_bytes(), false), Some(micros));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..40), day_first in any::<bool>()) {
            let _ = parse(&bytes, day_first);
        }

        #[test]
        fn calendar_agrees_with_chrono(days in -1_000_000_i64..1_000_000) {
            use chrono::Datelike as _;
            let date = chrono::NaiveDate::from_ymd_opt(1970, 1, 1).unwrap() + chrono::Duration::days(days);
            prop_assert_eq!(
                civil_from_days(days),
                (i64::from(date.year()), i64::from(date.month()), i64::from(date.day()))
            );
        }
    }
}
