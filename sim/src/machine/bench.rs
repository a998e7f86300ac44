//! How fast the machine itself is: hosts that ping one another and do nothing else. Whoever runs
//! it brings the wall clock along.

use super::config::MachineConfig;
use super::env::SimEnv;
use super::node::NodeConfig;
use super::sim::Sim;
use bytes::Bytes;
use mooseng_core::env::{
    Address, Body, Conn, Env, Frame, FrameReceiver, FrameSender, Listener, Net, NetError, sleep,
};
use std::time::Duration;

/// A ring of hosts, each of which pings its neighbour every `every`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PingLoad {
    pub hosts: u32,
    pub every: Duration,
    pub simulated: Duration,
}

impl PingLoad {
    /// The load that published numbers of simulators are compared by.
    pub fn standard() -> Self {
        Self { hosts: 20, every: Duration::from_secs(1), simulated: Duration::from_secs(10_000) }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PingResult {
    pub wall: Duration,
    pub pings: u64,
    pub polls: u64,
    pub happenings: u64,
    pub trace_hash: u128,
}

/// Runs the load and takes the time on `wall_clock`, which counts from anywhere.
pub fn bench(seed: u64, load: PingLoad, wall_clock: impl Fn() -> Duration) -> PingResult {
    let mut sim = Sim::new(seed, MachineConfig::calm());
    for index in 0..load.hosts {
        let node = sim.add_node(&format!("host-{index}"), NodeConfig::default());
        let target = Address::new(format!("host-{}:7", (index + 1) % load.hosts));
        sim.boot(node, move |env| {
            let target = target.clone();
            async move {
                env.spawn("echo", echo(env.clone()));
                // A host that cannot reach its neighbour has nothing to do.
                let _ = ping(env, target, load.every).await;
            }
        });
    }
    let begin = wall_clock();
    sim.run_for(load.simulated);
    let wall = wall_clock().saturating_sub(begin);
    let stats = sim.stats();
    PingResult {
        wall,
        pings: stats.frames / 2,
        polls: stats.polls,
        happenings: stats.happenings,
        trace_hash: sim.trace_hash(),
    }
}

async fn echo(env: SimEnv) {
    let address = Address::new(format!("{}:7", env.name()));
    let Ok(mut listener) = env.net().listen(&address).await else { return };
    while let Ok(accepted) = listener.accept().await {
        env.spawn("echo one", async move {
            let (mut sender, mut receiver) = accepted.conn.split();
            while let Ok(Some(received)) = receiver.recv().await {
                let frame = Frame { head: received.head, body: Body::Empty };
                if sender.send(frame).await.is_err() {
                    return;
                }
            }
        });
    }
}

async fn ping(env: SimEnv, target: Address, every: Duration) -> Result<(), NetError> {
    // The neighbour may not have begun to listen yet.
    sleep(&env, Duration::from_millis(1)).await;
    let (mut sender, mut receiver) = env.net().connect(&target).await?.split();
    loop {
        sender.send(Frame { head: Bytes::from_static(b"ping"), body: Body::Empty }).await?;
        receiver.recv().await?;
        sleep(&env, every).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_pings_and_is_answered() {
        let load = PingLoad { hosts: 5, every: Duration::from_secs(1), simulated: Duration::from_secs(100) };
        let result = bench(1, load, || Duration::ZERO);
        assert!((495..=505).contains(&result.pings), "{result:?}");
        assert_eq!(result.trace_hash, bench(1, load, || Duration::ZERO).trace_hash);
    }
}
