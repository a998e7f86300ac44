//! Events as lines on standard error. Telling never waits: a reader who stalls loses lines, and is
//! told how many.

use super::BootClock;
use crate::calendar::utc;
use mooseng_core::env::Clock;
use mooseng_core::event::Event;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

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
        if self.lines.try_send(format!("{} {line}", utc(BootClock.wall()))).is_err() {
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
        Event::Applied { .. }
        | Event::LeaseRead { .. }
        | Event::Acknowledged { .. }
        | Event::Committed { .. } => return None,
        Event::Voted { group, replica, term, candidate } => {
            format!("{group}/{replica} votes for {candidate} in term {term}")
        }
        Event::Recovered { group, replica, term, last, applied, waits, .. } => {
            let waits = if *waits { ", mute until the group has answered" } else { "" };
            format!("{group}/{replica} recovered: term {term}, log to {last}, applied {applied}{waits}")
        }
        Event::Cleared { group, replica, end, vouched: true } => {
            format!("{group}/{replica} takes part again: nothing up to {end} is missing")
        }
        Event::Cleared { group, replica, end, vouched: false } => format!(
            "{group}/{replica} takes part again: it has everything up to {end}; what its journal ends in was never \
             acknowledged if it is a write that was cut off, and is lost if it is damage: no majority can tell"
        ),
        Event::Elected { group, replica, term } => format!("{group}/{replica} leads in term {term}"),
        Event::SteppedDown { group, replica, term } => format!("{group}/{replica} follows in term {term}"),
        Event::HandingOver { group, replica, term, target } => {
            format!("{group}/{replica} hands over to {target} in term {term}")
        }
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
        Event::WriteBackFailed { file, why } => {
            format!("{file:?}: what was written could not be kept: {why}")
        }
        Event::Room { group, replica, short: true, free_bytes, kept_bytes } => format!(
            "{group}/{replica}: the disk is nearly full: {free_bytes} bytes are free, and {kept_bytes} are kept for \
             the journal and a snapshot; what makes the tree grow is refused until there is more room"
        ),
        Event::Room { group, replica, short: false, free_bytes, .. } => {
            format!("{group}/{replica}: the disk has room again: {free_bytes} bytes are free")
        }
        Event::Note(line) => line.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mooseng_core::id::{GroupId, ReplicaId};

    #[test]
    fn an_event_is_one_line_or_none() {
        let (group, replica) = (GroupId(0), ReplicaId(3));
        let elected = Event::Elected { group, replica, term: 7 };
        assert_eq!(line_of(&elected).as_deref(), Some("g0/r3 leads in term 7"));
        let lease = Event::LeaseRead { group, replica, term: 7, applied: 1 };
        assert_eq!(line_of(&lease), None);
    }
}
