//! What POSIX and Linux say of each operation. A line's number is the time at which it happens.

use super::script::{run, run_with};
use crate::state::StateConfig;

#[test]
fn a_file_comes_and_goes() {
    run("create /f
         stat /f kind=file links=1 size=0 mode=644 uid=7 version=1 atime=0 mtime=0 ctime=0
         stat / mtime=0 ctime=0 version=2 links=2
         create /f => Exists
         mkdir /f => Exists
         unlink /f
         stat / mtime=5 ctime=5 version=3
         stat /f => NotFound
         unlink /f => NotFound
         list /");
}

#[test]
fn a_directory_counts_its_subdirectories() {
    run("mkdir /a
         stat /a kind=directory links=2 mode=755
         mkdir /a/b
         mkdir /a/c
         create /a/f
         stat /a links=4 mtime=4 ctime=4
         stat / links=3 mtime=0
         rmdir /a => NotEmpty
         rmdir /a/b
         stat /a links=3 mtime=8
         list /a c f");
}

#[test]
fn what_is_no_directory_holds_nothing_and_what_is_one_is_not_unlinked() {
    run("create /f
         mkdir /d
         create /f/x => NotDirectory
         mkdir /f/x => NotDirectory
         unlink /f/x => NotDirectory
         rename /f/x /y => NotDirectory
         rename /d /f/x => NotDirectory
         link /f /f/x => NotDirectory
         unlink /d => IsDirectory
         rmdir /f => NotDirectory
         truncate /d 1 => IsDirectory");
}

#[test]
fn names_of_one_file() {
    run("create /f
         mkdir /d
         link /f /d/g
         same /f /d/g
         stat /f links=2 ctime=2 mtime=0 version=2
         stat /d mtime=2 ctime=2
         link /f /d/g => Exists
         link /d /e => NotPermitted
         unlink /f
         stat /d/g links=1 ctime=8 version=3
         unlink /d/g
         list /d");
}

#[test]
fn a_rename_takes_the_name_along() {
    run("create /f
         mkdir /d
         rename /f /d/g
         stat /f => NotFound
         stat /d/g ctime=2 mtime=0 version=2
         stat /d mtime=2 ctime=2 version=2
         stat / mtime=2 ctime=2
         rename /f /h => NotFound
         rename /d/g /d/h
         stat /d version=3 mtime=8
         list /d h");
}

#[test]
fn a_rename_replaces_only_its_like() {
    run("create /f
         create /g
         link /g /g2
         mkdir /d
         mkdir /e
         create /e/x
         rename /f /d => IsDirectory
         rename /d /f => NotDirectory
         rename /d /e => NotEmpty
         rename /e /d
         list /d x
         stat /e => NotFound
         stat / links=3
         rename /f /g
         stat /g2 links=1 ctime=13 version=3
         list / d g g2");
}

#[test]
fn names_of_one_inode_are_not_renamed_onto_each_other() {
    run("create /f
         link /f /g
         rename /f /g
         rename /f /g exchange
         stat /f links=2 ctime=1 version=2
         stat / version=3 mtime=1
         rename /f /f
         mkdir /d
         rename /d /d
         list / d f g");
}

#[test]
fn a_rename_may_keep_what_is_there() {
    run("create /f
         create /g
         rename /f /g keep => Exists
         rename /f /f keep => Exists
         rename /x /g keep => NotFound
         rename /f /h keep
         list / g h");
}

#[test]
fn an_exchange_needs_both_and_mixes_kinds() {
    run("create /f
         mkdir /d
         mkdir /d/sub
         create /d/file
         rename /f /x exchange => NotFound
         rename /f /d/sub exchange
         stat /f kind=directory ctime=5
         stat /d/sub kind=file ctime=5
         stat / links=4 mtime=5
         stat /d links=2 mtime=5
         rename /d/file /f exchange
         stat / links=3
         stat /d links=3
         create /d/file/y
         list /d/file y");
}

#[test]
fn directories_change_parents() {
    run("mkdir /a
         mkdir /a/x
         mkdir /b
         mkdir /b/y
         mkdir /b/y/deep
         rename /a/x /b/x
         stat /a links=2
         stat /b links=4
         rename /b/x /b/y/deep exchange
         stat /b links=4
         rename /b/y/deep /b/y/deeper
         rename /b/y /a/y
         stat /a links=3
         rename /a /b/x/a
         stat /b/x/a/y/deeper links=2
         stat / links=3");
}

#[test]
fn no_directory_moves_into_itself() {
    run("mkdir /a
         mkdir /a/b
         mkdir /a/b/c
         create /a/b/f
         rename /a /a/x => Invalid
         rename /a /a/b/c => Invalid
         rename /a /a/b/c/x => Invalid
         rename /a/b /a/b/c exchange => Invalid
         rename /a/b/c /a exchange => Invalid
         rename /a/b/c /a => NotEmpty
         rename /a/b/f /a => NotEmpty
         rename /a/b/f /a exchange => Invalid
         rename /a/b /a/b/f => Invalid
         rename /a/b/c /c
         rename /a /c/a
         stat /c/a/b/f links=1");
}

#[test]
fn attributes_are_set() {
    run("create /f
         chmod /f 600
         stat /f mode=600 ctime=1 mtime=0 version=2
         truncate /f 4294967297
         stat /f size=4294967297 ctime=3 mtime=3 version=3
         truncate /f 9223372036854775807
         truncate /f 9223372036854775808 => Invalid
         mkdir /d
         chmod /d 1777
         stat /d mode=1777 ctime=8 mtime=7 size=0
         stat / mtime=7");
}

#[test]
fn links_have_a_limit() {
    let config = StateConfig { links_max: 3, ..Default::default() };
    run_with(
        config,
        "create /f
         link /f /g
         link /f /h
         link /f /i => TooManyLinks
         mkdir /a
         mkdir /b => TooManyLinks
         create /still
         mkdir /a/x
         mkdir /a/y => TooManyLinks
         create /a/f
         rename /a/x /x => TooManyLinks
         rename /a/x /still exchange => TooManyLinks
         rename /still /a/x exchange => TooManyLinks
         rename /a/x /a/z
         unlink /h
         link /f /i",
    );
}

#[test]
fn what_has_no_number_is_not_made() {
    let config = StateConfig { first_counter: (1 << 44) - 2, ..Default::default() };
    run_with(
        config,
        "create /a
         mkdir /b
         create /c => NoSpace
         mkdir /c => NoSpace
         create /a => Exists
         stat / links=3 mtime=1
         create /b/x
         create /b/y
         create /b/z => NoSpace
         unlink /a
         create /a => NoSpace
         rename /b/x /a
         list / a b",
    );
}

/// With one bit of hash every other name collides.
#[test]
fn colliding_names_are_told_apart() {
    for name_hash_bits in [0, 1, 2] {
        let config = StateConfig { name_hash_bits, ..Default::default() };
        run_with(
            config,
            "create /a
             create /b
             create /c
             create /d
             create /e
             list / a b c d e
             unlink /c
             unlink /a
             create /b => Exists
             create /f
             create /g
             create /h
             rename /b /e
             rename /f /g exchange
             list / d e f g h
             stat /c => NotFound",
        );
    }
}

#[test]
fn times_are_the_commands_even_where_they_overflow_or_run_backwards() {
    let mut shard = run_with(StateConfig::default(), "mkdir /a");
    let inode = super::script::walk(&shard, "/a").unwrap().inode;
    for time in [i64::MAX, i64::MIN, -1, 0] {
        let change = mooseng_core::namespace::AttrChange { mode: Some(0o700), ..Default::default() };
        shard.ask(time, mooseng_core::namespace::Op::SetAttr { inode, change }).unwrap();
        assert_eq!(super::script::walk(&shard, "/a").unwrap().ctime.0, time);
    }
}

#[test]
fn a_file_without_a_name_is_there_until_it_is_collected() {
    run("create /f
         link /f /g
         open /f
         unlink /f
         collect
         fstat links=1
         unlink /g
         fstat links=0 ctime=6
         flink /h => NotFound
         collect
         fstat => Stale
         flink /h => Stale
         symlink /s x
         create /t
         open /s
         rename /t /s
         fstat links=0 kind=symlink
         collect
         mkdir /d
         open /d
         rmdir /d
         fstat => Stale");
}
