//! What the clients of a drawn plan do: few names, so that they get in each other's way.

use super::super::{Action, Base, Place, Step, Weights};
use super::swarm_of;
use mooseng_core::chance::{self, Dice};
use mooseng_core::class::{CHUNK_BYTES, StorageClass};
use mooseng_core::namespace::{
    Access, AttrChange, Caller, Name, NewTime, RenameMode, Target, XATTR_VALUE_BYTES_MAX, XattrMode,
};
use mooseng_core::time::WallTime;
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

/// Of the values of extended attributes: long ones, of which few fit an inode.
const LONG_VALUE_PPM: u32 = 120_000;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
/// Files that nobody removes, so that much happens to their bytes.
const FILES: [&str; 2] = ["data-1", "data-2"];
/// How deep below its beginning a drawn path goes.
const DEPTH_MAX: usize = 2;

/// Where the journal has no room for long values.
pub(super) fn shorten_values(clients: &mut [Vec<Step>]) {
    for step in clients.iter_mut().flatten() {
        if let Action::SetXattr { value, .. } = &mut step.action
            && let Some((word, _)) = value.split_once('*')
        {
            *value = word.to_owned();
        }
    }
}

pub(super) fn draw(seed: u64, weights: &Weights) -> Vec<Vec<Step>> {
    let mut dice = chance::stream(seed, "plan: workload", 0, 0);
    let clients = dice.between(weights.clients_min, weights.clients_max);
    let steps = dice.between(weights.steps_min, weights.steps_max);
    let names = dice.between(2, NAMES.len() as u64) as usize;
    let nested = *dice.pick(&[50_000, 200_000, 500_000]);
    let (kinds, kind_weights) = swarm_of(&weights.operations, &mut dice);
    // On average the steps fill the safety phase, in bursts and pauses.
    let span = weights.faults_end.as_micros() as u64;
    let burst = *dice.pick(&weights.bursts);
    let paused = (steps * u64::from(1_000_000 - burst) / 1_000_000).max(1);
    let pause = (2 * span * clients / paused).max(2);
    let interrupted = *dice.pick(&[0, 0, 10_000, 150_000]);
    let mut plan: Vec<Vec<Step>> = vec![Vec::new(); clients as usize];
    let mut made = Made::default();
    let mut people = People::draw(seed);
    for number in 0..steps {
        let mut dice = chance::stream(seed, "plan: step", 0, number);
        let mut draw = StepDraw { dice: &mut dice, names: &NAMES[..names], nested, made: &made };
        // The first steps make places for the later ones to work in.
        let at = |name| Place { base: Base::Root, names: vec![known_name(name)] };
        let action = match number as usize {
            early if early < names => Action::Mkdir { at: at(NAMES[early]), mode: people.first_mode() },
            early if early < names + FILES.len() => Action::create(at(FILES[early - names])),
            early if early == names + FILES.len() && people.others > 0 => {
                let change = AttrChange { mode: Some(people.first_mode()), ..AttrChange::default() };
                Action::SetAttr { inode: Place::root(), change }
            }
            _ => {
                let kind = draw.dice.weighted(&kind_weights);
                draw.action(kinds[kind])
            }
        };
        let early = number as usize <= names + FILES.len();
        let caller = if early { Caller::ROOT } else { people.caller(number) };
        let label = made.remember(&action, u32::try_from(number).unwrap_or(u32::MAX));
        let micros = if dice.chance(burst) { dice.below(2_000) } else { dice.below(pause) };
        let client = dice.below(clients) as usize;
        let patience = Duration::from_micros(*dice.pick(&[200, 1_000, 5_000, 50_000]));
        let within = dice.chance(interrupted).then_some(patience);
        let wait = Duration::from_micros(micros);
        let more = match &action {
            Action::Link { inode, .. } if dice.chance(200_000) => names_more(inode, &caller, number),
            _ => Vec::new(),
        };
        plan[client].push(Step { wait, action, caller, label, within });
        plan[client].extend(more);
    }
    plan
}

/// In whose name the steps are done, with dice of their own.
struct People {
    seed: u64,
    dice: ChaCha8Rng,
    /// How often, in millionths, somebody else than root.
    others: u32,
}

impl People {
    fn draw(seed: u64) -> Self {
        let mut dice = chance::stream(seed, "plan: people", 0, 0);
        let others = *dice.pick(&[0, 0, 200_000, 700_000]);
        Self { seed, dice, others }
    }

    /// What the directories that are there first let others do.
    fn first_mode(&mut self) -> u16 {
        if self.others == 0 { 0o755 } else { *self.dice.pick(&[0o777, 0o777, 0o1777, 0o2777, 0o755]) }
    }

    fn caller(&self, number: u64) -> Caller {
        let mut dice = chance::stream(self.seed, "plan: caller", 0, number);
        if !dice.chance(self.others) {
            return Caller::ROOT;
        }
        let (uid, groups) = dice.pick(&[(1_000, vec![]), (1_000, vec![1_001]), (1_001, vec![5])]).clone();
        Caller { uid, gid: uid, groups }
    }
}

/// Names that nobody else gives, for what may have only so many.
fn names_more(inode: &Place, caller: &Caller, number: u64) -> Vec<Step> {
    let link = |count: u64| {
        let name = known_name(&format!("l{number}-{count}"));
        let at = Place { base: Base::Root, names: vec![name] };
        let action = Action::Link { inode: inode.clone(), at };
        Step { wait: Duration::ZERO, action, caller: caller.clone(), label: None, within: None }
    };
    (1..=4).map(link).collect()
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
            Action::Create { .. } | Action::Symlink { .. } | Action::Mknod { .. } => self.files.push(label),
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

    fn xattr_name(&mut self) -> String {
        (*self.dice.pick(&["user.a", "user.b", "trusted.a", "security.a"])).to_owned()
    }

    fn xattr_value(&mut self) -> String {
        let word = format!("v{}", self.dice.below(4));
        if !self.dice.chance(LONG_VALUE_PPM) {
            return word;
        }
        let bytes = [4_096, 8_192, XATTR_VALUE_BYTES_MAX, XATTR_VALUE_BYTES_MAX + 1];
        format!("{word}*{}", self.dice.pick(&bytes))
    }

    /// Anything: a remembered inode, or whatever has a name.
    fn anything(&mut self) -> Place {
        let remembered = if self.dice.chance(600_000) { self.remembered(600_000) } else { None };
        remembered.unwrap_or_else(|| self.named())
    }

    /// What gets another name: most often one of the last files, which may have several already.
    fn linked(&mut self) -> Place {
        let young = self.made.files.len().saturating_sub(3);
        match &self.made.files[young..] {
            files if !files.is_empty() && self.dice.chance(500_000) => Place::made(*self.dice.pick(files)),
            _ => self.anything(),
        }
    }

    /// Mostly a file, one that lasts or one of the last that were made, so that they are written often.
    fn file(&mut self) -> Place {
        let files = &self.made.files;
        if files.is_empty() || self.dice.chance(100_000) {
            return self.anything();
        }
        let lasting = self.dice.chance(700_000);
        let some = if lasting {
            0..files.len().min(FILES.len())
        } else {
            files.len().saturating_sub(3)..files.len()
        };
        Place::made(*self.dice.pick(&files[some]))
    }

    fn offset(&mut self) -> u64 {
        *self.dice.pick(&[0, 5, 50, 90, CHUNK_BYTES - 10, CHUNK_BYTES])
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
            "symlink" => {
                let target = self.dice.pick(&["a", "../b", "/nowhere/at/all"]).as_bytes().to_vec();
                Action::Symlink {
                    at: self.named(),
                    target: Target::new(target).expect("drawn targets are targets"),
                }
            }
            "mknod" => {
                let rdev = *self.dice.pick(&[None, Some(259), Some(u32::MAX)]);
                Action::Mknod { at: self.named(), rdev }
            }
            "open" => Action::Open { inode: self.anything() },
            "close" => Action::Close,
            "look-at-open" => Action::LookAtOpen,
            "readlink" => Action::ReadLink { inode: self.anything() },
            "set-xattr" => {
                let mode = *self.dice.pick(&[XattrMode::Set, XattrMode::Create, XattrMode::Replace]);
                let (inode, name) = (self.anything(), self.xattr_name());
                Action::SetXattr { inode, name, value: self.xattr_value(), mode }
            }
            "remove-xattr" => Action::RemoveXattr { inode: self.anything(), name: self.xattr_name() },
            "get-xattr" => Action::GetXattr { inode: self.anything(), name: self.xattr_name() },
            "list-xattr" => Action::ListXattr { inode: self.anything() },
            "access" => {
                let access = Access::new(self.dice.below(8) as u8).expect("three bits");
                Action::Access { inode: self.anything(), access }
            }
            "unlink" => Action::Unlink { at: self.named() },
            "rmdir" => Action::Rmdir { at: self.named() },
            "rename" => self.rename(RenameMode::Replace),
            "rename-keep" => self.rename(RenameMode::Keep),
            "exchange" => self.rename(RenameMode::Exchange),
            "link" => Action::Link { inode: self.linked(), at: self.named() },
            "setattr" => Action::SetAttr { inode: self.anything(), change: self.change() },
            "write" => {
                let length = *self.dice.pick(&[1, 20, 100]);
                Action::Write { file: self.file(), offset: self.offset(), length }
            }
            "truncate" => {
                let size = Some(self.offset());
                Action::SetAttr { inode: self.file(), change: AttrChange { size, ..AttrChange::default() } }
            }
            "punch" => {
                let length = *self.dice.pick(&[1, 10, 1_000]);
                Action::Punch { file: self.file(), offset: self.offset(), length }
            }
            "leave" => Action::Leave,
            "compact" => Action::Compact { file: self.file() },
            "set-class" => {
                let class = StorageClass::copies(*self.dice.pick(&[2, 3])).unwrap_or_default();
                Action::SetClass { inode: self.anything(), class }
            }
            "map" => {
                let length = *self.dice.pick(&[1, 30, u64::MAX]);
                Action::Map { file: self.file(), offset: self.offset(), length }
            }
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
        match self.dice.below(8) {
            0 => {
                change.mode = Some(*self.dice.pick(&[0, 0o600, 0o755, 0o777, 0o1777, 0o2770, 0o4755, 0o7777]))
            }
            1 => change.uid = Some(*self.dice.pick(&[0, 1_000, 1_001, u32::MAX])),
            2 => change.gid = Some(*self.dice.pick(&[0, 1_000, 1_001, u32::MAX])),
            3 => change.size = Some(*self.dice.pick(&[0, 1, 1 << 26, i64::MAX as u64])),
            4 => change.mtime = Some(NewTime::At(WallTime(*self.dice.pick(&[0, -1, 1 << 60])))),
            5 => change.atime = Some(NewTime::At(WallTime(*self.dice.pick(&[0, -1, 1 << 60])))),
            6 => (change.atime, change.mtime) = (Some(NewTime::Now), Some(NewTime::Now)),
            _ => {
                change.size = Some(self.dice.below(1 << 20));
                change.by_handle = true;
            }
        }
        change
    }
}
