//! What the clients of a drawn plan do: few names, so that they get in each other's way.

use super::super::weights::OPERATIONS;
use super::super::{Action, Base, Place, Step, Weights};
use super::swarm_of;
use mooseng_core::chance::{self, Dice};
use mooseng_core::namespace::{AttrChange, Name, RenameMode};
use mooseng_core::time::WallTime;
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
/// How deep below its beginning a drawn path goes.
const DEPTH_MAX: usize = 2;

pub(super) fn draw(seed: u64, weights: &Weights) -> Vec<Vec<Step>> {
    let mut dice = chance::stream(seed, "plan: workload", 0, 0);
    let clients = dice.between(weights.clients_min, weights.clients_max);
    let steps = dice.between(weights.steps_min, weights.steps_max);
    let names = dice.between(2, NAMES.len() as u64) as usize;
    let nested = *dice.pick(&[50_000, 200_000, 500_000]);
    let (kinds, kind_weights) = swarm_of(&OPERATIONS, &mut dice);
    // On average the steps fill the safety phase, in bursts and pauses.
    let span = weights.faults_end.as_micros() as u64;
    let pause = (2 * span * clients / steps.max(1)).max(2);
    let burst = *dice.pick(&[100_000, 500_000, 900_000]);
    let mut plan: Vec<Vec<Step>> = vec![Vec::new(); clients as usize];
    let mut made = Made::default();
    for number in 0..steps {
        let mut dice = chance::stream(seed, "plan: step", 0, number);
        let mut draw = StepDraw { dice: &mut dice, names: &NAMES[..names], nested, made: &made };
        // The first steps make places for the later ones to work in.
        let action = match NAMES[..names].get(number as usize) {
            Some(name) => Action::mkdir(Place { base: Base::Root, names: vec![known_name(name)] }),
            None => {
                let kind = draw.dice.weighted(&kind_weights);
                draw.action(kinds[kind])
            }
        };
        let label = made.remember(&action, u32::try_from(number).unwrap_or(u32::MAX));
        let micros = if dice.chance(burst) { dice.below(2_000) } else { dice.below(pause) };
        let client = dice.below(clients) as usize;
        plan[client].push(Step { wait: Duration::from_micros(micros), action, label });
    }
    plan
}

/// Labels of the steps so far.
#[derive(Default)]
struct Made {
    directories: Vec<u32>,
    files: Vec<u32>,
}

impl Made {
    fn remember(&mut self, action: &Action, label: u32) -> Option<u32> {
        match action {
            Action::Mkdir { .. } => self.directories.push(label),
            Action::Create { .. } => self.files.push(label),
            _ => return None,
        }
        Some(label)
    }
}

fn known_name(name: &str) -> Name {
    Name::new(name.as_bytes().to_vec()).expect("the drawn names are names")
}

struct StepDraw<'a> {
    dice: &'a mut ChaCha8Rng,
    names: &'a [&'static str],
    /// How likely a place is deeper by one more name.
    nested: u32,
    made: &'a Made,
}

impl StepDraw<'_> {
    fn name(&mut self) -> Name {
        known_name(self.dice.pick::<&str>(self.names))
    }

    fn remembered(&mut self, files: u32) -> Option<Place> {
        let made = if self.dice.chance(files) { &self.made.files } else { &self.made.directories };
        (!made.is_empty()).then(|| Place::made(*self.dice.pick(made)))
    }

    /// A directory: the root, a remembered one, or a path from either; now and then no directory.
    fn directory(&mut self) -> Place {
        let remembered = if self.dice.chance(450_000) { self.remembered(50_000) } else { None };
        let mut place = remembered.unwrap_or_else(Place::root);
        while place.names.len() < DEPTH_MAX && self.dice.chance(self.nested) {
            let name = self.name();
            place.names.push(name);
        }
        place
    }

    /// Anything: a remembered inode, or whatever has a name.
    fn anything(&mut self) -> Place {
        let remembered = if self.dice.chance(600_000) { self.remembered(600_000) } else { None };
        remembered.unwrap_or_else(|| self.named())
    }

    fn named(&mut self) -> Place {
        let mut place = self.directory();
        let name = self.name();
        place.names.push(name);
        place
    }

    fn rename(&mut self, mode: RenameMode) -> Action {
        Action::Rename { source: self.named(), target: self.named(), mode }
    }

    fn action(&mut self, kind: &str) -> Action {
        match kind {
            "mkdir" => Action::mkdir(self.named()),
            "create" => Action::create(self.named()),
            "unlink" => Action::Unlink { at: self.named() },
            "rmdir" => Action::Rmdir { at: self.named() },
            "rename" => self.rename(RenameMode::Replace),
            "rename-keep" => self.rename(RenameMode::Keep),
            "exchange" => self.rename(RenameMode::Exchange),
            "link" => Action::Link { inode: self.anything(), at: self.named() },
            "setattr" => Action::SetAttr { inode: self.anything(), change: self.change() },
            "lookup" => Action::Lookup { at: self.named() },
            "getattr" => Action::GetAttr { inode: self.anything() },
            _ => {
                let page = *self.dice.pick(&[1, 2, 3, 64]);
                Action::ReadDir { directory: self.directory(), page }
            }
        }
    }

    fn change(&mut self) -> AttrChange {
        let mut change = AttrChange::default();
        match self.dice.below(6) {
            0 => change.mode = Some(*self.dice.pick(&[0, 0o600, 0o755, 0o7777])),
            1 => change.uid = Some(*self.dice.pick(&[0, 1_000, u32::MAX])),
            2 => change.gid = Some(*self.dice.pick(&[0, 1_000, u32::MAX])),
            3 => change.size = Some(*self.dice.pick(&[0, 1, 1 << 26, i64::MAX as u64])),
            4 => change.mtime = Some(WallTime(*self.dice.pick(&[0, -1, 1 << 60]))),
            _ => change.atime = Some(WallTime(*self.dice.pick(&[0, -1, 1 << 60]))),
        }
        change
    }
}
