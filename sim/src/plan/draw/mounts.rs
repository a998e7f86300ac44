//! What mounts do in a drawn plan: the same few names, over and over, and the same few files, at all of
//! them, so that each meets what the others have done.

use super::super::{Action, Base, Place, Plan, Step, Weights};
use super::swarm_of;
use mooseng_core::chance::{self, Dice};
use mooseng_core::namespace::{Access, AttrChange, Caller, Name, NewTime, RenameMode, Target, XattrMode};
use mooseng_core::time::WallTime;
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

/// Directories that are there from the beginning; `""` is the root.
const DIRECTORIES: [&str; 3] = ["", "d1", "d2"];
/// How many names there are in each.
const NAMES: u64 = 8;
const OFFSET_MAX: u64 = 100 << 10;

/// A mount waits long for its cluster: what it gives up is in doubt, and little can be said of that.
pub(super) fn patient(plan: &mut Plan, dice: &mut impl Dice) {
    let knobs = &mut plan.knobs;
    knobs.deadline_ms = *dice.pick(&[3_000, 10_000, 10_000, 10_000]);
    knobs.client_hands = 1;
    // A mount keeps what it is told, nearly always.
    let all = plan.clients.len() as u32;
    knobs.clients_caching = if dice.chance(900_000) { all } else { knobs.clients_caching };
}

pub(super) fn draw(seed: u64, weights: &Weights) -> Vec<Vec<Step>> {
    let mut dice = chance::stream(seed, "plan: mounts", 0, 0);
    let mounts = dice.between(weights.clients_min, weights.clients_max) as usize;
    let actions = dice.between(weights.steps_min, weights.steps_max);
    let (kinds, kind_weights) = swarm_of(&weights.operations, &mut dice);
    let span = weights.faults_end.as_micros() as u64;
    let burst = *dice.pick(&weights.bursts);
    let paused = (actions * u64::from(1_000_000 - burst) / 1_000_000).max(1);
    let pause = (2 * span / paused).max(2);
    let interrupted = *dice.pick(&[0, 0, 0, 20_000]);
    let files = dice.between(1, NAMES);
    let mut draw = Draw { mounts: vec![Vec::new(); mounts], due: 0, done: vec![0; mounts], files, labels: 0 };
    draw.begin(&mut dice);
    for number in 0..actions {
        let mut dice = chance::stream(seed, "plan: mount step", 0, number);
        draw.due += if dice.chance(burst) { dice.below(2_000) } else { dice.below(pause) };
        let patience = Duration::from_micros(*dice.pick(&[200, 5_000, 50_000]));
        let within = dice.chance(interrupted).then_some(patience);
        let mount = dice.below(mounts as u64) as usize;
        let before = draw.mounts[mount].len();
        let kind = kinds[dice.weighted(&kind_weights)];
        draw.action(kind, mount, &mut dice);
        if let [only] = &mut draw.mounts[mount][before..] {
            only.within = within;
        }
    }
    draw.mounts
}

fn place(directory: &str, name: &str) -> Place {
    let names = [directory, name].into_iter().filter(|name| !name.is_empty());
    let names = names.map(|name| Name::new(name.to_owned()).expect("a drawn name is a name"));
    Place { base: Base::Root, names: names.collect() }
}

struct Draw {
    mounts: Vec<Vec<Step>>,
    /// When the next step is due, were all answered at once: mounts take turns as they are drawn.
    due: u64,
    done: Vec<u64>,
    /// How many of the names files are looked for under.
    files: u64,
    /// How many directories were made so that they can be named whatever becomes of them.
    labels: u32,
}

impl Draw {
    fn push(&mut self, mount: usize, action: Action) {
        let wait = Duration::from_micros(self.due - std::mem::replace(&mut self.done[mount], self.due));
        let label = matches!(action, Action::Mkdir { .. }).then_some(self.labels);
        self.labels += u32::from(label.is_some());
        self.mounts[mount].push(Step { wait, action, caller: Caller::ROOT, label, within: None });
    }

    /// The same, when what was drawn before is likely to be over.
    fn push_later(&mut self, mount: usize, action: Action) {
        self.due += 5_000;
        self.push(mount, action);
    }

    fn begin(&mut self, dice: &mut ChaCha8Rng) {
        for name in &DIRECTORIES[1..] {
            self.push(0, Action::mkdir(place("", name)));
        }
        self.due += 300_000;
        for _ in 0..dice.between(0, 12) {
            let at = self.name(dice);
            self.push(0, Action::create(at));
        }
    }

    fn name(&self, dice: &mut ChaCha8Rng) -> Place {
        // As whoever has changed to a directory, and stays in it.
        if self.labels > 0 && dice.chance(120_000) {
            let made = Place::made(dice.below(u64::from(self.labels)) as u32);
            let name = Name::new(format!("n{}", dice.below(NAMES))).expect("a drawn name is a name");
            return Place { names: vec![name], ..made };
        }
        place(dice.pick::<&str>(&DIRECTORIES), &format!("n{}", dice.below(NAMES)))
    }

    /// Most of what is done to files is done to few of them.
    fn file(&self, dice: &mut ChaCha8Rng) -> Place {
        place(DIRECTORIES[dice.below(2) as usize], &format!("n{}", dice.below(self.files)))
    }

    fn directory(&self, dice: &mut ChaCha8Rng) -> Place {
        place("", dice.pick::<&str>(&DIRECTORIES))
    }

    fn other(&self, mount: usize, dice: &mut ChaCha8Rng) -> usize {
        let others = self.mounts.len() as u64 - 1;
        (mount + 1 + dice.below(others) as usize) % self.mounts.len()
    }

    fn length(&self, dice: &mut ChaCha8Rng) -> u32 {
        let most = *dice.pick(&[10, 3_000, 3_000, 20_000]);
        dice.between(1, most) as u32
    }

    fn offset(&self, dice: &mut ChaCha8Rng) -> u64 {
        match dice.below(4) {
            0 => 0,
            1 => 4_096 * dice.below(8),
            2 => dice.below(10_000),
            _ => dice.below(OFFSET_MAX),
        }
    }

    fn change(&self, dice: &mut ChaCha8Rng) -> AttrChange {
        let time = |dice: &mut ChaCha8Rng| {
            let at = NewTime::At(WallTime(1_000_000_000_000_000_000 + dice.below(1_000_000_000) as i64));
            if dice.chance(850_000) { at } else { NewTime::Now }
        };
        match dice.below(8) {
            0 => AttrChange { mode: Some(*dice.pick(&[0o600, 0o644, 0o755])), ..AttrChange::default() },
            1 => AttrChange { uid: Some(1_000 + dice.below(3) as u32), ..AttrChange::default() },
            2 => AttrChange { gid: Some(1_000 + dice.below(3) as u32), ..AttrChange::default() },
            3 => AttrChange { size: Some(self.size(dice)), ..AttrChange::default() },
            4 => AttrChange { atime: Some(time(dice)), ..AttrChange::default() },
            5 => AttrChange { atime: Some(time(dice)), mtime: Some(time(dice)), ..AttrChange::default() },
            6 => AttrChange { mtime: Some(time(dice)), by_handle: true, ..AttrChange::default() },
            _ => AttrChange { mtime: Some(time(dice)), ..AttrChange::default() },
        }
    }

    fn size(&self, dice: &mut ChaCha8Rng) -> u64 {
        match dice.below(3) {
            0 => 0,
            1 => *dice.pick(&[1, 4_096, 10_000]),
            _ => dice.below(OFFSET_MAX),
        }
    }

    fn action(&mut self, kind: &str, mount: usize, dice: &mut ChaCha8Rng) {
        let action = match kind {
            "scene" => return self.scene(mount, dice),
            "create" => Action::create(self.name(dice)),
            "mkdir" => Action::mkdir(self.name(dice)),
            "unlink" => Action::Unlink { at: self.name(dice) },
            "rmdir" => Action::Rmdir { at: self.name(dice) },
            "rename" | "rename-keep" | "exchange" => {
                let mode = match kind {
                    "rename" => RenameMode::Replace,
                    "exchange" => RenameMode::Exchange,
                    _ => RenameMode::Keep,
                };
                Action::Rename { source: self.name(dice), target: self.name(dice), mode }
            }
            "link" => Action::Link { inode: self.name(dice), at: self.name(dice) },
            "symlink" => {
                let target = Target::new(format!("to-{}", dice.below(100))).expect("a drawn target is one");
                Action::Symlink { at: self.name(dice), target }
            }
            "readlink" => Action::ReadLink { inode: self.name(dice) },
            "lookup" => Action::Lookup { at: self.name(dice) },
            "getattr" if dice.chance(150_000) => Action::GetAttr { inode: self.directory(dice) },
            "getattr" => Action::GetAttr { inode: self.file(dice) },
            "access" => Action::Access { inode: self.file(dice), access: Access::READ },
            "readdir" => Action::ReadDir { directory: self.directory(dice), page: *dice.pick(&[1, 2, 64]) },
            "list-on" => {
                Action::ListOn { directory: self.directory(dice), lines: *dice.pick(&[1, 1, 2, 3, 64]) }
            }
            "setattr" => Action::SetAttr { inode: self.file(dice), change: self.change(dice) },
            kind if kind.ends_with("xattr") => self.xattr(kind, dice),
            kind => self.of_file(kind, dice),
        };
        self.push(mount, action);
    }

    fn xattr(&self, kind: &str, dice: &mut ChaCha8Rng) -> Action {
        let inode = self.file(dice);
        let name = (*dice.pick(&["user.a", "user.b"])).to_owned();
        match kind {
            "set-xattr" => {
                let mode =
                    *dice.pick(&[XattrMode::Set, XattrMode::Set, XattrMode::Create, XattrMode::Replace]);
                Action::SetXattr { inode, name, value: format!("v{}", dice.below(1_000)), mode }
            }
            "remove-xattr" => Action::RemoveXattr { inode, name },
            "get-xattr" => Action::GetXattr { inode, name },
            _ => Action::ListXattr { inode },
        }
    }

    fn of_file(&self, kind: &str, dice: &mut ChaCha8Rng) -> Action {
        let file = self.file(dice);
        match kind {
            "open" => Action::OpenFile { file },
            "put" => Action::Put { file, offset: self.offset(dice), length: self.length(dice) },
            "append" => Action::Append { file, length: self.length(dice) },
            "get" => Action::Get { file, offset: 0, length: 300_000 },
            "fsync" => Action::Fsync { file },
            "flush" => Action::Flush { file },
            "cut" => Action::Cut { file, size: self.size(dice) },
            "punch" => {
                let (offset, length) = (self.offset(dice), u64::from(self.length(dice)));
                Action::Punch { file, offset, length }
            }
            "reserve" => {
                let (offset, length) = (self.offset(dice), u64::from(self.length(dice)));
                Action::Reserve { file, offset, length }
            }
            "seek" => Action::Seek { file, offset: self.offset(dice), hole: dice.chance(500_000) },
            _ => Action::CloseFile { file },
        }
    }

    fn scene(&mut self, mount: usize, dice: &mut ChaCha8Rng) {
        let (file, other) = (self.file(dice), self.other(mount, dice));
        match dice.below(6) {
            0 => self.archive(mount, other, file, dice),
            1 => self.sweep(mount, other, dice),
            2 => self.cut_elsewhere(mount, other, file, dice),
            3 => self.hand_over(mount, other, file, dice),
            4 => self.glances(mount, file, dice),
            _ => self.log(mount, other, file, dice),
        }
    }

    /// As an archiver unpacks: makes, writes, sets the times of old, closes.
    fn archive(&mut self, mount: usize, other: usize, file: Place, dice: &mut ChaCha8Rng) {
        let mtime = Some(NewTime::At(WallTime(900_000_000_000_000_000 + dice.below(1_000_000) as i64)));
        self.push(mount, Action::create(file.clone()));
        self.push(mount, Action::Put { file: file.clone(), offset: 0, length: self.length(dice) });
        let by_handle = dice.chance(500_000);
        let change = AttrChange { mtime, by_handle, ..AttrChange::default() };
        self.push(mount, Action::SetAttr { inode: file.clone(), change });
        if dice.chance(500_000) {
            self.push(mount, Action::GetAttr { inode: file.clone() });
        }
        self.push(mount, Action::CloseFile { file: file.clone() });
        let looks = if dice.chance(500_000) { mount } else { other };
        self.push_later(looks, Action::GetAttr { inode: file });
    }

    /// One lists a directory while another empties it.
    fn sweep(&mut self, mount: usize, other: usize, dice: &mut ChaCha8Rng) {
        let directory = *dice.pick::<&str>(&DIRECTORIES);
        let list = |lines| Action::ListOn { directory: place("", directory), lines };
        let lines = *dice.pick(&[1, 1, 2, 3]);
        let names: Vec<Place> =
            (0..dice.between(2, NAMES)).map(|name| place(directory, &format!("n{name}"))).collect();
        if dice.chance(500_000) {
            for at in &names {
                self.push(mount, Action::create(at.clone()));
            }
        }
        self.due += 5_000;
        // `.` and `..` are lines of their own.
        for _ in 0..dice.between(2, 3) {
            self.push(mount, list(lines));
        }
        self.due += 5_000;
        let stays = dice.below(NAMES) as usize;
        let replaced = dice.chance(250_000);
        for (_, at) in names.into_iter().enumerate().filter(|(number, _)| *number != stays) {
            if replaced {
                let source = place("", &format!("r{}", dice.below(100)));
                self.push(other, Action::create(source.clone()));
                self.push(other, Action::CloseFile { file: source.clone() });
                self.push(other, Action::Rename { source, target: at, mode: RenameMode::Replace });
            } else {
                self.push(other, Action::Unlink { at });
            }
        }
        self.due += 5_000;
        for _ in 0..dice.between(2, 10) {
            self.push(mount, list(lines));
        }
    }

    /// A file that is open, and written to, at one mount is cut at another.
    fn cut_elsewhere(&mut self, mount: usize, other: usize, file: Place, dice: &mut ChaCha8Rng) {
        self.push(mount, Action::Put { file: file.clone(), offset: self.offset(dice), length: 5_000 });
        let kept = if dice.chance(700_000) {
            Action::Fsync { file: file.clone() }
        } else {
            Action::CloseFile { file: file.clone() }
        };
        self.push(mount, kept);
        self.push_later(other, Action::Cut { file: file.clone(), size: dice.below(5_000) });
        if dice.chance(500_000) {
            self.push(other, Action::CloseFile { file: file.clone() });
        }
        self.due += 5_000;
        if dice.chance(500_000) {
            self.push(mount, Action::OpenFile { file: file.clone() });
        }
        self.push(mount, Action::GetAttr { inode: file.clone() });
        self.push(mount, Action::Get { file, offset: 0, length: 300_000 });
    }

    /// One writes and closes, and another one reads on.
    fn hand_over(&mut self, mount: usize, other: usize, file: Place, dice: &mut ChaCha8Rng) {
        let (offset, length) = (self.offset(dice), self.length(dice));
        self.push(mount, Action::Put { file: file.clone(), offset, length });
        self.push(mount, Action::CloseFile { file: file.clone() });
        self.push_later(other, Action::OpenFile { file: file.clone() });
        self.push(other, Action::GetAttr { inode: file.clone() });
        self.push(other, Action::Get { file, offset: 0, length: 300_000 });
    }

    /// A file is looked at again and again while what was written to it goes its way.
    fn glances(&mut self, mount: usize, file: Place, dice: &mut ChaCha8Rng) {
        self.push(
            mount,
            Action::Put { file: file.clone(), offset: self.offset(dice), length: self.length(dice) },
        );
        self.due += *dice.pick(&[0, 1_000, 50_000]);
        for _ in 0..dice.between(3, 8) {
            self.push(mount, Action::GetAttr { inode: file.clone() });
        }
    }

    /// A log that is appended to by turns.
    fn log(&mut self, mount: usize, other: usize, file: Place, dice: &mut ChaCha8Rng) {
        for writer in [mount, other, mount] {
            self.push_later(writer, Action::Append { file: file.clone(), length: self.length(dice) });
            let kept = match dice.below(3) {
                0 => Action::Flush { file: file.clone() },
                1 => Action::Fsync { file: file.clone() },
                _ => Action::CloseFile { file: file.clone() },
            };
            self.push(writer, kept);
        }
        self.push_later(other, Action::GetAttr { inode: file });
    }
}
