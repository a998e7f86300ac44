//! What the page's script draws, as data: spans and points in microseconds, lanes by number.

use super::Timeline;
use crate::history::Ending;
use crate::machine::{Fault, MachineEvent};
use crate::plan::Member;
use crate::trace::{Line, What, asked, ending, fault_in_words};
use mooseng_core::event::Event;
use mooseng_core::time::Instant;
use serde::Serialize;
use std::collections::BTreeMap;

/// More than this the page does not hold: what lies furthest before the end is left out.
const ARROWS_MAX: usize = 20_000;
const LINES_MAX: usize = 40_000;

#[derive(Serialize)]
pub(super) struct Scene {
    lanes: Vec<String>,
    /// The lanes below this one are clients.
    servers: usize,
    end: u64,
    /// Where to look first, if something failed.
    failed_at: Option<u64>,
    arrows: Vec<Arrow>,
    /// Spans of a lane in which something is the matter.
    bands: Vec<Band>,
    operations: Vec<Bar>,
    marks: Vec<Mark>,
    lines: Vec<(u64, String)>,
    /// From when on arrows and lines are complete.
    complete_from: u64,
}

#[derive(Serialize)]
struct Arrow {
    from: usize,
    to: usize,
    sent: u64,
    /// Nothing: it was lost, or the run ended first.
    got: Option<u64>,
    bytes: u64,
}

#[derive(Serialize)]
struct Band {
    lanes: Vec<usize>,
    from: u64,
    to: u64,
    kind: &'static str,
    text: String,
}

#[derive(Serialize)]
struct Bar {
    lane: usize,
    number: usize,
    from: u64,
    to: u64,
    kind: &'static str,
    text: String,
}

#[derive(Serialize)]
struct Mark {
    lane: usize,
    at: u64,
    kind: &'static str,
    text: String,
}

fn micros(at: Instant) -> u64 {
    at.as_nanos() / 1_000
}

/// Collects while it goes through the lines.
struct Weaver<'a> {
    members: &'a [Member],
    end: u64,
    open: BTreeMap<(&'static str, String), Band>,
    bands: Vec<Band>,
    marks: Vec<Mark>,
    arrows: Vec<Arrow>,
    under_way: BTreeMap<(Member, Member, u64), usize>,
}

impl Weaver<'_> {
    fn lane(&self, member: Member) -> Option<usize> {
        self.members.iter().position(|other| *other == member)
    }

    fn begin(&mut self, kind: &'static str, key: String, lanes: Vec<usize>, at: u64, text: String) {
        let band = Band { lanes, from: at, to: self.end, kind, text };
        if let Some(mut before) = self.open.insert((kind, key), band) {
            before.to = at;
            self.bands.push(before);
        }
    }

    fn finish(&mut self, kind: &'static str, key: String, at: u64) {
        if let Some(mut band) = self.open.remove(&(kind, key)) {
            band.to = at;
            self.bands.push(band);
        }
    }

    fn machine(&mut self, at: u64, who: Option<Member>, event: &MachineEvent) {
        let lane = who.and_then(|who| self.lane(who));
        let lanes: Vec<usize> = lane.into_iter().collect();
        let key = format!("{who:?}");
        let down = |what: &str| format!("{} {what}", who.map_or(String::new(), |who| who.to_string()));
        match event {
            MachineEvent::Crashed | MachineEvent::Killed | MachineEvent::Finished => {
                self.finish("leader", key.clone(), at);
                self.begin("down", key, lanes, at, down("is down"));
            }
            MachineEvent::Halted { reason } => {
                self.finish("leader", key.clone(), at);
                self.begin("down", key, lanes, at, down(&format!("stopped itself: {reason}")));
            }
            MachineEvent::Booted { .. } => self.finish("down", key, at),
            MachineEvent::Paused => self.begin("paused", key, lanes, at, down("is paused")),
            MachineEvent::Suspended => self.begin("paused", key, lanes, at, down("sleeps")),
            MachineEvent::Resumed | MachineEvent::Woke => self.finish("paused", key, at),
            MachineEvent::Fault(fault) => self.fault(at, fault),
            MachineEvent::FaultOver(fault) => self.finish("fault", fault_in_words(fault), at),
            MachineEvent::Struck { .. } => {
                let text = What::Machine(event.clone()).to_string();
                self.marks.extend(lane.map(|lane| Mark { lane, at, kind: "fault", text }));
            }
            MachineEvent::Triggered(_) => {}
            MachineEvent::Healed => {
                let open = std::mem::take(&mut self.open);
                for ((kind, key), mut band) in open {
                    if kind == "fault" {
                        band.to = at;
                        self.bands.push(band);
                    } else {
                        self.open.insert((kind, key), band);
                    }
                }
            }
        }
    }

    fn fault(&mut self, at: u64, fault: &Fault) {
        let nodes = fault.nodes();
        let lanes: Vec<usize> = nodes.iter().filter_map(|node| self.lane(node.parse().ok()?)).collect();
        let text = fault_in_words(fault);
        let lasting = serde_json::to_value(fault).is_ok_and(|value| value.get("for_ms").is_some());
        if lasting {
            self.begin("fault", text.clone(), lanes, at, text);
        } else {
            self.marks.extend(lanes.iter().map(|lane| Mark {
                lane: *lane,
                at,
                kind: "fault",
                text: text.clone(),
            }));
        }
    }

    fn event(&mut self, at: u64, who: Member, event: &Event) {
        let Some(lane) = self.lane(who) else { return };
        let key = format!("{:?}", Some(who));
        let kind = match event {
            Event::Elected { term, .. } => {
                self.begin("leader", key, vec![lane], at, format!("{who} leads term {term}"));
                "elected"
            }
            Event::SteppedDown { .. } => {
                self.finish("leader", key, at);
                "stepped-down"
            }
            Event::Applied { .. } => "applied",
            Event::LeaseRead { .. } | Event::Acknowledged { .. } | Event::Committed { .. } => return,
            Event::Fenced { .. } => "fault",
            _ => "event",
        };
        self.marks.push(Mark { lane, at, kind, text: crate::trace::in_words(event) });
    }

    fn line(&mut self, line: &Line) {
        let at = micros(line.at);
        match (&line.what, line.who) {
            (What::Sent { target, serial, bytes }, Some(source)) => {
                let (Some(from), Some(to)) = (self.lane(source), self.lane(*target)) else { return };
                self.under_way.insert((source, *target, *serial), self.arrows.len());
                self.arrows.push(Arrow { from, to, sent: at, got: None, bytes: *bytes });
            }
            (What::Got { source, serial }, Some(target)) => {
                if let Some(number) = self.under_way.remove(&(*source, target, *serial)) {
                    self.arrows[number].got = Some(at);
                }
            }
            (What::Event(event), Some(who)) => self.event(at, who, event),
            (What::Machine(event), who) => self.machine(at, who, event),
            _ => {}
        }
    }
}

impl Scene {
    pub(super) fn of(timeline: &Timeline) -> Self {
        let end = micros(timeline.end);
        let mut weaver = Weaver {
            members: &timeline.members,
            end,
            open: BTreeMap::new(),
            bands: Vec::new(),
            marks: Vec::new(),
            arrows: Vec::new(),
            under_way: BTreeMap::new(),
        };
        timeline.lines.iter().for_each(|line| weaver.line(line));
        let operations = bars(timeline, &weaver, end);
        let servers = timeline.members.iter().filter(|one| !matches!(one, Member::Client(_))).count();
        let Weaver { open, mut bands, marks, mut arrows, .. } = weaver;
        bands.extend(open.into_values());
        arrows.drain(..arrows.len().saturating_sub(ARROWS_MAX));
        let told =
            timeline.lines.iter().filter(|line| !matches!(line.what, What::Sent { .. } | What::Got { .. }));
        let mut lines: Vec<(u64, String)> = told.map(|line| (micros(line.at), line.to_string())).collect();
        lines.drain(..lines.len().saturating_sub(LINES_MAX));
        let first_arrow = if arrows.len() == ARROWS_MAX { arrows[0].sent } else { 0 };
        let first_line = if lines.len() == LINES_MAX { lines[0].0 } else { 0 };
        Self {
            lanes: timeline.members.iter().map(Member::to_string).collect(),
            servers,
            end,
            failed_at: timeline.failure.as_ref().map(|failure| micros(failure.at)),
            arrows,
            bands,
            operations,
            marks,
            lines,
            complete_from: first_arrow.max(first_line),
        }
    }
}

fn bars(timeline: &Timeline, weaver: &Weaver<'_>, end: u64) -> Vec<Bar> {
    let failed = timeline.failure.as_ref().and_then(|failure| failure.operation);
    let operations = timeline.history.operations().iter();
    let bar = |operation: &crate::history::Operation| {
        let kind = match &operation.ending {
            _ if failed == Some(operation.number) => "failed",
            Ending::Answered { outcome: Ok(_), .. } if operation.change().is_some() => "changed",
            Ending::Answered { outcome: Ok(_), .. } => "read",
            Ending::Answered { outcome: Err(_), .. } => "refused",
            Ending::Never | Ending::NotCarriedOut { .. } | Ending::Unknown { .. } => "unknown",
        };
        Some(Bar {
            lane: weaver.lane(Member::Client(operation.client as u32 + 1))?,
            number: operation.number,
            from: micros(operation.called),
            to: operation.ended().map_or(end, micros),
            kind,
            text: format!("[{}] {} = {}", operation.number, asked(&operation.asked), ending(operation)),
        })
    };
    operations.filter_map(bar).collect()
}
