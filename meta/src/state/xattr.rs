//! Extended attributes: one record for each, in the order of inodes and names.

use super::inode::take_id;
use super::record::{Reader, Record, Sink};
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{XATTR_VALUE_BYTES_MAX, XattrName};

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct XattrKey {
    pub(crate) inode: InodeId,
    name: Box<[u8]>,
}

impl XattrKey {
    pub(crate) fn new(inode: InodeId, name: &XattrName) -> Self {
        Self { inode, name: name.as_bytes().into() }
    }

    /// Before every attribute of the inode.
    pub(crate) fn first(inode: InodeId) -> Self {
        Self { inode, name: Box::default() }
    }

    pub(crate) fn name(&self) -> &[u8] {
        &self.name
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Xattr(pub(crate) Box<[u8]>);

impl Xattr {
    /// What counts towards the limit of an inode.
    pub(crate) fn bytes(&self, key: &XattrKey) -> usize {
        key.name.len() + 1 + self.0.len()
    }
}

impl Record for Xattr {
    type Key = XattrKey;
    const TABLE: u8 = 8;

    fn put<S: Sink>(&self, key: &XattrKey, sink: &mut S) {
        sink.u64(key.inode.raw());
        sink.bytes(&key.name);
        sink.long(&self.0);
    }

    fn take(reader: &mut Reader<'_>) -> Result<(XattrKey, Self), &'static str> {
        let inode = take_id(reader, "inode of an extended attribute")?;
        let name = reader.bytes("name of an extended attribute")?;
        let name = XattrName::new(name.to_vec()).map_err(|_| "name of an extended attribute")?;
        let value = reader.long("value of an extended attribute")?;
        if value.len() > XATTR_VALUE_BYTES_MAX {
            return Err("value of an extended attribute");
        }
        Ok((XattrKey::new(inode, &name), Self(value.into())))
    }
}
