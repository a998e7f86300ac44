//! Lines about peers that were cut off, within limits: whoever sends rubbish to a port, again and again, fills no
//! log. Each host has a few lines in each stretch of time; what is said of it beyond them is counted, and the
//! count told when the stretch is over. What is kept is bounded, however many hosts there are.

use mooseng_core::env::{Address, Clock, Env, sleep};
use mooseng_core::event::Event;
use mooseng_core::time::Instant;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const STRETCH: Duration = Duration::from_secs(10);
/// Of one host in one stretch.
const LINES_MAX: u32 = 5;
/// Of more hosts nothing is told but how much it was.
const HOSTS_MAX: usize = 32;

/// What becomes of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Told,
    Counted,
    /// It is the first that is counted in this stretch: the sum is to be told at its end.
    CountedFirst,
}

#[derive(Default)]
struct Stretch {
    end: Instant,
    lines: BTreeMap<String, u32>,
    counted: u64,
    /// The last that was counted.
    last: String,
}

impl Stretch {
    fn judge(&mut self, peer: &Address, line: &str, now: Instant) -> Verdict {
        if now >= self.end {
            (self.end, self.lines) = (now + STRETCH, BTreeMap::new());
        }
        // Each connection comes from another port.
        let host = peer.as_str().rsplit_once(':').map_or(peer.as_str(), |(host, _)| host);
        let has_room = self.lines.contains_key(host) || self.lines.len() < HOSTS_MAX;
        let told = if has_room { Some(self.lines.entry(host.to_owned()).or_default()) } else { None };
        if let Some(lines) = told
            && *lines < LINES_MAX
        {
            *lines += 1;
            return Verdict::Told;
        }
        self.counted += 1;
        line.clone_into(&mut self.last);
        if self.counted == 1 { Verdict::CountedFirst } else { Verdict::Counted }
    }

    /// What was counted, in one line.
    fn sum(&mut self) -> String {
        let (counted, last) = (std::mem::take(&mut self.counted), std::mem::take(&mut self.last));
        format!("{counted} more lines like this one within {STRETCH:?}: {last}")
    }
}

#[derive(Clone, Default)]
pub(super) struct Complaints(Arc<Mutex<Stretch>>);

impl Complaints {
    fn lock(&self) -> MutexGuard<'_, Stretch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line about this peer.
    pub(super) fn tell<E: Env>(&self, env: &E, peer: &Address, line: String) {
        let verdict = self.lock().judge(peer, &line, env.clock().now());
        match verdict {
            Verdict::Told => env.note(Event::Note(line)),
            Verdict::Counted => {}
            Verdict::CountedFirst => {
                let (own, complaints) = (env.clone(), self.clone());
                env.spawn("rpc complaints summed up", async move {
                    sleep(&own, STRETCH).await;
                    let sum = complaints.lock().sum();
                    own.note(Event::Note(sum));
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn a_host_has_a_few_lines_whatever_its_port() {
        let mut stretch = Stretch::default();
        let mut judge =
            |peer: &str, second| stretch.judge(&Address::new(peer), &format!("{peer} again"), at(second));
        for port in 1..=u64::from(LINES_MAX) {
            assert_eq!(judge(&format!("10.0.0.1:{port}"), port), Verdict::Told);
        }
        assert_eq!(judge("10.0.0.1:7", 6), Verdict::CountedFirst);
        assert_eq!(judge("10.0.0.1:8", 7), Verdict::Counted);
        assert_eq!(judge("10.0.0.2:8", 7), Verdict::Told, "it has lines of its own");
        assert_eq!(judge("10.0.0.1:9", 11), Verdict::Told, "another stretch");
        assert_eq!(stretch.sum(), "2 more lines like this one within 10s: 10.0.0.1:8 again");
        assert_eq!(stretch.judge(&Address::new("10.0.0.1:1"), "x", at(30)), Verdict::Told);
        assert_eq!(stretch.lines.len(), 1, "what is over is forgotten");
    }

    #[test]
    fn hosts_without_end_take_no_room_without_end() {
        let mut stretch = Stretch::default();
        let verdicts: Vec<Verdict> = (0..1_000)
            .map(|host| {
                stretch.judge(&Address::new(format!("10.0.{}.{}:1", host / 250, host % 250)), "x", at(1))
            })
            .collect();
        assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Told).count(), HOSTS_MAX);
        assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::CountedFirst).count(), 1);
        assert_eq!((stretch.lines.len(), stretch.counted), (HOSTS_MAX, 1_000 - HOSTS_MAX as u64));
    }
}
