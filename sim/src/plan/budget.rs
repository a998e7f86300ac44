//! Which faults a run may meet together and still be expected to lose nothing.
//!
//! Within the budget a minority of a group's voters may lose or damage synced state, in total over
//! the run; everything else may happen to all of them. What no replica can detect runs only beyond
//! it, where loss has to be reported and nothing wrong may be answered.

use super::{Action, Member, Place, Plan, PlannedFault};
use crate::machine::Fault;
use crate::oracle::Hardship;
use mooseng_core::class::StorageClass;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Budget {
    /// Everything has to survive.
    #[default]
    Within,
    /// Loss is expected, silence about it is not.
    Beyond,
}

/// A combination of faults that no run within the budget meets, and why.
#[derive(Clone, Copy, Debug)]
pub struct Exclusion {
    pub what: &'static str,
    pub why: &'static str,
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

/// Printed with every report, so that nobody takes silence here for a proof.
pub const EXCLUDED: &[Exclusion] = &[
    Exclusion {
        what: "synced state lost or damaged on more than a minority of a group's voters",
        why: "no quorum is left that remembers; a voter counts until it is replaced",
    },
    Exclusion {
        what: "parts lost or damaged on more chunk servers than the least class in use is made for",
        why: "nothing says when repair has caught up; beyond the budget only",
    },
    Exclusion {
        what: "disks swapped for good where a minority of the voters is less than two, or between chunk servers",
        why: "both have lost what they had; within the budget each has its own again after a while",
    },
    Exclusion {
        what: "sync-lies, rollback",
        why: "no replica can detect that its own disk forgot what it promised; beyond the budget only",
    },
    Exclusion {
        what: "drift above the documented bound, clock-jump",
        why: "leases are promised under the bound; beyond the budget only",
    },
    Exclusion {
        what: "a disk that stays full, a node that stays down, after the safety phase",
        why: "the liveness phase asks for progress of a healed core",
    },
];

/// Every class in use survives the loss of one server; while files are written, no more than that is
/// sure, for a slice may be committed with less than its class asks for.
pub(super) const CHUNK_SERVERS_DAMAGED_MAX: usize = 1;

/// The documented bound on how fast a clock may be off, in parts per million.
const DRIFT_PPM_MAX: u32 = 10_000;

impl Plan {
    /// Do all clocks run as they are documented to?
    pub fn clocks_keep_their_bound(&self) -> bool {
        self.faults.iter().all(|planned| match planned.fault {
            Fault::ClockJump { .. } => false,
            Fault::Drift { ppm, .. } => ppm.unsigned_abs() <= DRIFT_PPM_MAX,
            _ => true,
        })
    }
}

/// What a fault does to synced state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Harm {
    None,
    /// It may be lost or damaged, and a check can tell.
    Damaged,
    /// It is gone and nothing on the node can tell, or time itself lies.
    Undetectable,
}

pub(crate) fn harm(fault: &Fault) -> Harm {
    match fault {
        Fault::LatentError { .. }
        | Fault::BitRot { .. }
        | Fault::MisdirectedWrite { .. }
        | Fault::MisdirectedRead { .. }
        | Fault::Empty { .. } => Harm::Damaged,
        // Where the disks come back to whom they belong, nobody has lost what it had.
        Fault::SwapDisks { for_ms: None, .. } => Harm::Damaged,
        Fault::SyncLies { .. } | Fault::Rollback { .. } | Fault::ClockJump { .. } => Harm::Undetectable,
        Fault::Drift { ppm, .. } if ppm.unsigned_abs() > DRIFT_PPM_MAX => Harm::Undetectable,
        _ => Harm::None,
    }
}

/// How many voters the faults may damage in the worst case. A part (`leader`) may be somebody else
/// each time, so each such fault counts alone.
pub(super) fn damaged_voters(faults: &[PlannedFault]) -> usize {
    let damaging = faults.iter().filter(|planned| harm(&planned.fault) == Harm::Damaged);
    let by_part = damaging.flat_map(|planned| planned.fault.nodes()).filter(|node| member(node).is_none());
    let named = damaged_members(faults);
    let servers = named.iter().filter(|member| matches!(member, Member::Server(_))).count();
    // Whoever plays a part may have another's disk just then.
    let lent = lendings(faults).flatten().any(|member| matches!(member, Some(Member::Server(_)) | None));
    servers + by_part.count() * if lent { 2 } else { 1 }
}

fn member(node: &str) -> Option<Member> {
    node.parse().ok()
}

/// Whose disks are in each other's place for a while.
fn lendings(faults: &[PlannedFault]) -> impl Iterator<Item = [Option<Member>; 2]> {
    faults.iter().filter_map(|planned| match &planned.fault {
        Fault::SwapDisks { left, right, for_ms: Some(_), .. } => Some([member(left), member(right)]),
        _ => None,
    })
}

/// Every node that is named and whose disk may be damaged: what strikes one that has another's disk
/// for a while damages that, or, by what it does with an empty one, its own.
fn damaged_members(faults: &[PlannedFault]) -> BTreeSet<Member> {
    let damaging = faults.iter().filter(|planned| harm(&planned.fault) == Harm::Damaged);
    let mut named: BTreeSet<Member> =
        damaging.flat_map(|planned| planned.fault.nodes()).filter_map(member).collect();
    loop {
        let before = named.len();
        for pair in lendings(faults) {
            if pair.iter().flatten().any(|member| named.contains(member)) {
                named.extend(pair.into_iter().flatten());
            }
        }
        if named.len() == before {
            return named;
        }
    }
}

/// How many chunk servers may lose parts that they had synced.
pub(super) fn damaged_chunk_servers(faults: &[PlannedFault]) -> usize {
    damaged_members(faults).iter().filter(|member| matches!(member, Member::Chunk(_))).count()
}

impl Plan {
    /// How many chunk servers may lose parts that they had synced.
    pub fn chunk_servers_damaged(&self) -> usize {
        damaged_chunk_servers(&self.faults)
    }

    /// Does any disk change places for a while?
    pub(crate) fn lends_disks(&self) -> bool {
        lendings(&self.faults).next().is_some()
    }

    /// How many chunk servers any class that the plan names may lose; what no step gives a class has the
    /// root's, or the usual one.
    fn chunk_servers_bearable(&self) -> usize {
        let of = |action: &Action| match action {
            Action::SetClass { inode, class } => Some((inode == &Place::root(), usize::from(class.parity()))),
            _ => None,
        };
        let named: Vec<(bool, usize)> =
            self.clients.iter().flatten().filter_map(|step| of(&step.action)).collect();
        let usual = usize::from(StorageClass::default().parity());
        let root = named.iter().any(|(root, _)| *root);
        let least = named.iter().map(|(_, parity)| *parity).min().unwrap_or(usual);
        if root { least } else { least.min(usual) }
    }

    /// What its faults may do, and so what is promised all the same.
    pub fn hardship(&self) -> Hardship {
        let undetectable = self.faults.iter().any(|planned| harm(&planned.fault) == Harm::Undetectable);
        match self.budget {
            Budget::Within => Hardship::Bearable,
            Budget::Beyond if undetectable => Hardship::Invisible,
            Budget::Beyond => Hardship::Visible,
        }
    }
}

/// The first thing about the plan's faults that its budget does not allow, with the remedy.
pub(super) fn check(plan: &Plan) -> Result<(), String> {
    if plan.budget == Budget::Beyond {
        return Ok(());
    }
    for (number, planned) in plan.faults.iter().enumerate() {
        if harm(&planned.fault) == Harm::Undetectable {
            let kind = planned.fault.kind();
            return Err(format!("faults.{number}: `{kind}` needs `budget = \"beyond\"`"));
        }
    }
    let damaged = damaged_chunk_servers(&plan.faults);
    if damaged > plan.chunk_servers_bearable() {
        return Err(format!(
            "faults: they may damage {damaged} chunk servers; leave some out, or say `budget = \"beyond\"`"
        ));
    }
    let (damaged, minority) = (damaged_voters(&plan.faults), plan.topology.minority() as usize);
    if damaged > minority {
        return Err(format!(
            "faults: they may damage {damaged} of {} voters; leave some out, or say `budget = \"beyond\"`",
            plan.topology.servers
        ));
    }
    Ok(())
}
