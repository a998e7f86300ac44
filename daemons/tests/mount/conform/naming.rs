//! System calls that give names and take them away.

use super::*;

pub(super) fn linking(suite: &mut Suite) {
    for (kind, path) in suite.all_kinds() {
        if kind == "a directory" {
            let new = suite.new_path();
            suite.refused("of a directory", link(&path, &new), Errno::PERM);
            continue;
        }
        let (parent, before) = (suite.base.clone(), times(&path));
        let parent_before = times(&parent);
        pass();
        let new = suite.new_path();
        suite.works(format!("of {kind}"), link(&path, &new));
        suite.same(format!("of {kind}"), (links(&path), links(&new)), (2, 2));
        let inodes = [&path, &new].map(|path| lstat(path).map(|stat| stat.st_ino));
        suite.same("the same inode", inodes[0], inodes[1]);
        suite.right("its ctime", times(&path).ctime > before.ctime && times(&path).mtime == before.mtime);
        suite.right("its directory's mtime", times(&parent).mtime > parent_before.mtime);
        suite.works("one is removed", unlink(&path));
        suite.same("the other stays", links(&new), 1);
    }
    let (file, new) = (suite.file_of(SOMEBODY, 0o666), suite.new_path());
    suite.refused("into another file system", link(&file, Path::new("/dev/shm/conform")), Errno::XDEV);
    let denied = OTHER.does(|| link(&file, &new));
    suite.refused("without write permission", denied, Errno::ACCESS);
}

pub(super) fn making_directories(suite: &mut Suite) {
    for (mode, found) in [(0o755, 0o755), (0o777, 0o755), (0o151, 0o151), (0o700, 0o700)] {
        let path = suite.new_path();
        let parent_links = links(&suite.base.clone());
        suite.works("made", mkdir(&path, bits(mode)));
        suite.same("its mode, less the umask", mode_of(&path), found);
        suite.same("its links", (links(&path), links(&suite.base.clone())), (2, parent_links + 1));
    }
    let parent = suite.directory_of(OTHER, 0o2_777);
    let path = parent.join("new");
    let before = times(&parent);
    pass();
    suite.works("in a set-gid directory", SOMEBODY.does(|| mkdir(&path, bits(0o755))));
    suite.same("whose it is", owners(&path), (SOMEBODY.uid, OTHER.gid));
    suite.same("it has the bit as well", mode_of(&path), 0o2_755);
    let (made, after) = (times(&path), times(&parent));
    suite.right("the parent's times", after.mtime > before.mtime && after.ctime > before.ctime);
    suite.right("its times", made.mtime == made.ctime && made.mtime > before.mtime);
    suite.works("the root of a tree", mkdir(parent.join("a"), bits(0o755)));
    suite.works("below it", mkdir(parent.join("a/b"), bits(0o755)));
    suite.same(
        "..",
        stat(parent.join("a/b/..")).map(|stat| stat.st_ino),
        stat(parent.join("a")).map(|stat| stat.st_ino),
    );
}

pub(super) fn making_nodes(suite: &mut Suite) {
    for (what, kind, device) in [
        ("a fifo", FileType::Fifo, 0),
        ("a socket", FileType::Socket, 0),
        ("a file", FileType::RegularFile, 0),
        ("a character device", FileType::CharacterDevice, 0x103),
        ("a block device", FileType::BlockDevice, 0x801),
    ] {
        let path = suite.new_path();
        suite.works(what, mknodat(CWD, &path, kind, bits(0o666), device));
        suite.same(what, (kind_of(&path), mode_of(&path)), (Some(kind), 0o644));
        suite.same(format!("{what}: its number"), lstat(&path).map(|stat| stat.st_rdev), Ok(device));
        let open_directory = suite.directory(0o777);
        let path = open_directory.join("new");
        let done = SOMEBODY.does(|| mknodat(CWD, &path, kind, bits(0o600), device));
        if device == 0 {
            suite.works(format!("{what} by anybody"), done);
            suite.same("whose it is", owners(&path), (SOMEBODY.uid, SOMEBODY.gid));
        } else {
            suite.refused(format!("{what} by anybody"), done, Errno::PERM);
        }
    }
}

pub(super) fn renaming(suite: &mut Suite) {
    for (kind, path) in suite.all_kinds() {
        let (new, before) = (suite.new_path(), times(&path));
        let inode = lstat(&path).map(|stat| stat.st_ino);
        pass();
        suite.works(kind, rename(&path, &new));
        suite.refused(format!("{kind}: the old name"), lstat(&path), Errno::NOENT);
        suite.same(format!("{kind}: the new name"), lstat(&new).map(|stat| stat.st_ino), inode);
        suite.right(format!("{kind}: its ctime"), times(&new).ctime > before.ctime);
        suite.right(format!("{kind}: its mtime"), times(&new).mtime == before.mtime);
    }
    for (source_kind, source) in suite.all_kinds() {
        for (target_kind, target) in suite.all_kinds() {
            let what = format!("{source_kind} over {target_kind}");
            let directories = [source_kind, target_kind].map(|kind| kind == "a directory");
            match directories {
                [true, false] => suite.refused(what, rename(&source, &target), Errno::NOTDIR),
                [false, true] => suite.refused(what, rename(&source, &target), Errno::ISDIR),
                _ => {
                    let inode = lstat(&source).map(|stat| stat.st_ino);
                    let keep = renameat_with(CWD, &source, CWD, &target, RenameFlags::NOREPLACE);
                    suite.refused(format!("{what}, keeping it"), keep, Errno::EXIST);
                    let swap = renameat_with(CWD, &source, CWD, &target, RenameFlags::EXCHANGE);
                    suite.works(format!("{what}, exchanged"), swap);
                    suite.same(&what, lstat(&target).map(|stat| stat.st_ino), inode);
                    suite.works(format!("{what}, back"), rename(&target, &source));
                    suite.same(&what, lstat(&source).map(|stat| stat.st_ino), inode);
                }
            }
        }
    }
    let (full, empty) = (suite.directory(0o755), suite.directory(0o755));
    create(&full.join("file")).expect("a file");
    suite.same("over what is not empty", rename(&empty, &full).err(), Some(Errno::NOTEMPTY));
    suite.refused("into itself", rename(&full, full.join("below")), Errno::INVAL);
    suite.refused("of .", rename(full.join("."), suite.base.join("dot")), Errno::BUSY);
    suite.refused("over ..", rename(&empty, full.join("..")), Errno::BUSY);
    let (parent, other) = (suite.directory(0o755), suite.directory(0o755));
    mkdir(parent.join("child"), bits(0o755)).expect("a directory");
    suite.works("into another directory", rename(parent.join("child"), other.join("child")));
    suite.same("links of both", (links(&parent), links(&other)), (2, 3));
    let (file, same) = (suite.file(0o644), suite.new_path());
    link(&file, &same).expect("a link");
    suite.works("over itself", rename(&file, &same));
    suite.same("both stay", (links(&file), links(&same)), (2, 2));
    suite.works("to its own name", rename(&file, &file));
    renaming_with_permissions(suite);
}

fn renaming_with_permissions(suite: &mut Suite) {
    for (directory_owner, file_owner, allowed) in
        [(OTHER, OTHER, false), (SOMEBODY, OTHER, true), (OTHER, SOMEBODY, true)]
    {
        let sticky = suite.directory_of(directory_owner, 0o1_777);
        let (source, target) = (sticky.join("source"), sticky.join("target"));
        create(&source).expect("a file");
        give(&source, file_owner, 0o644);
        let done = SOMEBODY.does(|| rename(&source, &target));
        suite.same("in a sticky directory", done.err(), (!allowed).then_some(Errno::PERM));
    }
    let (source, target) = (suite.directory_of(SOMEBODY, 0o777), suite.directory_of(SOMEBODY, 0o777));
    for (what, read_only) in [("from", &source), ("into", &target)] {
        create(&source.join("file")).expect("a file");
        chmod(read_only, bits(0o555)).expect("root may");
        let denied = SOMEBODY.does(|| rename(source.join("file"), target.join("file")));
        suite.refused(format!("{what} a directory without write permission"), denied, Errno::ACCESS);
        chmod(read_only, bits(0o777)).expect("root may");
    }
    mkdir(source.join("foreign"), bits(0o755)).expect("a directory");
    let denied = SOMEBODY.does(|| rename(source.join("foreign"), target.join("foreign")));
    suite.refused("of a foreign directory into another", denied, Errno::ACCESS);
    let done = SOMEBODY.does(|| rename(source.join("foreign"), source.join("here")));
    suite.works("of a foreign directory where it is", done);
}

pub(super) fn removing_directories(suite: &mut Suite) {
    let parent = suite.directory(0o755);
    let (path, before) = (parent.join("child"), times(&parent));
    mkdir(&path, bits(0o755)).expect("a directory");
    pass();
    suite.works("an empty one", rmdir(&path));
    suite.right(
        "the parent's times",
        times(&parent).mtime > before.mtime && times(&parent).ctime > before.ctime,
    );
    suite.same("the parent's links", links(&parent), 2);
    suite.refused("it is gone", lstat(&path), Errno::NOENT);
    for (kind, path) in suite.all_kinds() {
        if kind == "a directory" {
            for (other, inside) in suite.all_kinds() {
                rename(&inside, path.join("inside")).expect("it moves");
                suite.refused(format!("with {other} in it"), rmdir(&path), Errno::NOTEMPTY);
                let done = if other == "a directory" {
                    rmdir(path.join("inside"))
                } else {
                    unlink(path.join("inside"))
                };
                suite.works(format!("{other} goes"), done);
            }
        } else {
            suite.refused(kind, rmdir(&path), Errno::NOTDIR);
        }
    }
    suite.refused(".", rmdir(parent.join(".")), Errno::INVAL);
    suite.refused("..", rmdir(parent.join("..")), Errno::NOTEMPTY);
    let sticky = suite.directory_of(OTHER, 0o1_777);
    let path = sticky.join("child");
    mkdir(&path, bits(0o755)).expect("a directory");
    give(&path, OTHER, 0o755);
    suite.refused("of another in a sticky directory", SOMEBODY.does(|| rmdir(&path)), Errno::PERM);
    suite.works("by its owner", OTHER.does(|| rmdir(&path)));
    let read_only = suite.directory_of(SOMEBODY, 0o755);
    mkdir(read_only.join("child"), bits(0o777)).expect("a directory");
    chmod(&read_only, bits(0o555)).expect("root may");
    suite.refused(
        "without write permission",
        SOMEBODY.does(|| rmdir(read_only.join("child"))),
        Errno::ACCESS,
    );
}

pub(super) fn linking_symbolically(suite: &mut Suite) {
    for target in ["a", "../x/./y", "/absolute", "with space\nand line", &"z".repeat(4_095)] {
        let path = suite.new_path();
        suite.works("made", symlink(target, &path));
        let found = readlink(&path, Vec::new()).map(|found| found.into_bytes());
        suite.same("its target", found, Ok(target.as_bytes().to_vec()));
        let size = lstat(&path).map(|stat| (stat.st_size, FileType::from_raw_mode(stat.st_mode)));
        suite.same("its size", size, Ok((target.len() as i64, FileType::Symlink)));
    }
    let path = suite.new_path();
    suite.refused("a target of 4,096 bytes", symlink("z".repeat(4_096), &path), Errno::NAMETOOLONG);
    suite.refused("no target", symlink("", &path), Errno::NOENT);
    let file = suite.file(0o644);
    suite.refused("no link is read", readlink(&file, Vec::new()), Errno::INVAL);
    let parent = suite.directory_of(SOMEBODY, 0o755);
    let before = times(&parent);
    pass();
    let path = parent.join("link");
    suite.works("by anybody", SOMEBODY.does(|| symlink(&file, &path)));
    suite.same("whose it is", owners(&path), (SOMEBODY.uid, SOMEBODY.gid));
    suite.right(
        "the directory's times",
        times(&parent).mtime > before.mtime && times(&parent).ctime > before.ctime,
    );
    suite.same("it leads there", stat(&path).map(|stat| stat.st_ino), stat(&file).map(|stat| stat.st_ino));
    suite.works("it goes, what it led to stays", unlink(&path).and_then(|()| stat(&file).map(drop)));
}

pub(super) fn unlinking(suite: &mut Suite) {
    for (kind, path) in suite.all_kinds() {
        if kind == "a directory" {
            suite.refused(kind, unlink(&path), Errno::ISDIR);
            continue;
        }
        let parent = suite.base.clone();
        let other = suite.new_path();
        link(&path, &other).expect("a link");
        let (before, parent_before) = (times(&other), times(&parent));
        pass();
        suite.works(kind, unlink(&path));
        suite.refused(format!("{kind}: its name"), lstat(&path), Errno::NOENT);
        suite.right(format!("{kind}: the other name's ctime"), times(&other).ctime > before.ctime);
        let after = times(&parent);
        suite.right(
            "the directory's times",
            after.mtime > parent_before.mtime && after.ctime > parent_before.ctime,
        );
    }
    for (directory_owner, file_owner, allowed) in
        [(OTHER, OTHER, false), (SOMEBODY, OTHER, true), (OTHER, SOMEBODY, true)]
    {
        let sticky = suite.directory_of(directory_owner, 0o1_777);
        let path = sticky.join("file");
        create(&path).expect("a file");
        give(&path, file_owner, 0o666);
        let done = SOMEBODY.does(|| unlink(&path));
        suite.same("in a sticky directory", done.err(), (!allowed).then_some(Errno::PERM));
    }
    let read_only = suite.directory_of(SOMEBODY, 0o777);
    create(&read_only.join("file")).expect("a file");
    chmod(&read_only, bits(0o555)).expect("root may");
    suite.refused(
        "without write permission",
        SOMEBODY.does(|| unlink(read_only.join("file"))),
        Errno::ACCESS,
    );
    let path = suite.file(0o644);
    let open = open(&path, OFlags::RDWR, Mode::empty()).expect("it is there");
    suite.works("while it is open", unlink(&path));
    suite.same("it is without a name", fstat(&open).map(|stat| stat.st_nlink), Ok(0));
    suite.same("and is written", write(&open, b"Hello, World!"), Ok(13));
    let mut bytes = [0; 20];
    let read = rustix::io::pread(&open, &mut bytes, 0);
    suite.same("and read", (read, &bytes[..13]), (Ok(13), &b"Hello, World!"[..]));
}
