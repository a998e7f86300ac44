//! The eye of a run: told of everything that happens, it tells the judge, keeps the cast of parts
//! and moves the plan's faults along. Decides nothing about right and wrong.

use super::agenda::{Agenda, Cast, Due};
use super::record::Record;
use crate::history::{Committed, Request};
use crate::machine::{Control, Fault, MachineEvent, NodeId, Observation, Seen};
use crate::oracle::{Down, Sight};
use crate::plan::{Harm, Member, Milestone, harm};
use crate::trace::Tape;
use mooseng_core::event::Event;
use mooseng_core::time::Instant;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(super) struct Watch {
    pub(super) record: Arc<Record>,
    inner: Mutex<Inner>,
    /// Everything that was seen, if somebody wants to read it.
    tape: Option<Mutex<Tape>>,
}

struct Inner {
    agenda: Agenda,
    cast: Cast,
    chunk_servers: u32,
    /// The highest term anybody was elected in.
    term: u64,
    /// Faults under way that are not the end of one server.
    open_faults: u32,
    elections: u64,
    /// Nodes that have another node's disk for good.
    swapped: BTreeSet<String>,
    /// Nodes that may speak another version than the rest.
    reversioned: BTreeSet<String>,
    closed: bool,
}

impl Watch {
    pub(super) fn new(
        record: Arc<Record>,
        agenda: Agenda,
        servers: Vec<String>,
        chunk_servers: u32,
        taped: bool,
    ) -> Self {
        let cast = Cast { servers, leader: None };
        let inner = Inner {
            agenda,
            cast,
            chunk_servers,
            term: 0,
            open_faults: 0,
            elections: 0,
            swapped: BTreeSet::new(),
            reversioned: BTreeSet::new(),
            closed: false,
        };
        let tape = taped.then(Mutex::default);
        Self { record, inner: Mutex::new(inner), tape }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn elections(&self) -> u64 {
        self.lock().elections
    }

    /// What was seen so far.
    pub(super) fn tape(&self) -> Tape {
        let taken =
            self.tape.as_ref().map(|tape| tape.lock().unwrap_or_else(PoisonError::into_inner).clone());
        taken.unwrap_or_default()
    }

    pub(super) fn swapped(&self) -> BTreeSet<String> {
        self.lock().swapped.clone()
    }

    pub(super) fn reversioned(&self) -> BTreeSet<String> {
        self.lock().reversioned.clone()
    }

    /// When each of the plan's faults was due, so far as its occasion came.
    pub(super) fn came(&self) -> Vec<Option<Instant>> {
        self.lock().agenda.came.clone()
    }

    /// When the next fault is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.lock().agenda.next()
    }

    /// Does somebody want to read what happens?
    pub(super) fn is_taped(&self) -> bool {
        self.tape.is_some()
    }

    /// Is everything healed?
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// No fault strikes from now on.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.agenda.close();
        inner.closed = true;
    }

    /// Does what is due.
    pub(super) fn strike(&self, control: &Control) {
        let due = {
            let inner = &mut *self.lock();
            inner.agenda.take(control.now(), &inner.cast)
        };
        for due in due {
            // A node that the plan names and the cluster does not have was refused with the plan.
            let _ = match due {
                Due::Strike(fault) => control.apply(&fault),
                Due::Arm(trigger) => control.arm(trigger),
            };
        }
    }

    /// A client had the answer to a change.
    pub(super) fn answered(&self) {
        self.meet(Milestone::Answered, None, self.record.now());
    }

    fn meet(&self, milestone: Milestone, place: Option<Member>, now: Instant) {
        let inner = &mut *self.lock();
        if inner.closed || !inner.agenda.awaits(milestone) {
            return;
        }
        let place = place.map(|member| member.to_string());
        if inner.agenda.meet(milestone, place.as_deref(), now) {
            self.record.call_attention();
        }
    }

    /// Something happened.
    pub(super) fn see(&self, observation: &Observation) {
        let at = observation.time;
        let member = observation.node.map(|node| self.member(node));
        if let Some(tape) = &self.tape {
            tape.lock().unwrap_or_else(PoisonError::into_inner).see(at, member, &observation.seen);
        }
        match (&observation.seen, member) {
            (Seen::Logic(event), Some(member)) => self.logic(at, member, event),
            (Seen::Logic(_), None) => {}
            (Seen::Machine(event), member) => self.machine(at, member, event),
        }
    }

    /// Metadata servers were added to the machine first, then chunk servers, then clients.
    pub(super) fn member(&self, node: NodeId) -> Member {
        let inner = self.lock();
        let servers = inner.cast.servers.len() as u32;
        let before_clients = servers + inner.chunk_servers;
        match node.0 {
            number if number < servers => Member::Server(number + 1),
            number if number < before_clients => Member::Chunk(number - servers + 1),
            number => Member::Client(number - before_clients + 1),
        }
    }

    fn logic(&self, at: Instant, node: Member, event: &Event) {
        if let Event::Applied { index, term, request, .. } = event {
            let request = request.map(|(session, sequence)| Request { session, sequence });
            let entry = Committed { term: *term, request, outcome: None };
            self.record.judge(|judge| ((), judge.committed(at, *index, &entry)));
        }
        if let Event::WriteBackFailed { file, .. } = event {
            self.record.unkept(*file);
        }
        self.record.judge(|judge| ((), judge.event(at, node, event)));
        self.count(node, event);
        if let Some(milestone) = milestone(event) {
            self.meet(milestone, Some(node), at);
        }
    }

    fn count(&self, node: Member, event: &Event) {
        let (Event::Elected { term, .. }, Member::Server(number)) = (event, node) else { return };
        let inner = &mut *self.lock();
        inner.elections += 1;
        if *term >= inner.term {
            inner.term = *term;
            inner.cast.leader = Some(number as usize - 1);
        }
    }

    fn machine(&self, at: Instant, node: Option<Member>, event: &MachineEvent) {
        let went_down = |how| node.map(|node| Sight::WentDown { node, how });
        let sight = match event {
            MachineEvent::Crashed | MachineEvent::Killed => went_down(Down::Crashed),
            MachineEvent::Halted { .. } => went_down(Down::Halted),
            MachineEvent::Paused | MachineEvent::Suspended => went_down(Down::Paused),
            MachineEvent::Booted { .. } | MachineEvent::Resumed | MachineEvent::Woke => {
                node.map(|node| Sight::CameUp { node })
            }
            MachineEvent::Fault(fault) => {
                self.harmed(at, fault);
                self.began(fault)
            }
            MachineEvent::FaultOver(fault) => self.ended(fault),
            MachineEvent::Struck { .. } => Some(Sight::FaultBegan { excuses: true }),
            MachineEvent::Healed => {
                self.lock().open_faults = 0;
                Some(Sight::FaultsOver)
            }
            MachineEvent::Finished | MachineEvent::Triggered(_) => None,
        };
        if let Some(sight) = sight {
            self.record.judge(|judge| ((), judge.tell(at, sight)));
        }
    }

    /// A fault may cost its servers what they had synced, from now on.
    fn harmed(&self, at: Instant, fault: &Fault) {
        let silent = match harm(fault) {
            Harm::None => return,
            Harm::Damaged => false,
            Harm::Undetectable => true,
        };
        for node in fault.nodes().iter().filter_map(|name| name.parse().ok()) {
            self.record.judge(|judge| ((), judge.tell(at, Sight::Harmed { node, silent })));
        }
    }

    fn began(&self, fault: &Fault) -> Option<Sight<'static>> {
        match kind(fault) {
            Kind::OfAServer => None,
            Kind::CutOff(node) => Some(Sight::WentDown { node, how: Down::CutOff }),
            Kind::Other => {
                if let Fault::SwapDisks { left, right, for_ms: None, .. } = fault {
                    self.lock().swapped.extend([left.clone(), right.clone()]);
                }
                if let Fault::Version { node, .. } = fault {
                    self.lock().reversioned.insert(node.clone());
                }
                self.lock().open_faults += 1;
                Some(Sight::FaultBegan { excuses: excuses(fault) })
            }
        }
    }

    fn ended(&self, fault: &Fault) -> Option<Sight<'static>> {
        match kind(fault) {
            Kind::OfAServer => None,
            Kind::CutOff(node) => Some(Sight::CameUp { node }),
            Kind::Other => {
                let mut inner = self.lock();
                inner.open_faults = inner.open_faults.saturating_sub(1);
                (inner.open_faults == 0).then_some(Sight::FaultsOver)
            }
        }
    }
}

/// What a fault is to the oracles.
enum Kind {
    /// The machine says by itself what became of the server.
    OfAServer,
    CutOff(Member),
    Other,
}

fn kind(fault: &Fault) -> Kind {
    match fault {
        Fault::Crash { .. }
        | Fault::Kill { .. }
        | Fault::Restart { .. }
        | Fault::Pause { .. }
        | Fault::Suspend { .. } => Kind::OfAServer,
        Fault::Isolate { node, .. } => node.parse().map_or(Kind::Other, Kind::CutOff),
        _ => Kind::Other,
    }
}

/// A disk that stalls for a moment is no reason to lose an office.
const STALL_MS_MAX: u64 = 200;

/// May a leader lose its office by it?
fn excuses(fault: &Fault) -> bool {
    !matches!(fault, Fault::DiskStall { for_ms, .. } if *for_ms <= STALL_MS_MAX)
}

fn milestone(event: &Event) -> Option<Milestone> {
    Some(match event {
        Event::Voted { .. } => Milestone::Voted,
        Event::Acknowledged { .. } => Milestone::Acknowledged,
        Event::Elected { .. } => Milestone::Elected,
        Event::SteppedDown { .. } => Milestone::SteppedDown,
        Event::HandingOver { .. } => Milestone::HandingOver,
        Event::Recovered { .. } => Milestone::Recovered,
        Event::Applied { .. } => Milestone::Applied,
        Event::SnapshotTaken { .. } => Milestone::SnapshotTaken,
        Event::SnapshotInstalled { .. } => Milestone::SnapshotInstalled,
        Event::Members { .. } => Milestone::Members,
        Event::Fenced { .. } => Milestone::Fenced,
        Event::Cleared { .. }
        | Event::Committed { .. }
        | Event::LeaseRead { .. }
        | Event::WriteBackFailed { .. }
        | Event::Room { .. }
        | Event::Note(_) => return None,
    })
}
