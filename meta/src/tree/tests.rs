//! The tree beside a map of the standard library, with clones kept alive.

use super::Tree;
use mooseng_core::chance::{self, Dice};
use std::collections::BTreeMap;

/// Nodes so small that a hundred keys make a tree of many levels.
type Small = Tree<u64, u64, 4, 4>;

fn assert_same<const LEAF: usize, const FAN: usize>(
    tree: &Tree<u64, u64, LEAF, FAN>,
    model: &BTreeMap<u64, u64>,
) {
    assert_eq!(tree.check(), Ok(()));
    assert_eq!(tree.len(), model.len());
    assert!(tree.iter().eq(model.iter()));
}

/// Random insertions, changes and removals beside a BTreeMap; clones taken on the way keep what they
/// held.
fn random_walk<const LEAF: usize, const FAN: usize>(seed: u64, steps: u64, keys: u64) {
    let mut dice = chance::stream(seed, "tree", 0, 0);
    let mut tree: Tree<u64, u64, LEAF, FAN> = Tree::default();
    let mut model = BTreeMap::new();
    let mut clones = Vec::new();
    for step in 0..steps {
        let key = dice.below(keys);
        // Phases of growth and of decay, so that the tree is emptied now and then.
        let growing = (step / keys).is_multiple_of(2);
        match dice.below(8) {
            0 => assert_eq!(tree.get(&key), model.get(&key)),
            1 => {
                if let Some(value) = tree.get_mut(&key) {
                    *value += 1;
                }
                model.entry(key).and_modify(|value| *value += 1);
            }
            2 => {
                let found = tree.first_from(&key);
                assert_eq!(found, model.range(key..).next());
                assert!(tree.iter_from(&key).eq(model.range(key..)));
            }
            roll if (roll < 7) == growing => {
                assert_eq!(tree.insert(key, step), model.insert(key, step));
            }
            _ => assert_eq!(tree.remove(&key), model.remove(&key)),
        }
        if dice.chance(10_000) {
            clones.push((tree.clone(), model.clone()));
        }
        if step % 64 == 0 {
            assert_same(&tree, &model);
        }
    }
    assert!(clones.len() > 3, "the walk took clones");
    for (tree, model) in &clones {
        assert_same(tree, model);
    }
    for key in model.keys().copied().collect::<Vec<_>>() {
        tree.remove(&key);
        model.remove(&key);
        assert_eq!(tree.check(), Ok(()));
    }
    assert!(tree.is_empty() && tree.iter().next().is_none());
}

#[test]
fn behaves_as_a_btreemap_at_every_size() {
    for seed in 0..8 {
        random_walk::<4, 4>(seed, 6_000, 200);
        random_walk::<5, 7>(seed, 4_000, 60);
        random_walk::<32, 32>(seed, 6_000, 3_000);
    }
}

#[test]
fn a_clone_shares_nodes_until_one_of_the_two_changes() {
    let mut tree = Small::default();
    (0..1_000).for_each(|key| _ = tree.insert(key, key));
    let clone = tree.clone();
    (0..1_000).step_by(3).for_each(|key| _ = tree.remove(&key));
    *tree.get_mut(&1).unwrap() = 77;
    assert!(clone.iter().map(|(_, value)| *value).eq(0..1_000));
    assert_eq!((tree.get(&1), clone.get(&1)), (Some(&77), Some(&1)));
    assert_eq!((tree.check(), clone.check()), (Ok(()), Ok(())));
}

#[test]
fn removing_what_is_not_there_copies_nothing() {
    let mut tree = Small::default();
    (0..100).for_each(|key| _ = tree.insert(key * 2, key));
    let clone = tree.clone();
    assert_eq!(tree.remove(&7), None);
    let (root, shared) = (tree.root.as_ref().unwrap(), clone.root.as_ref().unwrap());
    assert!(std::sync::Arc::ptr_eq(root, shared));
}

/// Bytes of nodes per pair, where a pair itself has 16.
fn weight(keys: impl Iterator<Item = u64>) -> usize {
    let mut tree: Tree<u64, u64> = Tree::default();
    keys.for_each(|key| _ = tree.insert(key, key));
    assert_eq!(tree.check(), Ok(()));
    tree.footprint() * 100 / tree.len()
}

#[test]
fn memory_is_hardly_more_than_the_pairs() {
    let ascending = weight(0..20_000);
    let descending = weight((0..20_000).rev());
    let random = weight((0..20_000).map(chance::mix));
    // Ids of sixteen slots, each ascending, interleaved.
    let interleaved = weight((0..20_000).map(|key| ((key % 16) << 32) + key / 16));
    assert!(ascending < 1_900, "{ascending}");
    assert!(descending < 2_100, "{descending}");
    assert!(random < 2_300, "{random}");
    assert!(interleaved < 2_100, "{interleaved}");
}

#[test]
fn memory_follows_what_is_left_after_removals() {
    let mut tree: Tree<u64, u64> = Tree::default();
    (0..20_000).for_each(|key| _ = tree.insert(chance::mix(key), key));
    (0..20_000).filter(|key| key % 10 != 0).for_each(|key| _ = tree.remove(&chance::mix(key)));
    assert_eq!((tree.check(), tree.len()), (Ok(()), 2_000));
    let per_pair = tree.footprint() / tree.len();
    assert!(per_pair < 40, "{per_pair}");
}
