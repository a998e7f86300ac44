//! Buggify points: rarely taken but legal turns of the logic. A seed switches some of them on for
//! a whole run; such a point then fires at its rate. What one draws is no business of the others.

use super::lane::Lane;
use super::node::NodeId;
use super::stats::PointCount;
use mooseng_core::chance::Dice;
use std::collections::BTreeMap;

struct Point {
    enabled: bool,
    count: PointCount,
    /// By node.
    lanes: Vec<Lane>,
}

pub(crate) struct Points {
    seed: u64,
    points: BTreeMap<&'static str, Point>,
}

impl Points {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, points: BTreeMap::new() }
    }

    /// Does the point fire for this node now? `point_ppm` of all points are on, and they fire
    /// `fire_ppm` of the times they are asked.
    pub(crate) fn fires(
        &mut self,
        point: &'static str,
        node: NodeId,
        now: u64,
        point_ppm: u32,
        fire_ppm: u32,
    ) -> bool {
        let seed = self.seed;
        let place = self.points.entry(point).or_insert_with(|| Point {
            enabled: Lane::new(seed, point, 0, u64::MAX).chance(point_ppm),
            count: PointCount::default(),
            lanes: Vec::new(),
        });
        place.count.asked += 1;
        if !place.enabled {
            return false;
        }
        for index in place.lanes.len()..=node.0 as usize {
            place.lanes.push(Lane::new(seed, point, index as u64, 0));
        }
        let fires = place.lanes[node.0 as usize].at(now).chance(fire_ppm);
        place.count.fired += u64::from(fires);
        fires
    }

    pub(crate) fn counts(&self) -> BTreeMap<&'static str, PointCount> {
        self.points.iter().map(|(name, point)| (*name, point.count)).collect()
    }

    pub(crate) fn forget_counts(&mut self) {
        self.points.values_mut().for_each(|point| point.count = PointCount::default());
    }
}
