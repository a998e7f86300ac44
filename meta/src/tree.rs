//! A copy-on-write B+tree: an ordered map that is cloned in no time and whose clones share every
//! node until one of them changes it. It is what makes a snapshot of a million inodes cost nothing
//! to the replica that goes on applying.
//!
//! Nodes are shared by `Arc`; a change copies the nodes between the root and the leaf it touches if,
//! and only if, another clone still looks at them. Leaves allocate hardly more than they hold, and
//! a split caused by an ascending key leaves a full node behind, because ids ascend.
//!
//! It knows nothing of what it holds, and it does not rebalance by the textbook: see the
//! invariants in `check`.

mod check;
mod node;
mod walk;

#[cfg(test)]
mod tests;

use node::{Inserted, Node};
use std::sync::Arc;

pub use walk::Walk;

/// An ordered map with clones in constant time. `LEAF` and `FAN` are the most pairs of a leaf and
/// the most children of a branch.
#[derive(Clone)]
pub struct Tree<K, V, const LEAF: usize = 32, const FAN: usize = 32> {
    root: Option<Arc<Node<K, V>>>,
    length: usize,
}

impl<K, V, const LEAF: usize, const FAN: usize> Default for Tree<K, V, LEAF, FAN> {
    fn default() -> Self {
        const { assert!(LEAF >= 4 && FAN >= 4, "smaller nodes cannot be split in two parts of some size") };
        Self { root: None, length: 0 }
    }
}

impl<K: Ord, V, const LEAF: usize, const FAN: usize> Tree<K, V, LEAF, FAN> {
    pub fn len(&self) -> usize {
        self.length
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        let mut node = self.root.as_deref()?;
        loop {
            match node {
                Node::Leaf(pairs) => {
                    let at = pairs.binary_search_by(|(held, _)| held.cmp(key)).ok()?;
                    return Some(&pairs[at].1);
                }
                Node::Branch(children) => node = &children[node::child_of(children, key)].1,
            }
        }
    }

    pub fn contains(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// The pair with the smallest key that is not smaller than `key`.
    pub fn first_from(&self, key: &K) -> Option<(&K, &V)> {
        let mut node = self.root.as_deref()?;
        let mut right = None;
        loop {
            match node {
                Node::Leaf(pairs) => {
                    let at = pairs.partition_point(|(held, _)| held < key);
                    let pair = pairs.get(at).or_else(|| right.map(node::first_of))?;
                    return Some((&pair.0, &pair.1));
                }
                Node::Branch(children) => {
                    let at = node::child_of(children, key);
                    right = children.get(at + 1).map(|(_, child)| &**child).or(right);
                    node = &children[at].1;
                }
            }
        }
    }

    /// All pairs in order.
    pub fn iter(&self) -> Walk<'_, K, V> {
        Walk::new(self.root.as_deref(), None)
    }

    /// The pairs whose keys are not smaller than `key`, in order.
    pub fn iter_from(&self, key: &K) -> Walk<'_, K, V> {
        Walk::new(self.root.as_deref(), Some(key))
    }
}

impl<K: Ord + Clone, V: Clone, const LEAF: usize, const FAN: usize> Tree<K, V, LEAF, FAN> {
    /// The value to be changed in place. No other clone sees the change.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let mut node = Arc::make_mut(self.root.as_mut()?);
        loop {
            match node {
                Node::Leaf(pairs) => {
                    let at = pairs.binary_search_by(|(held, _)| held.cmp(key)).ok()?;
                    return Some(&mut pairs[at].1);
                }
                Node::Branch(children) => {
                    let at = node::child_of(children, key);
                    node = Arc::make_mut(&mut children[at].1);
                }
            }
        }
    }

    /// Puts the value there and gives the one that was there before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let Some(root) = &mut self.root else {
            self.root = Some(Arc::new(Node::Leaf(vec![(key, value)])));
            self.length = 1;
            return None;
        };
        match node::insert::<K, V, LEAF, FAN>(Arc::make_mut(root), key, value) {
            Inserted::Replaced(before) => return Some(before),
            Inserted::Added => {}
            Inserted::Split(bound, right) => {
                // The bound of a first child is never looked at: any key may stand there.
                let children = vec![(bound.clone(), root.clone()), (bound, right)];
                *root = Arc::new(Node::Branch(children));
            }
        }
        self.length += 1;
        None
    }

    /// Takes the pair out and gives its value.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        // Looking first keeps a removal of nothing from copying shared nodes.
        if !self.contains(key) {
            return None;
        }
        let root = self.root.as_mut()?;
        let value = node::remove::<K, V, LEAF, FAN>(Arc::make_mut(root), key);
        self.length -= 1;
        while let Some(root) = &self.root {
            match &**root {
                Node::Leaf(pairs) if pairs.is_empty() => self.root = None,
                Node::Branch(children) if children.is_empty() => self.root = None,
                Node::Branch(children) if children.len() == 1 => self.root = Some(children[0].1.clone()),
                _ => break,
            }
        }
        assert_eq!(self.root.is_none(), self.length == 0, "an empty tree has no root, and no other");
        value
    }
}
