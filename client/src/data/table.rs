//! What is known of the chunk servers: where they listen, how much room they have, and how they
//! have behaved. Pure: what the metadata service says, how calls went and the time are arguments.

use mooseng_core::chance::mix;
use mooseng_core::env::Address;
use mooseng_core::id::{ServerId, SliceId};
use mooseng_core::placement::Candidate;
use mooseng_core::time::Instant;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A chunk server as the metadata service sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChunkServer {
    pub server: ServerId,
    pub address: Address,
    pub rack: Arc<str>,
    /// Bytes of its disk, and how many of them are free; a total of 0: nobody has said yet.
    pub total: u64,
    pub free: u64,
    /// Which file system these are of; 0: of its own.
    pub disk: u64,
    pub alive: bool,
}

impl ChunkServer {
    fn has_room(&self) -> bool {
        self.total == 0 || self.free >= FREE_BYTES_MIN
    }
}

/// The least room that makes a server worth asking.
const FREE_BYTES_MIN: u64 = 64 << 20;
/// How long a server that failed is asked last: doubles with every failure in a row.
const SUSPECT_FIRST: Duration = Duration::from_millis(500);
const SUSPECT_LONGEST: Duration = Duration::from_secs(16);
/// A smoothed latency moves by one in so many parts of the difference.
const SMOOTHING: u32 = 8;

#[derive(Clone, Debug, Default)]
struct Manners {
    failures: u32,
    suspect_until: Instant,
    /// Of reads; zero while nothing was read.
    latency: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    servers: BTreeMap<ServerId, ChunkServer>,
    manners: BTreeMap<ServerId, Manners>,
}

impl Table {
    pub(super) fn learn(&mut self, servers: Vec<ChunkServer>) {
        self.servers = servers.into_iter().map(|server| (server.server, server)).collect();
        self.manners.retain(|server, _| self.servers.contains_key(server));
    }

    pub(super) fn address(&self, server: ServerId) -> Option<&Address> {
        self.servers.get(&server).map(|known| &known.address)
    }

    /// Who may be given `parts` parts. Servers that failed lately are among them only if there
    /// would be too few without.
    pub(super) fn candidates(&self, parts: usize, now: Instant) -> Vec<Candidate> {
        // Whose disk nobody knows weighs as much as the largest.
        let heaviest = self.servers.values().map(|known| known.total).max().unwrap_or(0).max(1);
        let candidate = |known: &ChunkServer| Candidate {
            server: known.server,
            rack: known.rack.clone(),
            weight: if known.total == 0 { heaviest } else { known.total },
            usable: known.alive && known.has_room() && !self.is_suspect(known.server, now),
        };
        let mut candidates: Vec<Candidate> = self.servers.values().map(candidate).collect();
        if candidates.iter().filter(|candidate| candidate.usable).count() < parts {
            for candidate in &mut candidates {
                candidate.usable = self.servers[&candidate.server].has_room();
            }
        }
        candidates
    }

    /// The parts of a slice in the order in which to read them: those of servers that behave, the
    /// near ones among them, spread evenly by `salt` beyond that.
    pub(super) fn order(
        &self,
        slice: SliceId,
        parts: &[Option<ServerId>],
        rack: &str,
        salt: u64,
        now: Instant,
    ) -> Vec<u8> {
        let key = |index: &u8| {
            let Some(server) = parts[usize::from(*index)] else { return (true, true, true, 0) };
            let known = self.servers.get(&server);
            let doubtful = known.is_none_or(|known| !known.alive) || self.is_suspect(server, now);
            let far = known.is_none_or(|known| &*known.rack != rack);
            (false, doubtful, far, mix(slice.raw() ^ mix(server.0 ^ salt)))
        };
        let mut order: Vec<u8> = (0..parts.len() as u8).collect();
        order.sort_by_key(key);
        order
    }

    pub(super) fn succeeded(&mut self, server: ServerId, read: Option<Duration>) {
        let manners = self.manners.entry(server).or_default();
        manners.failures = 0;
        manners.suspect_until = Instant::ZERO;
        if let Some(took) = read {
            let latency = if manners.latency.is_zero() { took } else { manners.latency };
            manners.latency = latency - latency / SMOOTHING + took / SMOOTHING;
        }
    }

    pub(super) fn failed(&mut self, server: ServerId, now: Instant) {
        let manners = self.manners.entry(server).or_default();
        let wait = (SUSPECT_FIRST * (1 << manners.failures.min(8))).min(SUSPECT_LONGEST);
        manners.failures = manners.failures.saturating_add(1);
        manners.suspect_until = now + wait;
    }

    /// How long to wait for these servers before others are asked beside them: four times as long
    /// as the slowest of them usually takes, within bounds.
    pub(super) fn patience(&self, servers: &[ServerId], least: Duration, longest: Duration) -> Duration {
        let usual = servers.iter().filter_map(|server| self.manners.get(server)).map(|one| one.latency);
        (usual.max().unwrap_or_default() * 4).clamp(least, longest)
    }

    fn is_suspect(&self, server: ServerId, now: Instant) -> bool {
        self.manners.get(&server).is_some_and(|manners| now < manners.suspect_until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mooseng_core::id::Slot;

    fn server(number: u64) -> ChunkServer {
        ChunkServer {
            server: ServerId(number),
            address: Address::new(format!("chunk-{number}:9422")),
            rack: format!("rack {number}").into(),
            total: 1 << 40,
            free: 1 << 39,
            disk: 0,
            alive: true,
        }
    }

    fn table() -> Table {
        let mut table = Table::default();
        table.learn((1..=4).map(server).collect());
        table
    }

    fn usable(table: &Table, parts: usize, now: Instant) -> Vec<u64> {
        let candidates = table.candidates(parts, now);
        candidates.iter().filter(|one| one.usable).map(|one| one.server.0).collect()
    }

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn who_failed_lately_is_asked_only_if_there_is_nobody_else() {
        let mut table = table();
        table.failed(ServerId(2), at(0));
        assert_eq!(usable(&table, 3, at(10)), [1, 3, 4]);
        assert_eq!(usable(&table, 4, at(10)), [1, 2, 3, 4]);
        assert_eq!(usable(&table, 3, at(500)), [1, 2, 3, 4]);
        table.failed(ServerId(2), at(500));
        assert_eq!(usable(&table, 3, at(1_400)), [1, 3, 4]);
        table.succeeded(ServerId(2), None);
        assert_eq!(usable(&table, 3, at(1_400)), [1, 2, 3, 4]);
    }

    #[test]
    fn a_full_server_is_never_asked() {
        let mut servers: Vec<ChunkServer> = (1..=3).map(server).collect();
        servers[0].free = FREE_BYTES_MIN - 1;
        let mut table = Table::default();
        table.learn(servers);
        assert_eq!(usable(&table, 3, at(0)), [2, 3]);
    }

    /// A leader that is new has not heard of any disk yet.
    #[test]
    fn a_server_of_unknown_room_is_asked() {
        let mut servers: Vec<ChunkServer> = (1..=3).map(server).collect();
        (servers[2].total, servers[2].free) = (0, 0);
        let mut table = Table::default();
        table.learn(servers);
        assert_eq!(usable(&table, 3, at(0)), [1, 2, 3]);
        let weights: Vec<u64> = table.candidates(3, at(0)).iter().map(|one| one.weight).collect();
        assert_eq!(weights, [1 << 40; 3]);
    }

    #[test]
    fn the_near_part_is_read_first_and_the_doubtful_one_last() {
        let mut table = table();
        let parts = [None, Some(ServerId(1)), Some(ServerId(2)), Some(ServerId(3)), Some(ServerId(9))];
        let slice = SliceId::new(0, Slot::default(), 5).unwrap();
        let order = |table: &Table, salt| table.order(slice, &parts, "rack 2", salt, at(0));
        assert_eq!((order(&table, 1)[0], order(&table, 1)[3..].to_vec()), (2, vec![4, 0]));
        let firsts: Vec<u8> = (0..32).map(|salt| order(&table, salt)[1]).collect();
        assert!(firsts.contains(&1) && firsts.contains(&3), "clients spread over equal copies");
        table.failed(ServerId(2), at(0));
        assert!(order(&table, 1)[..2].iter().all(|part| [1, 3].contains(part)));
    }

    #[test]
    fn patience_follows_the_slowest_server() {
        let mut table = table();
        let (least, longest) = (Duration::from_millis(5), Duration::from_millis(200));
        assert_eq!(table.patience(&[ServerId(1)], least, longest), least);
        table.succeeded(ServerId(1), Some(Duration::from_millis(10)));
        table.succeeded(ServerId(2), Some(Duration::from_millis(100)));
        assert_eq!(table.patience(&[ServerId(1)], least, longest), Duration::from_millis(40));
        assert_eq!(table.patience(&[ServerId(1), ServerId(2)], least, longest), longest);
    }
}
