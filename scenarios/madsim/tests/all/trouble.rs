//! What goes wrong in a story while its clients work. Knows who serves and who asks, and not what.

use crate::cluster::Cluster;
use mooseng_core::chance::Dice;
use mooseng_madsim::Host;
use std::time::Duration;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Trouble {
    Nothing,
    /// Twice the leader loses its power, and comes back.
    LeaderDies,
    /// Nobody reaches the leader for a while.
    LeaderIsCutOff,
    /// The leader and the other servers do not hear each other for a while; clients hear all.
    LeaderLosesItsPeers,
    /// What the leader says does not reach the clients for a while, nor anything the other servers at
    /// first, and again.
    AnswersAreLost,
    /// Twice the power of all servers fails at once.
    Blackout,
    /// One server after the other loses its power, each as soon as the one before is back.
    RollingDeaths,
}

impl Trouble {
    pub(crate) async fn happen(self, cluster: &Cluster, clients: &[Host]) {
        match self {
            Trouble::Nothing => {}
            Trouble::LeaderDies => leader_dies(cluster).await,
            Trouble::LeaderIsCutOff => leader_is_cut_off(cluster).await,
            Trouble::LeaderLosesItsPeers => leader_loses_its_peers(cluster).await,
            Trouble::AnswersAreLost => answers_are_lost(cluster, clients).await,
            Trouble::Blackout => blackout(cluster).await,
            Trouble::RollingDeaths => rolling_deaths(cluster).await,
        }
    }
}

/// A moment in the middle of the work.
async fn a_while(cluster: &Cluster, purpose: &str) {
    let wait = cluster.world.dice(purpose).between(200, 2_500);
    cluster.world.sleep(Duration::from_millis(wait)).await;
}

/// Waits until some server is in the middle of a write of several sectors, but not for long.
async fn while_writing(cluster: &Cluster) {
    for _ in 0..500 {
        if cluster.numbers().any(|number| cluster.server(number).unsynced_sectors() > 1) {
            return;
        }
        cluster.world.sleep(Duration::from_millis(1)).await;
    }
}

async fn leader_dies(cluster: &Cluster) {
    for death in ["first death", "second death"] {
        a_while(cluster, death).await;
        let leader = cluster.some_leader().await;
        cluster.server(leader).kill();
        a_while(cluster, "rest").await;
        cluster.boot(leader);
    }
}

async fn leader_is_cut_off(cluster: &Cluster) {
    a_while(cluster, "before").await;
    let leader = cluster.some_leader().await;
    cluster.server(leader).cut_off();
    cluster.world.sleep(Duration::from_secs(3)).await;
    cluster.server(leader).reconnect();
}

async fn leader_loses_its_peers(cluster: &Cluster) {
    for cut in ["first cut", "second cut"] {
        a_while(cluster, cut).await;
        let leader = cluster.some_leader().await;
        let peers: Vec<u64> = cluster.numbers().filter(|number| *number != leader).collect();
        for peer in &peers {
            cluster.world.part(cluster.server(leader), cluster.server(*peer));
        }
        cluster.world.sleep(Duration::from_secs(3)).await;
        for peer in &peers {
            cluster.world.rejoin(cluster.server(leader), cluster.server(*peer));
        }
    }
}

async fn answers_are_lost(cluster: &Cluster, clients: &[Host]) {
    for silence in ["first silence", "second silence", "third silence"] {
        a_while(cluster, silence).await;
        let leader = cluster.some_leader().await;
        let peers: Vec<u64> = cluster.numbers().filter(|number| *number != leader).collect();
        for client in clients {
            cluster.world.mute(cluster.server(leader), client);
        }
        // For so long nothing is committed, and what is asked again is under way twice.
        for peer in &peers {
            cluster.world.part(cluster.server(leader), cluster.server(*peer));
        }
        cluster.world.sleep(Duration::from_millis(450)).await;
        for peer in &peers {
            cluster.world.rejoin(cluster.server(leader), cluster.server(*peer));
        }
        cluster.world.sleep(Duration::from_millis(250)).await;
        for client in clients {
            cluster.world.rejoin(cluster.server(leader), client);
        }
    }
}

async fn blackout(cluster: &Cluster) {
    for blackout in ["first blackout", "second blackout"] {
        cluster.some_leader().await;
        a_while(cluster, blackout).await;
        while_writing(cluster).await;
        cluster.numbers().for_each(|number| cluster.server(number).kill());
        cluster.world.sleep(Duration::from_millis(500)).await;
        cluster.numbers().for_each(|number| cluster.boot(number));
    }
}

async fn rolling_deaths(cluster: &Cluster) {
    for _ in 0..2 {
        for number in cluster.numbers() {
            cluster.server(number).kill();
            cluster.world.sleep(Duration::from_millis(100)).await;
            cluster.boot(number);
            cluster.world.sleep(Duration::from_millis(400)).await;
        }
    }
}
