//! The bugs that are planted in the data path, and that each of them shows.

use crate::chunk::World;
use crate::data::{bytes, part, places, read, write};
use crate::file::Cluster;
use crate::numbers::a_number_stays_with_who_lives;
use mooseng_client::file::FileConfig;
use mooseng_core::plant;
use std::collections::BTreeSet;

/// `true` if all is well.
type Look = fn() -> bool;

const PLANTED: &[(&str, Look)] = &[
    ("chunk-server-number-taken-over", a_number_stays_with_who_lives),
    ("commit-before-parts-durable", what_is_committed_is_kept),
    ("fsync-forgets-failed-flush", fsync_tells_what_failed),
    ("parity-from-stale-part", parity_brings_data_back),
    ("read-skips-checksum", rot_is_not_read),
    ("two-parts-on-one-server", every_part_has_its_own_server),
];

fn what_is_committed_is_kept() -> bool {
    let mut cluster = Cluster::new(1, 3, FileConfig::default());
    let mount = cluster.mount.clone();
    cluster.run(&mount, |mount| async move {
        let file = mount.open(1, "copies=2");
        file.write(0, b"kept").await.is_ok() && file.flush().await.is_ok()
    }) && cluster.books.lock().unwrap().unkept.is_empty()
}

fn fsync_tells_what_failed() -> bool {
    let mut cluster = Cluster::new(1, 3, FileConfig::default());
    cluster.world.servers.values().for_each(|server| server.kept().full = true);
    let mount = cluster.mount.clone();
    cluster.run(&mount, |mount| async move {
        let file = mount.open(1, "copies=2");
        file.write(0, b"lost").await.is_ok() && file.fsync().await.is_err()
    })
}

fn parity_brings_data_back() -> bool {
    let mut world = World::new(1, 6);
    let data = bytes(500_000);
    let info = write(&mut world, 1, "ec=4+2", &data).expect("all servers are there");
    let servers = places(&info);
    world.server(servers[0]).kept().sealed.remove(&part(&info, 0));
    read(&mut world, &info, 0, u32::MAX).is_ok_and(|read| read == data)
}

fn rot_is_not_read() -> bool {
    let mut world = World::new(2, 2);
    let data = bytes(50_000);
    let info = write(&mut world, 1, "copies=2", &data).expect("all servers are there");
    for (server, index) in places(&info).into_iter().zip(0..) {
        world.server(server).rot(part(&info, index), 20_000 * (1 + usize::from(index)));
    }
    read(&mut world, &info, 0, u32::MAX).is_ok_and(|read| read == data)
}

fn every_part_has_its_own_server() -> bool {
    let mut world = World::new(3, 3);
    world.servers[&1].kept().full = true;
    (1..20).all(|number| {
        let info = write(&mut world, number, "copies=2", &bytes(5_000)).expect("two servers are enough");
        places(&info).into_iter().collect::<BTreeSet<_>>().len() == 2
    })
}

#[test]
fn every_planted_bug_shows() {
    for (name, look) in PLANTED {
        assert!(look(), "{name}: all is well without it");
        plant::activate(Some(name));
        let well = look();
        let reached = plant::reached();
        plant::activate(None);
        assert!(reached > 0, "{name} was never reached");
        assert!(!well, "{name} goes unseen");
    }
}
