//! What happened in a run, one readable line per event: true time, who, what. The same lines are
//! what a timeline draws.
//!
//! Collects and words; it neither judges nor decides what is worth telling.

use crate::history::{Asked, Ending, History, Operation};
use crate::machine::{Fault, MachineEvent, NodeId, Seen, TraceLine, TraceWhat};
use crate::plan::Member;
use crate::run::Failure;
use mooseng_core::event::Event;
use mooseng_core::namespace::{Answer, FileExtent, Op, Outcome, Query, RenameMode};
use mooseng_core::time::Instant;
use std::fmt;

/// What one line tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// `serial` counts the messages from one node to one other; `Got` has the same.
    Sent {
        target: Member,
        serial: u64,
        bytes: u64,
    },
    Got {
        source: Member,
        serial: u64,
    },
    /// A connection was made, lost or refused.
    Connection {
        peer: Member,
        what: String,
    },
    Disk(String),
    Event(Event),
    Machine(MachineEvent),
    Called {
        number: usize,
        text: String,
    },
    Ended {
        number: usize,
        text: String,
    },
    /// A promise was broken.
    Broken(String),
}

/// One line. `who` is nobody where it is the world's doing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    pub at: Instant,
    pub who: Option<Member>,
    pub what: What,
}

/// Collects the lines of a run.
#[derive(Clone, Debug, Default)]
pub struct Tape {
    lines: Vec<Line>,
}

impl Tape {
    /// Something that an observer of the machine was told.
    pub fn see(&mut self, at: Instant, who: Option<Member>, seen: &Seen) {
        let what = match seen {
            Seen::Logic(event) => What::Event(event.clone()),
            Seen::Machine(event) => What::Machine(event.clone()),
        };
        self.lines.push(Line { at, who, what });
    }

    /// The machine's own lines, once the run is over: messages, connections and disks. What an
    /// observer is told of is left out, and so are tasks and timers.
    pub fn machine(&mut self, lines: &[TraceLine], member: impl Fn(NodeId) -> Member) {
        for line in lines {
            let what = match &line.what {
                TraceWhat::Sent { target, serial, bytes } => {
                    What::Sent { target: member(*target), serial: *serial, bytes: *bytes }
                }
                TraceWhat::Delivered { source, serial } => {
                    What::Got { source: member(*source), serial: *serial }
                }
                TraceWhat::Connection { what, peer } => {
                    What::Connection { peer: member(*peer), what: (*what).to_owned() }
                }
                TraceWhat::DiskBegun { what, path, offset, bytes } if *bytes > 0 => {
                    What::Disk(format!("{what} {path} at {offset}, {bytes} bytes"))
                }
                TraceWhat::DiskBegun { what, path, .. } => What::Disk(format!("{what} {path}")),
                TraceWhat::DiskDone { what, error: None } => What::Disk(format!("{what} done")),
                TraceWhat::DiskDone { what, error: Some(error) } => {
                    What::Disk(format!("{what} failed: {error}"))
                }
                TraceWhat::Poll { .. } | TraceWhat::Timer => continue,
                TraceWhat::Noted(_) | TraceWhat::Machine(_) => continue,
            };
            self.lines.push(Line { at: line.time, who: line.node.map(&member), what });
        }
    }

    /// What the clients asked and were told.
    pub fn history(&mut self, history: &History) {
        for operation in history.operations() {
            let who = Some(Member::Client(operation.client as u32 + 1));
            let number = operation.number;
            let called = What::Called { number, text: asked(&operation.asked) };
            self.lines.push(Line { at: operation.called, who, what: called });
            if let Some(at) = operation.ended() {
                let ended = What::Ended { number, text: ending(operation) };
                self.lines.push(Line { at, who, what: ended });
            }
        }
    }

    pub fn broken(&mut self, failure: &Failure) {
        let text = format!("{} {}: {}", failure.promise, failure.oracle, failure.what);
        self.lines.push(Line { at: failure.at, who: None, what: What::Broken(text) });
    }

    /// All lines in the order of true time; what happened at one moment stays as it was told.
    pub fn finish(mut self) -> Vec<Line> {
        self.lines.sort_by_key(|line| line.at);
        self.lines
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.at.as_nanos() / 1_000;
        write!(f, "+{:>3}.{:06}  ", micros / 1_000_000, micros % 1_000_000)?;
        let who = self.who.map_or("-".to_owned(), |who| who.to_string());
        write!(f, "{who:<9} {}", self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Sent { target, serial, bytes } => write!(f, "-> {target} #{serial}, {bytes} bytes"),
            What::Got { source, serial } => write!(f, "<- {source} #{serial}"),
            What::Connection { peer, what } => write!(f, "{what} ({peer})"),
            What::Disk(what) => f.write_str(what),
            What::Event(event) => f.write_str(&in_words(event)),
            What::Machine(event) => f.write_str(&machine_in_words(event)),
            What::Called { number, text } => write!(f, "[{number}] {text}"),
            What::Ended { number, text } => write!(f, "[{number}] = {text}"),
            What::Broken(text) => write!(f, "BROKEN: {text}"),
        }
    }
}

/// A change of state, as a sentence about the one who told of it.
pub fn in_words(event: &Event) -> String {
    match event {
        Event::Recovered { group, replica, term, last, applied, waits, .. } => {
            let waits = if *waits { ", and waits" } else { "" };
            format!("recovered {replica} of {group}: term {term}, log to {last}, applied to {applied}{waits}")
        }
        Event::Cleared { replica, end, vouched, .. } => {
            let known = if *vouched { "nothing is missing" } else { "nobody knows what is missing" };
            format!("{replica} is cleared: {known} up to {end}")
        }
        Event::Elected { group, replica, term } => {
            format!("{replica} is elected leader of {group}, term {term}")
        }
        Event::SteppedDown { group, replica, term } => {
            format!("{replica} leads {group} no more, term {term}")
        }
        Event::Voted { replica, term, candidate, .. } => {
            format!("{replica} votes for {candidate} in term {term}")
        }
        Event::Acknowledged { replica, term, leader, index, .. } => {
            format!("{replica} acknowledges the log up to {index} to {leader} in term {term}")
        }
        Event::Committed { replica, term, index, counted, .. } => {
            format!("{replica} counts a majority up to {index} (term {counted}) in term {term}")
        }
        Event::HandingOver { group, replica, term, target } => {
            format!("{replica} hands {group} over to {target}, term {term}")
        }
        Event::Applied { index, term, request, .. } => match request {
            Some((session, sequence)) => {
                format!("applied {index} (term {term}): request {session}.{sequence}")
            }
            None => format!("applied {index} (term {term})"),
        },
        Event::LeaseRead { replica, term, applied, .. } => {
            format!("{replica} reads by its lease of term {term}, at index {applied}")
        }
        Event::SnapshotTaken { replica, index, .. } => format!("{replica} took a snapshot at {index}"),
        Event::SnapshotInstalled { replica, index, .. } => {
            format!("{replica} installed a snapshot of {index}")
        }
        Event::Members { group, voters, learners, .. } => {
            format!("{group} has the voters {voters:?} and the learners {learners:?}")
        }
        Event::Fenced { replica, reason, .. } => format!("{replica} is fenced: {reason}"),
        Event::WriteBackFailed { file, why } => {
            format!("{file:?}: what was written could not be kept: {why}")
        }
        Event::Room { free_bytes, kept_bytes, short: true, .. } => {
            format!("its disk is nearly full: {free_bytes} bytes are free, {kept_bytes} are kept")
        }
        Event::Room { free_bytes, .. } => format!("its disk has room again: {free_bytes} bytes are free"),
        Event::Note(text) => text.clone(),
    }
}

fn machine_in_words(event: &MachineEvent) -> String {
    match event {
        MachineEvent::Booted { life: 1 } => "boots".to_owned(),
        MachineEvent::Booted { life } => format!("boots again (life {life})"),
        MachineEvent::Halted { reason } => format!("stops itself: {reason}"),
        MachineEvent::Fault(fault) => format!("FAULT {}", fault_in_words(fault)),
        MachineEvent::FaultOver(fault) => format!("over: {}", fault_in_words(fault)),
        MachineEvent::Struck { kind, what } => format!("FAULT strikes: {kind}, {what}"),
        MachineEvent::Triggered(trigger) => {
            format!("its {:?} number {} is met", trigger.kind, trigger.count)
        }
        MachineEvent::Healed => "everything is healed".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// A fault as `kind key=value`, as short as a label has to be.
pub fn fault_in_words(fault: &Fault) -> String {
    let mut words = fault.kind().to_owned();
    if let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(fault) {
        for (key, value) in fields.iter().filter(|(key, _)| *key != "fault") {
            match value {
                serde_json::Value::Null => {}
                serde_json::Value::String(text) if text.is_empty() => {}
                serde_json::Value::String(text) => words.push_str(&format!(" {key}={text}")),
                value => words.push_str(&format!(" {key}={}", value.to_string().replace('"', ""))),
            }
        }
    }
    words
}

/// What was asked, as a person would write it.
pub fn asked(asked: &Asked) -> String {
    match asked {
        Asked::Change(change) => match change {
            Op::Mkdir { parent, name, mode, .. } => format!("mkdir {name:?} in {parent:?}, mode {mode:o}"),
            Op::Create { parent, name, mode, .. } => format!("create {name:?} in {parent:?}, mode {mode:o}"),
            Op::Unlink { parent, name } => format!("unlink {name:?} in {parent:?}"),
            Op::Rmdir { parent, name } => format!("rmdir {name:?} in {parent:?}"),
            Op::Rename { source_parent, source_name, target_parent, target_name, mode } => {
                let verb = match mode {
                    RenameMode::Replace => "rename",
                    RenameMode::Keep => "rename without replacing",
                    RenameMode::Exchange => "exchange",
                };
                format!("{verb} {source_name:?} in {source_parent:?} to {target_name:?} in {target_parent:?}")
            }
            Op::Link { inode, parent, name } => format!("link {inode:?} as {name:?} in {parent:?}"),
            Op::Symlink { parent, name, target, .. } => format!("symlink {name:?} in {parent:?} {target:?}"),
            Op::Mknod { parent, name, kind, mode, .. } => {
                format!("make a {kind:?} {name:?} in {parent:?}, mode {mode:o}")
            }
            Op::SetAttr { inode, change } => format!("set attributes of {inode:?}: {change:?}"),
            Op::GrantSlices { inode, count } => format!("ask for {count} slices for {inode:?}"),
            Op::AbandonSlices { slices } => format!("give back {slices:?}"),
            Op::Commit { inode, extents, .. } => format!("commit {} to {inode:?}", extents_in_words(extents)),
            Op::Compact { inode, replaced, extents, .. } => format!(
                "replace {} of {inode:?} by {}",
                extents_in_words(replaced),
                extents_in_words(extents)
            ),
            Op::Punch { inode, offset, length } => {
                format!("punch {length} bytes at {offset} out of {inode:?}")
            }
            Op::SetClass { inode, class } => format!("store {inode:?} as {class}"),
            Op::SetXattr { inode, name, value, mode } => {
                format!("{mode:?} attribute {name:?} of {inode:?}, {} bytes", value.len())
            }
            Op::RemoveXattr { inode, name } => format!("remove attribute {name:?} of {inode:?}"),
        },
        Asked::Question(query) => match query {
            Query::Lookup { parent, name } => format!("look up {name:?} in {parent:?}"),
            Query::GetAttr { inode } => format!("attributes of {inode:?}"),
            Query::ReadLink { inode } => format!("what {inode:?} says"),
            Query::GetXattr { inode, name } => format!("attribute {name:?} of {inode:?}"),
            Query::ListXattr { inode } => format!("names of attributes of {inode:?}"),
            Query::Access { inode, access } => format!("access {:o} to {inode:?}", access.bits()),
            Query::ReadDir { directory, cookie, limit } => {
                format!("list {directory:?} after {cookie}, at most {limit}")
            }
            Query::Map { inode, offset, length } => format!("map {length} bytes at {offset} of {inode:?}"),
        },
    }
}

fn extents_in_words(extents: &[FileExtent]) -> String {
    let word = |extent: &FileExtent| {
        let FileExtent { offset, slice, slice_offset, .. } = extent;
        format!("{offset}..{}={slice}+{slice_offset}", extent.end())
    };
    format!("[{}]", extents.iter().map(word).collect::<Vec<_>>().join(", "))
}

/// How an operation ended, as a person would write it.
pub fn ending(operation: &Operation) -> String {
    match &operation.ending {
        Ending::Never => "never answered".to_owned(),
        Ending::NotCarriedOut { .. } => "not carried out".to_owned(),
        Ending::Unknown { .. } => "gave up: perhaps carried out".to_owned(),
        Ending::Answered { outcome, index, .. } => format!("{} (index {index})", outcome_in_words(outcome)),
    }
}

fn outcome_in_words(outcome: &Outcome) -> String {
    match outcome {
        Err(refusal) => format!("refused: {refusal}"),
        Ok(Answer::Done) => "done".to_owned(),
        Ok(Answer::Target(target)) => format!("{target:?}"),
        Ok(Answer::Value(value)) => format!("{:?}", String::from_utf8_lossy(value)),
        Ok(Answer::XattrNames(names)) => format!("{names:?}"),
        Ok(Answer::Attr(attr)) => format!(
            "{:?}: {:?}, mode {:o}, {} links, {}:{}, {} bytes, version {}",
            attr.inode, attr.kind, attr.mode, attr.links, attr.uid, attr.gid, attr.size, attr.version
        ),
        Ok(Answer::Entries { entries, end }) => {
            let names: Vec<String> =
                entries.iter().map(|entry| format!("{:?} {:?}", entry.name, entry.inode)).collect();
            format!("[{}]{}", names.join(", "), if *end { ", the end" } else { "" })
        }
        Ok(Answer::Slices { first, count }) => format!("{count} slices from {first} on"),
        Ok(Answer::Map { extents, end, .. }) => format!("{} up to {end}", extents_in_words(extents)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::testing::{GROUP, Script};
    use mooseng_core::id::{ReplicaId, SessionId};
    use std::time::Duration;

    fn words(lines: &[Line]) -> Vec<String> {
        lines.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_run_reads_line_by_line() {
        let mut script = Script::new();
        script.wait(Duration::from_millis(1_500));
        script.mkdir(0, "a");
        let mut tape = Tape::default();
        tape.history(&script.history);
        let one = Some(Member::Server(1));
        let at = Instant::from_nanos(1_000_000_000);
        let elected = Event::Elected { group: GROUP, replica: ReplicaId(1), term: 4 };
        tape.see(at, one, &Seen::Logic(elected));
        let request = Some((SessionId(1), 1));
        let (index, term, hash, replica) = (7, 4, 0, ReplicaId(1));
        let applied = Event::Applied { group: GROUP, replica, index, term, hash, request };
        tape.see(at, one, &Seen::Logic(applied));
        let fault = Fault::Crash { node: "meta-2".to_owned(), restart_ms: Some(80) };
        tape.see(at, Some(Member::Server(2)), &Seen::Machine(MachineEvent::Fault(fault)));
        let node = Some(NodeId(0));
        let line = |what| TraceLine { time: Instant::from_nanos(1_250_000), node, what, hash: 0 };
        let lines = [
            line(TraceWhat::Timer),
            line(TraceWhat::Sent { target: NodeId(1), serial: 3, bytes: 120 }),
            line(TraceWhat::DiskBegun { what: "sync", path: "journal/1".to_owned(), offset: 0, bytes: 0 }),
        ];
        tape.machine(&lines, |node| Member::Server(node.0 + 1));
        assert_eq!(
            words(&tape.finish()),
            [
                "+  0.001250  meta-1    -> meta-2 #3, 120 bytes",
                "+  0.001250  meta-1    sync journal/1",
                "+  1.000000  meta-1    r1 is elected leader of g1, term 4",
                "+  1.000000  meta-1    applied 7 (term 4): request n1.1",
                "+  1.000000  meta-2    FAULT crash node=meta-2 restart_ms=80",
                "+  1.500000  client-1  [0] mkdir \"a\" in d1, mode 755",
                "+  1.500001  client-1  [0] = d2: Directory, mode 755, 2 links, 0:0, 0 bytes, version 1 (index 1)",
            ]
        );
    }

    #[test]
    fn a_broken_promise_is_a_line_of_its_own() {
        let mut tape = Tape::default();
        let failure = Failure {
            oracle: "tree".to_owned(),
            promise: "G8".to_owned(),
            at: Instant::from_nanos(12_417_000_000),
            what: "a cycle".to_owned(),
            operation: None,
            expected: None,
        };
        tape.broken(&failure);
        assert_eq!(words(&tape.finish()), ["+ 12.417000  -         BROKEN: G8 tree: a cycle"]);
    }
}
