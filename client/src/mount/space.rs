//! How much room there is, and what the mount holds open.

use super::{FsError, Mount};
use crate::data::{ChunkServer, directory};
use mooseng_core::class::StorageClass;
use mooseng_core::env::Env;
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Caller, Query};
use std::collections::BTreeMap;

/// Bytes of files, as far as the chunk servers that are heard of have room for their parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Space {
    pub total: u64,
    pub free: u64,
}

/// Files, directories and all else in the tree: how many there are, and for about how many more there is room.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Inodes {
    pub used: u64,
    pub free: u64,
}

/// What a mount holds now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Figures {
    pub open_files: u64,
    pub open_directories: u64,
    /// Taken in by `write` and not yet committed.
    pub unwritten_bytes: u64,
}

impl<E: Env> Mount<E> {
    /// What files of the class of `inode` find room for, and how many there are in the tree.
    pub async fn space(&self, inode: InodeId) -> Result<(Space, Inodes), FsError> {
        let class = self.ask_attr(&Caller::ROOT, &Query::GetAttr { inode }).await?.class;
        let told = self.sessions.current().await?.chunk_servers().await?;
        let inodes = Inodes { used: told.inodes, free: told.inodes_free };
        Ok((space(&directory::known(told), class), inodes))
    }

    pub fn figures(&self) -> Figures {
        Figures {
            open_files: self.files.count(),
            open_directories: self.directories.count(),
            unwritten_bytes: self.open_files.unwritten_bytes(),
        }
    }
}

/// Of what disks hold, so much is bytes of files as a class has data parts among its parts.
fn space(servers: &[ChunkServer], class: StorageClass) -> Space {
    let disks = disks(servers);
    let sum = |bytes: fn(&Space) -> u64| {
        let disks: u128 = disks.iter().map(|disk| u128::from(bytes(disk))).sum();
        let files = disks * u128::from(class.data()) / u128::from(class.parts());
        u64::try_from(files).unwrap_or(u64::MAX)
    };
    Space { total: sum(|disk| disk.total), free: sum(|disk| disk.free) }
}

/// What is under the servers that are heard of, each disk once however many share it. They looked at different
/// moments, and may keep different amounts of it free: what the most careful of them found is there.
fn disks(servers: &[ChunkServer]) -> Vec<Space> {
    let (mut alone, mut shared) = (Vec::new(), BTreeMap::new());
    for server in servers.iter().filter(|server| server.alive && server.total > 0) {
        let found = Space { total: server.total, free: server.free };
        if server.disk == 0 {
            alone.push(found);
            continue;
        }
        let disk = shared.entry(server.disk).or_insert(found);
        *disk = Space { total: disk.total.min(found.total), free: disk.free.min(found.free) };
    }
    alone.extend(shared.into_values());
    alone
}

#[cfg(test)]
mod tests {
    use super::*;
    use mooseng_core::env::Address;
    use mooseng_core::id::ServerId;

    #[test]
    fn room_is_counted_in_bytes_of_files() {
        let server = |number, total, free, alive| ChunkServer {
            server: ServerId(number),
            address: Address::new("c:1"),
            rack: "a".into(),
            total,
            free,
            disk: 0,
            alive,
        };
        let servers = [server(1, 900, 600, true), server(2, 600, 300, true), server(3, 9_000, 9_000, false)];
        let of = |class: &str| space(&servers, class.parse().unwrap());
        assert_eq!(of("copies=1"), Space { total: 1_500, free: 900 });
        assert_eq!(of("copies=3"), Space { total: 500, free: 300 });
        assert_eq!(of("ec=4+2"), Space { total: 1_000, free: 600 });
        let vast = [server(1, u64::MAX, u64::MAX, true), server(2, u64::MAX, 0, true)];
        assert_eq!(space(&vast, StorageClass::copies(1).unwrap()), Space { total: u64::MAX, free: u64::MAX });
        assert_eq!(space(&[], StorageClass::default()), Space::default());
    }

    #[test]
    fn a_disk_that_servers_share_is_there_once() {
        let server = |number, disk, total, free| ChunkServer {
            server: ServerId(number),
            address: Address::new("c:1"),
            rack: "a".into(),
            total,
            free,
            disk,
            alive: true,
        };
        let servers =
            [server(1, 7, 900, 600), server(2, 7, 900, 590), server(3, 8, 90, 60), server(4, 0, 90, 60)];
        let once = StorageClass::copies(1).unwrap();
        assert_eq!(space(&servers, once), Space { total: 900 + 90 + 90, free: 590 + 60 + 60 });
        let silent = ChunkServer { alive: false, free: 0, ..server(5, 7, 900, 0) };
        assert_eq!(space(&[servers[0].clone(), silent], once), Space { total: 900, free: 600 });
    }
}
