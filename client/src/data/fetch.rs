//! Reading one rectangle of a slice: which parts to ask for, what their answers are worth, when it
//! is done, and what is made of what came. Pure: answers and the passing of time come in, requests
//! come out.
//!
//! Every leaf is verified by itself. A leaf is settled when it is there (or, of copies, one of it
//! is), or when as many others as the slice has data parts are there in the same place. So several
//! damaged parts bring a whole slice back as long as no place of it is damaged in too many.

use super::rectangle::{Rectangle, Strip};
use bytes::Bytes;
use mooseng_core::checksum;
use mooseng_core::class::LEAF_BYTES;
use mooseng_core::erasure::{Codec, Layout, codec};
use mooseng_core::id::{PartId, ServerId, SliceId};
use mooseng_core::{plant, probe};
use std::collections::BTreeSet;

/// A request to a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ask {
    pub(super) part: PartId,
    pub(super) server: ServerId,
    pub(super) offset: u32,
    pub(super) length: u32,
}

/// What a server sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) part_length: u32,
    pub(super) sums: Vec<u32>,
    pub(super) bytes: Bytes,
}

/// Why a part did not come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Failure {
    /// The server did not answer, or could not: it may, if it is asked again.
    Silent,
    /// The server has no such part, or knows it to be damaged.
    Gone,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Done,
    /// Something is under way.
    Waiting,
    /// Nothing is under way and no part is left to ask for.
    Stuck {
        hope: Hope,
        what: String,
    },
}

/// What another round may bring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Hope {
    /// Some servers did not answer; they may if they are asked again.
    Answers,
    /// Everybody answered, but what came damaged may have been damaged on its way.
    Luck,
    None,
}

/// How often what came damaged is asked for again, if nothing else is left.
const LUCK_MAX: u32 = 2;

#[derive(Debug)]
enum State {
    /// Nobody knows where it is, or it was never made.
    Nowhere,
    Untried,
    /// It does not count any more as coming when it is slow; it may come all the same.
    Asked {
        slow: bool,
    },
    Here {
        first: u32,
        bytes: Bytes,
        bad: BTreeSet<u32>,
    },
    Failed(Failure),
}

pub(super) struct Fetch {
    slice: SliceId,
    layout: Layout,
    rectangle: Rectangle,
    servers: Vec<Option<ServerId>>,
    states: Vec<State>,
    /// All parts, the best first.
    order: Vec<u8>,
    /// How often it began anew.
    rounds: u32,
}

impl Fetch {
    /// `servers` has a place for each part of the layout's class; `order` names every part once.
    pub(super) fn new(
        slice: SliceId,
        layout: Layout,
        rectangle: Rectangle,
        servers: &[Option<ServerId>],
        order: Vec<u8>,
    ) -> Self {
        assert_eq!(
            (servers.len(), order.len()),
            (parts_of(&layout), parts_of(&layout)),
            "a place for each part"
        );
        let state =
            |server: &Option<ServerId>| if server.is_some() { State::Untried } else { State::Nowhere };
        let states = servers.iter().map(state).collect();
        Self { slice, layout, rectangle, servers: servers.to_vec(), states, order, rounds: 0 }
    }

    /// The parts to ask for now.
    pub(super) fn asks(&mut self) -> Vec<Ask> {
        let unsettled: Vec<u32> = self.unsettled().collect();
        let (Some(first), Some(last)) = (unsettled.first().copied(), unsettled.last().copied()) else {
            return Vec::new();
        };
        let mut chosen = Vec::new();
        if !self.layout.class().is_copies() {
            chosen.extend(self.rectangle.wanted.iter().copied().filter(|part| self.untried(*part, first)));
            chosen.iter().for_each(|part| self.states[usize::from(*part)] = State::Asked { slow: false });
        }
        if self.layout.class().is_copies() || !self.wanted_is_coming(&unsettled) {
            let mut rest = self.order.clone();
            rest.retain(|part| self.untried(*part, first));
            let mut rest = rest.into_iter();
            while self.support(&unsettled) < usize::from(self.layout.class().data()) {
                let Some(part) = rest.next() else { break };
                self.states[usize::from(part)] = State::Asked { slow: false };
                chosen.push(part);
            }
        }
        chosen.into_iter().filter_map(|part| self.ask(part, first, last + 1)).collect()
    }

    /// What is under way has taken longer than it should: others may be asked beside it.
    pub(super) fn slow(&mut self) {
        for state in &mut self.states {
            if let State::Asked { slow } = state {
                *slow = true;
            }
        }
    }

    /// Takes an answer; gives the leaves that are not what they should be.
    pub(super) fn answered(&mut self, ask: &Ask, answer: Result<Sent, Failure>) -> Vec<u32> {
        let index = usize::from(ask.part.index);
        let first = ask.offset / LEAF_BYTES;
        match answer {
            Err(failure) => {
                self.states[index] = State::Failed(failure);
                Vec::new()
            }
            Ok(sent) => {
                let bad =
                    plant!("read-skips-checksum", bad_leaves(&self.layout, ask, &sent), BTreeSet::new());
                let mut bytes = sent.bytes;
                bytes.truncate(ask.length as usize);
                let found = bad.iter().copied().collect();
                self.states[index] = State::Here { first, bytes, bad };
                found
            }
        }
    }

    /// How it stands, after [`Fetch::asks`] had nothing more to ask for.
    pub(super) fn verdict(&self) -> Verdict {
        if self.unsettled().next().is_none() {
            return Verdict::Done;
        }
        if self.states.iter().any(|state| matches!(state, State::Asked { .. })) {
            return Verdict::Waiting;
        }
        let silent = |state: &State| matches!(state, State::Failed(Failure::Silent));
        let damaged = |state: &State| matches!(state, State::Here { bad, .. } if !bad.is_empty());
        let hope = if self.states.iter().any(silent) {
            Hope::Answers
        } else if self.rounds < LUCK_MAX && self.states.iter().any(damaged) {
            Hope::Luck
        } else {
            Hope::None
        };
        Verdict::Stuck { hope, what: self.describe() }
    }

    /// Begins anew when it was stuck: whoever was silent may answer, and what came damaged may have
    /// been damaged on its way. What came whole is asked for again too, since it may be only as much
    /// as was missing then.
    pub(super) fn again(&mut self) {
        self.rounds += 1;
        for state in &mut self.states {
            if !matches!(state, State::Nowhere | State::Failed(Failure::Gone)) {
                *state = State::Untried;
            }
        }
    }

    /// Must parts be made from others, rather than just handed on?
    pub(super) fn needs_work(&self) -> bool {
        let whole = |part: &u8| self.leaves().all(|leaf| self.good(*part, leaf));
        if self.layout.class().is_copies() {
            !(0..self.layout.class().parts()).any(|part| whole(&part))
        } else {
            !self.rectangle.wanted.iter().all(whole)
        }
    }

    /// What was wanted, once it is done.
    pub(super) fn finish(&self) -> Vec<Strip> {
        self.rectangle.wanted.iter().map(|part| self.strip(*part)).collect()
    }

    fn strip(&self, part: u8) -> Strip {
        let first = self.rectangle.first;
        let sources =
            if self.layout.class().is_copies() { 0..self.layout.class().parts() } else { part..part + 1 };
        for source in sources {
            if self.leaves().all(|leaf| self.good(source, leaf)) {
                let length = self.length_of(part, first, self.rectangle.end);
                let bytes = self.bytes(source, first).slice(..length);
                return Strip { part, first, bytes };
            }
        }
        let mut bytes = Vec::new();
        let mut leaf = first;
        while leaf < self.rectangle.end {
            let sources = self.sources(part, leaf);
            let end = (leaf + 1..self.rectangle.end)
                .find(|next| self.sources(part, *next) != sources)
                .unwrap_or(self.rectangle.end);
            bytes.extend(self.made(part, &sources, leaf, end));
            leaf = end;
        }
        Strip { part, first, bytes: bytes.into() }
    }

    /// The parts that give a leaf of `part`: itself if it is there, or as many others as it takes.
    fn sources(&self, part: u8, leaf: u32) -> Vec<u8> {
        if !self.layout.class().is_copies() && self.good(part, leaf) {
            return vec![part];
        }
        let needed = usize::from(self.layout.class().data());
        let good = (0..self.layout.class().parts()).filter(|source| self.good(*source, leaf));
        let sources: Vec<u8> = good.take(needed).collect();
        assert_eq!(sources.len(), needed, "leaf {leaf} of part {part} is not settled");
        sources
    }

    /// The leaves `first..end` of `part`, from `sources`, all of which are good there.
    fn made(&self, part: u8, sources: &[u8], first: u32, end: u32) -> Vec<u8> {
        let length = self.length_of(part, first, end);
        if let [source] = sources {
            return self.bytes(*source, first)[..length].to_vec();
        }
        probe!("part of a slice made from others");
        let class = self.layout.class();
        let longest = ((end * LEAF_BYTES).min(self.layout.part_bytes_max()) - first * LEAF_BYTES) as usize;
        let mut parts = vec![None; parts_of(&self.layout)];
        for source in sources {
            let there = self.length_of(*source, first, end);
            let bytes = if there == 0 { Bytes::new() } else { self.bytes(*source, first).slice(..there) };
            parts[usize::from(*source)] = Some(bytes.to_vec());
        }
        let made = codec(class.data(), class.parity()).reconstruct(&mut parts, &[part], longest);
        assert_eq!(made, Ok(()), "as many sources as the class has data parts");
        let mut bytes = parts[usize::from(part)].take().unwrap_or_default();
        bytes.truncate(length);
        bytes
    }

    /// What is here of a part, from a leaf on.
    fn bytes(&self, part: u8, leaf: u32) -> Bytes {
        match &self.states[usize::from(part)] {
            State::Here { first, bytes, .. } => bytes.slice(((leaf - first) * LEAF_BYTES) as usize..),
            _ => Bytes::new(),
        }
    }

    /// How many bytes a part has in the leaves `first..end`.
    fn length_of(&self, part: u8, first: u32, end: u32) -> usize {
        let length = self.layout.part_bytes(part);
        (end * LEAF_BYTES).min(length).saturating_sub(first * LEAF_BYTES) as usize
    }

    fn leaves(&self) -> std::ops::Range<u32> {
        self.rectangle.first..self.rectangle.end
    }

    fn unsettled(&self) -> impl Iterator<Item = u32> + '_ {
        self.leaves().filter(|leaf| !self.settled(*leaf))
    }

    fn settled(&self, leaf: u32) -> bool {
        let class = self.layout.class();
        let there = |part: &u8| self.good(*part, leaf);
        let direct = !class.is_copies() && self.rectangle.wanted.iter().all(there);
        direct || (0..class.parts()).filter(there).count() >= usize::from(class.data())
    }

    /// Is this leaf here and verified? Behind the end of a short part there are zeros to know.
    fn good(&self, part: u8, leaf: u32) -> bool {
        if u64::from(leaf) * u64::from(LEAF_BYTES) >= u64::from(self.layout.part_bytes(part)) {
            return true;
        }
        match &self.states[usize::from(part)] {
            State::Here { first, bytes, bad } => {
                let end = first + (bytes.len() as u32).div_ceil(LEAF_BYTES);
                (*first..end).contains(&leaf) && !bad.contains(&leaf)
            }
            _ => false,
        }
    }

    fn untried(&self, part: u8, first: u32) -> bool {
        let exists = u64::from(first) * u64::from(LEAF_BYTES) < u64::from(self.layout.part_bytes(part));
        exists && matches!(self.states[usize::from(part)], State::Untried)
    }

    /// Will each of these leaves of every wanted part be there if everybody answers?
    fn wanted_is_coming(&self, unsettled: &[u32]) -> bool {
        self.rectangle
            .wanted
            .iter()
            .all(|part| self.is_coming(*part) || unsettled.iter().all(|leaf| self.good(*part, *leaf)))
    }

    fn is_coming(&self, part: u8) -> bool {
        matches!(self.states[usize::from(part)], State::Asked { slow: false })
    }

    /// How many parts will be there if everybody answers, in the place where there are fewest.
    fn support(&self, unsettled: &[u32]) -> usize {
        let parts = || 0..self.layout.class().parts();
        let at = |leaf: &u32| parts().filter(|part| self.is_coming(*part) || self.good(*part, *leaf)).count();
        unsettled.iter().map(at).min().unwrap_or(usize::MAX)
    }

    fn ask(&self, index: u8, first: u32, end: u32) -> Option<Ask> {
        let server = self.servers[usize::from(index)]?;
        let part = PartId { slice: self.slice, index };
        Some(Ask {
            part,
            server,
            offset: first * LEAF_BYTES,
            length: self.length_of(index, first, end) as u32,
        })
    }

    fn describe(&self) -> String {
        let state = |(index, state): (usize, &State)| {
            let server =
                self.servers[index].map_or_else(|| "nowhere".to_owned(), |server| server.to_string());
            let what = match state {
                State::Nowhere => return Some(format!("part {index} is nowhere")),
                State::Untried | State::Asked { .. } => return None,
                State::Here { bad, .. } if bad.is_empty() => return None,
                State::Here { bad, .. } => format!("has {} bad leaves", bad.len()),
                State::Failed(Failure::Silent) => "does not answer".to_owned(),
                State::Failed(Failure::Gone) => "is gone or damaged".to_owned(),
            };
            Some(format!("part {index} on {server} {what}"))
        };
        self.states.iter().enumerate().filter_map(state).collect::<Vec<_>>().join(", ")
    }
}

fn parts_of(layout: &Layout) -> usize {
    usize::from(layout.class().parts())
}

/// The leaves of an answer that do not have the sum they should have, or did not come. A part that
/// is not as long as it should be is another part.
fn bad_leaves(layout: &Layout, ask: &Ask, sent: &Sent) -> BTreeSet<u32> {
    let first = ask.offset / LEAF_BYTES;
    let leaves = ask.length.div_ceil(LEAF_BYTES);
    if sent.part_length != layout.part_bytes(ask.part.index) {
        return (first..first + leaves).collect();
    }
    let part_length = sent.part_length;
    let bad = |leaf: &u32| {
        let from = ((leaf - first) * LEAF_BYTES) as usize;
        let length = (part_length - leaf * LEAF_BYTES).min(LEAF_BYTES) as usize;
        let bytes = sent.bytes.get(from..from + length);
        let sum = sent.sums.get((leaf - first) as usize);
        let fits = |bytes| sum == Some(&checksum::leaf(ask.part, u64::from(*leaf), bytes));
        !bytes.is_some_and(fits)
    };
    (first..first + leaves).filter(bad).collect()
}

#[cfg(test)]
mod tests;
