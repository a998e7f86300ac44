//! What files are made of, as the model keeps it: every change of a file's bytes is a layer over
//! those before, a hole no less than a run of a slice. What a byte is, the topmost layer says that
//! reaches over it. Nothing is ever cut.

use super::{Expected, Maker, Model};
use mooseng_core::class::{CHUNK_BYTES, SLICE_BYTES_MAX};
use mooseng_core::id::{InodeId, ServerId, SessionId, SliceId};
use mooseng_core::namespace::{Attr, FileExtent, FileKind, NewSlice, Op, Refusal, SliceInfo};
use std::collections::{BTreeMap, BTreeSet};

/// An offset in a file is a signed number to applications.
const SIZE_MAX: u64 = i64::MAX as u64;
/// The most slices of one request to grant or give back.
const GRANT_MAX: u64 = 256;

/// A change of a file's bytes from `from` up to `to`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Layer {
    from: u64,
    to: u64,
    /// Where in which slice it begins; `None` is a hole.
    what: Option<(SliceId, u64)>,
}

/// What became of a slice that somebody was told they have.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Slice {
    Pending(SessionId),
    GivenBack,
    Committed {
        class: u32,
        length: u32,
        parts: usize,
    },
    /// The same, or still pending: nobody heard whether the file without a name that it was committed to
    /// was still there.
    Doubtful {
        of: SessionId,
        class: u32,
        length: u32,
        parts: usize,
    },
}

/// Every slice that an answer has shown.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Slices(BTreeMap<SliceId, Slice>);

/// A run of bytes, and where in which slice they are.
type Run = (u64, u64, SliceId, u64);

/// Runs that follow one another in file and slice alike are one.
fn joined(runs: impl IntoIterator<Item = Run>) -> Vec<Run> {
    let mut joined: Vec<Run> = Vec::new();
    for (from, to, slice, start) in runs {
        match joined.last_mut() {
            Some((first, last, of, at))
                if *last == from && *of == slice && *at + (from - *first) == start =>
            {
                *last = to;
            }
            _ => joined.push((from, to, slice, start)),
        }
    }
    joined
}

fn run_of(extent: &FileExtent) -> Run {
    let (from, length) = (extent.offset, u64::from(extent.length));
    (from, from.saturating_add(length), extent.slice, u64::from(extent.slice_offset))
}

fn runs_of(extents: &[FileExtent]) -> Vec<Run> {
    joined(extents.iter().map(run_of))
}

fn topmost(layers: &[Layer], from: u64, to: u64) -> Vec<Run> {
    let borders = layers.iter().flat_map(|layer| [layer.from, layer.to]);
    let mut borders: Vec<u64> = borders.filter(|at| (from..to).contains(at)).chain([from, to]).collect();
    borders.sort_unstable();
    borders.dedup();
    joined(borders.windows(2).filter_map(|pair| {
        let top = layers.iter().rev().find(|layer| layer.from <= pair[0] && pair[1] <= layer.to)?;
        let (slice, start) = top.what?;
        Some((pair[0], pair[1], slice, start + (pair[0] - top.from)))
    }))
}

impl Model {
    /// Every reason to refuse an operation on the data of a file.
    pub(super) fn data_refusals(&self, session: Option<SessionId>, operation: &Op) -> Vec<Refusal> {
        let sensible = |sensible: bool| if sensible { vec![] } else { vec![Refusal::Invalid] };
        match operation {
            Op::GrantSlices { inode, count } => {
                let mut reasons = self.at_file(*inode);
                reasons.extend(sensible((1..=GRANT_MAX).contains(&u64::from(*count))));
                reasons
            }
            Op::AbandonSlices { slices } => {
                let one_slot = slices.windows(2).all(|pair| pair[0].slot() == pair[1].slot());
                let count = slices.len() as u64;
                let mut reasons = sensible(one_slot && (1..=GRANT_MAX).contains(&count));
                reasons.extend(self.not_pending(session, slices.iter().copied()));
                reasons
            }
            Op::Commit { inode, slices, extents, .. } => {
                let mut reasons = self.at_file(*inode);
                reasons.extend(sensible(is_sensible(*inode, slices, extents)));
                reasons.extend(self.not_pending(session, slices.iter().map(|info| info.slice)));
                reasons.extend(too_few_parts(slices));
                reasons
            }
            Op::Compact { inode, replaced, slices, extents } => {
                let mut reasons = self.at_file(*inode);
                let ends = replaced.first().zip(replaced.last());
                let (from, to) = ends.map_or((0, 0), |(first, last)| (first.offset, run_of(last).1));
                let inside = extents.iter().map(run_of).all(|run| run.0 >= from && run.1 <= to);
                reasons.extend(sensible(is_sensible(*inode, slices, extents) && ends.is_some() && inside));
                reasons.extend(self.not_pending(session, slices.iter().map(|info| info.slice)));
                reasons.extend(too_few_parts(slices));
                let there =
                    self.find(*inode).map(|node| topmost(&self.nodes[&node].layers, from, to.max(from)));
                if there.is_some_and(|there| there != runs_of(replaced)) {
                    reasons.push(Refusal::Conflict);
                }
                reasons
            }
            Op::Punch { inode, offset, length } => {
                let mut reasons = self.at_file(*inode);
                let end = offset.checked_add(*length);
                reasons.extend(sensible(*length > 0 && end.is_some_and(|end| end <= SIZE_MAX)));
                reasons
            }
            Op::SetClass { inode, .. } => match self.find(*inode).map(|node| self.nodes[&node].kind) {
                None => vec![Refusal::Stale],
                Some(FileKind::Regular | FileKind::Directory) => vec![],
                Some(_) => vec![Refusal::Invalid],
            },
            _ => unreachable!("{operation:?} is not about data"),
        }
    }

    pub(super) fn at_file(&self, inode: InodeId) -> Vec<Refusal> {
        match self.find(inode).map(|node| self.nodes[&node].kind) {
            None => vec![Refusal::Stale],
            Some(FileKind::Regular) => vec![],
            Some(FileKind::Directory) => vec![Refusal::IsDirectory],
            Some(_) => vec![Refusal::Invalid],
        }
    }

    fn not_pending(
        &self,
        session: Option<SessionId>,
        slices: impl Iterator<Item = SliceId>,
    ) -> Option<Refusal> {
        let pending = |slice| match self.slices.0.get(&slice) {
            Some(Slice::Pending(of) | Slice::Doubtful { of, .. }) => {
                session.is_none_or(|session| session == *of)
            }
            _ => false,
        };
        let mut slices = slices;
        slices.any(|slice| !pending(slice)).then_some(Refusal::NotPending)
    }

    /// A commit to a file without a name was carried out, unless that was gone: nobody heard which.
    pub(super) fn doubt_slices(&mut self, operation: &Op, pending: &Slices) {
        let (Op::Commit { slices, .. } | Op::Compact { slices, .. }) = operation else { return };
        for NewSlice { slice, .. } in slices {
            let before = pending.0.get(slice).copied();
            if let (Some(Slice::Pending(of)), Some(now)) = (before, self.slices.0.get_mut(slice))
                && let Slice::Committed { class, length, parts } = *now
            {
                *now = Slice::Doubtful { of, class, length, parts };
            }
        }
    }

    /// Is this refused as if slices were committed of which nobody knows whether they are?
    pub(super) fn may_be_committed(&self, operation: &Op) -> bool {
        let is_doubtful = |slice: &SliceId| matches!(self.slices.0.get(slice), Some(Slice::Doubtful { .. }));
        match operation {
            Op::AbandonSlices { slices } => slices.iter().any(is_doubtful),
            Op::Commit { slices, .. } | Op::Compact { slices, .. } => {
                slices.iter().any(|info| is_doubtful(&info.slice))
            }
            _ => false,
        }
    }

    /// Carries out what nothing forbids. Gives the inode that the answer has to show.
    pub(super) fn change_data(&mut self, operation: &Op) -> Option<Maker> {
        match operation {
            Op::GrantSlices { .. } => None,
            Op::AbandonSlices { slices } => {
                self.slices.0.extend(slices.iter().map(|slice| (*slice, Slice::GivenBack)));
                None
            }
            Op::Commit { inode, slices, extents, mtime } => {
                let node = self.lay(*inode, slices, extents);
                let end = extents.iter().map(|extent| run_of(extent).1).max().unwrap_or(0);
                let held = self.node(node);
                held.size = held.size.max(end);
                held.shown.attributes_change();
                held.shown.mtime = Some(*mtime);
                Some(node)
            }
            Op::Compact { inode, replaced, slices, extents } => {
                let ends = replaced.first().zip(replaced.last());
                let node = self.live(*inode);
                if let Some((first, last)) = ends {
                    self.cover(node, first.offset, run_of(last).1, None);
                }
                self.lay(*inode, slices, extents);
                self.node(node).shown.data_moves();
                Some(node)
            }
            Op::Punch { inode, offset, length } => {
                let node = self.live(*inode);
                self.cover(node, *offset, offset + length, None);
                self.node(node).shown.content_changes();
                Some(node)
            }
            Op::SetClass { inode, class } => {
                let node = self.live(*inode);
                self.node(node).class = *class;
                self.node(node).shown.attributes_may_change();
                Some(node)
            }
            _ => unreachable!("{operation:?} is not about data"),
        }
    }

    fn lay(&mut self, inode: InodeId, slices: &[NewSlice], extents: &[FileExtent]) -> Maker {
        let node = self.live(inode);
        for info in slices {
            let (class, length, parts) = (info.class.to_raw(), info.length, info.parts.len());
            self.slices.0.insert(info.slice, Slice::Committed { class, length, parts });
        }
        for (from, to, slice, start) in extents.iter().map(run_of) {
            self.cover(node, from, to, Some((slice, start)));
        }
        node
    }

    /// A file's bytes behind its end are gone.
    pub(super) fn cut_off(&mut self, node: Maker, size: u64) {
        self.cover(node, size, u64::MAX, None);
    }

    fn cover(&mut self, node: Maker, from: u64, to: u64, what: Option<(SliceId, u64)>) {
        let layers = &mut self.node(node).layers;
        layers.retain(|layer| layer.from < from || layer.to > to);
        // A hole over nothing tells nothing.
        if what.is_some() || !layers.is_empty() {
            layers.push(Layer { from, to, what });
        }
    }

    /// Slices were granted to a session, as an answer tells.
    pub(super) fn show_granted(
        &mut self,
        session: Option<SessionId>,
        inode: InodeId,
        (first, count): (SliceId, u32),
    ) -> Result<(), Expected> {
        let wrong = |what: String| Err(Expected::Shown(what));
        let Some(session) = session else { return Ok(()) };
        for slice in (0..u64::from(count)).map(|ahead| first.plus(ahead)) {
            let Some(slice) = slice.filter(|slice| slice.slot() == inode.slot()) else {
                return wrong(format!("slices of {:?}, not {first:?}", inode.slot()));
            };
            if self.slices.0.insert(slice, Slice::Pending(session)).is_some() {
                return wrong(format!("slices never granted before, not {slice:?}"));
            }
        }
        Ok(())
    }

    /// An answer says that a range of a file is made of this.
    pub(super) fn show_map(
        &mut self,
        (inode, offset, length): (InodeId, u64, u64),
        attr: &Attr,
        (extents, infos, end): (&[FileExtent], &[SliceInfo], u64),
    ) -> Result<(), Expected> {
        let node = self.live(inode);
        self.show(node, attr)?;
        let wrong = |what: String| Err(Expected::Shown(what));
        let asked = offset.saturating_add(length);
        if end > asked || (end <= offset && asked > offset) {
            return wrong(format!("a map up to somewhere in {offset}..{asked}, not {end}"));
        }
        let runs = topmost(&self.nodes[&node].layers, offset, end);
        if runs != runs_of(extents) {
            return wrong(format!("the map {runs:?}"));
        }
        let used: BTreeSet<SliceId> = extents.iter().map(|extent| extent.slice).collect();
        let told: BTreeSet<SliceId> = infos.iter().map(|info| info.slice).collect();
        if used != told || told.len() != infos.len() {
            return wrong(format!("the slices {used:?}, each once"));
        }
        infos.iter().try_for_each(|info| self.show_slice(info))
    }

    fn show_slice(&self, info: &SliceInfo) -> Result<(), Expected> {
        let (class, length, parts) = (info.class.to_raw(), info.length, info.parts.len());
        let shown = Slice::Committed { class, length, parts };
        match self.slices.0.get(&info.slice) {
            Some(known) if *known == shown => Ok(()),
            // Who sees the file sees that the commit was carried out.
            Some(Slice::Doubtful { class: c, length: l, parts: p, .. })
                if shown == (Slice::Committed { class: *c, length: *l, parts: *p }) =>
            {
                Ok(())
            }
            known => Err(Expected::Shown(format!("{:?} to be {known:?}", info.slice))),
        }
    }

    /// How many bytes of a file are not holes.
    pub(super) fn covered(&self, node: Maker) -> u64 {
        topmost(&self.nodes[&node].layers, 0, u64::MAX).into_iter().map(|(from, to, ..)| to - from).sum()
    }

    /// Are a state's extents those of the model's files, and its live slices those that the extents
    /// refer to?
    pub(super) fn compare_data(
        &self,
        extents: &[(InodeId, FileExtent)],
        live: &[SliceId],
    ) -> Result<(), String> {
        let mut files: BTreeMap<InodeId, Vec<FileExtent>> = BTreeMap::new();
        extents.iter().for_each(|(inode, extent)| files.entry(*inode).or_default().push(*extent));
        let mut used = BTreeSet::new();
        for node in self.nodes.values() {
            let runs = topmost(&node.layers, 0, u64::MAX);
            used.extend(runs.iter().map(|(_, _, slice, _)| *slice));
            let held = node.id.and_then(|id| files.remove(&id)).unwrap_or_default();
            if runs != runs_of(&held) {
                return Err(format!("{:?} made of {runs:?}, not {held:?}", node.id));
            }
        }
        if let Some((inode, _)) = files.first_key_value() {
            return Err(format!("no extents of {inode:?}, which is gone"));
        }
        let live: BTreeSet<SliceId> = live.iter().copied().collect();
        if used != live {
            return Err(format!("the live slices {used:?}, not {live:?}"));
        }
        Ok(())
    }
}

/// New slices of the file's slot, none twice, each with as many places as parts and none at two,
/// each in some extent; extents of them and of nothing else, each in its slice and in one chunk.
fn is_sensible(inode: InodeId, slices: &[NewSlice], extents: &[FileExtent]) -> bool {
    let one_by_one = slices.iter().all(|info| {
        let mut servers: Vec<ServerId> = info.parts.iter().flatten().copied().collect();
        let count = servers.len();
        servers.sort();
        servers.dedup();
        servers.len() == count
            && info.parts.len() == usize::from(info.class.parts())
            && info.slice.slot() == inode.slot()
            && info.length > 0
            && info.length <= SLICE_BYTES_MAX
            && extents.iter().any(|extent| extent.slice == info.slice)
            && slices.iter().filter(|other| other.slice == info.slice).count() == 1
    });
    let fits = extents.iter().all(|extent| {
        let (from, to, slice, start) = run_of(extent);
        let of = slices.iter().find(|info| info.slice == slice);
        from < to
            && to <= SIZE_MAX
            && from / CHUNK_BYTES == (to - 1) / CHUNK_BYTES
            && of.is_some_and(|info| start + (to - from) <= u64::from(info.length))
    });
    one_by_one && fits && !extents.is_empty() && extents.len() <= 1_024 && slices.len() <= 256
}

fn too_few_parts(slices: &[NewSlice]) -> Option<Refusal> {
    let durable = |info: &NewSlice| info.parts.iter().flatten().count();
    let few = |info: &NewSlice| durable(info) < usize::from(info.class.parts_to_commit());
    slices.iter().any(few).then_some(Refusal::NoSpace)
}
