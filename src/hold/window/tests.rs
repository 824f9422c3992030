use super::*;

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// When a window is open, from `from` on for `hours`, minute by minute.
fn open(window: &str, from: &str, hours: i64) -> Vec<(String, String)> {
    let window = Window::parse(window).unwrap();
    let (begun, mut spans, mut opened) = (time(from), Vec::new(), None);
    let text = |time: DateTime<Utc>| time.format("%d %H:%M").to_string();
    for minute in 0..=hours * 60 {
        let now = begun + TimeDelta::minutes(minute);
        match (window.is_open(now), opened) {
            (true, None) => opened = Some(now),
            (false, Some(since)) => {
                spans.push((text(since), text(now)));
                opened = None;
            }
            _ => {}
        }
    }
    spans
}

fn spans(texts: &[(&str, &str)]) -> Vec<(String, String)> {
    texts.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect()
}

#[test]
fn days_times_and_zones_are_read() {
    // 2026-11-23 is a Monday.
    let from = "2026-11-22T12:00:00Z";
    let night = open("Mon-Fri 22:00-06:00 Europe/Zurich", from, 7 * 24);
    let wanted = ["23", "24", "25", "26", "27"].map(|day| format!("{day} 21:00"));
    assert_eq!(night.iter().map(|(from, _)| from.clone()).collect::<Vec<_>>(), wanted);
    assert_eq!(night[4].1, "28 05:00", "it ends on the day after the last one");
    assert_eq!(
        open("Sat,sun 10:00-11:00", from, 7 * 24),
        spans(&[("28 10:00", "28 11:00"), ("29 10:00", "29 11:00")])
    );
    assert_eq!(open("Fri-Mon 10:00-11:00 UTC", from, 7 * 24).len(), 4, "over the end of the week");
    assert_eq!(open("13:00-14:00", from, 48).len(), 2, "every day");
    assert_eq!(open("13:00-14:00 Asia/Tokyo", from, 24), spans(&[("23 04:00", "23 05:00")]));
    assert_eq!(open("Tue 00:00-24:00", from, 7 * 24), spans(&[("24 00:00", "25 00:00")]));
    assert_eq!(Window::parse(" Mon  10:00-11:00 ").unwrap().to_string(), "Mon 10:00-11:00");
}

#[test]
fn clocks_that_change_in_both_hemispheres_cut_no_window() {
    // Zurich goes from 02:00 to 03:00 on 2026-03-29, and from 03:00 back to 02:00 on 2026-10-25.
    let spring = "2026-03-28T20:00:00Z";
    assert_eq!(open("Sat 22:00-06:00 Europe/Zurich", spring, 20), spans(&[("28 21:00", "29 04:00")]));
    assert_eq!(open("Sun 02:30-04:00 Europe/Zurich", spring, 20), spans(&[("29 01:00", "29 02:00")]));
    assert_eq!(open("Sun 01:00-02:30 Europe/Zurich", spring, 20), spans(&[("29 00:00", "29 01:00")]));
    assert_eq!(open("Sun 02:00-03:00 Europe/Zurich", spring, 20), [], "there is no such hour");
    let next = Window::parse("Sun 02:00-03:00 Europe/Zurich").unwrap().opens(time(spring));
    assert_eq!(next, Some(time("2026-04-05T00:00:00Z")));
    let autumn = "2026-10-24T20:00:00Z";
    assert_eq!(open("Sat 22:00-06:00 Europe/Zurich", autumn, 20), spans(&[("24 20:00", "25 05:00")]));
    assert_eq!(
        open("Sun 02:00-03:00 Europe/Zurich", autumn, 20),
        spans(&[("25 00:00", "25 02:00")]),
        "both times"
    );
    // Sydney goes forward at 02:00 on 2026-10-04, and back at 03:00 on 2026-04-05.
    assert_eq!(
        open("Sun 01:30-04:00 Australia/Sydney", "2026-10-03T10:00:00Z", 20),
        spans(&[("03 15:30", "03 17:00")])
    );
    assert_eq!(
        open("Sun 01:30-04:00 Australia/Sydney", "2026-04-04T10:00:00Z", 20),
        spans(&[("04 14:30", "04 18:00")])
    );
}

#[test]
fn the_next_opening_is_where_it_opens() {
    for text in [
        "Mon-Fri 22:00-06:00 Europe/Zurich",
        "Sun 02:30-02:45 America/New_York",
        "10:00-09:00 Australia/Lord_Howe",
    ] {
        let window = Window::parse(text).unwrap();
        let mut now = time("2026-01-01T00:00:00Z");
        for _ in 0..120 {
            let next = window.opens(now).unwrap_or_else(|| panic!("{text} {now}"));
            assert!(window.is_open(next) && next > now, "{text} {now} {next}");
            now = next;
        }
    }
}

#[test]
fn what_is_no_window_says_what_is_taken() {
    for (text, words) in [
        ("", "write `Mon-Fri 22:00-06:00 Europe/Zurich`"),
        ("Mon 10:00-11:00 UTC x", "write `Mon-Fri 22:00-06:00 Europe/Zurich`"),
        ("Mo 10:00-11:00", "`Mo` is no day; there are Mon, Tue"),
        ("Mon- 10:00-11:00", "`` is no day"),
        ("10:00-25:00", "are no times of a day; write `22:00-06:00`"),
        ("10:60-11:00", "are no times of a day"),
        ("10-11", "are no times of a day"),
        ("+1:00-02:00", "are no times of a day"),
        ("10:00-10:00", "is never open; a whole day is `00:00-24:00`"),
        ("24:00-10:00", "is never open"),
        ("10:00-11:00 Europe/Zuerich", "`Europe/Zuerich` is no time zone"),
    ] {
        let error = Window::parse(text).unwrap_err();
        assert!(error.contains(words), "{text}: {error}");
    }
}
