//! When a key counts. The manager's clock decides, and what is signed must not say otherwise: who has a stolen key can
//! write any date, and no date makes an old key young.

use chrono::{DateTime, Local, NaiveDate, NaiveDateTime, TimeZone, Utc};

use super::Signed;
use super::refusal::Why;

/// From when and until when; without a bound where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Window {
    pub after: Option<DateTime<Utc>>,
    pub before: Option<DateTime<Utc>>,
}

/// Why a key does not count.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Timing {
    Expired(DateTime<Utc>),
    NotYet(DateTime<Utc>),
    /// What is signed bears a date at which the key did not count.
    Dated(DateTime<Utc>),
}

impl Timing {
    pub(super) fn of(self, signed: Signed) -> Why {
        match self {
            Self::Expired(at) => Why::Expired(signed.into(), at),
            Self::NotYet(at) => Why::NotYet(signed.into(), at),
            Self::Dated(date) => Why::Dated(signed.into(), date),
        }
    }
}

impl Window {
    pub(super) fn judge(&self, date: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), Timing> {
        match (self.after, self.before) {
            (_, Some(before)) if now > before => Err(Timing::Expired(before)),
            (Some(after), _) if now < after => Err(Timing::NotYet(after)),
            (after, before)
                if after.is_some_and(|after| date < after) || before.is_some_and(|before| date > before) =>
            {
                Err(Timing::Dated(date))
            }
            _ => Ok(()),
        }
    }
}

/// `YYYYMMDD`, `YYYYMMDDHHMM` or `YYYYMMDDHHMMSS`, with a `Z` in UTC, else by the manager's own time zone. Where that has
/// such a time twice, the later or the earlier one counts: what makes the window smaller.
pub(super) fn time(text: &str, is_begin: bool) -> Result<DateTime<Utc>, String> {
    let digits = text.strip_suffix('Z').unwrap_or(text);
    let wrong = || {
        format!(
            "`{}` is no time: write `YYYYMMDD`, `YYYYMMDDHHMM` or `YYYYMMDDHHMMSS`, and `Z` behind it for UTC",
            crate::plain::name(text)
        )
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let whole = match digits.len() {
        8 => format!("{digits}000000"),
        12 => format!("{digits}00"),
        14 => digits.to_owned(),
        _ => return Err(wrong()),
    };
    let part = |from: usize, to: usize| whole[from..to].parse::<u32>().ok();
    let date = || NaiveDate::from_ymd_opt(whole[..4].parse().ok()?, part(4, 6)?, part(6, 8)?);
    let time = || date()?.and_hms_opt(part(8, 10)?, part(10, 12)?, part(12, 14)?);
    let time: NaiveDateTime = time().ok_or_else(wrong)?;
    if text.ends_with('Z') {
        return Ok(time.and_utc());
    }
    let local = Local.from_local_datetime(&time);
    let found = if is_begin { local.latest() } else { local.earliest() };
    found.map(|found| found.to_utc()).ok_or_else(|| {
        format!("`{text}` is a time that the manager's time zone skips: write it in UTC, with `Z`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        time(text, true).unwrap()
    }

    #[test]
    fn a_time_has_three_forms() {
        assert_eq!(at("20260102Z").to_string(), "2026-01-02 00:00:00 UTC");
        assert_eq!(at("202601020304Z").to_string(), "2026-01-02 03:04:00 UTC");
        assert_eq!(at("20260102030405Z").to_string(), "2026-01-02 03:04:05 UTC");
        let local = Local.with_ymd_and_hms(2026, 1, 2, 3, 4, 5).unwrap();
        assert_eq!(at("20260102030405"), local.to_utc());
        for wrong in [
            "",
            "Z",
            "2026",
            "20261301Z",
            "20260132",
            "202601022400Z",
            "2026-01-02",
            "20260102ZZ",
            "２0260102",
        ] {
            assert!(time(wrong, true).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_key_counts_from_its_first_second_to_its_last() {
        let (after, before) = (at("20260101Z"), at("20270101Z"));
        let window = Window { after: Some(after), before: Some(before) };
        let second = chrono::TimeDelta::seconds(1);
        for (date, now, wanted) in [
            (after, after, Ok(())),
            (before, before, Ok(())),
            (after, before, Ok(())),
            (after, before + second, Err(Timing::Expired(before))),
            (after, after - second, Err(Timing::NotYet(after))),
            (after - second, after, Err(Timing::Dated(after - second))),
            (before + second, before, Err(Timing::Dated(before + second))),
        ] {
            assert_eq!(window.judge(date, now), wanted, "{date} {now}");
        }
        assert_eq!(Window::default().judge(before, after), Ok(()));
    }
}
