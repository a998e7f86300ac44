//! What a symbolic link says, beside its inode: links are few, so inodes stay small.

use super::inode::take_id;
use super::record::{Reader, Record, Sink};
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Refusal, Target};

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Says(Box<[u8]>);

impl Says {
    pub(crate) fn new(target: &Target) -> Self {
        Self(target.as_bytes().into())
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// Checked when it was made, and when it was read from an image.
    pub(crate) fn target(&self) -> Result<Target, Refusal> {
        Target::new(self.0.to_vec())
    }
}

impl Record for Says {
    type Key = InodeId;
    const TABLE: u8 = 7;

    fn put<S: Sink>(&self, key: &InodeId, sink: &mut S) {
        sink.u64(key.raw());
        sink.long(&self.0);
    }

    fn take(reader: &mut Reader<'_>) -> Result<(InodeId, Self), &'static str> {
        let id = take_id(reader, "inode of a symbolic link")?;
        let target = reader.long("target")?;
        Target::new(target.to_vec()).map_err(|_| "target")?;
        Ok((id, Self(target.into())))
    }
}
