//! What is open: numbers that lead to things until they are released. A number is never given twice,
//! so that a late request cannot meet somebody else's file.

use super::FsError;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The name of something open.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Handle(pub u64);

pub(super) struct Handles<T> {
    table: Mutex<Table<T>>,
    open_max: usize,
}

struct Table<T> {
    next: u64,
    open: BTreeMap<u64, Arc<T>>,
}

impl<T> Handles<T> {
    pub(super) fn new(open_max: usize) -> Self {
        Self { table: Mutex::new(Table { next: 1, open: BTreeMap::new() }), open_max }
    }

    pub(super) fn add(&self, thing: T) -> Result<Handle, FsError> {
        self.with(|table| {
            if table.open.len() >= self.open_max {
                return Err(FsError::TooManyHandles);
            }
            let number = table.next;
            table.next += 1;
            table.open.insert(number, Arc::new(thing));
            Ok(Handle(number))
        })
    }

    pub(super) fn get(&self, handle: Handle) -> Result<Arc<T>, FsError> {
        self.with(|table| table.open.get(&handle.0).cloned()).ok_or(FsError::BadHandle)
    }

    pub(super) fn remove(&self, handle: Handle) -> Result<Arc<T>, FsError> {
        self.with(|table| table.open.remove(&handle.0)).ok_or(FsError::BadHandle)
    }

    pub(super) fn count(&self) -> u64 {
        self.with(|table| table.open.len() as u64)
    }

    fn with<R>(&self, work: impl FnOnce(&mut Table<T>) -> R) -> R {
        // Nothing panics while it holds the lock; if something did, the table is whole all the same.
        work(&mut self.table.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_never_given_twice() {
        let handles = Handles::new(2);
        let first = handles.add("a").unwrap();
        assert_eq!(*handles.remove(first).unwrap(), "a");
        let second = handles.add("b").unwrap();
        assert_ne!(first, second);
        assert_eq!(handles.get(first), Err(FsError::BadHandle));
        assert_eq!(handles.remove(first), Err(FsError::BadHandle));
    }

    #[test]
    fn the_table_is_bounded() {
        let handles = Handles::new(2);
        let first = handles.add(1).unwrap();
        handles.add(2).unwrap();
        assert_eq!(handles.add(3), Err(FsError::TooManyHandles));
        handles.remove(first).unwrap();
        assert!(handles.add(3).is_ok());
    }
}
