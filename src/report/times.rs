//! When something was: how long ago for people at a terminal, UTC for everybody else.

use chrono::{DateTime, SecondsFormat, Utc};

/// `12 min`, where `now` is given, else UTC as RFC 3339 has it; a text that is no time comes back as it is.
pub fn when(time: &str, now: Option<DateTime<Utc>>) -> String {
    match (time.parse::<DateTime<Utc>>(), now) {
        (Ok(time), Some(now)) => age((now - time).num_seconds().max(0)),
        (Ok(time), None) => time.to_rfc3339_opts(SecondsFormat::Secs, true),
        (Err(_), _) => time.to_owned(),
    }
}

/// UTC as RFC 3339 has it.
pub fn utc(time: &str) -> String {
    when(time, None)
}

/// `for 12 min`, or `since` then.
pub fn lasting(since: &str, now: Option<DateTime<Utc>>) -> String {
    let word = if now.is_some() { "for" } else { "since" };
    format!("{word} {}", when(since, now))
}

/// Seconds as people say it, in one unit.
pub fn age(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_one_unit() {
        let told = [59, 60, 3_599, 3_600, 172_799, 172_800].map(age);
        assert_eq!(told, ["59 s", "1 min", "59 min", "1 h", "47 h", "2 d"]);
    }

    #[test]
    fn a_time_is_an_age_for_people_and_utc_elsewhere() {
        let now = Some("2026-11-23T02:00:30Z".parse().unwrap());
        assert_eq!(when("2026-11-23T03:00:00+01:00", now), "30 s");
        assert_eq!(when("2026-11-23T09:00:00+01:00", now), "0 s");
        assert_eq!(when("2026-11-23T03:00:00+01:00", None), "2026-11-23T02:00:00Z");
        assert_eq!(when("soon", now), "soon");
    }
}
