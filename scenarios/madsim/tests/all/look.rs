//! Looking at what clients have made: while they work, through the eyes of one who changes nothing,
//! and at everything when they are done.

use crate::work::{Client, attr};
use mooseng_core::chance::Dice;
use mooseng_core::env::{Env, sleep};
use mooseng_core::id::{IdKind, InodeId};
use mooseng_core::namespace::{Answer, Query};
use std::collections::BTreeMap;
use std::time::Duration;

/// Entries of one page of a listing: few, so that listings have several.
const PAGE: u32 = 7;

impl Client {
    /// Looks at what all share until `over`. What was acknowledged before a question must be in its
    /// answer, whoever was told.
    pub(crate) async fn watch(&self, over: impl Fn() -> bool) {
        let mut dice = self.env.rng("watch", 0);
        let shared = self.shared_directory().await;
        while !over() {
            let acknowledged = self.acknowledged_in(shared);
            if dice.chance(200_000) {
                let listed = self.list(shared).await;
                for (name, inode) in &acknowledged {
                    assert_eq!(listed.get(name), Some(inode), "{name} was acknowledged before it was listed");
                }
            } else if !acknowledged.is_empty() {
                let names: Vec<String> = acknowledged.into_keys().collect();
                let picked: &String = dice.pick(&names);
                self.check(shared, picked).await;
            }
            sleep(&self.env, Duration::from_millis(dice.between(1, 20))).await;
        }
    }

    fn acknowledged_in(&self, directory: InodeId) -> BTreeMap<String, InodeId> {
        self.known.with(directory, |entries| {
            entries.iter().filter_map(|(name, inode)| inode.map(|inode| (name.clone(), inode))).collect()
        })
    }

    /// All entries of a directory; none is listed twice.
    async fn list(&self, directory: InodeId) -> BTreeMap<String, InodeId> {
        let (mut all, mut cookie) = (BTreeMap::new(), 0);
        loop {
            let outcome = self.ask(Query::ReadDir { directory, cookie, limit: PAGE }).await;
            let Ok(Answer::Entries { entries, end }) = outcome else { panic!("no listing: {outcome:?}") };
            cookie = entries.last().map_or(cookie, |entry| entry.cookie);
            for entry in entries {
                let name = String::from_utf8(entry.name.as_bytes().to_vec()).expect("ours are text");
                assert_eq!(all.insert(name.clone(), entry.inode), None, "{name} is listed twice");
            }
            if end {
                return all;
            }
        }
    }

    /// Every directory that is known holds what was acknowledged, once each, and nothing that nobody
    /// asked for; every file counts its names.
    pub(crate) async fn check_everything(&self) {
        let mut links: BTreeMap<InodeId, u32> = BTreeMap::new();
        for (directory, expected) in self.known.all() {
            let mut listed = self.list(directory).await;
            listed.values().for_each(|inode| *links.entry(*inode).or_default() += 1);
            for (name, inode) in &expected {
                let found = listed.remove(name);
                assert!(
                    inode.is_none() || found == *inode,
                    "{name}: {inode:?} was acknowledged, {found:?} is there"
                );
            }
            assert!(listed.is_empty(), "nobody asked for {listed:?}");
        }
        for (inode, names) in links.into_iter().filter(|(inode, _)| inode.kind() == IdKind::File) {
            let found = attr(self.ask(Query::GetAttr { inode }).await).map(|attr| attr.links);
            assert_eq!(found, Ok(names), "{inode:?} counts its names");
        }
    }
}
