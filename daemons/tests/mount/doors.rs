//! What a mount says of itself: how much room there is, and at its HTTP door how it is.

use super::{Mounted, Second, go_on, hold_up};
use crate::support::{address, get};
use rustix::fs::statvfs;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// `df`: bytes of files, so that a directory of another class has another amount of it.
pub(super) fn room_is_told(mounted: &Mounted) {
    mounted.shell("mkdir once");
    mounted.cluster.told(&["class", "set", "/once", "copies=1"]);
    let room = |name: &str| statvfs(mounted.path(name)).expect("it is told");
    let end = Instant::now() + Duration::from_secs(20);
    while room("once").f_bfree == 0 {
        assert!(Instant::now() < end, "chunk servers never said how much room they have");
        std::thread::sleep(Duration::from_millis(100));
    }
    let (all, once) = (room("."), room("once"));
    // Others write to the disk meanwhile, so only what it has in all is compared.
    assert_eq!(once.f_blocks / 2, all.f_blocks, "which has two copies");
    // Its chunk servers are all on one disk, which is there once.
    let disk = statvfs(mounted.cluster.directory()).expect("it is told");
    assert_eq!(once.f_blocks, disk.f_blocks * disk.f_frsize / once.f_frsize, "six servers on one disk");
    assert_eq!((all.f_namemax, all.f_frsize), (255, 4_096));
    // `df -i`: what there is, and that there is room for more. What others have removed may still be on its way out.
    mounted.shell("touch once/a once/b && mkdir once/c && df . && df -i .");
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let mut there = BTreeSet::new();
        inodes(mounted.point.path(), &mut there);
        let (told, there) = (room("."), there.len() as u64);
        if told.f_files - told.f_ffree == there {
            assert!(there >= 5 && told.f_ffree > 0, "{there} are there, and nothing is refused");
            break;
        }
        assert!(Instant::now() < end, "{} of {} free where {there} are", told.f_ffree, told.f_files);
        std::thread::sleep(Duration::from_millis(100));
    }
    mounted.shell("rm -r once");
}

/// A directory and all that is in it, whatever names it has.
fn inodes(directory: &Path, found: &mut BTreeSet<u64>) {
    found.insert(fs::metadata(directory).expect("it is there").ino());
    for entry in fs::read_dir(directory).expect("it is listed") {
        let entry = entry.expect("it is listed");
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => inodes(&entry.path(), found),
            _ => _ = found.insert(entry.ino()),
        }
    }
}

pub(super) fn a_mount_says_how_it_is(mounted: &Mounted) {
    let door = address().to_string();
    let second = Second::start(&mounted.cluster, &["--http", &door]);
    assert_eq!(get(&door, "/health"), ("200".to_owned(), "it runs\n".to_owned()));
    assert_eq!(get(&door, "/ready"), ("200".to_owned(), "it serves\n".to_owned()));
    let file = fs::File::create(second.point.path().join("open")).expect("it is made");
    let (_, text) = get(&door, "/metrics");
    assert!(text.contains("mooseng_mount_open_files 1\n"), "{text}");
    drop(file);
    let servers: Vec<_> = (1..=3).filter_map(|server| mounted.cluster.process(server)).collect();
    hold_up(&servers);
    let held_up = get(&door, "/ready");
    go_on(&servers);
    assert_eq!(held_up, ("503".to_owned(), "the metadata service does not answer\n".to_owned()));
    let end = Instant::now() + Duration::from_secs(20);
    while get(&door, "/ready").0 != "200" {
        assert!(Instant::now() < end, "it never recovered");
        std::thread::sleep(Duration::from_millis(100));
    }
    fs::remove_file(mounted.path("open")).expect("it is there");
}

/// `mooseng up` starts a mount again that falls, and none that somebody took away.
pub(super) fn what_was_unmounted_stays_so(mounted: &Mounted) {
    let status = Command::new("umount").arg(mounted.point.path()).status().expect("there is umount");
    assert!(status.success(), "{status}");
    let end = Instant::now() + Duration::from_secs(30);
    while mounted.process().is_some() {
        assert!(Instant::now() < end, "its process goes with it");
        std::thread::sleep(Duration::from_millis(20));
    }
    // Servers that end are started again after half a second.
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(mounted.process(), None, "it was started again");
}
