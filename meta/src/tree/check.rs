//! What always holds of a tree, for tests and for whoever doubts, and what it weighs.

use super::Tree;
use super::node::Node;

impl<K: Ord, V, const LEAF: usize, const FAN: usize> Tree<K, V, LEAF, FAN> {
    /// Checks every invariant:
    ///
    /// - keys ascend, and lie within the bounds of the branches above them;
    /// - all leaves lie at the same depth;
    /// - no node is empty or over its limit, in pairs or in memory.
    ///
    /// Not among them: a least filling. A removal joins neighbours that fill half a node together,
    /// and a node's memory follows what it holds, so poor nodes are few and cheap.
    pub fn check(&self) -> Result<(), String> {
        let Some(root) = &self.root else {
            return if self.length == 0 { Ok(()) } else { Err("no root, but a length".into()) };
        };
        if matches!(&**root, Node::Branch(children) if children.len() < 2) {
            return Err("a root with a single child".into());
        }
        let mut seen = 0;
        check_node::<K, V, LEAF, FAN>(root, None, None, &mut seen)?;
        if seen != self.length {
            return Err(format!("{seen} pairs, but a length of {}", self.length));
        }
        Ok(())
    }

    /// The bytes of memory of the nodes, not counting what values own elsewhere, nor what clones
    /// have since copied.
    pub fn footprint(&self) -> usize {
        self.root.as_deref().map_or(0, footprint)
    }
}

/// Gives the height of the node.
fn check_node<K: Ord, V, const LEAF: usize, const FAN: usize>(
    node: &Node<K, V>,
    low: Option<&K>,
    high: Option<&K>,
    seen: &mut usize,
) -> Result<usize, String> {
    let within = |key: &K| low.is_none_or(|low| low <= key) && high.is_none_or(|high| key < high);
    match node {
        Node::Leaf(pairs) => {
            *seen += pairs.len();
            let ascending = pairs.windows(2).all(|two| two[0].0 < two[1].0);
            let held = (1..=LEAF).contains(&pairs.len());
            let tight = pairs.capacity() <= LEAF;
            if !(ascending && held && tight && pairs.iter().all(|(key, _)| within(key))) {
                return Err(format!("a leaf of {} pairs out of order or bounds", pairs.len()));
            }
            Ok(0)
        }
        Node::Branch(children) => {
            if !(1..=FAN).contains(&children.len()) {
                return Err(format!("a branch of {} children", children.len()));
            }
            let mut height = None;
            for (index, (bound, child)) in children.iter().enumerate() {
                if index > 0 && !within(bound) {
                    return Err("a bound out of the bounds above it".into());
                }
                let child_low = if index == 0 { low } else { Some(bound) };
                let child_high = children.get(index + 1).map(|(bound, _)| bound).or(high);
                let below = check_node::<K, V, LEAF, FAN>(child, child_low, child_high, seen)?;
                if height.is_some_and(|height| height != below) {
                    return Err("leaves at different depths".into());
                }
                height = Some(below);
            }
            Ok(height.unwrap_or(0) + 1)
        }
    }
}

fn footprint<K, V>(node: &Node<K, V>) -> usize {
    // An `Arc` keeps two counts beside its value.
    let own = size_of::<Node<K, V>>() + 2 * size_of::<usize>();
    match node {
        Node::Leaf(pairs) => own + pairs.capacity() * size_of::<(K, V)>(),
        Node::Branch(children) => {
            let pointers = children.capacity() * size_of::<(K, usize)>();
            own + pointers + children.iter().map(|(_, child)| footprint(child)).sum::<usize>()
        }
    }
}
