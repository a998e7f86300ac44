//! What is made anew, where, and in which order.

use super::{Bounds, Found, Order, Plan, plan};
use crate::census::{Census, CensusConfig, Space};
use crate::state::{State, StateConfig};
use mooseng_core::class::StorageClass;
use mooseng_core::id::{InodeId, PartId, ServerId, SessionId, SliceId};
use mooseng_core::namespace::{FileExtent, SliceInfo};
use mooseng_core::time::Instant;
use std::time::Duration;

const WIDE: Bounds = Bounds { slices_max: 1_000, orders_max: 1_000 };

/// Six registered servers in three racks, all heard of at once.
pub(crate) struct Cluster {
    pub(crate) state: State,
    pub(crate) census: Census,
    pub(crate) now: Instant,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        let mut state = State::new(StateConfig::default());
        let now = Instant::ZERO + Duration::from_secs(1_000);
        let mut census = Census::new(CensusConfig::default());
        census.lead(1, now);
        for server in 1..=6 {
            let (address, rack) = (format!("c{server}:1").into(), format!("r{}", server % 3).into());
            state.chunk_servers.insert(ServerId(server), crate::state::ChunkServer { address, rack });
        }
        let mut cluster = Self { state, census, now };
        cluster.hear(&[1, 2, 3, 4, 5, 6]);
        cluster
    }

    fn hear(&mut self, servers: &[u64]) {
        for server in servers {
            self.census.heard(ServerId(*server), 1, Space { total: 1_000, free: 500, disk: 0 }, self.now);
        }
    }

    /// Time passes, in which only these say that they live.
    pub(crate) fn wait(&mut self, seconds: u64, living: &[u64]) {
        self.now = self.now + Duration::from_secs(seconds);
        self.hear(living);
    }

    pub(crate) fn slice(&mut self, counter: u64, class: &str, parts: &[u64]) -> SliceId {
        let slice = SliceId::from_raw(counter).unwrap();
        let class: StorageClass = class.parse().unwrap();
        let parts = parts.iter().map(|server| (*server != 0).then_some(ServerId(*server))).collect();
        self.state.pending.insert(slice, crate::state::Pending { session: SessionId(1) });
        self.state.pending_of.insert((SessionId(1), slice), ());
        self.state.enliven(&SliceInfo { slice, class, length: 100, parts });
        let offset = 100 * counter;
        self.state.lay(InodeId::ROOT, &FileExtent { offset, length: 9, slice, slice_offset: 0 });
        slice
    }

    fn plan(&self) -> Plan {
        plan(&self.state, &self.census, self.now, None, WIDE)
    }
}

fn places(plan: &Plan) -> Vec<(u64, u8, Option<u64>)> {
    let place =
        |order: &Order| (order.slice.slice.counter(), order.index, order.source.map(|server| server.0));
    plan.orders.iter().map(place).collect()
}

#[track_caller]
fn assert_whole(plan: &Plan) {
    let found = Found { live: plan.found.live, ..Found::default() };
    assert_eq!(*plan, Plan { found, ..Plan::default() });
}

#[test]
fn what_is_whole_is_left_alone() {
    let mut cluster = Cluster::new();
    cluster.slice(1, "copies=2", &[1, 2]);
    cluster.slice(2, "ec=2+1", &[4, 5, 6]);
    assert_whole(&cluster.plan());
}

#[test]
fn a_server_that_comes_back_in_time_causes_nothing() {
    let mut cluster = Cluster::new();
    cluster.slice(1, "copies=2", &[1, 2]);
    cluster.wait(59, &[2, 3, 4, 5, 6]);
    assert_whole(&cluster.plan());
    cluster.wait(0, &[1]);
    cluster.wait(30, &[1, 2, 3, 4, 5, 6]);
    assert_whole(&cluster.plan());
}

#[test]
fn the_most_endangered_come_first() {
    let mut cluster = Cluster::new();
    cluster.slice(1, "copies=3", &[1, 2, 3]);
    cluster.slice(2, "copies=2", &[1, 2]);
    cluster.slice(3, "copies=3", &[1, 0, 4]);
    cluster.slice(4, "ec=3+2", &[1, 2, 3, 4, 0]);
    cluster.wait(60, &[2, 3, 4, 5, 6]);
    let plan = cluster.plan();
    let lost = Some(1);
    assert_eq!(
        places(&plan),
        [(2, 0, lost), (3, 0, lost), (3, 1, None), (4, 0, lost), (4, 4, None), (1, 0, lost),]
    );
    for order in &plan.orders {
        let held: Vec<ServerId> = order.slice.parts.iter().flatten().copied().collect();
        assert!(!held.contains(&order.target), "{order:?}");
        assert!(order.from.iter().all(|(_, server)| *server != ServerId(1)), "{order:?}");
        assert!(order.from.len() >= usize::from(order.slice.class.data()));
    }
    let targets: Vec<ServerId> = plan
        .orders
        .iter()
        .filter(|order| order.slice.slice.counter() == 3)
        .map(|order| order.target)
        .collect();
    assert_ne!(targets[0], targets[1], "two parts of one slice go to two servers");
    assert_eq!(plan.found, Found { live: 4, lacking: 4, endangered: 3, lost: 0 });
    let few =
        super::plan(&cluster.state, &cluster.census, cluster.now, None, Bounds { orders_max: 1, ..WIDE });
    assert_eq!(places(&few), [(2, 0, lost)]);
}

#[test]
fn what_cannot_be_made_up_for_is_said_and_what_is_silent_is_waited_for() {
    let mut cluster = Cluster::new();
    let slice = cluster.slice(1, "ec=2+1", &[1, 2, 3]);
    cluster.wait(60, &[3, 4, 5, 6]);
    let plan = cluster.plan();
    assert_eq!((plan.orders, plan.lost, plan.found.lost), (vec![], vec![slice], 1));
    cluster.wait(0, &[2]);
    assert_eq!(places(&cluster.plan()), [(1, 0, Some(1))]);
    cluster.wait(4, &[3, 4, 5, 6]);
    let plan = cluster.plan();
    assert!(plan.orders.is_empty() && plan.lost.is_empty(), "one of the two parts that are needed is silent");
    assert_eq!(plan.found, Found { live: 1, lacking: 1, endangered: 1, lost: 0 });
}

#[test]
fn a_damaged_part_goes_to_another_server() {
    let mut cluster = Cluster::new();
    let slice = cluster.slice(1, "copies=2", &[1, 2]);
    cluster.census.damaged(PartId { slice, index: 1 }, ServerId(2));
    let plan = cluster.plan();
    assert_eq!(places(&plan), [(1, 1, Some(2))]);
    let order = &plan.orders[0];
    assert!(order.target != ServerId(1) && order.target != ServerId(2));
    assert_eq!(order.from, [(0, ServerId(1))]);
    cluster.census.mended(PartId { slice, index: 1 }, ServerId(2));
    assert_whole(&cluster.plan());
}

/// A server may have got another disk.
#[test]
fn a_damaged_part_is_made_where_it_was_if_there_is_nowhere_else() {
    let mut cluster = Cluster::new();
    let slice = cluster.slice(1, "copies=2", &[1, 2]);
    cluster.wait(60, &[1, 2]);
    cluster.census.damaged(PartId { slice, index: 1 }, ServerId(2));
    let plan = cluster.plan();
    assert_eq!((places(&plan), plan.orders[0].target), (vec![(1, 1, Some(2))], ServerId(2)));
}

#[test]
fn a_retired_server_has_lost_what_it_had_and_gets_nothing() {
    let mut cluster = Cluster::new();
    cluster.slice(1, "copies=2", &[1, 2]);
    cluster.state.chunk_servers.remove(&ServerId(1));
    let plan = cluster.plan();
    assert_eq!(places(&plan), [(1, 0, Some(1))]);
    assert_ne!(plan.orders[0].target, ServerId(1));
}

#[test]
fn a_look_goes_on_where_the_last_one_ended() {
    let mut cluster = Cluster::new();
    (1..=5).for_each(|counter| _ = cluster.slice(counter, "copies=2", &[1, 0]));
    let bounds = Bounds { slices_max: 2, orders_max: 9 };
    let (mut from, mut seen) = (None, Vec::new());
    loop {
        let plan = plan(&cluster.state, &cluster.census, cluster.now, from, bounds);
        seen.extend(places(&plan).into_iter().map(|(counter, ..)| counter));
        from = plan.next;
        if from.is_none() {
            break;
        }
    }
    assert_eq!(seen, [1, 2, 3, 4, 5]);
}
