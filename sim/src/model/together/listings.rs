//! Listings that are read a few lines at a time while names come and go: what exists throughout is
//! listed exactly once, and nothing that never existed meanwhile.

use super::super::Expected;
use super::worlds::{Names, Worlds};
use mooseng_core::id::InodeId;
use mooseng_core::namespace::Name;
use std::collections::{BTreeMap, BTreeSet};

struct Listing {
    directory: InodeId,
    throughout: BTreeSet<Name>,
    /// What each name stood for at some time, as far as that was shown.
    ever: BTreeMap<Name, BTreeSet<Option<InodeId>>>,
    shown: BTreeSet<Name>,
    /// The directory is gone, or may be: whatever is shown of it then.
    gone: bool,
}

impl Listing {
    fn look(&mut self, names: Vec<Option<Names>>) {
        for names in names {
            let Some(names) = names else {
                self.gone = true;
                continue;
            };
            self.throughout.retain(|name| names.iter().any(|(there, _)| there == name));
            for (name, inode) in names {
                self.ever.entry(name).or_default().insert(inode);
            }
        }
    }
}

/// By mount and handle.
#[derive(Default)]
pub(super) struct Listings(BTreeMap<(usize, u64), Listing>);

impl Listings {
    pub(super) fn begin(&mut self, listing: (usize, u64), directory: InodeId, worlds: &Worlds) {
        let names = worlds.names_in(directory);
        let first = names.iter().flatten().next();
        let throughout = first.into_iter().flatten().map(|(name, _)| name.clone()).collect();
        let (ever, shown) = (BTreeMap::new(), BTreeSet::new());
        let mut begun = Listing { directory, throughout, ever, shown, gone: false };
        begun.look(names);
        self.0.insert(listing, begun);
    }

    /// Names may have changed.
    pub(super) fn stir(&mut self, worlds: &Worlds) {
        for listing in self.0.values_mut() {
            listing.look(worlds.names_in(listing.directory));
        }
    }

    pub(super) fn lines(&mut self, listing: (usize, u64), lines: &[(Name, InodeId)]) -> Result<(), Expected> {
        let Some(listing) = self.0.get_mut(&listing).filter(|listing| !listing.gone) else {
            return Ok(());
        };
        if lines.is_empty()
            && let Some(missing) = listing.throughout.iter().find(|name| !listing.shown.contains(name))
        {
            return Err(Expected::Shown(format!("{missing:?}, which was there throughout, before the end")));
        }
        for (name, inode) in lines {
            let stood_for = listing.ever.get(name);
            let fits = |stood_for: &BTreeSet<Option<InodeId>>| {
                stood_for.contains(&None) || stood_for.contains(&Some(*inode))
            };
            if !stood_for.is_some_and(fits) {
                return Err(Expected::Shown(format!(
                    "no line {name:?} of {inode:?}: it stood for {stood_for:?}"
                )));
            }
            if !listing.shown.insert(name.clone()) && listing.throughout.contains(name) {
                return Err(Expected::Shown(format!("{name:?} once, and no more")));
            }
        }
        Ok(())
    }

    pub(super) fn end(&mut self, listing: (usize, u64)) {
        self.0.remove(&listing);
    }

    pub(super) fn forget(&mut self, mount: usize) {
        self.0.retain(|(of, _), _| *of != mount);
    }
}
