//! Who may do what. A line's number is the time at which it happens.

use super::script::run;

#[test]
fn the_first_class_a_caller_belongs_to_decides() {
    run("create /f 604
         chown /f 5:6
         as 5 access /f 6
         as 5 access /f 1 => AccessDenied
         as 9:6 access /f 4 => AccessDenied
         as 9:1,2,6 access /f 4 => AccessDenied
         as 9 access /f 4
         as 9 access /f 2 => AccessDenied
         chmod /f 077
         as 5 access /f 4 => AccessDenied
         as 5:6 access /f 4 => AccessDenied
         as 9:6 access /f 7
         access /f 7
         chmod /f 666
         access /f 1 => AccessDenied
         mkdir /d
         chmod /d 0
         access /d 7");
}

#[test]
fn a_name_is_found_by_who_may_search_and_listed_by_who_may_read() {
    run("mkdir /d
         create /d/f
         chmod /d 744
         as 5 read /d
         as 5 lookup /d/f => AccessDenied
         as 5 lookup /d/x => AccessDenied
         as 5 unlink /d/x => AccessDenied
         chmod /d 711
         as 5 read /d => AccessDenied
         as 5 lookup /d/f
         as 5 lookup /d/x => NotFound
         as 5 create /d/f => Exists
         as 5 create /d/g => AccessDenied
         as 5 symlink /d/g x => AccessDenied
         as 5 mknod /d/g fifo => AccessDenied
         as 5 mkdir /d/g => AccessDenied
         as 5 unlink /d/f => AccessDenied
         as 5 link /d/f /d/g => AccessDenied
         chmod /d 733
         as 5 create /d/g
         stat /d/g uid=5 gid=5
         as 5 link /d/f /d/h
         as 5 rename /d/f /d/i
         as 5 unlink /d/i");
}

#[test]
fn nobody_makes_anything_in_anothers_name() {
    run("mkdir /d
         chmod /d 777
         as 5:6,7 create-for /d/a 5:6
         as 5:6,7 create-for /d/b 5:7
         as 5:6,7 create-for /d/c 5:8 => NotPermitted
         as 5:6,7 create-for /d/c 4:6 => NotPermitted
         create-for /d/c 4:4
         stat /d/b uid=5 gid=7");
}

#[test]
fn from_a_sticky_directory_only_owners_take() {
    run("mkdir /d
         chmod /d 1777
         chown /d 4:4
         as 5 create /d/f
         as 5 mkdir /d/e
         as 6 create /d/mine
         as 6 unlink /d/f => NotPermitted
         as 6 rmdir /d/e => NotPermitted
         as 6 rename /d/f /d/g => NotPermitted
         as 6 rename /d/mine /d/f => NotPermitted
         as 6 rename /d/mine /d/f exchange => NotPermitted
         as 5 rename /d/f /d/mine => NotPermitted
         as 6 rename /d/mine /d/ours
         as 4 rename /d/ours /d/f
         as 6 unlink /d/f
         as 5 rmdir /d/e");
}

#[test]
fn a_directory_that_moves_is_written_to() {
    run("mkdir /a
         mkdir /b
         chmod /a 777
         chmod /b 777
         as 5 mkdir /a/d
         as 6 rename /a/d /b/d => AccessDenied
         as 6 rename /a/d /a/e
         as 6 create /b/f
         as 6 rename /b/f /a/e exchange => AccessDenied
         as 6 rename /a/e /b/f exchange => AccessDenied
         as 5 rename /b/f /a/e exchange
         stat /b/f kind=directory");
}

#[test]
fn a_mode_is_the_owners_to_change() {
    run("create /f
         chown /f 5:6
         as 6 chmod /f 600 => NotPermitted
         as 5 chmod /f 4755
         stat /f mode=4755 ctime=3 mtime=0
         as 5 chmod /f 2755
         stat /f mode=755
         as 5:6 chmod /f 2755
         stat /f mode=2755
         chmod /f 6711
         stat /f mode=6711");
}

#[test]
fn an_owner_gives_away_only_to_own_groups() {
    run("create /f
         chown /f 5:6
         as 5 chown /f 6:- => NotPermitted
         as 5 chown /f 5:-
         as 5 chown /f -:6
         as 5:7,8 chown /f -:8
         stat /f uid=5 gid=8
         as 5:7 chown /f -:9 => NotPermitted
         as 8 chown /f -:8 => NotPermitted
         chown /f 1:2
         stat /f uid=1 gid=2 ctime=9");
}

#[test]
fn a_new_owner_has_no_set_id_program() {
    run("create /f 6755
         stat /f mode=6755
         chown /f 5:6
         stat /f mode=755
         chmod /f 6745
         chown /f 5:-
         stat /f mode=2745
         chown /f 5:7 6711
         stat /f mode=711
         mkdir /d
         chmod /d 6755
         chown /d 5:6
         stat /d mode=6755");
}

#[test]
fn writing_clears_set_id_bits() {
    run("create /f 6777
         truncate /f 5
         stat /f mode=6777
         as 5 truncate /f 6
         stat /f mode=777
         chmod /f 6700
         as 5 truncate /f 7 => AccessDenied
         as 5 write /f 7
         stat /f mode=2700 size=7");
}

#[test]
fn times_are_the_owners_to_choose_and_a_writers_to_touch() {
    run("create /f
         chown /f 5:6
         chmod /f 664
         as 9 touch /f now => AccessDenied
         as 9:6 touch /f now
         stat /f atime=4 mtime=4 ctime=4
         as 9:6 touch /f 77 => NotPermitted
         as 5 touch /f 77
         stat /f atime=77 mtime=77 ctime=7
         chmod /f 0
         as 5 touch /f now
         as 9 touch /f now handle
         as 9 touch /f 1 handle => NotPermitted
         touch /f 3
         stat /f atime=3 ctime=13");
}

#[test]
fn a_set_gid_directory_passes_its_group_on() {
    run("mkdir /d
         chown /d 5:50
         chmod /d 2777
         as 6 create /d/f
         stat /d/f uid=6 gid=50 mode=644
         as 6 mkdir /d/e
         stat /d/e gid=50 mode=2755
         as 6 create /d/x 2755
         stat /d/x gid=50 mode=755
         as 6:50 create /d/y 2755
         stat /d/y gid=50 mode=2755
         as 6 symlink /d/s f
         stat /d/s gid=50
         as 6 mknod /d/e/n fifo
         stat /d/e/n gid=50");
}

#[test]
fn links_and_devices_are_what_they_are() {
    run("symlink /s ../else/where
         stat /s kind=symlink mode=777 size=13 links=1 uid=7
         stat / mtime=0 ctime=0
         readlink /s ../else/where
         readlink / x => Invalid
         symlink /s x => Exists
         truncate /s 4 => Invalid
         create /s/x => NotDirectory
         link /s /t
         unlink /s
         readlink /t ../else/where
         rename /t /u
         unlink /u
         mknod /c char 259
         stat /c kind=chardevice rdev=259 size=0
         mknod /p fifo
         stat /p kind=fifo rdev=0
         mknod /b block 4294967295
         stat /b kind=blockdevice rdev=4294967295
         mknod /d directory => Invalid
         mknod /k socket
         truncate /k 4 => Invalid
         list / b c k p");
}
