//! Spare metadata servers, and an operator among the clients who exchanges servers for them while all
//! the rest goes on.

use super::super::{Action, Plan, Step, Weights};
use mooseng_core::chance::{self, Dice};
use mooseng_core::namespace::Caller;
use std::time::Duration;

/// Puts spares into the topology, and what the operator does between the steps of a client.
pub(super) fn draw(plan: &mut Plan, weights: &Weights) {
    let mut dice = chance::stream(plan.seed, "plan: spares", 0, 0);
    if !dice.chance(weights.spared) {
        return;
    }
    let servers = plan.topology.servers;
    let spares = dice.between(1, u64::from(weights.spares_max)) as u32;
    plan.topology.spares = spares;
    let mut orders = Vec::new();
    for spare in servers + 1..=servers + spares {
        orders.push(Action::AddServer { server: spare });
        if dice.chance(700_000) {
            // A spare that has just been added may be the one that goes again.
            orders.push(Action::RemoveServer { server: dice.between(1, u64::from(spare)) as u32 });
        }
    }
    let operator = dice.below(plan.clients.len() as u64) as usize;
    let steps = &mut plan.clients[operator];
    // One after the other, at any time.
    let mut places: Vec<usize> = orders.iter().map(|_| dice.below(steps.len() as u64 + 1) as usize).collect();
    places.sort_unstable();
    for (order, place) in orders.into_iter().zip(places).rev() {
        let wait = Duration::from_millis(*dice.pick(&[0, 10, 300]));
        steps.insert(place, Step { wait, action: order, caller: Caller::ROOT, label: None, within: None });
    }
}
