//! A tree of records that keeps the sum of their hashes. Adding makes the order in which records
//! came about irrelevant, and a change costs two hashes.

use super::digest::Digest;
use super::record::Record;
use crate::tree::{Tree, Walk};

#[derive(Clone)]
pub(crate) struct Table<R: Record> {
    tree: Tree<R::Key, R>,
    sum: u128,
}

impl<R: Record> Default for Table<R> {
    fn default() -> Self {
        Self { tree: Tree::default(), sum: 0 }
    }
}

fn hash<R: Record>(key: &R::Key, record: &R) -> u128 {
    assert!(R::TABLE != 0, "0 is the key of what stands alone");
    let mut digest = Digest::new(R::TABLE);
    record.put(key, &mut digest);
    digest.finish()
}

impl<R: Record> Table<R> {
    pub(crate) fn len(&self) -> usize {
        self.tree.len()
    }

    pub(crate) fn get(&self, key: &R::Key) -> Option<&R> {
        self.tree.get(key)
    }

    pub(crate) fn first_from(&self, key: &R::Key) -> Option<(&R::Key, &R)> {
        self.tree.first_from(key)
    }

    pub(crate) fn iter(&self) -> Walk<'_, R::Key, R> {
        self.tree.iter()
    }

    pub(crate) fn iter_from(&self, key: &R::Key) -> Walk<'_, R::Key, R> {
        self.tree.iter_from(key)
    }

    pub(crate) fn insert(&mut self, key: R::Key, record: R) -> Option<R> {
        self.sum = self.sum.wrapping_add(hash(&key, &record));
        let before = self.tree.insert(key.clone(), record);
        if let Some(before) = &before {
            self.sum = self.sum.wrapping_sub(hash(&key, before));
        }
        before
    }

    pub(crate) fn remove(&mut self, key: &R::Key) -> Option<R> {
        let before = self.tree.remove(key)?;
        self.sum = self.sum.wrapping_sub(hash(key, &before));
        Some(before)
    }

    /// Changes a record that must be there, and gives it as it is then.
    pub(crate) fn change(&mut self, key: &R::Key, change: impl FnOnce(&mut R)) -> Option<&R> {
        let record = self.tree.get_mut(key)?;
        self.sum = self.sum.wrapping_sub(hash(key, record));
        change(record);
        self.sum = self.sum.wrapping_add(hash(key, record));
        Some(record)
    }

    pub(crate) fn sum(&self) -> u128 {
        self.sum
    }

    pub(crate) fn sum_from_scratch(&self) -> u128 {
        self.tree.iter().fold(0, |sum, (key, record)| sum.wrapping_add(hash(key, record)))
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        self.tree.check()?;
        if self.sum != self.sum_from_scratch() {
            return Err(format!("table {}: the sum kept is not the sum of the records", R::TABLE));
        }
        Ok(())
    }

    pub(crate) fn footprint(&self) -> usize {
        self.tree.footprint()
    }
}
