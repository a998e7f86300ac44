//! What the clients of a drawn plan do where the bytes of files matter: few files, a few hundred KiB at
//! most, written and read by everybody.

use super::super::{Action, Base, Place, Step, Weights};
use super::swarm_of;
use mooseng_core::chance::{self, Dice};
use mooseng_core::class::StorageClass;
use mooseng_core::namespace::{Caller, Name, RenameMode};
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

/// Files that are there from the beginning, and stay.
const FILES: [&str; 4] = ["f1", "f2", "f3", "f4"];
/// How far behind its beginning a file is written.
const OFFSET_MAX: u64 = 300 << 10;
/// The most files of one storm.
const STORM_MAX: u64 = 8;

pub(super) fn draw(seed: u64, weights: &Weights) -> Vec<Vec<Step>> {
    let mut dice = chance::stream(seed, "plan: files", 0, 0);
    let clients = dice.between(weights.clients_min, weights.clients_max) as usize;
    let actions = dice.between(weights.steps_min, weights.steps_max);
    let files = dice.between(1, FILES.len() as u64) as usize;
    let (kinds, kind_weights) = swarm_of(&weights.operations, &mut dice);
    let large = *dice.pick(&[0, 50_000, 300_000]);
    let span = weights.faults_end.as_micros() as u64;
    let burst = *dice.pick(&weights.bursts);
    let paused = (actions * u64::from(1_000_000 - burst) / 1_000_000).max(1);
    let pause = (2 * span * clients as u64 / paused).max(2);
    let interrupted = *dice.pick(&[0, 0, 10_000, 100_000]);
    let mut draw = Draw { clients: vec![Vec::new(); clients], labels: 0, large };
    draw.classes(&mut dice, &FILES[..files]);
    for number in 0..actions {
        let mut dice = chance::stream(seed, "plan: file step", 0, number);
        let client = dice.below(clients as u64) as usize;
        let micros = if dice.chance(burst) { dice.below(2_000) } else { dice.below(pause) };
        let patience = Duration::from_micros(*dice.pick(&[200, 5_000, 50_000]));
        let within = dice.chance(interrupted).then_some(patience);
        let file = named(dice.pick::<&str>(&FILES[..files]));
        let before = draw.clients[client].len();
        let kind = dice.weighted(&kind_weights);
        draw.action(kinds[kind], client, file, number, &mut dice);
        let steps = &mut draw.clients[client][before..];
        if let Some(first) = steps.first_mut() {
            first.wait = Duration::from_micros(micros);
        }
        if let [only] = steps {
            only.within = within;
        }
    }
    draw.clients
}

fn named(name: &str) -> Place {
    Place { base: Base::Root, names: vec![Name::new(name.to_owned()).expect("a drawn name is a name")] }
}

struct Draw {
    clients: Vec<Vec<Step>>,
    labels: u32,
    /// How often, in millionths, a write is long enough to be kept as more than copies.
    large: u32,
}

impl Draw {
    fn push(&mut self, client: usize, action: Action) -> Place {
        let makes = matches!(action, Action::Create { .. } | Action::Mkdir { .. });
        let label = makes.then_some(self.labels);
        self.labels += u32::from(makes);
        let wait = Duration::ZERO;
        self.clients[client].push(Step { wait, action, caller: Caller::ROOT, label, within: None });
        Place::made(self.labels.saturating_sub(1))
    }

    /// The files that stay, each of a class of its own.
    fn classes(&mut self, dice: &mut ChaCha8Rng, files: &[&str]) {
        let classes = ["copies=2", "copies=2", "copies=3", "ec=2+1", "ec=3+1", "ec=2+2"];
        let root: StorageClass = classes[dice.below(3) as usize].parse().expect("it names a class");
        self.push(0, Action::SetClass { inode: Place::root(), class: root });
        for file in files {
            let inode = self.push(0, Action::create(named(file)));
            if dice.chance(700_000) {
                let class = dice.pick(&classes).parse().expect("it names a class");
                self.push(0, Action::SetClass { inode, class });
            }
        }
    }

    fn length(&self, dice: &mut ChaCha8Rng) -> u32 {
        if dice.chance(self.large) {
            return dice.between(128 << 10, 260 << 10) as u32;
        }
        let most = *dice.pick(&[10, 5_000, 5_000, 20_000, 70_000]);
        dice.between(1, most) as u32
    }

    fn offset(&self, dice: &mut ChaCha8Rng) -> u64 {
        match dice.below(4) {
            0 => 0,
            1 => 4_096 * dice.below(16),
            2 => dice.below(20_000),
            _ => dice.below(OFFSET_MAX),
        }
    }

    fn action(&mut self, kind: &str, client: usize, file: Place, number: u64, dice: &mut ChaCha8Rng) {
        match kind {
            "put" => {
                let (mut offset, length) = (self.offset(dice), self.length(dice));
                // One after the other, as most programs write.
                for _ in 0..*dice.pick(&[1, 1, 1, 3]) {
                    self.push(client, Action::Put { file: file.clone(), offset, length });
                    offset += u64::from(length);
                }
            }
            "get" => {
                let (offset, length) = (self.offset(dice), *dice.pick(&[100, 10_000, 600_000]));
                let offset = if length == 600_000 { 0 } else { offset };
                self.push(client, Action::Get { file, offset, length });
            }
            "fsync" => drop(self.push(client, Action::Fsync { file })),
            "close" => drop(self.push(client, Action::CloseFile { file })),
            "open" => drop(self.push(client, Action::OpenFile { file })),
            "hand-over" => self.hand_over(client, file, dice),
            "cut" => {
                let size = *dice.pick(&[0, 1, 4_096, 10_000, 100_000]);
                self.push(client, Action::Cut { file, size });
            }
            "save" => self.save(client, file, number, dice),
            "storm" => self.storm(client, dice),
            "append" => self.append(client, file, dice),
            "update" => self.update(client, file, dice),
            "rewrite" => self.rewrite(client, file, dice),
            _ => drop(self.push(client, Action::Unlink { at: named(&format!("s{}", dice.below(20))) })),
        }
    }

    /// One client writes and closes, and another one reads on: what it has open it opens again.
    fn hand_over(&mut self, client: usize, file: Place, dice: &mut ChaCha8Rng) {
        let (offset, length) = (self.offset(dice), self.length(dice));
        self.push(client, Action::Put { file: file.clone(), offset, length });
        self.push(client, Action::CloseFile { file: file.clone() });
        let others = self.clients.len() as u64 - 1;
        let other = (client + 1 + dice.below(others.max(1)) as usize) % self.clients.len();
        for _ in 0..dice.between(1, 3) {
            self.push(other, Action::OpenFile { file: file.clone() });
            self.push(other, Action::Get { file: file.clone(), offset, length });
        }
    }

    /// As an editor saves: another file, made durable, takes the name.
    fn save(&mut self, client: usize, file: Place, number: u64, dice: &mut ChaCha8Rng) {
        let other = named(&format!("t{number}"));
        let made = self.push(client, Action::create(other.clone()));
        let length = self.length(dice);
        self.push(client, Action::Put { file: made.clone(), offset: 0, length });
        let kept = if dice.chance(700_000) {
            Action::Fsync { file: made.clone() }
        } else {
            Action::CloseFile { file: made.clone() }
        };
        self.push(client, kept);
        let rename = Action::Rename { source: other, target: file.clone(), mode: RenameMode::Replace };
        self.push(client, rename);
        self.push(client, Action::CloseFile { file: made });
        self.push(client, Action::Get { file, offset: 0, length: length + 1 });
    }

    /// As a log is written: one run after the other, made durable each time or now and then.
    fn append(&mut self, client: usize, file: Place, dice: &mut ChaCha8Rng) {
        let mut offset = self.offset(dice);
        let each = dice.chance(500_000);
        for number in 0..dice.between(3, 8) {
            let length = dice.between(1, 6_000) as u32;
            self.push(client, Action::Put { file: file.clone(), offset, length });
            offset += u64::from(length);
            if each || number % 3 == 2 {
                self.push(client, Action::Fsync { file: file.clone() });
            }
        }
    }

    /// As a database writes: pages here and there, over what is there, durable at once.
    fn update(&mut self, client: usize, file: Place, dice: &mut ChaCha8Rng) {
        let page = *dice.pick(&[512, 4_096, 16_384]);
        for _ in 0..dice.between(2, 6) {
            let offset = page * dice.below(12);
            self.push(client, Action::Put { file: file.clone(), offset, length: page as u32 });
            if dice.chance(700_000) {
                self.push(client, Action::Fsync { file: file.clone() });
            }
        }
        self.push(client, Action::Get { file, offset: 0, length: 600_000 });
    }

    /// As a shell redirects: cut to nothing, written anew from the beginning, closed.
    fn rewrite(&mut self, client: usize, file: Place, dice: &mut ChaCha8Rng) {
        self.push(client, Action::Cut { file: file.clone(), size: 0 });
        let length = self.length(dice);
        self.push(client, Action::Put { file: file.clone(), offset: 0, length });
        self.push(client, Action::CloseFile { file: file.clone() });
        self.push(client, Action::Get { file, offset: 0, length: length + 1 });
    }

    fn storm(&mut self, client: usize, dice: &mut ChaCha8Rng) {
        for _ in 0..dice.between(2, STORM_MAX) {
            let at = named(&format!("s{}", dice.below(20)));
            let made = self.push(client, Action::create(at));
            let length = dice.between(1, 3_000) as u32;
            self.push(client, Action::Put { file: made.clone(), offset: 0, length });
            self.push(client, Action::CloseFile { file: made });
        }
    }
}
