//! Attributes as answers show them: what must be equal to the model's, and what is learned.

use super::{Expected, Maker, Model};
use mooseng_core::id::IdKind;
use mooseng_core::namespace::{Attr, FileKind};
use mooseng_core::time::WallTime;

/// What happened to an inode since an answer last showed its version.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
enum Since {
    #[default]
    NeverShown,
    Unchanged,
    PerhapsChanged,
    Changed,
}

/// What is known of an inode's version and times. `None`: whatever the system says.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Shown {
    since: Since,
    version: u64,
    pub(super) atime: Option<WallTime>,
    pub(super) mtime: Option<WallTime>,
    ctime: Option<WallTime>,
}

impl Shown {
    /// An attribute of the inode changes: its ctime and version with it.
    pub(super) fn attributes_change(&mut self) {
        self.ctime = None;
        if self.since != Since::NeverShown {
            self.since = Since::Changed;
        }
    }

    /// The system may count this as a change of the inode or not.
    pub(super) fn attributes_may_change(&mut self) {
        self.ctime = None;
        if self.since == Since::Unchanged {
            self.since = Since::PerhapsChanged;
        }
    }

    /// Bytes move to other slices: whatever is cached is out of date, though no time tells.
    pub(super) fn data_moves(&mut self) {
        if self.since != Since::NeverShown {
            self.since = Since::Changed;
        }
    }

    /// Nobody here knows what has become of its bytes.
    pub(super) fn forget(&mut self) {
        *self = Self { atime: self.atime, ..Self::default() };
    }

    /// The names in a directory, or the bytes of a file, change.
    pub(super) fn content_changes(&mut self) {
        self.mtime = None;
        self.attributes_change();
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, model: T, shown: T) -> Result<(), Expected> {
    if model == shown {
        return Ok(());
    }
    Err(Expected::Shown(format!("{what} {model:?}, not {shown:?}")))
}

fn same_if_known(what: &str, model: Option<WallTime>, shown: WallTime) -> Result<(), Expected> {
    model.map_or(Ok(()), |model| same(what, model.0, shown.0))
}

impl Model {
    /// An answer shows this inode like that.
    pub(super) fn show(&mut self, maker: Maker, attr: &Attr) -> Result<(), Expected> {
        self.show_identity(maker, attr)?;
        let (links, blocks) = (self.links(maker), self.covered(maker).div_ceil(512));
        let node = self.node(maker);
        same("kind", node.kind, attr.kind)?;
        same("links", links, attr.links)?;
        same("mode", node.mode, attr.mode)?;
        same("uid", node.uid, attr.uid)?;
        same("gid", node.gid, attr.gid)?;
        same("rdev", node.rdev, attr.rdev)?;
        if node.kind != FileKind::Directory {
            same("size", node.size, attr.size)?;
        }
        same("class", node.class, attr.class)?;
        same("blocks", blocks, attr.blocks)?;
        same_if_known("atime", node.shown.atime, attr.atime)?;
        same_if_known("mtime", node.shown.mtime, attr.mtime)?;
        same_if_known("ctime", node.shown.ctime, attr.ctime)?;
        let seen = node.shown.version;
        match node.shown.since {
            Since::NeverShown => {}
            Since::Unchanged => same("version", seen, attr.version)?,
            Since::PerhapsChanged if attr.version >= seen => {}
            Since::Changed if attr.version > seen => {}
            Since::PerhapsChanged | Since::Changed => {
                return Err(Expected::Shown(format!(
                    "a version that grew from {seen}, not {}",
                    attr.version
                )));
            }
        }
        node.shown = Shown {
            since: Since::Unchanged,
            version: attr.version,
            atime: Some(attr.atime),
            mtime: Some(attr.mtime),
            ctime: Some(attr.ctime),
        };
        Ok(())
    }

    fn show_identity(&mut self, maker: Maker, attr: &Attr) -> Result<(), Expected> {
        self.show_id(maker, attr.inode)
    }

    /// An answer says that this inode has that id.
    pub(super) fn show_id(&mut self, maker: Maker, id: mooseng_core::id::InodeId) -> Result<(), Expected> {
        let node = &self.nodes[&maker];
        if let Some(known) = node.id {
            return same("inode", known, id);
        }
        if self.ids.contains_key(&id) {
            return Err(Expected::Shown(format!("an inode id never used before, not {id:?}")));
        }
        let kind = if node.kind == FileKind::Directory { IdKind::Directory } else { IdKind::File };
        same("kind in the inode id", kind, id.kind())?;
        self.name(maker, id);
        Ok(())
    }
}
