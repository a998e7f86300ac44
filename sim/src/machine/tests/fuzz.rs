//! Everything at once: drawn machines under drawn faults, and what must hold all the same.

use super::super::{Fault, Load, MachineConfig, NodeConfig, Sim, SimEnv, SimFile, Spot};
use super::{LIMIT, frame, millis};
use bytes::Bytes;
use futures::FutureExt;
use mooseng_core::chance::{Dice, stream};
use mooseng_core::env::{
    Address, Conn, Disk, Env, File, FrameReceiver, FrameSender, Listener, Net, NetError, OpenMode, sleep,
    timeout,
};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex};

const SECTORS: u64 = 40;
const SECTOR: u64 = 512;

/// What one sector of a file may hold after a crash.
#[derive(Clone, Default)]
struct Sector {
    /// Values since the last sync, and its, each with when it was last written.
    values: BTreeMap<u8, u64>,
    /// Values of writes that have begun and not returned.
    under_way: Vec<u8>,
    /// Values of dropped writes, which may land until the next crash.
    haunting: BTreeSet<u8>,
    /// What a reader sees now, but for ghosts.
    current: u8,
}

#[derive(Default)]
struct Allowed {
    sectors: Vec<Sector>,
    /// Counts events.
    now: u64,
}

impl Allowed {
    fn write_begins(&mut self, range: Range<usize>, value: u8) {
        self.now += 1;
        for sector in &mut self.sectors[range] {
            sector.values.insert(value, self.now);
            sector.under_way.push(value);
        }
    }

    fn write_returns(&mut self, range: Range<usize>, value: u8) {
        self.now += 1;
        for sector in &mut self.sectors[range] {
            sector.values.insert(value, self.now);
            sector.under_way.retain(|other| *other != value);
            sector.current = value;
        }
    }

    /// A sync that began at `begin`, when the sectors were `before`, has returned: what else they
    /// held then is gone, but for what was under way.
    fn synced(&mut self, begin: u64, before: &[Sector]) {
        for (sector, before) in self.sectors.iter_mut().zip(before) {
            let flew = |value: &u8| before.under_way.contains(value);
            let kept = |value: &u8, time: u64| *value == before.current || time > begin || flew(value);
            sector.values.retain(|value, time| kept(value, *time));
        }
    }
}

/// Writes and drops writes at random in its own part of the file, syncs all of it, and keeps
/// `allowed` up to date.
async fn scribble(env: SimEnv, mut dice: ChaCha8Rng, part: Range<u64>, allowed: Arc<Mutex<Allowed>>) {
    let file: SimFile = env.disk().open("f", OpenMode::Existing).await.unwrap();
    loop {
        let first = dice.between(part.start, part.end - 1);
        let count = dice.between(1, 12).min(part.end - first);
        let value = dice.between(1, 255) as u8;
        let range = first as usize..(first + count) as usize;
        let write = file.write_at(first * SECTOR, Bytes::from(vec![value; (count * SECTOR) as usize]));
        match dice.below(8) {
            0..=4 => {
                allowed.lock().unwrap().write_begins(range.clone(), value);
                write.await.unwrap();
                allowed.lock().unwrap().write_returns(range, value);
            }
            5 => {
                for sector in &mut allowed.lock().unwrap().sectors[range] {
                    sector.haunting.insert(value);
                }
                assert!(write.now_or_never().is_none());
            }
            _ => {
                let (begin, before) = {
                    let allowed = allowed.lock().unwrap();
                    (allowed.now, allowed.sectors.clone())
                };
                file.sync().await.unwrap();
                allowed.lock().unwrap().synced(begin, &before);
            }
        }
    }
}

#[test]
fn a_crash_keeps_only_what_it_may() {
    let (mut lost, mut kept, mut ghosts) = (0, 0, 0);
    for seed in 0..30 {
        let mut config = MachineConfig::draw(&mut stream(seed, "machine", 0, 0));
        config.disk.stall_ppm = 0;
        let mut sim = Sim::new(seed, config);
        let node = sim.add_node("a", NodeConfig::default());
        sim.boot_idle(node);
        let env = sim.env(node);
        sim.run(node, LIMIT, async move {
            let file = env.disk().open("f", OpenMode::New).await.unwrap();
            file.write_at(0, Bytes::from(vec![0; (SECTORS * SECTOR) as usize])).await.unwrap();
            file.sync().await.unwrap();
            env.disk().sync_dir("").await.unwrap();
        })
        .unwrap();
        let fresh = Sector { values: BTreeMap::from([(0, 0)]), ..Sector::default() };
        let sectors = vec![fresh; SECTORS as usize];
        let allowed = Arc::new(Mutex::new(Allowed { sectors, now: 0 }));
        for round in 0..12 {
            for (key, part) in [0..SECTORS / 3, SECTORS / 3..SECTORS].into_iter().enumerate() {
                let dice = stream(seed, "scribble", round, key as u64);
                sim.spawn(node, "scribble", scribble(sim.env(node), dice, part, allowed.clone()));
            }
            sim.run_for(millis(stream(seed, "round", round, 0).between(1, 40)));
            sim.apply(&Fault::Crash { node: "a".into(), restart_ms: Some(1) }).unwrap();
            sim.run_for(millis(2));
            let env = sim.env(node);
            let bytes = sim.run(node, LIMIT, async move {
                let file = env.disk().open("f", OpenMode::Existing).await.unwrap();
                file.read_at(0, 1 << 20).await.unwrap()
            });
            let bytes = bytes.unwrap();
            assert_eq!(bytes.len(), (SECTORS * SECTOR) as usize, "seed {seed}, round {round}");
            let mut allowed = allowed.lock().unwrap();
            for (index, found) in bytes.chunks(SECTOR as usize).enumerate() {
                assert!(
                    found.iter().all(|byte| *byte == found[0]),
                    "seed {seed}, round {round}: torn within"
                );
                let (value, sector) = (found[0], &mut allowed.sectors[index]);
                let (regular, haunted) =
                    (sector.values.contains_key(&value), sector.haunting.contains(&value));
                assert!(regular || haunted, "seed {seed}, round {round}, sector {index}: {value}");
                lost += usize::from(regular && value != sector.current);
                kept += usize::from(value == sector.current && sector.values.len() > 1);
                ghosts += usize::from(haunted && !regular);
                *sector = Sector { values: BTreeMap::from([(value, 0)]), ..Sector::default() };
                sector.current = value;
            }
        }
    }
    assert!(lost > 100 && kept > 100 && ghosts > 20, "lost {lost}, kept {kept}, ghosts {ghosts}");
}

/// Takes connections and checks that each brings 0, 1, 2 … and then ends.
async fn check(env: SimEnv, arrived: Arc<Mutex<u64>>) {
    let address = Address::new(format!("{}:1", env.name()));
    let Ok(mut listener) = env.net().listen(&address).await else { return };
    while let Ok(accepted) = listener.accept().await {
        let (inner, arrived) = (env.clone(), arrived.clone());
        env.spawn("check one", async move {
            let (mut sender, mut receiver) = accepted.conn.split();
            let mut next = 0_u64;
            while let Ok(Ok(Some(found))) = timeout(&inner, 5 * millis(1_000), receiver.recv()).await {
                let number = u64::from_le_bytes(found.head[..8].try_into().unwrap());
                assert_eq!(number, next, "each frame once and in order");
                next += 1;
                *arrived.lock().unwrap() += 1;
                if number % 3 == 0 && sender.send(frame("go on")).await.is_err() {
                    return;
                }
            }
        });
    }
}

async fn count_to(env: &SimEnv, target: &Address, dice: &mut ChaCha8Rng) -> Result<(), NetError> {
    let (mut sender, mut receiver) = env.net().connect(target).await?.split();
    for number in 0..dice.below(40) {
        let mut head = number.to_le_bytes().to_vec();
        head.resize(8 + dice.below(2_000) as usize, 0);
        sender.send(super::Frame { head: head.into(), body: super::Body::Empty }).await?;
        if number % 3 == 0 {
            receiver.recv().await?;
        }
    }
    Ok(())
}

async fn count(env: SimEnv) {
    let mut dice = env.rng("count", 0);
    loop {
        let target = Address::new(format!("n{}:1", dice.below(4)));
        let wait = millis(dice.between(1, 3_000));
        // Errors and time-outs are what faults are for.
        let _ = timeout(&env, wait, count_to(&env, &target, &mut dice)).await;
        sleep(&env, millis(dice.below(150))).await;
    }
}

fn draw_fault(dice: &mut ChaCha8Rng) -> Fault {
    let mut name = || format!("n{}", dice.below(4));
    let (node, other) = (name(), name());
    let for_ms = Some(dice.between(1, 4_000));
    let restart_ms = Some(dice.between(1, 2_000));
    let spot = Spot { prefix: String::new(), ..Spot::default() };
    match dice.below(23) {
        0 => Fault::Crash { node, restart_ms },
        1 => Fault::Kill { node, restart_ms },
        2 => Fault::Pause { node, for_ms },
        3 => Fault::Suspend { node, for_ms },
        4 => Fault::Cut { source: node, target: other, for_ms },
        5 => Fault::Partition { left: vec![node], right: vec![other], for_ms },
        6 => Fault::Isolate { node, for_ms },
        7 => Fault::Clog { source: node, target: other, for_ms },
        8 => {
            let bytes_per_second = Some(dice.between(1_000, 100_000));
            Fault::SlowLink { source: node, target: other, extra_us: 50_000, bytes_per_second, for_ms }
        }
        9 => Fault::Reset { left: node, right: other },
        10 => Fault::Corrupt { source: node, target: other, frames: 2 },
        11 => Fault::Drift { node, ppm: dice.below(400_000) as i32 - 200_000 },
        12 => Fault::ClockJump { node, by_ms: dice.below(5_000) },
        13 => Fault::WallStep { node, by_ms: -7 },
        14 => Fault::DiskSlow { node, factor: 20, for_ms },
        15 => Fault::DiskStall { node, for_ms: 300 },
        16 => Fault::SwapDisks {
            left: node,
            right: other,
            restart_ms,
            for_ms: for_ms.filter(|_| dice.chance(500_000)),
        },
        17 => Fault::Empty { node, restart_ms },
        18 => Fault::Rollback { node, restart_ms },
        19 => Fault::BitRot { node, spot, sectors: 3 },
        20 => Fault::SlowCpu { node, factor: 10, for_ms },
        21 => Fault::HalfOpen { source: node, target: other, silent: dice.chance(500_000) },
        _ => Fault::Restart { node },
    }
}

/// Under whatever faults, connections are queues; and when all is healed, they work again, and
/// nothing is left of what is over.
#[test]
fn connections_stay_queues_and_leave_nothing_behind() {
    for seed in 0..6 {
        let mut sim = Sim::new(seed, MachineConfig::draw(&mut stream(seed, "machine", 0, 0)));
        let arrived = Arc::new(Mutex::new(0));
        for index in 0..4 {
            let node = sim.add_node(&format!("n{index}"), NodeConfig::default());
            let arrived = arrived.clone();
            sim.boot(node, move |env| {
                let arrived = arrived.clone();
                async move {
                    env.spawn("check", check(env.clone(), arrived));
                    (0..3).for_each(|_| env.spawn("count", count(env.clone())));
                }
            });
        }
        let mut dice = stream(seed, "faults", 0, 0);
        for _ in 0..40 {
            sim.run_for(millis(dice.below(600)));
            sim.apply(&draw_fault(&mut dice)).unwrap();
        }
        sim.run_for(millis(5_000));
        sim.heal();
        sim.run_for(millis(30_000));
        let before = *arrived.lock().unwrap();
        assert!(before > 100, "seed {seed}: {before} frames arrived");
        sim.run_for(millis(10_000));
        let after = *arrived.lock().unwrap();
        assert!(after > before + 20, "seed {seed}: after healing {} frames arrived", after - before);
        for index in 0..4 {
            sim.apply(&Fault::Kill { node: format!("n{index}"), restart_ms: None }).unwrap();
        }
        sim.run_for(millis(1));
        assert_eq!(sim.load(), Load::default(), "seed {seed}");
    }
}
