//! System calls that open a file or change what it says of itself.

use super::*;

pub(super) fn changing_modes(suite: &mut Suite) {
    for (kind, path) in suite.all_kinds() {
        if kind == "a symbolic link" {
            continue;
        }
        for mode in [0o111, 0o7_777, 0o640] {
            pass();
            let before = times(&path);
            suite.works(format!("of {kind}"), chmod(&path, bits(mode)));
            suite.same(format!("of {kind}"), mode_of(&path), mode);
            let after = times(&path);
            suite
                .right(format!("ctime of {kind}"), after.ctime > before.ctime && after.mtime == before.mtime);
        }
    }
    let file = suite.file_of(SOMEBODY, 0o644);
    let link = suite.new_path();
    symlink(&file, &link).expect("a link");
    suite.works("through a link", chmod(&link, bits(0o600)));
    suite.same("through a link", mode_of(&file), 0o600);
    suite.works("by its owner", SOMEBODY.does(|| chmod(&file, bits(0o644))));
    let before = times(&file);
    suite.refused("by another", OTHER.does(|| chmod(&file, bits(0o777))), Errno::PERM);
    suite.same("by another", (mode_of(&file), times(&file)), (0o644, before));
    // Set-gid goes where its owner is not of the group.
    own(&file, None, Some(OTHER.gid)).expect("root may");
    suite.works("set-gid", SOMEBODY.does(|| chmod(&file, bits(0o2_755))));
    suite.same("set-gid of a foreign group", mode_of(&file), 0o755);
    suite.works("set-gid", MEMBER.does(|| chmod(&file, bits(0o2_755))));
    suite.same("set-gid of a group of the owner", mode_of(&file), 0o2_755);
    let directory = suite.directory_of(SOMEBODY, 0o755);
    own(&directory, None, Some(OTHER.gid)).expect("root may");
    suite.works("set-gid", SOMEBODY.does(|| chmod(&directory, bits(0o2_755))));
    suite.same("set-gid of a directory of a foreign group", mode_of(&directory), 0o755);
    suite.works("sticky", SOMEBODY.does(|| chmod(&directory, bits(0o1_755))));
    suite.same("sticky", mode_of(&directory), 0o1_755);
}

pub(super) fn changing_owners(suite: &mut Suite) {
    for (kind, path) in suite.all_kinds() {
        pass();
        let before = times(&path);
        let done =
            chownat(CWD, &path, Some(Uid::from_raw(12)), Some(Gid::from_raw(34)), AtFlags::SYMLINK_NOFOLLOW);
        suite.works(format!("of {kind}"), done);
        suite.same(format!("of {kind}"), owners(&path), (12, 34));
        suite.right(format!("ctime of {kind}"), times(&path).ctime > before.ctime);
    }
    let file = suite.file_of(SOMEBODY, 0o644);
    suite.works("nothing", own(&file, None, None));
    suite.works("the user alone", own(&file, Some(7), None));
    suite.same("the user alone", owners(&file), (7, SOMEBODY.gid));
    suite.works("the group alone", own(&file, None, Some(8)));
    suite.same("the group alone", owners(&file), (7, 8));
    give(&file, SOMEBODY, 0o644);
    for (what, user, uid, gid) in [
        ("the user by its owner", SOMEBODY, Some(OTHER.uid), None),
        ("a foreign group by its owner", SOMEBODY, None, Some(OTHER.gid)),
        ("by another", OTHER, Some(OTHER.uid), None),
        ("the group by another", OTHER, None, Some(OTHER.gid)),
    ] {
        suite.refused(what, user.does(|| own(&file, uid, gid)), Errno::PERM);
    }
    suite.works("to a group of the owner", MEMBER.does(|| own(&file, None, Some(OTHER.gid))));
    suite.works("to the owner itself", SOMEBODY.does(|| own(&file, Some(SOMEBODY.uid), None)));
    suite.same("to a group of the owner", owners(&file), (SOMEBODY.uid, OTHER.gid));
    for (mode, left) in [(0o6_755, 0o755), (0o6_745, 0o2_745), (0o4_644, 0o644), (0o1_755, 0o1_755)] {
        give(&file, SOMEBODY, mode);
        suite.works("by root", own(&file, Some(0), Some(0)));
        suite.same(format!("{mode:o} after root"), mode_of(&file), left);
        give(&file, SOMEBODY, mode);
        suite.works("by the owner", SOMEBODY.does(|| own(&file, None, Some(SOMEBODY.gid))));
        suite.same(format!("{mode:o} after its owner"), mode_of(&file), left);
    }
    let directory = suite.directory_of(SOMEBODY, 0o6_755);
    suite.works("of a directory", own(&directory, Some(0), Some(0)));
    suite.same("set-id bits of a directory", mode_of(&directory), 0o6_755);
}

pub(super) fn opening(suite: &mut Suite) {
    let parent = suite.directory_of(SOMEBODY, 0o755);
    let path = parent.join("new");
    let before = times(&parent);
    pass();
    let made = SOMEBODY.does(|| open(&path, OFlags::CREATE | OFlags::RDWR, bits(0o642)));
    suite.works("made", made);
    suite.same("its mode and owner", (mode_of(&path), owners(&path)), (0o640, (SOMEBODY.uid, SOMEBODY.gid)));
    suite.right(
        "the directory's times",
        times(&parent).mtime > before.mtime && times(&parent).ctime > before.ctime,
    );
    let before = times(&parent);
    pass();
    suite.works("once more", open(&path, OFlags::CREATE | OFlags::RDWR, bits(0o777)));
    suite.same("nothing changes", (mode_of(&path), times(&parent)), (0o640, before));
    let exclusive = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
    for (kind, path) in suite.all_kinds() {
        suite.refused(format!("{kind} is there"), open(&path, exclusive, bits(0o644)), Errno::EXIST);
    }
    let file = suite.file(0o644);
    let written = open(&file, OFlags::WRONLY, Mode::empty()).and_then(|file| write(file, b"words"));
    suite.same("written", written, Ok(5));
    let before = times(&file);
    pass();
    suite.works("cut", open(&file, OFlags::WRONLY | OFlags::TRUNC, Mode::empty()));
    suite.same("cut", stat(&file).map(|stat| stat.st_size), Ok(0));
    suite.right("its times", times(&file).mtime > before.mtime && times(&file).ctime > before.ctime);
    for (mode, flags) in [
        (0o077, OFlags::RDONLY),
        (0o377, OFlags::RDONLY),
        (0o477, OFlags::WRONLY),
        (0o477, OFlags::RDWR),
        (0o277, OFlags::RDWR),
        (0o477, OFlags::RDONLY | OFlags::TRUNC),
    ] {
        let file = suite.file_of(SOMEBODY, mode);
        let denied = SOMEBODY.does(|| open(&file, flags, Mode::empty()));
        suite.refused(format!("{mode:o} with {flags:?}"), denied, Errno::ACCESS);
        suite.works(
            format!("{mode:o} with {flags:?} by another"),
            OTHER.does(|| open(&file, flags, Mode::empty())),
        );
        suite.works(format!("{mode:o} with {flags:?} by root"), open(&file, flags, Mode::empty()));
    }
    let directory = suite.directory(0o755);
    for flags in
        [OFlags::WRONLY, OFlags::RDWR, OFlags::RDONLY | OFlags::TRUNC, OFlags::RDONLY | OFlags::CREATE]
    {
        let denied = open(&directory, flags, bits(0o644));
        suite.refused(format!("a directory with {flags:?}"), denied, Errno::ISDIR);
    }
    suite.works("a directory", open(&directory, OFlags::DIRECTORY, Mode::empty()));
    suite.refused("no directory", open(&file, OFlags::DIRECTORY, Mode::empty()), Errno::NOTDIR);
    let link = suite.new_path();
    symlink(&file, &link).expect("a link");
    suite.refused("a link itself", open(&link, OFlags::NOFOLLOW, Mode::empty()), Errno::LOOP);
    let fifo = suite.new_path();
    mkfifoat(CWD, &fifo, bits(0o644)).expect("a fifo");
    let unread = open(&fifo, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty());
    suite.refused("a fifo that nobody reads", unread, Errno::NXIO);
    let sticky = suite.directory_of(OTHER, 0o2_777);
    let path = sticky.join("new");
    suite.works("in a set-gid directory", SOMEBODY.does(|| create(&path)));
    suite.same("its group", owners(&path), (SOMEBODY.uid, OTHER.gid));
}

pub(super) fn cutting(suite: &mut Suite) {
    let file = suite.file(0o644);
    for size in [1_000_000, 4_097, 4_096, 0, 1 << 40, 5] {
        let before = times(&file);
        pass();
        suite.works(format!("to {size}"), cut(&file, size));
        suite.same(format!("to {size}"), stat(&file).map(|stat| stat.st_size as u64), Ok(size));
        let after = times(&file);
        suite.right(format!("to {size}: times"), after.mtime > before.mtime && after.ctime > before.ctime);
    }
    suite.same("what is new is zeros", std::fs::read(&file).ok(), Some(vec![0; 5]));
    suite.refused("a directory", cut(&suite.base.clone(), 0), Errno::ISDIR);
    let foreign = suite.file_of(OTHER, 0o644);
    suite.refused("without write permission", SOMEBODY.does(|| cut(&foreign, 0)), Errno::ACCESS);
    suite.refused(
        "for reading",
        open(&file, OFlags::RDONLY, Mode::empty()).and_then(|file| ftruncate(file, 1)),
        Errno::INVAL,
    );
    suite.refused("beyond all", cut(&file, u64::MAX / 2 + 1), Errno::INVAL);
    // Open for writing, it does not matter what its mode is now.
    let own = suite.file_of(SOMEBODY, 0o644);
    let done = SOMEBODY.does(|| {
        let open = open(&own, OFlags::WRONLY, Mode::empty())?;
        chmod(&own, bits(0o400))?;
        ftruncate(&open, 77)
    });
    suite.works("through a file that is open for writing", done);
    suite.same("through a file that is open for writing", stat(&own).map(|stat| stat.st_size), Ok(77));
    for (mode, left) in [(0o6_777, 0o777), (0o2_767, 0o2_767), (0o4_766, 0o766)] {
        let file = suite.file_of(OTHER, mode);
        suite.works("set-id bits", MEMBER.does(|| cut(&file, 3)));
        suite.same(format!("{mode:o} after another's cut"), mode_of(&file), left);
    }
}

pub(super) fn setting_times(suite: &mut Suite) {
    let stamps = |atime, mtime| Timestamps { last_access: atime, last_modification: mtime };
    let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    for (kind, path) in suite.all_kinds() {
        let before = times(&path);
        pass();
        let some = stamps(at(1_900_000_000, 123_456_789), at(-77, 5));
        suite.works(kind, utimensat(CWD, &path, &some, AtFlags::SYMLINK_NOFOLLOW));
        let after = times(&path);
        suite.same(kind, (after.atime, after.mtime), ((1_900_000_000, 123_456_789), (-77, 5)));
        suite.right(format!("{kind}: ctime"), after.ctime > before.ctime);
        let one = stamps(omit, at(5, 6));
        suite.works("one of them", utimensat(CWD, &path, &one, AtFlags::SYMLINK_NOFOLLOW));
        suite.same("one of them", (times(&path).atime, times(&path).mtime), (after.atime, (5, 6)));
        suite.works("now", utimensat(CWD, &path, &now(), AtFlags::SYMLINK_NOFOLLOW));
        suite.right("now", times(&path).mtime >= after.ctime && times(&path).atime == times(&path).mtime);
        let before = times(&path);
        pass();
        let neither = utimensat(CWD, &path, &stamps(omit, omit), AtFlags::SYMLINK_NOFOLLOW);
        suite.works("neither", neither);
        suite.same("neither", times(&path), before);
    }
    let some = stamps(at(1, 0), at(2, 0));
    for (what, mode, user, times, wanted) in [
        ("by the owner", 0o444, SOMEBODY, &some, None),
        ("now, by the owner", 0o444, SOMEBODY, &now(), None),
        ("by who may write", 0o666, OTHER, &some, Some(Errno::PERM)),
        ("now, by who may write", 0o666, OTHER, &now(), None),
        ("now, by who may not", 0o644, OTHER, &now(), Some(Errno::ACCESS)),
        ("by who may not write", 0o644, OTHER, &some, Some(Errno::PERM)),
    ] {
        let file = suite.file_of(SOMEBODY, mode);
        suite.same(what, user.does(|| touch(&file, times)).err(), wanted);
    }
    for seconds in [i64::MIN, i64::MIN + 1, i64::MAX] {
        let file = suite.file(0o644);
        suite.works(format!("{seconds} s"), touch(&file, &stamps(at(seconds, 5), at(seconds, 5))));
        let found = times(&file).mtime.0;
        suite.right(format!("{seconds} s: {found}"), found.signum() == seconds.signum());
    }
    let file = suite.file(0o644);
    suite.refused(
        "too many nanoseconds",
        touch(&file, &stamps(at(1, 1_000_000_000), at(1, 0))),
        Errno::INVAL,
    );
    let link = suite.new_path();
    symlink(&file, &link).expect("a link");
    suite.works("through a link", touch(&link, &some));
    suite.same("through a link", times(&file).mtime, (2, 0));
    suite.right("the link's own stay", times(&link).mtime != (2, 0));
}
