//! The rolling hash over everything that happens, and, if asked for, a readable line for each.
//! Two runs are the same exactly if their hashes are; where they are not, the lines tell which was
//! the first to differ.

use super::node::NodeId;
use mooseng_core::event::Event;
use mooseng_core::time::Instant;
use std::fmt;

/// One thing that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TraceLine {
    pub time: Instant,
    pub node: Option<NodeId>,
    pub what: TraceWhat,
    /// The rolling hash after it.
    pub hash: u128,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TraceWhat {
    Poll {
        task: &'static str,
    },
    Timer,
    /// A frame left the line's node. `serial` counts the frames from this node to that one; `Delivered` has the same.
    Sent {
        target: NodeId,
        serial: u64,
        bytes: u64,
    },
    Delivered {
        source: NodeId,
        serial: u64,
    },
    /// Something else on a connection: what, and with whom.
    Connection {
        what: &'static str,
        peer: NodeId,
    },
    DiskBegun {
        what: &'static str,
        path: String,
        offset: u64,
        bytes: u64,
    },
    DiskDone {
        what: &'static str,
        error: Option<String>,
    },
    Noted(Event),
    Machine(String),
}

impl fmt::Display for TraceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.time.as_nanos();
        write!(f, "+{}.{:09}s ", nanos / 1_000_000_000, nanos % 1_000_000_000)?;
        match self.node {
            Some(node) => write!(f, "n{:<3} ", node.0)?,
            None => write!(f, "     ")?,
        }
        match &self.what {
            TraceWhat::Poll { task } => write!(f, "poll {task}"),
            TraceWhat::Timer => write!(f, "timer"),
            TraceWhat::Sent { target, serial, bytes } => {
                write!(f, "sent #{serial} to n{}, {bytes} bytes", target.0)
            }
            TraceWhat::Delivered { source, serial } => write!(f, "got #{serial} from n{}", source.0),
            TraceWhat::Connection { what, peer } => write!(f, "{what} (n{})", peer.0),
            TraceWhat::DiskBegun { what, path, offset, bytes } => {
                write!(f, "{what} {path} at {offset}, {bytes} bytes")
            }
            TraceWhat::DiskDone { what, error: None } => write!(f, "{what} done"),
            TraceWhat::DiskDone { what, error: Some(error) } => write!(f, "{what} failed: {error}"),
            TraceWhat::Noted(event) => write!(f, "noted {event:?}"),
            TraceWhat::Machine(what) => f.write_str(what),
        }
    }
}

/// What kind of thing is hashed.
#[derive(Clone, Copy)]
pub(crate) enum Tag {
    Poll = 1,
    Timer,
    Sent,
    Delivered,
    Connection,
    DiskBegun,
    DiskDone,
    Noted,
    Machine,
}

pub(crate) struct Trace {
    low: u64,
    high: u64,
    lines: Option<Vec<TraceLine>>,
}

const LOW: u64 = 0xa076_1d64_78bd_642f;
const HIGH: u64 = 0xe703_7ed1_a0b4_28db;

/// Multiplies to 128 bits and folds: every bit of both words reaches every bit of the result.
fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    (product as u64) ^ (product >> 64) as u64
}

impl Trace {
    pub(crate) fn new() -> Self {
        Self { low: LOW, high: HIGH, lines: None }
    }

    pub(crate) fn record(&mut self) {
        self.lines.get_or_insert_default();
    }

    /// Takes in one thing; the line is made only if somebody keeps lines.
    pub(crate) fn absorb(
        &mut self,
        tag: Tag,
        time: u64,
        node: Option<NodeId>,
        details: [u64; 2],
        line: impl FnOnce() -> TraceWhat,
    ) {
        let place = (tag as u64) << 32 | node.map_or(0xffff_ffff, |node| u64::from(node.0));
        self.low = fold(self.low ^ time, LOW ^ place);
        self.high = fold(self.high ^ self.low ^ details[0], HIGH ^ details[1]);
        if let Some(lines) = &mut self.lines {
            let hash = u128::from(self.high) << 64 | u128::from(self.low);
            lines.push(TraceLine { time: Instant::from_nanos(time), node, what: line(), hash });
        }
    }

    pub(crate) fn hash(&self) -> u128 {
        u128::from(self.high) << 64 | u128::from(self.low)
    }

    pub(crate) fn take_lines(&mut self) -> Vec<TraceLine> {
        self.lines.as_mut().map(std::mem::take).unwrap_or_default()
    }
}

/// Hashes what is written to it: for events that are too rare to deserve fields of their own.
struct TextHash(u64);

impl fmt::Write for TextHash {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for chunk in text.as_bytes().chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = fold(self.0 ^ u64::from_le_bytes(word), LOW ^ chunk.len() as u64);
        }
        Ok(())
    }
}

pub(crate) fn text_hash(text: fmt::Arguments<'_>) -> u64 {
    let mut hash = TextHash(HIGH);
    // Hashing never fails, so nothing is lost by not looking.
    let _ = fmt::write(&mut hash, text);
    hash.0
}

/// The details of an event that are hashed; the frequent ones without making text of them.
pub(crate) fn event_details(event: &Event) -> [u64; 2] {
    match event {
        Event::Applied { group, replica, index, term, hash, .. } => {
            let whence = fold(group.0 ^ LOW, replica.0 ^ HIGH) ^ fold(index ^ LOW, term ^ HIGH);
            [whence, fold(*hash as u64 ^ LOW, (hash >> 64) as u64 ^ HIGH)]
        }
        Event::LeaseRead { group, replica, term, applied } => {
            [fold(group.0 ^ HIGH, replica.0 ^ LOW), fold(term ^ HIGH, applied ^ LOW)]
        }
        Event::Acknowledged { group, replica, term, leader, index } => {
            let whence = fold(group.0 ^ LOW, replica.0 ^ LOW) ^ fold(leader.0 ^ HIGH, 1);
            [whence, fold(term ^ LOW, index ^ HIGH)]
        }
        Event::Committed { group, replica, term, index, counted } => {
            let whence = fold(group.0 ^ HIGH, replica.0 ^ HIGH) ^ fold(counted ^ LOW, 2);
            [whence, fold(term ^ LOW, index ^ HIGH)]
        }
        other => [text_hash(format_args!("{other:?}")), 0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash_of(things: &[(u64, u32, [u64; 2])]) -> u128 {
        let mut trace = Trace::new();
        for (time, node, details) in things {
            trace.absorb(Tag::Timer, *time, Some(NodeId(*node)), *details, || TraceWhat::Timer);
        }
        trace.hash()
    }

    #[test]
    fn every_part_and_the_order_count() {
        let base = hash_of(&[(1, 2, [3, 4]), (5, 6, [7, 8])]);
        for other in [
            hash_of(&[(2, 2, [3, 4]), (5, 6, [7, 8])]),
            hash_of(&[(1, 3, [3, 4]), (5, 6, [7, 8])]),
            hash_of(&[(1, 2, [4, 4]), (5, 6, [7, 8])]),
            hash_of(&[(1, 2, [3, 5]), (5, 6, [7, 8])]),
            hash_of(&[(5, 6, [7, 8]), (1, 2, [3, 4])]),
            hash_of(&[(1, 2, [3, 4])]),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn lines_are_kept_only_when_asked_for() {
        let mut trace = Trace::new();
        trace.absorb(Tag::Timer, 1, None, [0, 0], || unreachable!("nobody keeps lines"));
        trace.record();
        trace.absorb(Tag::Poll, 2_000_000_001, Some(NodeId(1)), [0, 0], || TraceWhat::Poll { task: "main" });
        let lines = trace.take_lines();
        assert_eq!(lines[0].to_string(), "+2.000000001s n1   poll main");
        assert_eq!(lines[0].hash, trace.hash());
    }
}
