//! Walking a tree in order of its keys.

use super::node::{Node, child_of};
use std::sync::Arc;

/// The pairs of a tree in ascending order, from a chosen key on.
pub struct Walk<'a, K, V> {
    leaf: std::slice::Iter<'a, (K, V)>,
    /// For every branch above the leaf, the children that are still to come.
    above: Vec<Children<'a, K, V>>,
}

type Children<'a, K, V> = std::slice::Iter<'a, (K, Arc<Node<K, V>>)>;

impl<'a, K: Ord, V> Walk<'a, K, V> {
    pub(super) fn new(root: Option<&'a Node<K, V>>, from: Option<&K>) -> Self {
        let mut walk = Self { leaf: [].iter(), above: Vec::new() };
        if let Some(root) = root {
            walk.descend(root, from);
        }
        walk
    }

    fn descend(&mut self, mut node: &'a Node<K, V>, from: Option<&K>) {
        loop {
            match node {
                Node::Leaf(pairs) => {
                    let at = from.map_or(0, |key| pairs.partition_point(|(held, _)| held < key));
                    self.leaf = pairs[at..].iter();
                    return;
                }
                Node::Branch(children) => {
                    let at = from.map_or(0, |key| child_of(children, key));
                    self.above.push(children[at + 1..].iter());
                    node = &children[at].1;
                }
            }
        }
    }
}

impl<'a, K: Ord, V> Iterator for Walk<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((key, value)) = self.leaf.next() {
                return Some((key, value));
            }
            match self.above.last_mut()?.next() {
                Some((_, child)) => self.descend(child, None),
                None => drop(self.above.pop()),
            }
        }
    }
}
