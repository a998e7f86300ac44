//! The same seed is the same run, wherever it runs; another seed is another.

use super::super::{Fault, MachineConfig, NodeConfig, Sim, SimEnv};
use super::{frame, millis};
use bytes::Bytes;
use mooseng_core::chance::{Dice, stream};
use mooseng_core::env::{
    Address, Conn, Disk, Env, File, FrameReceiver, FrameSender, Listener, Net, OpenMode, sleep, timeout,
};

/// Serves every connection: writes what it gets to its disk, syncs, and answers.
async fn serve(env: SimEnv) {
    let address = Address::new(format!("{}:1", env.name()));
    let Ok(mut listener) = env.net().listen(&address).await else { return };
    let file = match env.disk().open("log", OpenMode::Existing).await {
        Ok(file) => file,
        Err(_) => match env.disk().open("log", OpenMode::New).await {
            Ok(file) => file,
            Err(error) => return env.halt(error.to_string()),
        },
    };
    while let Ok(accepted) = listener.accept().await {
        let (mut sender, mut receiver) = accepted.conn.split();
        let (env, file) = (env.clone(), file.clone());
        env.clone().spawn("serve one", async move {
            while let Ok(Some(received)) = receiver.recv().await {
                let end = file.length().await.unwrap_or(0);
                let written = file.write_at(end, received.head).await;
                if written.is_err() || file.sync().await.is_err() {
                    return env.halt("its disk failed".into());
                }
                if sender.send(frame("done")).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// Asks whoever comes up, with a deadline, for ever.
async fn ask(env: SimEnv, servers: u64) {
    let mut dice = env.rng("ask", 0);
    loop {
        let target = Address::new(format!("server-{}:1", dice.below(servers)));
        let talk = async {
            let (mut sender, mut receiver) = env.net().connect(&target).await?.split();
            for _ in 0..dice.below(20) {
                let bytes = Bytes::from(vec![7; dice.below(3_000) as usize]);
                sender.send(super::Frame { head: bytes, body: super::Body::Empty }).await?;
                receiver.recv().await?;
            }
            Ok::<(), mooseng_core::env::NetError>(())
        };
        // Errors and time-outs are what this run is about.
        let _ = timeout(&env, millis(400), talk).await;
        sleep(&env, millis(dice.below(30))).await;
    }
}

fn build(seed: u64) -> Sim {
    let mut sim = Sim::new(seed, MachineConfig::draw(&mut stream(seed, "machine", 0, 0)));
    for index in 0..3 {
        let node = sim.add_node(&format!("server-{index}"), NodeConfig::default());
        sim.boot(node, serve);
    }
    for index in 0..3 {
        let node = sim.add_node(&format!("client-{index}"), NodeConfig::default());
        sim.boot(node, |env| ask(env, 3));
    }
    sim
}

fn run(seed: u64) -> Sim {
    let mut sim = build(seed);
    let mut dice = stream(seed, "faults", 0, 0);
    for _ in 0..10 {
        sim.run_for(millis(200));
        let node = format!("server-{}", dice.below(3));
        let other = format!("client-{}", dice.below(3));
        let fault = match dice.below(5) {
            0 => Fault::Crash { node, restart_ms: Some(100) },
            1 => Fault::Kill { node, restart_ms: Some(10) },
            2 => Fault::Isolate { node, for_ms: Some(300) },
            3 => Fault::Clog { source: node, target: other, for_ms: Some(150) },
            _ => Fault::Pause { node, for_ms: Some(250) },
        };
        assert_eq!(sim.apply(&fault), Ok(()));
    }
    sim
}

#[test]
fn the_same_seed_is_the_same_run() {
    let mut hashes = Vec::new();
    for seed in 0..6 {
        let (first, second) = (run(seed), run(seed));
        assert_eq!(first.trace_hash(), second.trace_hash(), "seed {seed}");
        assert_eq!(first.stats(), second.stats(), "seed {seed}");
        assert!(first.stats().frames > 100 && first.stats().syncs > 50, "{:?}", first.stats());
        hashes.push(first.trace_hash());
    }
    hashes.dedup();
    assert_eq!(hashes.len(), 6, "seeds differ");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "simulations must not notice one another's threads")]
fn the_same_seed_is_the_same_run_on_every_thread() {
    let here = run(3).trace_hash();
    let threads = [0, 1].map(|_| std::thread::spawn(|| run(3).trace_hash()));
    for thread in threads {
        assert_eq!(thread.join().unwrap(), here);
    }
}

#[test]
fn keeping_lines_changes_nothing_and_tells_everything() {
    let silent = run(1);
    let mut told = build(1);
    told.record();
    told.run_for(millis(50));
    let lines = told.take_lines();
    assert!(lines.windows(2).all(|pair| pair[0].time <= pair[1].time));
    assert_eq!(lines.last().map(|line| line.hash), Some(told.trace_hash()));
    let mut again = build(1);
    again.run_for(millis(50));
    assert_eq!(again.trace_hash(), told.trace_hash());
    assert_ne!(again.trace_hash(), silent.trace_hash());
}

/// A fault on one node's disk shifts nothing that another, unconcerned pair of nodes does.
#[test]
fn a_fault_shifts_no_draw_of_those_it_does_not_touch() {
    let lines = |crash: bool| {
        let mut sim = Sim::new(5, MachineConfig::calm());
        for (server, client) in [("server-0", "near"), ("other", "far")] {
            let node = sim.add_node(server, NodeConfig::default());
            sim.boot(node, serve);
            let node = sim.add_node(client, NodeConfig::default());
            if client == "near" {
                sim.boot(node, |env| ask(env, 1));
            }
        }
        sim.record();
        sim.run_for(millis(100));
        if crash {
            assert_eq!(sim.apply(&Fault::Crash { node: "other".into(), restart_ms: Some(5) }), Ok(()));
        }
        sim.run_for(millis(300));
        let concerned: Vec<_> = ["server-0", "near"].map(|name| sim.node(name)).into_iter().collect();
        let lines = sim.take_lines().into_iter().filter(|line| concerned.contains(&line.node));
        lines.map(|line| (line.time, format!("{:?}", line.what))).collect::<Vec<_>>()
    };
    let (calm, disturbed) = (lines(false), lines(true));
    assert!(calm.len() > 1_000);
    for (index, pair) in calm.iter().zip(&disturbed).enumerate() {
        assert_eq!(pair.0, pair.1, "line {index}");
    }
    assert_eq!(calm.len(), disturbed.len());
}
