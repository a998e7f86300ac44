//! Inodes without a name that somebody may still have open. Who does, only the leader knows: it says
//! when one is to be collected.

use super::inode::take_id;
use super::record::{Reader, Record, Sink};
use mooseng_core::id::InodeId;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Orphan;

impl Record for Orphan {
    type Key = InodeId;
    const TABLE: u8 = 9;

    fn put<S: Sink>(&self, key: &InodeId, sink: &mut S) {
        sink.u64(key.raw());
    }

    fn take(reader: &mut Reader<'_>) -> Result<(InodeId, Self), &'static str> {
        Ok((take_id(reader, "inode of an orphan")?, Self))
    }
}
