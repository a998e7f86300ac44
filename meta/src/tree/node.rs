//! The nodes of the tree: how a full one is split, how two poor neighbours become one.
//!
//! ```text
//!   branch   (bound, child) (bound, child) ...     the first bound is never looked at
//!   leaf     (key, value) (key, value) ...         every leaf at the same depth
//! ```

use std::sync::Arc;

#[derive(Clone)]
pub(super) enum Node<K, V> {
    Leaf(Vec<(K, V)>),
    /// Each child with a lower bound of its keys, above every key of the child before it.
    Branch(Vec<(K, Arc<Node<K, V>>)>),
}

pub(super) enum Inserted<K, V> {
    Replaced(V),
    Added,
    /// The node was full: this is its right part now, with the lower bound of its keys.
    Split(K, Arc<Node<K, V>>),
}

impl<K, V> Node<K, V> {
    fn len(&self) -> usize {
        match self {
            Node::Leaf(pairs) => pairs.len(),
            Node::Branch(children) => children.len(),
        }
    }
}

/// Which child holds the key if any does.
pub(super) fn child_of<K: Ord, C>(children: &[(K, C)], key: &K) -> usize {
    children[1..].partition_point(|(bound, _)| bound <= key)
}

/// The first pair under a node that is not empty.
pub(super) fn first_of<K, V>(mut node: &Node<K, V>) -> &(K, V) {
    loop {
        match node {
            Node::Leaf(pairs) => return &pairs[0],
            Node::Branch(children) => node = &children[0].1,
        }
    }
}

pub(super) fn insert<K: Ord + Clone, V: Clone, const LEAF: usize, const FAN: usize>(
    node: &mut Node<K, V>,
    key: K,
    value: V,
) -> Inserted<K, V> {
    match node {
        Node::Leaf(pairs) => match pairs.binary_search_by(|(held, _)| held.cmp(&key)) {
            Ok(at) => Inserted::Replaced(std::mem::replace(&mut pairs[at].1, value)),
            Err(at) => match insert_or_split::<_, LEAF>(pairs, at, (key, value)) {
                None => Inserted::Added,
                Some(right) => Inserted::Split(right[0].0.clone(), Arc::new(Node::Leaf(right))),
            },
        },
        Node::Branch(children) => {
            let at = child_of(children, &key);
            let child = Arc::make_mut(&mut children[at].1);
            match insert::<K, V, LEAF, FAN>(child, key, value) {
                Inserted::Split(bound, right) => {
                    match insert_or_split::<_, FAN>(children, at + 1, (bound, right)) {
                        None => Inserted::Added,
                        Some(right) => Inserted::Split(right[0].0.clone(), Arc::new(Node::Branch(right))),
                    }
                }
                other => other,
            }
        }
    }
}

/// Puts the item at its place; if the node is full, cuts off a right part and gives it.
fn insert_or_split<T, const MAX: usize>(items: &mut Vec<T>, at: usize, item: T) -> Option<Vec<T>> {
    assert!(items.len() <= MAX && at <= items.len(), "a node within its limit, a place within the node");
    if items.len() < MAX {
        insert_tight::<_, MAX>(items, at, item);
        return None;
    }
    if at == items.len() {
        // Ascending keys end up here: the full node stays full.
        let mut right = Vec::with_capacity(step(MAX));
        right.push(item);
        items.shrink_to_fit();
        return Some(right);
    }
    // Cutting where the new item goes lets a run of ascending keys in the midst of others go on at
    // the end of a node; the clamp keeps both parts worth their overhead.
    let cut = at.clamp(MAX / 4, MAX - MAX / 4);
    let mut right = items.split_off(cut);
    items.shrink_to(cut + 1);
    if at <= cut {
        insert_tight::<_, MAX>(items, at, item);
    } else {
        insert_tight::<_, MAX>(&mut right, at - cut, item);
    }
    Some(right)
}

/// By how many items a node's memory grows: doubling would waste a quarter of it.
fn step(max: usize) -> usize {
    (max / 8).max(1)
}

fn insert_tight<T, const MAX: usize>(items: &mut Vec<T>, at: usize, item: T) {
    if items.len() == items.capacity() {
        items.reserve_exact(step(MAX).min(MAX - items.len()));
    }
    items.insert(at, item);
}

/// Removes a key that may be there; what is left may be empty, which the caller mends.
pub(super) fn remove<K: Ord + Clone, V: Clone, const LEAF: usize, const FAN: usize>(
    node: &mut Node<K, V>,
    key: &K,
) -> Option<V> {
    match node {
        Node::Leaf(pairs) => {
            let at = pairs.binary_search_by(|(held, _)| held.cmp(key)).ok()?;
            let (_, value) = pairs.remove(at);
            if pairs.capacity() - pairs.len() > 2 * step(LEAF) {
                pairs.shrink_to(pairs.len() + step(LEAF));
            }
            Some(value)
        }
        Node::Branch(children) => {
            let at = child_of(children, key);
            let value = remove::<K, V, LEAF, FAN>(Arc::make_mut(&mut children[at].1), key);
            mend::<K, V, LEAF, FAN>(children, at);
            value
        }
    }
}

/// After a removal under `children[at]`: drops it if nothing is left in it, joins it with a
/// neighbour if the two fill no more than half a node.
fn mend<K: Ord + Clone, V: Clone, const LEAF: usize, const FAN: usize>(
    children: &mut Vec<(K, Arc<Node<K, V>>)>,
    at: usize,
) {
    let length = children[at].1.len();
    if length == 0 {
        children.remove(at);
        return;
    }
    let half = if matches!(&*children[at].1, Node::Leaf(_)) { LEAF / 2 } else { FAN / 2 };
    let fits = |other: usize| children.get(other).is_some_and(|(_, node)| node.len() + length <= half);
    let left = if at > 0 && fits(at - 1) {
        at - 1
    } else if fits(at + 1) {
        at
    } else {
        return;
    };
    let (bound, right) = children.remove(left + 1);
    join(Arc::make_mut(&mut children[left].1), bound, Arc::unwrap_or_clone(right));
}

fn join<K, V>(left: &mut Node<K, V>, bound: K, right: Node<K, V>) {
    match (left, right) {
        (Node::Leaf(left), Node::Leaf(right)) => {
            left.reserve_exact(right.len());
            left.extend(right);
        }
        (Node::Branch(left), Node::Branch(mut right)) => {
            // A first child's own bound means nothing, but the whole node's bound holds for it.
            right[0].0 = bound;
            left.reserve_exact(right.len());
            left.extend(right);
        }
        _ => unreachable!("all leaves lie at the same depth"),
    }
}
