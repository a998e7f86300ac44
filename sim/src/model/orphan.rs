//! What has lost its last name. It is there for as long as the system likes, which an answer may tell:
//! whoever has it open is an oracle's business.

use super::{Maker, Model, ROOT};
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Attr, Outcome, Refusal};

impl Model {
    pub(super) fn is_orphan(&self, node: Maker) -> bool {
        node != ROOT && !self.is_directory(node) && self.links(node) == 0
    }

    /// Is this answered as if an inode without a name were gone, and as if nothing else were wrong? Then
    /// it is gone. Of several such inodes nobody knows which.
    pub(super) fn vanishes(
        &mut self,
        named: &[Option<InodeId>],
        reasons: &[Refusal],
        observed: Option<&Outcome>,
    ) -> bool {
        let stale = Refusal::Stale;
        if observed != Some(&Err(stale)) || reasons.contains(&stale) {
            return false;
        }
        let named = named.iter().flatten().filter_map(|inode| self.find(*inode));
        let mut orphans: Vec<Maker> = named.filter(|node| self.is_orphan(*node)).collect();
        orphans.dedup();
        if let [orphan] = orphans[..] {
            self.nodes.remove(&orphan);
        }
        !orphans.is_empty()
    }

    /// An inode without a name, whether its number is known or not.
    pub(super) fn compare_orphan(&mut self, attr: &Attr) -> Option<Maker> {
        let orphans: Vec<Maker> = self.nodes.keys().copied().filter(|node| self.is_orphan(*node)).collect();
        orphans.into_iter().find(|orphan| {
            let known = self.nodes[orphan].id;
            known.is_none_or(|id| id == attr.inode) && {
                let mut shown = self.clone();
                let fits = shown.show(*orphan, attr).is_ok();
                if fits {
                    *self = shown;
                }
                fits
            }
        })
    }
}
