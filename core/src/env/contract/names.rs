//! Names of files and directories.

use super::{Disk, Env, File, OpenMode, assert_same, file_of, pattern};
use crate::env::DiskError;
use bytes::Bytes;

pub async fn modes_say_what_must_be_there<E: Env>(env: E) {
    let missing = env.disk().open("file", OpenMode::Existing).await.map(|_| ());
    assert_eq!(missing, Err(DiskError::NotFound { path: "file".to_owned() }));
    let file = file_of(&env, "file", pattern(1, 10)).await;
    let taken = env.disk().open("file", OpenMode::New).await.map(|_| ());
    assert_eq!(taken, Err(DiskError::Exists { path: "file".to_owned() }));
    assert_eq!(file.length().await, Ok(10), "the file that was there is as it was");
}

pub async fn missing_names_are_not_found<E: Env>(env: E) {
    let disk = env.disk();
    let nowhere = |path: &str| Err(DiskError::NotFound { path: path.to_owned() });
    assert_eq!(disk.open("no/file", OpenMode::New).await.map(|_| ()), nowhere("no/file"));
    assert_eq!(disk.open("no/file", OpenMode::Existing).await.map(|_| ()), nowhere("no/file"));
    assert_eq!(disk.remove("no").await, nowhere("no"));
    assert_eq!(disk.list("no").await.map(|_| ()), nowhere("no"));
    assert_eq!(disk.sync_dir("no").await, nowhere("no"));
    assert_eq!(disk.rename("no", "other").await, nowhere("no"));
    assert_eq!(disk.list("").await, Ok(vec![]), "asking makes nothing");
    file_of(&env, "file", pattern(1, 10)).await;
    let lost = disk.rename("file", "no/file").await;
    assert!(matches!(lost, Err(DiskError::NotFound { .. })), "{lost:?}");
    assert_eq!(disk.list("").await, Ok(vec!["file".to_owned()]));
}

pub async fn directories_nest<E: Env>(env: E) {
    let disk = env.disk();
    assert_eq!(disk.create_dir("").await, Ok(()), "the data directory is there");
    disk.create_dir("a/b/c").await.expect("makes those above it");
    disk.create_dir("a/b").await.expect("it is there");
    file_of(&env, "a/b/file", pattern(1, 10)).await;
    for path in ["", "a", "a/b", "a/b/c"] {
        assert_eq!(disk.sync_dir(path).await, Ok(()), "{path:?}");
    }
    assert_eq!(disk.list("").await, Ok(vec!["a".to_owned()]));
    assert_eq!(disk.list("a/b").await, Ok(vec!["c".to_owned(), "file".to_owned()]));
    assert_eq!(disk.list("a/b/c").await, Ok(vec![]));
}

pub async fn a_list_is_sorted<E: Env>(env: E) {
    env.disk().create_dir("many").await.expect("makes it");
    let mut names: Vec<String> = (0..40).map(|index| format!("{}", index * 7 % 40)).collect();
    names.extend(["B", "a", "ä", "a.b", "a b", "~", "-"].map(str::to_owned));
    for name in &names {
        file_of(&env, &format!("many/{name}"), Bytes::new()).await;
    }
    names.sort();
    assert_eq!(env.disk().list("many").await, Ok(names), "by their bytes");
}

pub async fn a_rename_replaces<E: Env>(env: E) {
    let old = file_of(&env, "target", pattern(1, 500)).await;
    let new = file_of(&env, "source", pattern(2, 100)).await;
    env.disk().rename("source", "target").await.expect("renames");
    assert_eq!(env.disk().list("").await, Ok(vec!["target".to_owned()]));
    let file = env.disk().open("target", OpenMode::Existing).await.expect("it is there");
    assert_same(&file.read_at(0, 999).await.expect("reads"), &pattern(2, 100), "the new content");
    assert_same(&old.read_at(0, 999).await.expect("reads"), &pattern(1, 500), "the old handle");
    new.write_at(100, pattern(3, 5)).await.expect("writes");
    assert_eq!(file.length().await, Ok(105), "the handle went with its file");
}

pub async fn a_rename_moves_between_directories<E: Env>(env: E) {
    let disk = env.disk();
    disk.create_dir("one").await.expect("makes it");
    disk.create_dir("two").await.expect("makes it");
    file_of(&env, "one/file", pattern(1, 100)).await;
    disk.rename("one/file", "two/other").await.expect("moves");
    assert_eq!(disk.list("one").await, Ok(vec![]));
    assert_eq!(disk.list("two").await, Ok(vec!["other".to_owned()]));
    let file = disk.open("two/other", OpenMode::Existing).await.expect("it is there");
    assert_same(&file.read_at(0, 999).await.expect("reads"), &pattern(1, 100), "moved");
}

pub async fn a_removed_file_lives_in_its_handles<E: Env>(env: E) {
    let disk = env.disk();
    let old = file_of(&env, "file", pattern(1, 500)).await;
    disk.remove("file").await.expect("removes");
    assert_eq!(disk.list("").await, Ok(vec![]));
    let new = file_of(&env, "file", pattern(2, 50)).await;
    old.write_at(500, pattern(3, 10)).await.expect("writes on");
    assert_eq!(old.sync().await, Ok(()));
    assert_same(&old.read_at(0, 500).await.expect("reads on"), &pattern(1, 500), "the removed file");
    assert_eq!((old.length().await, new.length().await), (Ok(510), Ok(50)));
}

pub async fn a_directory_is_no_file<E: Env>(env: E) {
    let disk = env.disk();
    disk.create_dir("directory").await.expect("makes it");
    file_of(&env, "file", pattern(1, 10)).await;
    assert!(disk.open("directory", OpenMode::Existing).await.is_err(), "a directory opens as a file");
    let taken = disk.open("directory", OpenMode::New).await.map(|_| ());
    assert_eq!(taken, Err(DiskError::Exists { path: "directory".to_owned() }));
    assert!(disk.remove("directory").await.is_err(), "a directory is removed as a file");
    assert!(disk.list("file").await.is_err(), "a file is listed");
    assert!(disk.create_dir("file").await.is_err(), "a directory takes the place of a file");
    assert!(disk.open("file/inner", OpenMode::New).await.is_err(), "a file holds a file");
    assert_eq!(disk.list("").await, Ok(vec!["directory".to_owned(), "file".to_owned()]));
}

pub async fn bad_paths_are_answers<E: Env>(env: E) {
    let disk = env.disk();
    file_of(&env, "file", pattern(1, 10)).await;
    for path in ["..", ".", "/", "/etc/passwd", "../file", "a/../file", "a//b", "./file", "file/", "a\0b"] {
        for mode in [OpenMode::Existing, OpenMode::New] {
            assert_refused(path, disk.open(path, mode).await.map(|_| ()));
        }
        assert_refused(path, disk.rename(path, "other").await);
        assert_refused(path, disk.rename("file", path).await);
        assert_refused(path, disk.remove(path).await);
        assert_refused(path, disk.create_dir(path).await);
        assert_refused(path, disk.list(path).await.map(|_| ()));
        assert_refused(path, disk.sync_dir(path).await);
    }
    assert_refused("", disk.open("", OpenMode::New).await.map(|_| ()));
    assert_refused("", disk.remove("").await);
    assert_refused("", disk.rename("file", "").await);
    assert_eq!(disk.list("").await, Ok(vec!["file".to_owned()]), "nothing was touched");
}

fn assert_refused(path: &str, answer: Result<(), DiskError>) {
    match answer {
        Err(DiskError::Io { what, .. }) => {
            assert!(!what.is_empty() && !what.contains('\n'), "{path:?}: one line, not {what:?}");
        }
        other => panic!("{path:?} was not refused as a bad path: {other:?}"),
    }
}
