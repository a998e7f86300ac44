//! What mounts keep under leases, and that others notice nothing of it.

use super::{Mounted, Second, go_on, hold_up, refused};
use mooseng_core::chance::{self, Dice};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

/// Half a lease: nobody waited for one to run out, however busy the machine is.
const STALL_MAX: Duration = Duration::from_millis(2_500);
/// What a round takes most of the time.
const ROUND_MAX: Duration = Duration::from_millis(100);

#[test]
fn mounts_answer_from_what_they_were_told_and_agree() {
    let Some(mounted) = Mounted::start("mounts_answer_from_what_they_were_told_and_agree") else { return };
    what_is_known_is_not_asked_for(&mounted);
    {
        let second = Second::start(&mounted.cluster, &[]);
        changes_are_seen_at_once(&mounted, second.point.path());
        bytes_are_those_of_the_last_close(&mounted, second.point.path());
        lengths_are_those_of_the_last_close(&mounted, second.point.path());
        two_mounts_work_in_one_directory(&mounted, second.point.path(), false);
        two_mounts_work_in_one_directory(&mounted, second.point.path(), true);
    }
    mounted.stop();
}

/// While all servers are held up nobody can be asked.
fn what_is_known_is_not_asked_for(mounted: &Mounted) {
    mounted.shell("mkdir -p known/below && for file in 1 2 3 4 5; do echo $file > known/below/$file; done");
    symlink("below/1", mounted.path("known/link")).expect("a link");
    let look = || {
        for file in 1..=5 {
            let attr = fs::metadata(mounted.path(&format!("known/below/{file}"))).expect("it is known");
            assert_eq!((attr.len(), attr.nlink()), (2, 1));
        }
        assert_eq!(refused(fs::metadata(mounted.path("known/below/none"))), Some(2), "ENOENT");
        assert_eq!(fs::read_link(mounted.path("known/link")).expect("it is known"), Path::new("below/1"));
        let listed = fs::read_dir(mounted.path("known/below")).expect("it is known");
        assert_eq!(listed.count(), 5);
    };
    // What was just changed is leased to nobody for a moment.
    std::thread::sleep(Duration::from_millis(1_500));
    look();
    let servers: Vec<Pid> = (1..=3).filter_map(|server| mounted.cluster.process(server)).collect();
    assert_eq!(servers.len(), 3);
    hold_up(&servers);
    let begun = Instant::now();
    look();
    let took = begun.elapsed();
    go_on(&servers);
    assert!(took < Duration::from_secs(2), "somebody was asked: {took:?}");
}

fn changes_are_seen_at_once(mounted: &Mounted, there: &Path) {
    let here = mounted.path("agreed");
    let there = there.join("agreed");
    fs::create_dir(&here).expect("it is made");
    for round in 0..30 {
        let name = format!("file-{round}");
        assert_eq!(refused(fs::metadata(there.join(&name))), Some(2), "round {round}: ENOENT");
        fs::write(here.join(&name), "x").expect("it is written");
        assert_eq!(fs::metadata(there.join(&name)).expect("it is there").len(), 1, "round {round}");
        fs::set_permissions(there.join(&name), fs::Permissions::from_mode(0o600)).expect("it is ours");
        assert_eq!(fs::metadata(here.join(&name)).expect("it is there").mode() & 0o777, 0o600);
        let moved = format!("moved-{round}");
        fs::rename(here.join(&name), here.join(&moved)).expect("it is moved");
        assert_eq!(refused(fs::metadata(there.join(&name))), Some(2), "round {round}: ENOENT");
        assert_eq!(fs::read_dir(&there).expect("it is there").count(), round + 1);
        assert_eq!(fs::metadata(there.join(&moved)).expect("it is there").nlink(), 1);
        // Now and then nothing happens for so long that leases are given again.
        if round % 10 == 9 {
            std::thread::sleep(Duration::from_millis(1_200));
            fs::metadata(there.join(&moved)).expect("it is there");
            fs::metadata(here.join(&moved)).expect("it is there");
        }
    }
}

fn bytes_are_those_of_the_last_close(mounted: &Mounted, there: &Path) {
    let (here, there) = (mounted.path("bytes"), there.join("bytes"));
    let mut open_here = None;
    for round in 0..40_u8 {
        let bytes = vec![round; 10_000];
        let (writer, reader) = if round % 2 == 0 { (&here, &there) } else { (&there, &here) };
        fs::write(writer, &bytes).expect("it is written");
        for path in [reader, writer, reader] {
            assert!(fs::read(path).expect("it is read") == bytes, "round {round}");
        }
        // Somebody who goes on reading puts nothing old in the way of who opens it anew.
        if round % 4 == 3 {
            open_here = Some(fs::File::open(&here).expect("it is there"));
        }
        if let Some(open) = &mut open_here {
            let mut some = [0; 100];
            let _ = open.read(&mut some).expect("it is read");
        }
    }
}

/// Also where mounts take turns so fast that nothing is leased, and nobody looks before he reads or appends.
fn lengths_are_those_of_the_last_close(mounted: &Mounted, there: &Path) {
    let paths = [mounted.path("lengths"), there.join("lengths")];
    fs::write(&paths[0], "").expect("it is made");
    let mut dice = chance::stream(1, "lengths", 0, 0);
    let mut length = 0;
    for round in 0..400 {
        let path = dice.pick(&paths);
        if dice.chance(500_000) {
            let mut open = fs::OpenOptions::new().append(true).open(path).expect("it is there");
            open.write_all(&[b'x'; 100]).expect("it is written");
            length += 100;
        } else {
            let mut found = String::new();
            fs::File::open(path).expect("it is there").read_to_string(&mut found).expect("it is read");
            assert_eq!((found.len(), found.find('\0')), (length, None), "round {round}");
        }
        if dice.chance(200_000) {
            assert_eq!(fs::metadata(dice.pick(&paths)).expect("it is there").len(), length as u64);
        }
    }
}

/// Makes files in a directory of both and looks for them there: how long a round took, and the longest.
fn work(own: &Path, other: &Path, who: &str, rounds: usize) -> (Duration, Duration) {
    let mut took = Vec::new();
    for round in 0..rounds {
        let begun = Instant::now();
        let name = format!("{who}-{round}");
        fs::write(own.join(&name), &name).expect("it is made");
        assert!(fs::metadata(other.join(&name)).is_ok(), "{name} is seen at once");
        assert_eq!(fs::read_to_string(other.join(&name)).expect("it is there"), name);
        if round % 3 == 0 {
            fs::remove_file(other.join(&name)).expect("it is there");
            assert_eq!(refused(fs::metadata(own.join(&name))), Some(2), "{name}: ENOENT");
        }
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    (took[rounds / 2], took[rounds - 1])
}

fn two_mounts_work_in_one_directory(mounted: &Mounted, there: &Path, kill_the_leader: bool) {
    const ROUNDS: usize = 60;
    let name = format!("shared-{kill_the_leader}");
    let (here, there) = (mounted.path(&name), there.join(&name));
    fs::create_dir(&here).expect("it is made");
    let took = std::thread::scope(|scope| {
        let one = scope.spawn(|| work(&here, &there, "one", ROUNDS));
        let two = scope.spawn(|| work(&there, &here, "two", ROUNDS));
        if kill_the_leader {
            std::thread::sleep(Duration::from_millis(300));
            let leader = mounted.cluster.leader().and_then(|leader| mounted.cluster.process(leader));
            kill_process(leader.expect("there is one"), Signal::KILL).expect("it can be killed");
        }
        [one, two].map(|worker| worker.join().expect("all of it works"))
    });
    eprintln!("a round, and the longest: {took:?}; leader killed: {kill_the_leader}");
    for (median, longest) in took {
        assert!(median < ROUND_MAX && (kill_the_leader || longest < STALL_MAX), "{median:?}, {longest:?}");
    }
    let left = ROUNDS - ROUNDS.div_ceil(3);
    assert_eq!(fs::read_dir(&here).expect("it is there").count(), 2 * left);
    assert_eq!(fs::read_dir(&there).expect("it is there").count(), 2 * left);
}
