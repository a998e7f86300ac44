//! Which servers keep a slice's parts: weighted rendezvous hashing. Every server draws a lot for
//! every slice, from their two numbers alone; the best lots win. When a server leaves, only its
//! parts move; when one joins, it takes parts from everybody, in proportion to its weight.
//!
//! Racks come before lots: a part goes to a rack that holds the fewest parts of its slice. Pure:
//! who is alive and how heavy is an argument, and what could not be done is in the answer.

use crate::chance::mix;
use crate::class::StorageClass;
use crate::id::{ServerId, SliceId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A server that may be given parts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    pub server: ServerId,
    /// What fails together. Servers whose rack nobody named are all in the rack "".
    pub rack: Arc<str>,
    /// Its share of everything, such as its bytes; 0 is as good as not usable.
    pub weight: u64,
    pub usable: bool,
}

/// Where parts go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Placed {
    /// A server for each part that had none yet; `None` where there is no server left for it.
    pub servers: Vec<Option<ServerId>>,
    /// Is every part of the slice, those that were placed before included, in a rack of its own?
    pub racks_distinct: bool,
}

impl Placed {
    pub fn is_complete(&self) -> bool {
        self.servers.iter().all(Option::is_some)
    }
}

/// Places the parts of `slice` that `taken` does not hold yet: as many as the class has, less the
/// servers in `taken`. No server is given two parts of a slice, ever.
pub fn place(slice: SliceId, class: StorageClass, candidates: &[Candidate], taken: &[ServerId]) -> Placed {
    let wanted = usize::from(class.parts()).saturating_sub(taken.len());
    let mut racks = Racks::new(slice, candidates, taken);
    let servers = (0..wanted).map(|_| racks.take()).collect();
    Placed { servers, racks_distinct: racks.distinct }
}

/// All servers that may hold a part of `slice`, the best first, as if there were no racks.
pub fn ranked(slice: SliceId, candidates: &[Candidate]) -> Vec<ServerId> {
    let mut lots: Vec<(Lot, ServerId)> = candidates
        .iter()
        .filter(|candidate| may_hold(candidate))
        .map(|one| (Lot::draw(slice, one), one.server))
        .collect();
    lots.sort_by(|left, right| left.0.order(&right.0).then(left.1.cmp(&right.1)));
    lots.dedup_by_key(|(_, server)| *server);
    lots.into_iter().map(|(_, server)| server).collect()
}

fn may_hold(candidate: &Candidate) -> bool {
    candidate.usable && candidate.weight > 0
}

struct Racks<'a> {
    /// Servers still to be had, the best last, by rack.
    free: BTreeMap<&'a str, Vec<(Lot, ServerId)>>,
    /// How many parts each rack holds.
    held: BTreeMap<&'a str, usize>,
    distinct: bool,
}

impl<'a> Racks<'a> {
    fn new(slice: SliceId, candidates: &'a [Candidate], taken: &[ServerId]) -> Self {
        let mut racks = Self { free: BTreeMap::new(), held: BTreeMap::new(), distinct: true };
        let mut known: Vec<&Candidate> = candidates.iter().collect();
        known.sort_by_key(|candidate| candidate.server);
        known.dedup_by_key(|candidate| candidate.server);
        for candidate in known {
            if taken.contains(&candidate.server) {
                racks.hold(&candidate.rack);
            } else if may_hold(candidate) {
                let lot = Lot::draw(slice, candidate);
                racks.free.entry(&candidate.rack).or_default().push((lot, candidate.server));
            }
        }
        for servers in racks.free.values_mut() {
            servers.sort_by(|left, right| right.0.order(&left.0).then(right.1.cmp(&left.1)));
        }
        racks
    }

    fn hold(&mut self, rack: &'a str) {
        let held = self.held.entry(rack).or_default();
        *held += 1;
        self.distinct &= *held == 1;
    }

    /// The best server of the racks that hold the fewest parts.
    fn take(&mut self) -> Option<ServerId> {
        let held = |rack: &str| self.held.get(rack).copied().unwrap_or(0);
        let (rack, _) = self
            .free
            .iter()
            .filter_map(|(rack, servers)| servers.last().map(|best| (*rack, best)))
            .min_by(|(left_rack, left), (right_rack, right)| {
                held(left_rack).cmp(&held(right_rack)).then(left.0.order(&right.0)).then(left.1.cmp(&right.1))
            })?;
        let (_, server) = self.free.get_mut(rack)?.pop()?;
        self.hold(rack);
        Some(server)
    }
}

/// A server's lot for a slice: the waiting time of a process as fast as the server is heavy, so
/// that the shortest wait is that of a server with the probability of its share of the weight.
struct Lot {
    wait: u64,
    weight: u64,
}

impl Lot {
    fn draw(slice: SliceId, candidate: &Candidate) -> Self {
        let word = mix(mix(slice.raw()).wrapping_add(candidate.server.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        Self { wait: log_negative(mix(word)), weight: candidate.weight }
    }

    /// Compares `wait / weight` without a division; the better lot is the lesser.
    fn order(&self, other: &Lot) -> std::cmp::Ordering {
        let left = u128::from(self.wait) * u128::from(other.weight);
        left.cmp(&(u128::from(other.wait) * u128::from(self.weight)))
    }
}

/// `-log2((word + 1) / 2^64)` with 32 binary digits behind the point, in whole numbers: the
/// floating-point logarithm differs between machines, and a seed must not.
fn log_negative(word: u64) -> u64 {
    let value = u128::from(word) + 1;
    let whole = value.ilog2();
    // The mantissa in 1..2, with 63 digits behind the point.
    let mut mantissa = (value << 63) >> whole;
    let mut fraction = 0u64;
    for _ in 0..32 {
        mantissa = (mantissa * mantissa) >> 63;
        fraction <<= 1;
        if mantissa >> 64 != 0 {
            mantissa >>= 1;
            fraction |= 1;
        }
    }
    (64 << 32) - (u64::from(whole) << 32 | fraction)
}

#[cfg(test)]
mod tests;
