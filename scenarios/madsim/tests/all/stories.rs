//! Stories of one group of three servers, each under a row of seeds: what breaks, and that nothing
//! acknowledged was lost, doubled or changed by it.

use crate::cluster::Cluster;
use crate::judge::{Seen, judge};
use crate::work::{Client, Known};
use mooseng_core::chance::Dice;
use mooseng_madsim::{Surroundings, World, run, seeds};
use std::future::Future;
use std::time::Duration;

const SEEDS: u64 = 20;
const LIMIT: Duration = Duration::from_secs(300);
const CLIENTS: u64 = 2;
const ROUNDS: u32 = 30;

/// Two clients work while `trouble` does what it does; then everything is checked.
pub(crate) async fn story<F: Future<Output = ()>>(
    world: World,
    rounds: u32,
    trouble: impl FnOnce(Cluster) -> F,
) -> Seen {
    let cluster = Cluster::start(&world).await;
    let known = Known::default();
    let mut clients = Vec::new();
    for number in 1..=CLIENTS {
        let host = world.host(&format!("client-{number}"));
        let (cluster, known, env) = (cluster.clone(), known.clone(), host.start());
        clients.push(host.spawn(async move {
            let client = Client::open(&cluster, env, known).await;
            client.work(&format!("own-{number}"), rounds).await;
        }));
    }
    trouble(cluster.clone()).await;
    for client in clients {
        client.await.expect("a client comes to an end");
    }
    let acknowledged = known.acknowledged();
    let least = (CLIENTS + 1) as usize * rounds as usize;
    assert!(acknowledged > least, "only {acknowledged} entries were acknowledged");
    assert!(cluster.all_up(), "a server is gone that nobody killed");
    let host = world.host("witness");
    let env = host.start();
    let witness = async move { Client::open(&cluster, env, known).await.check_everything().await };
    host.spawn(witness).await.expect("the witness comes to an end");
    world.note(format!("{acknowledged} entries were acknowledged"));
    world.trail(judge)
}

fn under_seeds<F: Future<Output = ()> + 'static>(
    rounds: u32,
    trouble: impl FnOnce(Cluster) -> F + Copy + Send + 'static,
) -> Vec<Seen> {
    let seen = seeds(SEEDS)
        .map(|seed| run(seed, Surroundings::Seeded, LIMIT, move |world| story(world, rounds, trouble)));
    seen.collect()
}

/// A moment in the middle of the work.
async fn a_while(cluster: &Cluster, purpose: &str) {
    let wait = cluster.world.dice(purpose).between(200, 2_500);
    cluster.world.sleep(Duration::from_millis(wait)).await;
}

#[test]
fn three_servers_elect_and_serve() {
    let seen = under_seeds(ROUNDS, |_| async {});
    assert!(seen.iter().all(|seen| seen.elections == 1), "nobody had a reason to stand again: {seen:?}");
    assert!(seen.iter().any(|seen| seen.snapshots > 0), "no story was long enough for a snapshot");
}

#[test]
fn a_leader_that_dies_takes_nothing_with_it() {
    let seen = under_seeds(2 * ROUNDS, |cluster| async move {
        for death in ["first death", "second death"] {
            a_while(&cluster, death).await;
            let leader = cluster.some_leader().await;
            cluster.kill(leader);
            a_while(&cluster, "rest").await;
            cluster.boot(leader);
        }
    });
    assert!(seen.iter().all(|seen| seen.elections >= 2), "{seen:?}");
}

#[test]
fn a_leader_that_is_cut_off_is_replaced_and_comes_back() {
    let seen = under_seeds(2 * ROUNDS, |cluster| async move {
        a_while(&cluster, "before").await;
        let leader = cluster.some_leader().await;
        cluster.cut_off(leader);
        cluster.world.sleep(Duration::from_secs(3)).await;
        cluster.reconnect(leader);
    });
    assert!(seen.iter().all(|seen| seen.elections >= 2), "{seen:?}");
}

#[test]
fn a_power_cut_of_all_three_loses_nothing() {
    let seen = under_seeds(2 * ROUNDS, |cluster| async move {
        for blackout in ["first blackout", "second blackout"] {
            a_while(&cluster, blackout).await;
            cluster.numbers().for_each(|number| cluster.kill(number));
            cluster.world.sleep(Duration::from_millis(500)).await;
            cluster.numbers().for_each(|number| cluster.boot(number));
        }
    });
    assert!(seen.iter().all(|seen| seen.elections >= 2), "{seen:?}");
}
