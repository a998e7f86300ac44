//! A metadata service for tests: the maps of a few files, in memory, and what a committed slice
//! must have. It answers after a moment, as if it were far away.

use crate::chunk::Server;
use mooseng_client::file::{FileError, FileService, RangeMap, Size};
use mooseng_core::chance::Dice;
use mooseng_core::env::{Env, sleep};
use mooseng_core::extent::{FileExtent, NewSlice, SliceInfo};
use mooseng_core::id::{InodeId, PartId, SliceId, Slot};
use mooseng_core::namespace::Refusal;
use mooseng_core::time::WallTime;
use mooseng_sim::machine::SimEnv;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Default)]
pub(crate) struct File {
    pub(crate) size: u64,
    pub(crate) version: u64,
    pub(crate) extents: Vec<FileExtent>,
}

#[derive(Default)]
pub(crate) struct Books {
    granted: u64,
    pending: BTreeSet<SliceId>,
    pub(crate) abandoned: Vec<SliceId>,
    pub(crate) files: BTreeMap<InodeId, File>,
    pub(crate) slices: BTreeMap<SliceId, SliceInfo>,
    pub(crate) maps_asked: u32,
    pub(crate) grants_asked: u32,
    pub(crate) commits: u32,
    /// What was committed and is not on its server.
    pub(crate) unkept: Vec<PartId>,
    /// The most extents of a file, if there is such a limit, and of pending slices.
    pub(crate) extents_max: Option<usize>,
    pub(crate) pending_max: Option<usize>,
    pub(crate) compactions: u32,
    /// The next commit is answered with this.
    pub(crate) commit_error: Option<FileError>,
}

/// A handle for one mount.
#[derive(Clone)]
pub(crate) struct Meta {
    env: SimEnv,
    pub(crate) books: Arc<Mutex<Books>>,
    servers: BTreeMap<u64, Server>,
}

impl Meta {
    pub(crate) fn new(env: SimEnv, books: Arc<Mutex<Books>>, servers: BTreeMap<u64, Server>) -> Self {
        Self { env, books, servers }
    }

    async fn far_away(&self) {
        let wait =
            self.env.rng("far away", u64::from(self.books.lock().unwrap().commits)).between(100, 2_000);
        sleep(&self.env, Duration::from_micros(wait)).await;
    }

    fn is_kept(&self, slice: &NewSlice, index: usize) -> bool {
        let part = PartId { slice: slice.slice, index: index as u8 };
        slice.parts[index].is_none_or(|server| self.servers[&server.0].kept().sealed.contains_key(&part))
    }
}

impl File {
    fn size(&self) -> Size {
        Size { bytes: self.size, version: self.version }
    }

    fn cut(&mut self, from: u64, to: u64) {
        let around = |extent: &FileExtent| [extent.clipped(0, from), extent.clipped(to, u64::MAX)];
        self.extents = self.extents.iter().flat_map(around).flatten().collect();
    }
}

impl FileService for Meta {
    async fn grant(&self, inode: InodeId, count: u32) -> Result<Vec<SliceId>, FileError> {
        self.far_away().await;
        let mut books = self.books.lock().unwrap();
        books.grants_asked += 1;
        if books.pending_max.is_some_and(|most| books.pending.len() + count as usize > most) {
            return Err(FileError::Refused(Refusal::TooManyPending));
        }
        let slot = Slot::new(inode.slot().get()).unwrap();
        let first = books.granted + 1;
        books.granted += u64::from(count);
        let granted: Vec<SliceId> =
            (first..=books.granted).map(|number| SliceId::new(0, slot, number).unwrap()).collect();
        books.pending.extend(&granted);
        Ok(granted)
    }

    async fn abandon(&self, slices: Vec<SliceId>) -> Result<(), FileError> {
        self.far_away().await;
        let mut books = self.books.lock().unwrap();
        for slice in slices {
            assert!(books.pending.remove(&slice), "{slice} is not pending");
            books.abandoned.push(slice);
        }
        Ok(())
    }

    async fn commit(
        &self,
        inode: InodeId,
        slices: Vec<NewSlice>,
        extents: Vec<FileExtent>,
        _: WallTime,
    ) -> Result<Size, FileError> {
        self.far_away().await;
        let mut books = self.books.lock().unwrap();
        let books = &mut *books;
        if let Some(error) = books.commit_error.take() {
            return Err(error);
        }
        let file = books.files.entry(inode).or_default();
        if books.extents_max.is_some_and(|most| file.extents.len() + extents.len() > most) {
            return Err(FileError::Refused(Refusal::TooFragmented));
        }
        books.commits += 1;
        for slice in slices {
            assert!(books.pending.remove(&slice.slice), "{:?} is not pending", slice.slice);
            assert!(extents.iter().any(|extent| extent.slice == slice.slice), "a slice nobody sees");
            for index in 0..slice.parts.len() {
                if !self.is_kept(&slice, index) {
                    books.unkept.push(PartId { slice: slice.slice, index: index as u8 });
                }
            }
            books.slices.insert(slice.slice, slice);
        }
        let file = books.files.entry(inode).or_default();
        for extent in extents {
            assert!(extent.is_possible(), "{extent:?}");
            assert!(extent.slice_end() <= u64::from(books.slices[&extent.slice].length));
            file.cut(extent.offset, extent.end());
            file.extents.push(extent);
            file.size = file.size.max(extent.end());
        }
        file.extents.sort_unstable();
        file.version += 1;
        Ok(file.size())
    }

    async fn compact(
        &self,
        inode: InodeId,
        replaced: Vec<FileExtent>,
        slices: Vec<NewSlice>,
        extents: Vec<FileExtent>,
    ) -> Result<Size, FileError> {
        self.far_away().await;
        let mut books = self.books.lock().unwrap();
        let books = &mut *books;
        let file = books.files.entry(inode).or_default();
        let (from, to) = (replaced[0].offset, replaced[replaced.len() - 1].end());
        let there: Vec<FileExtent> =
            file.extents.iter().filter_map(|extent| extent.clipped(from, to)).collect();
        if there != replaced {
            return Err(FileError::Refused(Refusal::Conflict));
        }
        books.compactions += 1;
        file.cut(from, to);
        assert!(extents.iter().all(|extent| extent.offset >= from && extent.end() <= to));
        file.extents.extend(extents);
        file.extents.sort_unstable();
        file.version += 1;
        for slice in slices {
            assert!(books.pending.remove(&slice.slice), "{:?} is not pending", slice.slice);
            books.slices.insert(slice.slice, slice);
        }
        Ok(file.size())
    }

    async fn map(&self, inode: InodeId, offset: u64, length: u64) -> Result<RangeMap, FileError> {
        let (map, wait) = {
            let mut books = self.books.lock().unwrap();
            books.maps_asked += 1;
            let file = books.files.entry(inode).or_default();
            let size = file.size();
            let in_range = file.extents.iter().filter_map(|extent| extent.clipped(offset, offset + length));
            let mut extents: Vec<FileExtent> = in_range.collect();
            // Long maps come in pieces.
            let mut end = offset + length;
            if extents.len() > 20 {
                end = extents[20].offset;
                extents.truncate(20);
            }
            let named: BTreeSet<SliceId> = extents.iter().map(|extent| extent.slice).collect();
            let slices = named.iter().map(|slice| books.slices[slice].clone()).collect();
            (RangeMap { size, extents, slices, end }, u64::from(books.maps_asked))
        };
        // It was true when it was asked for, and is old when it arrives.
        sleep(&self.env, Duration::from_micros(self.env.rng("map", wait).between(50, 1_000))).await;
        Ok(map)
    }

    async fn truncate(&self, inode: InodeId, size: u64) -> Result<Size, FileError> {
        self.far_away().await;
        let mut books = self.books.lock().unwrap();
        let file = books.files.entry(inode).or_default();
        file.cut(size, u64::MAX);
        file.size = size;
        file.version += 1;
        Ok(file.size())
    }
}
