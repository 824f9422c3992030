//! How far back a log is asked for, as it is typed.

use std::str::FromStr;

use anyhow::{Context, Error, Result, anyhow};
use chrono::{DateTime, TimeDelta, Utc};

use crate::docker::logs::Tail;

/// So many lines may be asked for by their number.
const MOST: usize = 1_000_000;
/// The lines of each service that are told where nothing else is asked for.
const USUAL: usize = 100;
/// What is further back than this was no time that anybody meant.
const LONGEST: TimeDelta = TimeDelta::days(36_500);

/// Which lines.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// The last ones of each service.
    pub tail: Tail,
    /// Those from then on.
    pub since: Option<DateTime<Utc>>,
}

impl Wish {
    /// Of what is typed `now`; what is wrong begins with its name.
    pub fn read(tail: Option<&str>, since: Option<&str>, now: DateTime<Utc>) -> Result<Self> {
        let tail = tail.map(|text| text.parse().with_context(|| format!("tail: `{text}`"))).transpose()?;
        let since = since.map(|text| text.parse().with_context(|| format!("since: `{text}`"))).transpose()?;
        Ok(Self::new(tail, since, now))
    }

    /// The last lines where nothing is asked for; with a time alone all since then.
    fn new(tail: Option<TailWish>, since: Option<Since>, now: DateTime<Utc>) -> Self {
        let tail = match (tail, since) {
            (Some(TailWish(tail)), _) => tail,
            (None, Some(_)) => Tail::All,
            (None, None) => Tail::Lines(USUAL),
        };
        let since = since.map(|since| match since {
            Since::Ago(time) => now - time,
            Since::At(time) => time,
        });
        Self { tail, since }
    }
}

/// A number of lines, or `all`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TailWish(Tail);

impl FromStr for TailWish {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "all" {
            return Ok(Self(Tail::All));
        }
        let number = text.parse().ok().filter(|number| *number <= MOST && is_digits(text));
        let number = number.ok_or_else(|| anyhow!("it takes a number of lines from 0 to {MOST}, or `all`"));
        number.map(|number| Self(Tail::Lines(number)))
    }
}

/// A time, or for how long now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    Ago(TimeDelta),
    At(DateTime<Utc>),
}

impl FromStr for Since {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let at = || DateTime::parse_from_rfc3339(text).ok().map(|time| Self::At(time.to_utc()));
        ago(text).map(Self::Ago).or_else(at).ok_or_else(|| {
            anyhow!("it takes `90s`, `10m`, `1h30m` or `2d` ago, or a time like `2026-11-23T07:00:00Z`")
        })
    }
}

/// `1h30m`: numbers, each with its unit.
fn ago(text: &str) -> Option<TimeDelta> {
    let (mut rest, mut sum) = (text, TimeDelta::zero());
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let unit = match rest[end..].chars().next()? {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return None,
        };
        let seconds = rest[..end].parse::<i64>().ok()?.checked_mul(unit)?;
        sum = sum.checked_add(&TimeDelta::try_seconds(seconds)?).filter(|sum| *sum <= LONGEST)?;
        rest = &rest[end + 1..];
    }
    (!text.is_empty()).then_some(sum)
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_a_number_or_all() {
        let tail = |text: &str| text.parse::<TailWish>().ok().map(|wish| wish.0);
        assert_eq!(tail("0"), Some(Tail::Lines(0)));
        assert_eq!(tail("200"), Some(Tail::Lines(200)));
        assert_eq!(tail("all"), Some(Tail::All));
        for wrong in ["", "-1", "+1", "1.5", "ten", "1000001", "99999999999999999999999", " 1", "ALL"] {
            assert_eq!(tail(wrong), None, "{wrong}");
        }
        assert!("x".parse::<TailWish>().unwrap_err().to_string().contains("or `all`"));
    }

    #[test]
    fn a_time_is_one_or_how_long_ago() {
        let since = |text: &str| text.parse::<Since>().ok();
        for (text, seconds) in [("90s", 90), ("10m", 600), ("1h30m", 5_400), ("2d", 172_800), ("0s", 0)] {
            assert_eq!(since(text), Some(Since::Ago(TimeDelta::seconds(seconds))), "{text}");
        }
        let at = since("2026-11-23T09:00:00+02:00");
        assert_eq!(at, Some(Since::At("2026-11-23T07:00:00Z".parse().unwrap())));
        for wrong in [
            "",
            "10",
            "m",
            "10x",
            "-10m",
            "1.5h",
            "10m ",
            "10µ",
            "é",
            "99999999999999999999d",
            "9223372036854775807d",
            "yesterday",
        ] {
            assert_eq!(since(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_not_asked_for_is_what_one_would_expect() {
        let now = "2026-11-23T07:00:00Z".parse().unwrap();
        let wish = |tail: Option<&str>, since: Option<&str>| {
            let wish = Wish::read(tail, since, now).unwrap();
            (wish.tail, wish.since.map(|since| (now - since).num_seconds()))
        };
        assert_eq!(wish(None, None), (Tail::Lines(100), None));
        assert_eq!(wish(None, Some("10m")), (Tail::All, Some(600)));
        assert_eq!(wish(Some("5"), Some("10m")), (Tail::Lines(5), Some(600)));
        let wrong = Wish::read(None, Some("soon"), now).unwrap_err();
        assert!(format!("{wrong:#}").starts_with("since: `soon`: it takes `90s`, `10m`"), "{wrong:#}");
    }
}
