//! Stories of one group of three servers, each under a row of seeds: what breaks, and that nothing
//! acknowledged was lost, doubled or changed by it.

use crate::cluster::Cluster;
use crate::judge::{Seen, judge};
use crate::trouble::Trouble;
use crate::work::{Client, Known};
use futures::future::{Either, select};
use mooseng_madsim::{Surroundings, World, run, seeds};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const SEEDS: u64 = 20;
pub(crate) const LIMIT: Duration = Duration::from_secs(300);
const CLIENTS: u64 = 2;
pub(crate) const ROUNDS: u32 = 60;

/// A story and its judge, who looks at the trail every second: what is broken is named when it breaks,
/// not when everything that waits for it has waited too long.
pub(crate) async fn story(world: World, trouble: Trouble, rounds: u32) -> Seen {
    let judged = async {
        loop {
            world.sleep(Duration::from_secs(1)).await;
            world.trail(judge);
        }
    };
    match select(pin!(act(&world, trouble, rounds)), pin!(judged)).await {
        Either::Left(((), _)) => world.trail(judge),
        Either::Right((never, _)) => never,
    }
}

/// Two clients work and a third looks on while there is trouble; then everything is checked.
async fn act(world: &World, trouble: Trouble, rounds: u32) {
    let cluster = Cluster::start(world).await;
    let known = Known::default();
    let (mut hosts, mut clients) = (Vec::new(), Vec::new());
    for number in 1..=CLIENTS {
        let host = world.host(&format!("client-{number}"));
        let (cluster, known, env) = (cluster.clone(), known.clone(), host.start());
        clients.push(host.spawn(async move {
            let client = Client::open(&cluster, env, known).await;
            client.work(&format!("own-{number}"), rounds).await;
        }));
        hosts.push(host);
    }
    let over = Arc::new(AtomicBool::new(false));
    let watcher = world.host("watcher");
    let (watched, watching, env, end) = (cluster.clone(), known.clone(), watcher.start(), over.clone());
    let watching = watcher.spawn(async move {
        let client = Client::open(&watched, env, watching).await;
        client.watch(|| end.load(Ordering::Relaxed)).await;
    });
    hosts.push(watcher);
    trouble.happen(&cluster, &hosts).await;
    for client in clients {
        client.await.expect("a client comes to an end");
    }
    over.store(true, Ordering::Relaxed);
    watching.await.expect("the watcher comes to an end");
    let acknowledged = known.acknowledged();
    let least = (CLIENTS + 1) as usize * rounds as usize;
    assert!(acknowledged > least, "only {acknowledged} entries were acknowledged");
    assert!(cluster.all_up(), "a server is gone that nobody killed");
    let host = world.host("witness");
    let env = host.start();
    let witness = async move { Client::open(&cluster, env, known).await.check_everything().await };
    host.spawn(witness).await.expect("the witness comes to an end");
    world.note(format!("{acknowledged} entries were acknowledged"));
}

fn under_seeds(trouble: Trouble) -> Vec<Seen> {
    let seen = seeds(SEEDS)
        .map(|seed| run(seed, Surroundings::Seeded, LIMIT, move |world| story(world, trouble, ROUNDS)));
    seen.collect()
}

#[test]
fn three_servers_elect_and_serve() {
    let seen = under_seeds(Trouble::Nothing);
    assert!(seen.iter().all(|seen| seen.elections == 1), "nobody had a reason to stand again: {seen:?}");
    assert!(seen.iter().all(|seen| seen.snapshots >= 3), "every server takes snapshots: {seen:?}");
}

#[test]
fn a_leader_that_dies_takes_nothing_with_it() {
    let seen = under_seeds(Trouble::LeaderDies);
    assert!(seen.iter().all(|seen| seen.elections >= 2), "{seen:?}");
}

#[test]
fn a_leader_that_is_cut_off_is_replaced_and_comes_back() {
    let seen = under_seeds(Trouble::LeaderIsCutOff);
    assert!(seen.iter().all(|seen| seen.elections >= 2), "{seen:?}");
}

#[test]
fn a_leader_without_its_peers_says_nothing_stale() {
    let seen = under_seeds(Trouble::LeaderLosesItsPeers);
    assert!(seen.iter().all(|seen| seen.elections >= 3), "{seen:?}");
}

#[test]
fn a_change_whose_answer_was_lost_takes_effect_once() {
    under_seeds(Trouble::AnswersAreLost);
}

#[test]
fn a_power_cut_of_all_three_loses_nothing() {
    let seen = under_seeds(Trouble::Blackout);
    assert!(
        seen.iter().any(|seen| seen.waits > 0),
        "no power cut ever tore what was being written: {seen:?}"
    );
    assert!(seen.iter().all(|seen| seen.elections >= 2), "{seen:?}");
}

#[test]
fn a_server_after_the_other_may_die() {
    under_seeds(Trouble::RollingDeaths);
}
