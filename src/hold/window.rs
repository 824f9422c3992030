//! When changes may be applied: `Mon-Fri 22:00-06:00 Europe/Zurich`.

use std::fmt;

use chrono::{
    DateTime, Datelike, Days, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc,
    Weekday,
};
use chrono_tz::Tz;

const DAYS: [(&str, Weekday); 7] = [
    ("Mon", Weekday::Mon),
    ("Tue", Weekday::Tue),
    ("Wed", Weekday::Wed),
    ("Thu", Weekday::Thu),
    ("Fri", Weekday::Fri),
    ("Sat", Weekday::Sat),
    ("Sun", Weekday::Sun),
];
const MINUTES_OF_A_DAY: u32 = 24 * 60;

/// A time of the week in which changes are applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    text: String,
    /// The days that it begins on, Monday first.
    days: [bool; 7],
    /// In minutes of the day, by the clocks of the place.
    from: u32,
    /// Likewise; of the next day where that is not after `from`.
    to: u32,
    zone: Tz,
}

impl Window {
    /// Reads `[days] from-to [time zone]`. The error says what is wrong, and what is taken.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words: Vec<_> = text.split_whitespace().collect();
        let (days, times, zone) = match words.as_slice() {
            [times] => (None, *times, None),
            [first, second] if first.contains(':') => (None, *first, Some(*second)),
            [days, times] => (Some(*days), *times, None),
            [days, times, zone] => (Some(*days), *times, Some(*zone)),
            _ => {
                return Err("write `Mon-Fri 22:00-06:00 Europe/Zurich`: days, times, and a time zone".into());
            }
        };
        let days = days.map_or(Ok([true; 7]), days_of)?;
        let (from, to) = times
            .split_once('-')
            .and_then(|(from, to)| Some((minutes(from)?, minutes(to)?)))
            .ok_or_else(|| format!("`{times}` are no times of a day; write `22:00-06:00`"))?;
        if from == MINUTES_OF_A_DAY || from == to {
            return Err(format!("`{times}` is never open; a whole day is `00:00-24:00`"));
        }
        let zone = match zone {
            None => Tz::UTC,
            Some(name) => name.parse().map_err(|_| {
                format!("`{name}` is no time zone; write one as `Europe/Zurich`, or none for UTC")
            })?,
        };
        Ok(Self { text: words.join(" "), days, from, to, zone })
    }

    /// Whether it is open at `now`.
    pub fn is_open(&self, now: DateTime<Utc>) -> bool {
        self.around(now, 2).any(|(from, to)| from <= now && now < to)
    }

    /// When it opens next after `now`.
    pub fn opens(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // A day may have no such hour, where clocks go forward.
        self.around(now, 16).map(|(from, _)| from).filter(|from| *from > now).min()
    }

    /// Its openings from two days before `now` on.
    fn around(&self, now: DateTime<Utc>, days: u64) -> impl Iterator<Item = (DateTime<Utc>, DateTime<Utc>)> {
        let today = now.with_timezone(&self.zone).date_naive();
        let first = today.checked_sub_days(Days::new(2)).unwrap_or(today);
        let dates = first.iter_days().take(usize::try_from(days).unwrap_or(0) + 3);
        let begins = |date: &NaiveDate| self.days[date.weekday().num_days_from_monday() as usize];
        dates.filter(begins).filter_map(|date| self.on(date)).filter(|(from, to)| from < to)
    }

    /// Its opening that begins on `date`.
    fn on(&self, date: NaiveDate) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let end = if self.to > self.from { date } else { date.succ_opt()? };
        Some((self.instant(at(date, self.from)?, false)?, self.instant(at(end, self.to)?, true)?))
    }

    /// When the clocks of the place show `time`. Where they show it twice, a window is open both times; where they never
    /// do, it is when they go on.
    fn instant(&self, mut time: NaiveDateTime, ends: bool) -> Option<DateTime<Utc>> {
        // Some place left out a whole day once.
        for _ in 0..=2 * MINUTES_OF_A_DAY {
            match self.zone.from_local_datetime(&time) {
                MappedLocalTime::Single(one) => return Some(one.to_utc()),
                MappedLocalTime::Ambiguous(first, second) => {
                    return Some(if ends { second } else { first }.to_utc());
                }
                MappedLocalTime::None => time = time.checked_add_signed(TimeDelta::minutes(1))?,
            }
        }
        None
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The days of `Mon-Fri`, `Sat,Sun`, or both.
fn days_of(text: &str) -> Result<[bool; 7], String> {
    let mut days = [false; 7];
    let index = |name: &str| {
        let found = DAYS.iter().find(|(day, _)| day.eq_ignore_ascii_case(name));
        found.map(|(_, day)| day.num_days_from_monday() as usize).ok_or_else(|| {
            let known: Vec<_> = DAYS.iter().map(|(day, _)| *day).collect();
            format!("`{name}` is no day; there are {}", known.join(", "))
        })
    };
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut at, last) = (index(first)?, index(last)?);
        days[at] = true;
        while at != last {
            at = (at + 1) % 7;
            days[at] = true;
        }
    }
    Ok(days)
}

/// The minutes of the day of `22:00`; `24:00` is its end.
fn minutes(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u32>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let sum = hours * 60 + minutes;
    (minutes < 60 && sum <= MINUTES_OF_A_DAY).then_some(sum)
}

fn at(date: NaiveDate, minutes: u32) -> Option<NaiveDateTime> {
    let date = if minutes == MINUTES_OF_A_DAY { date.succ_opt()? } else { date };
    let minutes = minutes % MINUTES_OF_A_DAY;
    Some(date.and_time(NaiveTime::from_hms_opt(minutes / 60, minutes % 60, 0)?))
}

#[cfg(test)]
mod tests;
