//! The newest lines of a log that may be of any size: docker gives the lines of each task for itself, the oldest first.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::Wish;
use crate::docker::logs::{Record, Tail};

/// What a record takes beside its texts.
const OVERHEAD: usize = 160;

/// Holds so many lines and bytes, and drops what is older.
#[derive(Debug)]
pub struct Newest {
    tail: Tail,
    since: Option<DateTime<Utc>>,
    most: usize,
    /// By time, and of one time as they came.
    kept: BTreeMap<(DateTime<Utc>, usize), Record>,
    bytes: usize,
    count: usize,
    /// What was dropped for its size: lines, and bytes of them.
    dropped: (usize, usize),
}

impl Newest {
    pub fn new(wish: &Wish, most: usize) -> Self {
        let (tail, since) = (wish.tail, wish.since);
        Self { tail, since, most, kept: BTreeMap::new(), bytes: 0, count: 0, dropped: (0, 0) }
    }

    pub fn take(&mut self, record: Record) {
        if self.since.is_some_and(|since| record.time < since) {
            return;
        }
        self.bytes += size(&record);
        self.count += 1;
        self.kept.insert((record.time, self.count), record);
        if matches!(self.tail, Tail::Lines(lines) if self.kept.len() > lines) {
            self.drop_oldest();
        }
        while self.bytes > self.most
            && let Some(record) = self.drop_oldest()
        {
            self.dropped = (self.dropped.0 + 1, self.dropped.1 + record.message.len());
        }
    }

    fn drop_oldest(&mut self) -> Option<Record> {
        let (_, record) = self.kept.pop_first()?;
        self.bytes -= size(&record);
        Some(record)
    }

    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// How much of what was asked for is missing, in words.
    pub fn left_out(&self) -> Option<String> {
        let (lines, bytes) = self.dropped;
        let lines = match self.tail {
            Tail::Lines(wanted) => lines.min(wanted - self.kept.len().min(wanted)),
            Tail::All => lines,
        };
        match self.tail {
            _ if lines == 0 => None,
            Tail::Lines(_) => Some(if lines == 1 { "1 line".into() } else { format!("{lines} lines") }),
            Tail::All => Some(in_words(bytes)),
        }
    }

    /// The oldest first.
    pub fn into_records(self) -> impl Iterator<Item = Record> {
        self.kept.into_values()
    }
}

fn size(record: &Record) -> usize {
    record.message.len() + record.task.len() + record.node.len() + OVERHEAD
}

fn in_words(bytes: usize) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one digit is shown")]
    let kib = bytes as f64 / 1024.0;
    match bytes {
        ..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{kib:.1} KiB"),
        _ => format!("{:.1} MiB", kib / 1024.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::tests::record;

    fn newest(
        tail: Tail,
        most: usize,
        records: impl IntoIterator<Item = Record>,
    ) -> (Vec<String>, Option<String>) {
        let mut newest = Newest::new(&Wish { tail, since: None }, most);
        for record in records {
            newest.take(record);
            assert!(newest.bytes <= most);
        }
        let left_out = newest.left_out();
        (newest.into_records().map(|record| record.message).collect(), left_out)
    }

    #[test]
    fn the_last_of_all_tasks_are_kept_in_order_of_time() {
        let records = [(5, "a", "a5"), (9, "a", "a9"), (1, "b", "b1"), (7, "b", "b7"), (9, "b", "b9")];
        let records = || records.map(|(second, task, message)| record(second, task, message));
        let (told, left_out) = newest(Tail::Lines(3), 1_000_000, records());
        assert_eq!((told, left_out), (vec!["b7".into(), "a9".into(), "b9".into()], None));
        assert_eq!(newest(Tail::Lines(0), 1_000_000, records()), (vec![], None));
        let mut later =
            Newest::new(&Wish { tail: Tail::All, since: Some(record(7, "", "").time) }, 1_000_000);
        for record in records() {
            later.take(record);
        }
        assert_eq!(later.kept.len(), 3);
    }

    #[test]
    fn what_is_too_much_is_dropped_and_counted_from_the_oldest_on() {
        let records = |count: u32| (0..count).map(|number| record(number % 60, "a", &"x".repeat(1000)));
        let (told, left_out) = newest(Tail::All, 12_000, records(60));
        assert_eq!((told.len(), left_out.as_deref()), (10, Some("48.8 KiB")));
        let (told, left_out) = newest(Tail::Lines(15), 12_000, records(60));
        assert_eq!((told.len(), left_out.as_deref()), (10, Some("5 lines")));
        // What was dropped for its size, and would be among those that were asked for no more.
        let small = (50..60).map(|number| record(number, "a", "small"));
        let (told, left_out) = newest(Tail::Lines(10), 5_000, records(20).chain(small));
        assert_eq!((told.len(), left_out), (10, None));
        // One that alone is more than is held.
        assert_eq!(newest(Tail::All, 500, records(1)), (vec![], Some("1000 bytes".into())));
        assert_eq!(in_words(1_258_291), "1.2 MiB");
    }
}
