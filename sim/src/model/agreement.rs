//! The model and the system's own `apply`, side by side on long random histories: as long as both
//! are right they agree on every answer and on the whole tree.

use super::{Limits, Model, Tree, TreeEntry};
use mooseng_core::chance::{self, Dice};
use mooseng_core::class::StorageClass;
use mooseng_core::id::{IdKind, InodeId, ServerId, SessionId, SliceId};
use mooseng_core::namespace::{
    Access, Answer, Attr, AttrChange, Caller, FileExtent, FileKind, Name, NewSlice, NewTime, Op, Outcome,
    Query, RenameMode, Target, XattrMode, XattrName,
};
use mooseng_core::plant;
use mooseng_core::time::{Instant, Stamp, WallTime};
use mooseng_meta::apply::apply;
use mooseng_meta::command::{Command, CommandKind, Reply};
use mooseng_meta::group::leases::{Changer, Leases, LeasesConfig};
use mooseng_meta::query::query;
use mooseng_meta::state::{State, StateConfig};
use rand_chacha::ChaCha8Rng;

const LINKS_MAX: u32 = 5;

/// The system's own way to carry out operations, one after the other.
pub(crate) struct Shard {
    pub(crate) state: State,
    pub(crate) index: u64,
    pub(crate) session: SessionId,
    sequence: u64,
}

impl Shard {
    pub(crate) fn new(config: StateConfig) -> Self {
        let mut shard = Self { state: State::new(config), index: 0, session: SessionId(0), sequence: 0 };
        let Reply::Session { session } =
            shard.apply(CommandKind::OpenSession { nonce: [0; 16], caches: false })
        else {
            panic!("a session is opened")
        };
        shard.session = session;
        shard
    }

    fn apply(&mut self, kind: CommandKind) -> Reply {
        self.index += 1;
        let (time, stamp) = (WallTime(self.index as i64 % 7), Stamp(self.index));
        apply(&mut self.state, self.index, &Command { time, stamp, region: 0, kind }).reply
    }

    pub(crate) fn change(&mut self, caller: &Caller, op: &Op) -> Outcome {
        self.sequence += 1;
        let (session, sequence) = (self.session, self.sequence);
        let (low_water, slot, op, caller) = (sequence, op.slot(), op.clone(), caller.clone());
        match self.apply(CommandKind::Mutate { session, sequence, low_water, slot, op, caller }) {
            Reply::Outcome { outcome, .. } => outcome,
            reply => panic!("{reply:?}"),
        }
    }

    /// Nobody has anything open.
    pub(crate) fn collect(&mut self) {
        let orphans = self.state.orphans_from(None).collect();
        assert_eq!(self.apply(CommandKind::Collect { orphans }), Reply::Done);
    }

    /// Everything that can be reached by names.
    fn tree(&self) -> Tree {
        let mut tree = Tree::default();
        let mut left = vec![InodeId::ROOT];
        while let Some(id) = left.pop() {
            if tree.inodes.iter().any(|attr| attr.inode == id) {
                continue;
            }
            tree.inodes.push(self.state.attr(id).expect("names lead to inodes"));
            let listing = Query::ReadDir { directory: id, cookie: 0, limit: 1_000 };
            let Ok(Answer::Entries { entries, .. }) = query(&self.state, &Caller::ROOT, &listing) else {
                continue;
            };
            for entry in entries {
                left.push(entry.inode);
                tree.entries.push(TreeEntry { parent: id, name: entry.name, inode: entry.inode });
            }
        }
        tree.extents = self.state.extents().collect();
        tree.live = self.state.slices_from(None).map(|info| info.slice).collect();
        tree
    }
}

/// Draws operations on the inodes it knows.
pub(crate) struct Draw {
    pub(crate) dice: ChaCha8Rng,
    pub(crate) ids: Vec<InodeId>,
    /// Slices that were granted at any time, and what files are made of as far as that was told.
    pub(crate) slices: Vec<SliceId>,
    pub(crate) mapped: Vec<(InodeId, Vec<FileExtent>)>,
}

impl Draw {
    pub(crate) fn new(dice: ChaCha8Rng) -> Self {
        Self { dice, ids: vec![InodeId::ROOT], slices: Vec::new(), mapped: Vec::new() }
    }

    fn id(&mut self) -> InodeId {
        // Young ones are more likely to be there still.
        let recent = self.ids.len().saturating_sub(12);
        let from = if self.dice.chance(700_000) { recent } else { 0 };
        if self.dice.chance(200_000) { InodeId::ROOT } else { *self.dice.pick(&self.ids[from..]) }
    }

    fn name(&mut self) -> Name {
        Name::new(self.dice.pick(&["a", "b", "c", "d"]).as_bytes().to_vec()).unwrap()
    }

    /// Mostly root, who gets furthest.
    pub(crate) fn caller(&mut self) -> Caller {
        if self.dice.chance(600_000) {
            return Caller::ROOT;
        }
        let (uid, gid) = (self.dice.between(1, 2) as u32, self.dice.below(3) as u32);
        Caller { uid, gid, groups: self.dice.pick(&[vec![], vec![1], vec![0, 2]]).clone() }
    }

    pub(crate) fn op(&mut self) -> Op {
        // Most of them let others do something.
        let mode = self.dice.below(1 << 16) as u16 | *self.dice.pick(&[0, 0o755, 0o777]);
        let (uid, gid) = (self.dice.below(3) as u32, self.dice.below(3) as u32);
        match self.dice.below(22) {
            20..=21 => self.xattr_op(),
            14..=19 => self.data_op(),
            0..=2 => Op::Mkdir { parent: self.id(), name: self.name(), mode, uid, gid },
            3..=4 => Op::Create { parent: self.id(), name: self.name(), mode, uid, gid },
            5 => Op::Unlink { parent: self.id(), name: self.name() },
            6 => Op::Rmdir { parent: self.id(), name: self.name() },
            7 => Op::Link { inode: self.id(), parent: self.id(), name: self.name() },
            8 => Op::SetAttr { inode: self.id(), change: self.attributes(mode) },
            9 => {
                let target = Target::new(self.dice.pick(&["a", "../b"]).as_bytes().to_vec()).unwrap();
                Op::Symlink { parent: self.id(), name: self.name(), target, uid, gid }
            }
            10 => {
                let kinds = [FileKind::Fifo, FileKind::Regular, FileKind::CharDevice, FileKind::Directory];
                let (kind, rdev) = (*self.dice.pick(&kinds), self.dice.below(3) as u32);
                Op::Mknod { parent: self.id(), name: self.name(), kind, mode, rdev, uid, gid }
            }
            _ => Op::Rename {
                source_parent: self.id(),
                source_name: self.name(),
                target_parent: self.id(),
                target_name: self.name(),
                mode: *self.dice.pick(&[
                    RenameMode::Replace,
                    RenameMode::Replace,
                    RenameMode::Keep,
                    RenameMode::Exchange,
                ]),
            },
        }
    }

    fn attributes(&mut self, mode: u16) -> AttrChange {
        let mut one = |value| self.dice.chance(300_000).then_some(value);
        AttrChange {
            mode: one(0).map(|_: u64| mode),
            uid: one(4).map(|uid| uid as u32),
            gid: one(4).map(|gid| gid as u32),
            size: one(9).or(one(u64::MAX)),
            atime: one(3).map(|time| NewTime::At(WallTime(time as i64))).or(one(0).map(|_| NewTime::Now)),
            mtime: one(5).map(|time| NewTime::At(WallTime(time as i64))).or(one(0).map(|_| NewTime::Now)),
            by_handle: one(0).is_some(),
        }
    }

    /// What an answer tells that later operations may use.
    pub(crate) fn learn(&mut self, op: &Op, outcome: &Outcome) {
        match (op, outcome) {
            (_, Ok(Answer::Attr(attr))) if !self.ids.contains(&attr.inode) => self.ids.push(attr.inode),
            (_, Ok(Answer::Slices { first, count })) => {
                self.slices.extend((0..u64::from(*count)).filter_map(|ahead| first.plus(ahead)));
            }
            _ => {}
        }
    }

    /// What an answer tells of a file's data.
    pub(crate) fn learn_map(&mut self, query: &Query, outcome: &Outcome) {
        if let (Query::Map { inode, .. }, Ok(Answer::Map { extents, .. })) = (query, outcome)
            && !extents.is_empty()
        {
            self.mapped.push((*inode, extents.clone()));
        }
    }

    fn file(&mut self) -> InodeId {
        let files: Vec<InodeId> = self.ids.iter().copied().filter(|id| id.kind() == IdKind::File).collect();
        let recent = files.len().saturating_sub(3);
        if files.is_empty() || self.dice.chance(50_000) {
            self.id()
        } else {
            *self.dice.pick(&files[recent..])
        }
    }

    fn xattr_name(&mut self) -> XattrName {
        XattrName::new(*self.dice.pick(&["user.a", "user.b", "trusted.a", "security.a"])).unwrap()
    }

    fn xattr_op(&mut self) -> Op {
        let (inode, name) = (self.id(), self.xattr_name());
        if self.dice.chance(300_000) {
            return Op::RemoveXattr { inode, name };
        }
        let mode = *self.dice.pick(&[XattrMode::Set, XattrMode::Create, XattrMode::Replace]);
        let length = *self.dice.pick(&[0, 3, 65_527, 65_529, 65_536, 65_537]);
        Op::SetXattr { inode, name, value: vec![b'v'; length].into(), mode }
    }

    fn data_op(&mut self) -> Op {
        let inode = self.file();
        match self.dice.below(9) {
            0..=2 => Op::GrantSlices { inode, count: self.dice.below(4) as u32 },
            3 => Op::Punch { inode, offset: self.dice.below(90), length: self.dice.below(60) },
            4 => {
                let class = *self.dice.pick(&["copies=2", "copies=3,strict", "ec=4+2"]);
                Op::SetClass { inode, class: class.parse().unwrap() }
            }
            5 => Op::AbandonSlices { slices: self.some_slices() },
            6 if !self.mapped.is_empty() => {
                let (inode, replaced) = self.mapped.pop().unwrap();
                let (slices, extents) = self.data(replaced[0].offset);
                Op::Compact { inode, replaced, slices, extents }
            }
            _ => {
                let (slices, extents) = self.data(0);
                Op::Commit { inode, slices, extents, mtime: WallTime(self.dice.below(9) as i64) }
            }
        }
    }

    fn some_slices(&mut self) -> Vec<SliceId> {
        let recent = self.slices.len().saturating_sub(4);
        let recent = self.slices[recent..].to_vec();
        recent.into_iter().filter(|_| self.dice.chance(400_000)).collect()
    }

    /// New slices and extents of them, now and then such that make no sense.
    fn data(&mut self, base: u64) -> (Vec<NewSlice>, Vec<FileExtent>) {
        let (mut slices, mut extents) = (Vec::new(), Vec::new());
        for slice in self.some_slices() {
            let class: StorageClass = self.dice.pick(&["copies=2", "copies=3"]).parse().unwrap();
            let server =
                |part| (part != 2).then_some(ServerId(self.dice.between(1, 40) + 40 * u64::from(part)));
            let parts: Vec<Option<ServerId>> = (0..class.parts()).map(server).collect();
            let length = self.dice.below(40) as u32;
            slices.push(NewSlice { slice, class, length, parts });
            for _ in 0..self.dice.between(1, 2) {
                let slice_offset = self.dice.below(5) as u32;
                let length = self.dice.between(1, u64::from(length.max(1))) as u32;
                let offset = base + self.dice.below(50);
                extents.push(FileExtent { offset, length, slice, slice_offset });
            }
        }
        (slices, extents)
    }

    pub(crate) fn query(&mut self) -> Query {
        match self.dice.below(8) {
            7 => Query::ListXattr { inode: self.id() },
            6 => Query::GetXattr { inode: self.id(), name: self.xattr_name() },
            5 => Query::Map { inode: self.file(), offset: self.dice.below(70), length: self.dice.below(90) },
            0 => Query::Lookup { parent: self.id(), name: self.name() },
            1 => Query::GetAttr { inode: self.id() },
            2 => Query::ReadLink { inode: self.id() },
            3 => Query::Access { inode: self.id(), access: Access::new(self.dice.below(8) as u8).unwrap() },
            _ => {
                let cookie = if self.dice.chance(500_000) { 0 } else { self.dice.word() };
                Query::ReadDir { directory: self.id(), cookie, limit: *self.dice.pick(&[0, 1, 2, 9]) }
            }
        }
    }
}

fn agree(seed: u64, config: StateConfig) -> [u32; 2] {
    let mut shard = Shard::new(config);
    let mut model =
        Model::new(Limits { links_max: config.links_max, numbers_max: (1 << 44) - config.first_counter });
    let mut draw = Draw::new(chance::stream(seed, "agreement", 0, 0));
    let mut counts = [0, 0];
    for number in 1..=300 {
        if draw.dice.chance(100_000) {
            shard.collect();
        }
        let op = draw.op();
        let caller = draw.caller();
        let outcome = shard.change(&caller, &op);
        counts[usize::from(outcome.is_err())] += 1;
        draw.learn(&op, &outcome);
        let judged = model.carry_out_of(Some(shard.session), &caller, number, &op, Some(&outcome));
        judged.unwrap_or_else(|why| {
            panic!("seed {seed}, {number}: {op:?} by {caller:?} gave {outcome:?}, not {why}")
        });
        let query_one = draw.query();
        let caller = draw.caller();
        let outcome = query(&shard.state, &caller, &query_one);
        draw.learn_map(&query_one, &outcome);
        let judged = model.answer_as(&caller, &query_one, &outcome);
        judged
            .unwrap_or_else(|why| panic!("seed {seed}, {number}: {query_one:?} gave {outcome:?}, not {why}"));
    }
    let tree = shard.tree();
    assert_eq!(crate::oracle::tree::well_formed(&tree), Ok(()), "seed {seed}");
    let orphans = shard.state.orphans_from(None).count();
    assert_eq!(tree.inodes.len() + orphans, shard.state.inodes_count(), "seed {seed}");
    model.compare(&tree).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    counts
}

#[test]
fn the_model_and_the_system_agree() {
    let configs = [
        StateConfig { links_max: LINKS_MAX, name_hash_bits: 2, ..StateConfig::default() },
        StateConfig { first_counter: (1 << 44) - 8, name_hash_bits: 0, ..StateConfig::default() },
        StateConfig::default(),
    ];
    let mut total = [0, 0];
    for seed in 0..60 {
        let counts = agree(seed, configs[seed as usize % configs.len()]);
        total = [total[0] + counts[0], total[1] + counts[1]];
    }
    let [carried_out, refused] = total;
    assert!(carried_out > 2_000 && refused > 2_000, "{total:?}");
}

/// Parts of a slice are moved by leaders that know where they are and by leaders that are behind.
fn parts_moved(seed: u64) -> Result<(), String> {
    let mut shard = Shard::new(StateConfig::default());
    let mut dice = chance::stream(seed, "moves", 0, 0);
    let name = Name::new(&b"f"[..]).unwrap();
    let create = Op::Create { parent: InodeId::ROOT, name, mode: 0o644, uid: 0, gid: 0 };
    let Ok(Answer::Attr(Attr { inode, .. })) = shard.change(&Caller::ROOT, &create) else { panic!("a file") };
    let grant = Op::GrantSlices { inode, count: 1 };
    let Ok(Answer::Slices { first: slice, .. }) = shard.change(&Caller::ROOT, &grant) else {
        panic!("a slice")
    };
    let mut places: Vec<Option<ServerId>> = (1..=3).map(|server| Some(ServerId(server))).collect();
    let class = "copies=3".parse().unwrap();
    let slices = vec![NewSlice { slice, class, length: 9, parts: places.clone() }];
    let extents = vec![FileExtent { offset: 0, length: 9, slice, slice_offset: 0 }];
    assert!(shard.change(&Caller::ROOT, &Op::Commit { inode, slices, extents, mtime: WallTime(0) }).is_ok());
    let mut behind = places.clone();
    for _ in 0..100 {
        let believed = if dice.chance(500_000) { &places } else { &behind };
        let index = dice.below(3) as usize;
        let source = believed[index];
        let target = dice.chance(900_000).then(|| ServerId(dice.between(1, 6)));
        let twice = target.is_some() && places.contains(&target);
        let right = places[index] == source && !twice;
        let moved = CommandKind::MovePart { slice, index: index as u8, source, target };
        if (shard.apply(moved) == Reply::Done) != right {
            return Err(format!(
                "part {index} from {source:?} to {target:?}, while the parts are at {places:?}"
            ));
        }
        if right {
            behind.clone_from(&places);
            places[index] = target;
        }
    }
    let held = shard.state.slice(slice).map(|info| info.parts);
    if held.as_ref() == Some(&places) { Ok(()) } else { Err(format!("{places:?}, not {held:?}")) }
}

#[test]
fn parts_move_only_from_where_they_are() {
    (0..20).for_each(|seed| assert_eq!(parts_moved(seed), Ok(()), "seed {seed}"));
}

#[test]
fn a_move_without_a_look_at_where_the_part_is_is_seen() {
    plant::activate(Some("move-part-without-compare"));
    let seen = (0..20).filter(|seed| parts_moved(*seed).is_err()).count();
    plant::activate(None);
    assert_eq!(seen, 20);
}

/// A leader of leases that knows two sessions, the second of them not yet, and a change of the first.
fn with_leases(look: impl Fn(&mut Leases, &Changer<'_>, &State) -> bool) -> bool {
    let state = State::new(StateConfig::default());
    let mut leases = Leases::new(LeasesConfig::default(), 0);
    leases.lead(1, [SessionId(2)].into_iter(), Instant::ZERO);
    let name = Name::new(&b"a"[..]).expect("a plain name");
    let op = Op::Unlink { parent: InodeId::ROOT, name };
    look(&mut leases, &Changer { session: SessionId(1), op: &op, epoch: 0, dropped: &[] }, &state)
}

/// Does the second of two changes of one name wait for the first?
fn wait_for_one_another(leases: &mut Leases, changer: &Changer<'_>, state: &State) -> bool {
    let later = Instant::ZERO + LeasesConfig::default().lease * 2;
    let [first, second] = [leases.enter(changer.op), leases.enter(changer.op)];
    leases.may_go(first, changer, state, later) && !leases.may_go(second, changer, state, later)
}

/// Does a change wait until a session that was given an epoch has taken it on?
fn wait_for_its_word(leases: &mut Leases, changer: &Changer<'_>, state: &State) -> bool {
    leases.poll(SessionId(2), 7, 0, Instant::ZERO);
    let change = leases.enter(changer.op);
    let waits = !leases.may_go(change, changer, state, Instant::ZERO);
    let epoch = leases.answer(SessionId(2), Instant::ZERO).epoch;
    leases.poll(SessionId(2), epoch, 0, Instant::ZERO);
    waits && leases.may_go(change, changer, state, Instant::ZERO)
}

/// Is it proposed once, and not again before it is known what becomes of it, that a session holds no leases?
fn rest_once(leases: &mut Leases, _: &Changer<'_>, _: &State) -> bool {
    let later = Instant::ZERO + LeasesConfig::default().lease * 2;
    leases.rest(later, 9) == [SessionId(2)]
        && leases.rest(later + LeasesConfig::default().lease * 2, 9).is_empty()
}

/// For the first both changes would have to be under way, and a lease be granted between their ends; for
/// the second a leader be new, its answer be late, and somebody change just then what its session
/// reads once more; for the third a session be awake again between two of its rests, each of which waits for
/// the disk, and somebody change what it has read since: too rare for runs.
#[test]
fn changes_that_do_not_wait_are_seen() {
    let in_turn = || with_leases(wait_for_one_another);
    let at_its_word = || with_leases(wait_for_its_word);
    let once = || with_leases(rest_once);
    assert!(in_turn() && at_its_word() && once());
    plant::activate(Some("change-overtakes-its-name"));
    let overtaken = !in_turn();
    plant::activate(Some("session-believed-before-it-confirms"));
    let believed = !at_its_word();
    plant::activate(Some("session-rests-twice"));
    let again = !once();
    plant::activate(None);
    assert!(overtaken && believed && again);
}
