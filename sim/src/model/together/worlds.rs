//! What the names and attributes may be: one model, or several where changes are in doubt. A change in
//! doubt takes effect at some time, once, or never.

use super::super::{Expected, Limits, Maker, Model};
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Caller, FileKind, Name, Op, Outcome};
use std::collections::BTreeSet;

/// With more possibilities than this nothing is predicted any more.
const WORLDS_MAX: usize = 64;

/// The names in a directory, and what they stand for as far as that was shown.
pub(super) type Names = Vec<(Name, Option<InodeId>)>;

#[derive(Clone)]
struct World {
    model: Model,
    /// What may take effect yet.
    under_way: Vec<(Maker, Op)>,
}

impl World {
    /// As it is, and with every choice of what is under way having taken effect in any order. One more than
    /// so many are enough to know that they are too many.
    fn spread(&self) -> Vec<World> {
        let (mut all, mut known) = (vec![self.clone()], BTreeSet::from([self.key()]));
        let mut next = 0;
        while next < all.len() && all.len() <= WORLDS_MAX {
            for number in 0..all[next].under_way.len() {
                let mut later = all[next].clone();
                let (maker, op) = later.under_way.remove(number);
                // With no answer to compare nothing can be wrong.
                let _ = later.model.carry_out_of(None, &Caller::ROOT, maker, &op, None);
                if known.insert(later.key()) {
                    all.push(later);
                }
            }
            next += 1;
        }
        all
    }

    fn key(&self) -> (u128, Vec<Maker>) {
        (self.model.fingerprint(), self.under_way.iter().map(|(maker, _)| *maker).collect())
    }
}

pub(super) struct Worlds {
    all: Vec<World>,
    makers: Maker,
}

impl Worlds {
    pub(super) fn new(limits: Limits) -> Self {
        Self { all: vec![World { model: Model::new(limits), under_way: Vec::new() }], makers: 0 }
    }

    pub(super) fn is_at_a_loss(&self) -> bool {
        self.all.is_empty()
    }

    fn maker(&mut self) -> Maker {
        self.makers += 1;
        self.makers
    }

    /// A change took effect between its call and its answer, before or after whatever is under way.
    pub(super) fn change(&mut self, op: &Op, observed: &Outcome) -> Result<(), Expected> {
        let maker = self.maker();
        let spread = self.spread(&self.all);
        self.keep(spread, |model| model.carry_out_of(None, &Caller::ROOT, maker, op, Some(observed)))
    }

    /// A question changes nothing: what is under way need not have taken effect before it, unless nothing
    /// else explains the answer.
    pub(super) fn ask(
        &mut self,
        mut answer: impl FnMut(&mut Model) -> Result<(), Expected>,
    ) -> Result<(), Expected> {
        if let [World { model, under_way }] = &mut self.all[..]
            && under_way.is_empty()
        {
            return answer(model);
        }
        let is_explained = |world: &World, answer: &mut dyn FnMut(&mut Model) -> Result<(), Expected>| {
            answer(&mut world.model.clone()).is_ok()
        };
        let (mut tried, mut left) = (Vec::new(), Vec::new());
        for world in &self.all {
            if is_explained(world, &mut answer) { &mut tried } else { &mut left }.push(world.clone());
        }
        match self.spread(&left) {
            Some(spread) => tried.extend(spread),
            None => return self.keep(None, answer),
        }
        self.keep(Some(tried), answer)
    }

    /// `None`: they are too many.
    fn spread(&self, worlds: &[World]) -> Option<Vec<World>> {
        let each: Vec<Vec<World>> = worlds.iter().map(World::spread).collect();
        let few = each.iter().all(|spread| spread.len() <= WORLDS_MAX);
        few.then(|| each.into_iter().flatten().collect())
    }

    /// What was asked for may take effect at any time, or never.
    pub(super) fn doubt(&mut self, op: &Op) {
        let maker = self.maker();
        self.all.iter_mut().for_each(|world| world.under_way.push((maker, op.clone())));
    }

    fn keep(
        &mut self,
        worlds: Option<Vec<World>>,
        mut check: impl FnMut(&mut Model) -> Result<(), Expected>,
    ) -> Result<(), Expected> {
        let Some(worlds) = worlds.filter(|_| !self.is_at_a_loss()) else {
            self.all.clear();
            return Ok(());
        };
        let (mut kept, mut known, mut wrong) = (Vec::new(), BTreeSet::new(), None);
        for mut world in worlds {
            match check(&mut world.model) {
                Ok(()) if known.insert(world.key()) => kept.push(world),
                Ok(()) => {}
                Err(expected) => wrong = wrong.or(Some(expected)),
            }
        }
        if kept.is_empty() {
            return wrong.map_or(Ok(()), Err);
        }
        if kept.len() > WORLDS_MAX {
            kept.clear();
        }
        self.all = kept;
        Ok(())
    }

    pub(super) fn bytes_move(&mut self, file: InodeId) {
        self.all.iter_mut().for_each(|world| world.model.bytes_move(file));
    }

    /// Is it perhaps what somebody made who had no answer, and nobody has seen yet?
    pub(super) fn may_be_made_in_doubt(&self, inode: InodeId) -> bool {
        self.all.iter().any(|world| {
            let unknown = world.model.is_unknown(inode);
            unknown && world.spread().iter().any(|world| world.model.has_unshown())
        })
    }

    /// An inode is of one kind in all of them.
    pub(super) fn kind_of(&self, inode: InodeId) -> Option<FileKind> {
        self.all.iter().find_map(|world| world.model.kind_of(inode))
    }

    /// What a directory may hold now and as soon as more has taken effect; `None` where it may be gone.
    pub(super) fn names_in(&self, directory: InodeId) -> Vec<Option<Names>> {
        let spread = self.all.iter().flat_map(World::spread);
        spread.map(|world| world.model.names_in(directory)).collect()
    }
}
