//! Ranges of open files: room, holes, and where they are.

use super::{FsError, Handle, Mount, attr, surprise};
use mooseng_core::env::Env;
use mooseng_core::extent::FileExtent;
use mooseng_core::namespace::{Answer, Caller, Op, Query, Refusal};
use mooseng_core::plant;

/// What is to be done with a range (fallocate(2)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reserve {
    /// The file is at least as long as the range reaches.
    Grow,
    /// Nothing that anybody sees: room is not set aside.
    Keep,
    /// The range reads as zeros, the size stays.
    Punch,
    /// The range reads as zeros, and the file is at least as long as it reaches.
    Zero,
}

/// What is looked for in a file (lseek(2)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seek {
    Data,
    Hole,
}

/// How much of a map is asked for at once.
const MAP_BYTES: u64 = 1 << 30;

impl<E: Env> Mount<E> {
    pub async fn reserve(
        &self,
        handle: Handle,
        offset: u64,
        length: u64,
        what: Reserve,
    ) -> Result<(), FsError> {
        let file = self.files.get(handle)?;
        if !file.mode.write {
            return Err(FsError::BadHandle);
        }
        let end = offset.checked_add(length).filter(|_| length > 0);
        let end = end.ok_or(FsError::Refused(Refusal::Invalid))?;
        if matches!(what, Reserve::Punch | Reserve::Zero) {
            // What was written before must not come after.
            plant!("punch-overtakes-writes", file.open.fsync().await?, ());
            let inode = file.open.inode();
            let op = Op::Punch { inode, offset, length };
            let attr = attr(self.sessions.change(&Caller::ROOT, &op).await?)?;
            file.open.learn((&attr).into());
        }
        if matches!(what, Reserve::Grow | Reserve::Zero) {
            // Others may have cut it since it was last looked at here.
            let query = Query::GetAttr { inode: file.open.inode() };
            let told = attr(self.sessions.ask(&Caller::ROOT, &query).await?)?;
            plant!("reserve-believes-an-old-length", file.open.learn((&told).into()), ());
            if end > file.open.size() {
                file.open.truncate(end).await?;
            }
        }
        Ok(())
    }

    /// The first offset at or after `from` with what is sought; `None` behind the end of the file.
    pub async fn seek(&self, handle: Handle, from: u64, what: Seek) -> Result<Option<u64>, FsError> {
        let file = self.files.get(handle)?;
        plant!("seek-misses-what-is-unwritten", file.open.fsync().await?, ());
        let inode = file.open.inode();
        let mut at = from;
        loop {
            let query = Query::Map { inode, offset: at, length: MAP_BYTES };
            let (attr, extents, end) = match self.sessions.ask(&Caller::ROOT, &query).await? {
                Answer::Map { attr, extents, end, .. } => (attr, extents, end),
                other => return Err(surprise(&other)),
            };
            if at >= attr.size {
                return Ok(None);
            }
            match sought(&extents, at, end.min(attr.size), what) {
                Some(found) => return Ok(Some(found)),
                None if end >= attr.size => return Ok((what == Seek::Hole).then_some(attr.size)),
                None if end > at => at = end,
                None => return Err(FsError::Io { what: "a map that says nothing".to_owned() }),
            }
        }
    }
}

/// The first offset of `from..to` with what is sought, by the extents of the range in order.
fn sought(extents: &[FileExtent], from: u64, to: u64, what: Seek) -> Option<u64> {
    let mut at = from;
    for extent in extents {
        let data = extent.offset.max(from);
        match what {
            Seek::Data => return (data < to).then_some(data),
            Seek::Hole if data > at => return Some(at),
            Seek::Hole => at = extent.end().max(at),
        }
    }
    (what == Seek::Hole && at < to).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mooseng_core::id::{SliceId, Slot};

    #[test]
    fn data_and_holes_are_found() {
        let slice = SliceId::new(0, Slot::default(), 1).unwrap();
        let extent = |offset, length| FileExtent { offset, length, slice, slice_offset: 0 };
        let extents = [extent(10, 10), extent(20, 5), extent(40, 10)];
        for (from, data, hole) in [(0, Some(10), Some(0)), (10, Some(10), Some(25)), (24, Some(20), Some(25))]
        {
            let rest: Vec<_> = extents.iter().copied().filter(|extent| extent.end() > from).collect();
            let data = data.map(|data: u64| data.max(from));
            assert_eq!(sought(&rest, from, 60, Seek::Data), data, "data from {from}");
            assert_eq!(sought(&rest, from, 60, Seek::Hole), hole, "a hole from {from}");
        }
        assert_eq!(sought(&extents[2..], 45, 50, Seek::Hole), None, "nothing but data up to the end");
        assert_eq!(sought(&extents[2..], 45, 60, Seek::Hole), Some(50));
        assert_eq!(sought(&[], 50, 60, Seek::Data), None);
    }
}
