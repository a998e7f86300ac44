//! Events as lines on standard error. Telling never waits: a reader who stalls loses lines, and is
//! told how many.

use mooseng_core::event::Event;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{SystemTime, UNIX_EPOCH};

const LINES_MAX: usize = 1_024;

pub(super) struct Log {
    lines: SyncSender<String>,
    lost: Arc<AtomicU64>,
}

impl Log {
    pub(super) fn start() -> Self {
        let (lines, source) = sync_channel(LINES_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let shared = lost.clone();
        std::thread::spawn(move || write_out(&source, &shared));
        Self { lines, lost }
    }

    pub(super) fn tell(&self, event: &Event) {
        let Some(line) = line_of(event) else {
            return;
        };
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.lines.try_send(format!("{} {line}", utc(time.as_secs(), time.subsec_millis()))).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write_out(source: &Receiver<String>, lost: &AtomicU64) {
    let mut target = std::io::stderr();
    while let Ok(line) = source.recv() {
        let lost = lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = writeln!(target, "{lost} lines were lost here: standard error is read too slowly");
        }
        // With standard error gone there is nobody left to tell.
        let _ = writeln!(target, "{line}");
    }
}

/// The line of an event; `None` for what happens at every entry and every lease.
fn line_of(event: &Event) -> Option<String> {
    Some(match event {
        Event::Applied { .. } | Event::LeaseRead { .. } => return None,
        Event::Recovered { group, replica, term, last, applied, waits } => {
            let waits = if *waits { ", mute until the group has answered" } else { "" };
            format!("{group}/{replica} recovered: term {term}, log to {last}, applied {applied}{waits}")
        }
        Event::Cleared { group, replica, end } => {
            format!("{group}/{replica} takes part again: nothing up to {end} is missing")
        }
        Event::Elected { group, replica, term } => format!("{group}/{replica} leads in term {term}"),
        Event::SteppedDown { group, replica, term } => format!("{group}/{replica} follows in term {term}"),
        Event::SnapshotTaken { group, replica, index, .. } => {
            format!("{group}/{replica} took a snapshot at {index}")
        }
        Event::SnapshotInstalled { group, replica, index, .. } => {
            format!("{group}/{replica} installed a snapshot at {index}")
        }
        Event::Members { group, replica, voters, learners } => {
            format!("{group}/{replica} knows voters {voters:?}, learners {learners:?}")
        }
        Event::Fenced { group, replica, reason } => format!("{group}/{replica} is fenced: {reason}"),
        Event::Note(line) => line.clone(),
    })
}

/// Seconds since 1970 as `2026-01-31T23:59:59.123Z` (Howard Hinnant's `civil_from_days`).
fn utc(seconds: u64, millis: u32) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use mooseng_core::id::{GroupId, ReplicaId};

    #[test]
    fn moments_are_written_as_people_read_them() {
        assert_eq!(utc(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(utc(951_782_399, 7), "2000-02-28T23:59:59.007Z");
        assert_eq!(utc(951_782_400, 0), "2000-02-29T00:00:00.000Z");
        assert_eq!(utc(1_709_251_200, 999), "2024-03-01T00:00:00.999Z");
        assert_eq!(utc(4_107_542_400, 0), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn an_event_is_one_line_or_none() {
        let (group, replica) = (GroupId(0), ReplicaId(3));
        let elected = Event::Elected { group, replica, term: 7 };
        assert_eq!(line_of(&elected).as_deref(), Some("g0/r3 leads in term 7"));
        let lease = Event::LeaseRead { group, replica, term: 7, applied: 1 };
        assert_eq!(line_of(&lease), None);
    }
}
