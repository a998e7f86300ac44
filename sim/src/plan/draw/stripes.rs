//! Files of every class there is, written while all is well, and then chunk servers lost and damaged: as
//! many as the least of the classes is made for, or, beyond the budget, more than that.

use super::super::{Action, Base, Budget, DataKnobs, Place, Plan, PlannedFault, Step, Topology, When};
use crate::machine::{Fault, MachineConfig, Spot};
use crate::plan::Member;
use mooseng_core::chance::{self, Dice};
use mooseng_core::class::StorageClass;
use mooseng_core::namespace::{Caller, Name};
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

const CLASSES: [&str; 7] = ["copies=2", "copies=3", "ec=2+1", "ec=4+2", "ec=8+3", "ec=8+4", "ec=16+4"];
/// A slice of an erasure class has at least so many bytes for each of its data parts.
const PART_BYTES_MIN: u64 = 64 << 10;
/// By then everything is written.
const WRITTEN_MS: u64 = 4_000;
const STRUCK_MS: u64 = 8_000;
const READS: u64 = 24;

impl Plan {
    /// See the module.
    pub fn stripes(seed: u64, budget: Budget) -> Self {
        let mut dice = chance::stream(seed, "plan: stripes", 0, 0);
        // What is committed with less than its class asks for bears less. A calm machine leaves nothing out;
        // any other is told not to.
        let calm = dice.chance(700_000);
        let mut class = || {
            let strict = if calm { "" } else { ",strict" };
            let class = format!("{}{strict}", dice.pick(&CLASSES));
            class.parse::<StorageClass>().expect("it names a class")
        };
        let classes = [class(), class()];
        let parts = classes.map(|class| u64::from(class.parts()));
        let chunk_servers = (parts[0].max(parts[1]) + dice.below(3)) as u32;
        let racks = *dice.pick(&[1, 2, 4, chunk_servers]);
        let story = if budget == Budget::Within { "stripes" } else { "cluster-beyond" };
        let mut plan = Self {
            budget,
            topology: Topology { chunk_servers, racks, ..Topology::default() },
            schedules: vec![chance::once(seed, "plan: schedule", 0, 0)],
            faults_end: Duration::from_millis(STRUCK_MS + 1_000),
            end: Duration::from_millis(STRUCK_MS + 8_000),
            ..Self::quiet(story, seed)
        };
        if !calm {
            plan.machine = MachineConfig::draw(&mut dice);
        }
        let (drawn, usual) = (DataKnobs::draw(&mut dice), DataKnobs::default());
        // A batch is a slice, long enough to be kept in stripes.
        plan.knobs.data = DataKnobs {
            flush_bytes: usual.flush_bytes,
            slice_bytes_max: usual.slice_bytes_max,
            file_unwritten_max: usual.file_unwritten_max,
            unwritten_max: usual.unwritten_max,
            ..drawn
        };
        plan.clients = clients(classes, &mut dice);
        plan.faults = faults(&plan, classes, &mut dice);
        plan
    }
}

fn clients(classes: [StorageClass; 2], dice: &mut ChaCha8Rng) -> Vec<Vec<Step>> {
    let at =
        |name: &str| Place { base: Base::Root, names: vec![Name::new(name.to_owned()).expect("a name")] };
    let step = |wait, action, label| Step {
        wait: Duration::from_millis(wait),
        action,
        caller: Caller::ROOT,
        label,
        within: None,
    };
    let mut writer = vec![step(0, Action::SetClass { inode: Place::root(), class: classes[0] }, None)];
    let mut longest = 0;
    for (label, (class, small)) in (0..).zip([(classes[0], false), (classes[1], false), (classes[1], true)]) {
        let file = Place::made(label);
        writer.push(step(0, Action::create(at(&format!("f{}", label + 1))), Some(label)));
        writer.push(step(0, Action::SetClass { inode: file.clone(), class }, None));
        let stripe = PART_BYTES_MIN * u64::from(class.data());
        let length = if small { dice.between(1, 20_000) } else { stripe + dice.below(stripe / 2 + 5_000) };
        longest = longest.max(length);
        writer.push(step(0, Action::Put { file: file.clone(), offset: 0, length: length as u32 }, None));
        let keep = if dice.chance(500_000) {
            Action::Fsync { file: file.clone() }
        } else {
            Action::CloseFile { file: file.clone() }
        };
        writer.push(step(0, keep, None));
    }
    let mut clients = vec![writer, Vec::new()];
    let pause = (STRUCK_MS - WRITTEN_MS + 1_000) * 2 / (READS / 2);
    for number in 0..READS {
        let client = (number % 2) as usize;
        let file = at(&format!("f{}", dice.between(1, 3)));
        let offset = if dice.chance(500_000) { 0 } else { dice.below(longest) };
        let length = *dice.pick(&[100, 70_000, 2_000_000]);
        let wait = if number < 2 { WRITTEN_MS - 500 } else { dice.below(pause) };
        clients[client].push(step(wait, Action::Get { file, offset, length }, None));
    }
    clients
}

fn faults(plan: &Plan, classes: [StorageClass; 2], dice: &mut ChaCha8Rng) -> Vec<PlannedFault> {
    let parity = classes.map(|class| u64::from(class.parity()));
    let (least, most) = (parity[0].min(parity[1]), parity[0].max(parity[1]));
    let all = u64::from(plan.topology.chunk_servers);
    let count = match plan.budget {
        Budget::Within => dice.between(1, least),
        Budget::Beyond => (*dice.pick(&[least + 1, least + 1, most + 1, all])).min(all),
    };
    let mut servers: Vec<u32> = (1..=plan.topology.chunk_servers).collect();
    dice.shuffle(&mut servers);
    let mut faults = Vec::new();
    for server in &servers[..count as usize] {
        let node = Member::Chunk(*server).to_string();
        for _ in 0..dice.between(1, 2) {
            let when = When::at(Duration::from_millis(dice.between(WRITTEN_MS, STRUCK_MS)));
            faults.push(PlannedFault { when, fault: fault(node.clone(), plan, dice) });
        }
    }
    faults.sort_by_key(|planned| planned.when.wait);
    faults
}

fn fault(node: String, plan: &Plan, dice: &mut ChaCha8Rng) -> Fault {
    let prefix = "store/".to_owned();
    let spot = Spot { prefix: prefix.clone(), ..Spot::default() };
    let sectors = *dice.pick(&[1, 4, 40]);
    let away = *dice.pick(&[1, 100, 1_000, plan.knobs.data.lost_after_ms + 500]);
    let restart_ms = Some(away);
    match dice.weighted(&[6, 5, 3, 2, 3, 1]) {
        0 => Fault::Empty { node, restart_ms },
        1 => Fault::BitRot { node, spot, sectors },
        2 => Fault::LatentError { node, spot, sectors },
        3 => Fault::MisdirectedWrite { node, prefix },
        4 => Fault::Crash { node, restart_ms },
        _ => Fault::Isolate { node, for_ms: restart_ms },
    }
}
