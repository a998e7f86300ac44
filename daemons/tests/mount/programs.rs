//! Other people's programs on a mount: version control, compilers, copies, databases, editors. Each has
//! an idea of its own of what a file system is for. Where one is not installed, its case says so and
//! passes; with `MOOSENG_PROGRAMS=required`, as in CI, it fails.

use super::{Mounted, Second};
use crate::support::Directory;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The programs of a case are there, or else it is skipped or fails.
pub(super) fn installed(case: &str, programs: &[&str]) -> bool {
    let there = |program: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
    };
    let Some(lacking) = programs.iter().find(|program| !there(program)) else { return true };
    let required = std::env::var("MOOSENG_PROGRAMS").is_ok_and(|text| text == "required");
    assert!(!required, "{case}: {lacking} is not installed, and every program must be there");
    eprintln!("skipped: {case}: {lacking} is not installed");
    false
}

#[test]
fn programs_find_what_they_expect_of_a_file_system() {
    let Some(mounted) = Mounted::start("programs_find_what_they_expect_of_a_file_system") else { return };
    if installed("version control", &["git"]) {
        repositories_are_whole(&mounted);
    }
    if installed("a build", &["make", "cc", "ar"]) {
        sources_are_built(&mounted);
    }
    if installed("copies", &["rsync"]) {
        copies_are_equal(&mounted);
    }
    if installed("a database", &["sqlite3", "stdbuf"]) {
        databases_survive_their_writer(&mounted, "delete");
        databases_survive_their_writer(&mounted, "wal");
    }
    if installed("editors", &["sed"]) {
        saved_files_are_seen_whole(&mounted);
    }
    mounted.stop();
}

/// This project's own history, cloned, added to, merged, packed, and cloned once more to the local disk.
fn repositories_are_whole(mounted: &Mounted) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let root = root.canonicalize().expect("the sources are there");
    let outside = Directory::fresh();
    let told = mounted.shell(&format!(
        r#"
        mkdir home && export HOME="$PWD/home" GIT_CONFIG_NOSYSTEM=1
        git config --global user.name somebody && git config --global user.email somebody@example.org
        git config --global safe.directory '*' && git config --global gc.auto 0
        git config --global init.defaultBranch main && git config --global advice.detachedHead false
        if ! git clone -q "file://{root}" work 2>/dev/null; then
            rm -rf work && git init -q work && cp -r "{root}/core" "{root}/docs" work
            git -C work add -A && git -C work commit -q -m sources
        fi
        cd work
        git checkout -q -b changed
        for round in 1 2 3 4 5 6; do
            mkdir "directory-$round" && seq 1 $((round * 3000)) > "directory-$round/file"
            seq 1 $round >> first && git add -A && git commit -q -m "round $round"
        done
        git checkout -q -b other HEAD~3
        git mv directory-1 moved && git commit -q -m moved && git merge -q -m merged changed
        seq 9 > untracked && git stash -q -u && git stash pop -q && rm untracked
        git repack -q -a -d && git gc -q --prune=now && git fsck --full --no-progress
        test -z "$(git status --porcelain)"
        git worktree add -q ../tree HEAD~1 && git -C ../tree status --porcelain
        cd .. && git clone -q work again && git clone -q "file://$PWD/work" "{outside}/copy"
        test "$(git -C again rev-parse HEAD)" = "$(git -C work rev-parse HEAD)"
        git -C again fsck --full --no-progress && git -C "{outside}/copy" fsck --full --no-progress
        diff -r -x .git work again && diff -r -x .git work "{outside}/copy"
        git -C work rev-list --all --objects | wc -l
        rm -rf home work tree again
        "#,
        root = root.display(),
        outside = outside.path().display(),
    ));
    eprintln!("git: a repository of {} objects", told.trim());
}

const MODULES: usize = 24;

/// A program of some dozen files, each of which includes the one before: built, built again when nothing
/// or one file has changed, and run.
fn sources_are_built(mounted: &Mounted) {
    let directory = mounted.path("build");
    fs::create_dir(&directory).expect("it is new");
    let write = |name: String, text: String| fs::write(directory.join(name), text).expect("it is written");
    for module in 0..MODULES {
        write(format!("m{module}.h"), format!("#pragma once\nlong m{module}(long value);\n"));
        let mut text = format!("#include \"m{module}.h\"\n");
        let result = match module.checked_sub(1) {
            Some(before) => {
                let _ = writeln!(text, "#include \"m{before}.h\"");
                format!("m{before}(value) + {module}")
            }
            None => "value".to_owned(),
        };
        let _ = writeln!(text, "long m{module}(long value) {{ return {result}; }}");
        write(format!("m{module}.c"), text);
    }
    let last = MODULES - 1;
    let main = format!(
        "#include \"m{last}.h\"\n#include <stdio.h>\nint main(void) {{ printf(\"%ld\\n\", m{last}(1000)); return 0; }}\n"
    );
    write("main.c".to_owned(), main);
    let rules = "CFLAGS = -O1 -MMD -MP\nOBJECTS = $(patsubst %.c,%.o,$(wildcard m[0-9]*.c))\n\
                 program: main.o library.a\n\tcc -o $@ main.o library.a\n\
                 library.a: $(OBJECTS)\n\trm -f $@ && ar rcs $@ $^\n\
                 -include $(wildcard *.d)\n";
    write("Makefile".to_owned(), rules.to_owned());
    let sum = 1_000 + MODULES * last / 2;
    let compiled = |change: &str| {
        let told = mounted.shell(&format!("cd build && {change} && make -j2 && make -q && ./program"));
        assert_eq!(told.lines().last(), Some(sum.to_string().as_str()), "{told}");
        told.lines().filter(|line| line.contains(" -c ")).count()
    };
    assert_eq!(compiled("true"), MODULES + 1, "everything");
    assert_eq!(compiled("true"), 0, "nothing has changed");
    assert_eq!(compiled("touch m3.h"), 2, "what includes it");
    assert_eq!(compiled("sed -i 's/value;/value + 0;/' m0.c"), 1, "one source");
    mounted.shell("rm -r build");
}

/// To the mount and back again, with all that files have; and once more after changes in the middle.
fn copies_are_equal(mounted: &Mounted) {
    let outside = Directory::fresh();
    let script = format!(
        r#"
        local="{outside}" && remote="$PWD/copies" && mkdir "$local/there"
        cp -r "{sources}" "$local/there/sources" && cd "$local/there"
        ln -s sources/nowhere link && ln sources/lib.rs hard && mkfifo pipe
        printf x > "a name with  spaces
        and a line" && printf y > -n && chmod 4750 hard && mkdir -m 1777 shared
        seq 1 2000000 > large && truncate -s 70000000 sparse && printf end >> sparse
        touch -d @123456789.123456789 sources/lib.rs && chown 12:34 shared
        rsync -aHX --sparse . "$remote/" && rsync -aHX --sparse "$remote/" ../back
        rsync -aHXni --checksum --delete . ../back/ && rsync -aHXni --checksum --delete . "$remote/"
        find . -type f -exec cksum {{}} + | sort > ../sums
        (cd ../back && find . -type f -exec cksum {{}} + | sort) | diff ../sums -
        (cd "$remote" && find . -type f -exec cksum {{}} + | sort) | diff ../sums -
        printf changed | dd of=large bs=1 seek=7000000 conv=notrunc status=none && seq 1 9 >> sources/lib.rs
        rm pipe && rsync -aHX --inplace --no-whole-file --delete . "$remote/"
        rsync -aHXni --checksum --delete . "$remote/" && rm -r "$remote"
        "#,
        outside = outside.path().display(),
        sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").display(),
    );
    assert_eq!(mounted.shell(&script), "", "nothing differs");
}

/// How often a writer is killed, for each kind of journal.
const WRITERS: u64 = 6;

/// A writer is killed in the middle of its work, again and again. The database is whole, and has all
/// that was acknowledged.
fn databases_survive_their_writer(mounted: &Mounted, journal: &str) {
    let name = format!("{journal}.db");
    let tables = "CREATE TABLE rows(number INTEGER PRIMARY KEY, noise BLOB); CREATE TABLE counter(count INTEGER); \
                  CREATE INDEX by_noise ON rows(noise); INSERT INTO counter VALUES(0);";
    mounted.shell(&format!("sqlite3 {name} 'PRAGMA journal_mode={journal}; {tables}'"));
    let mut count = 0;
    for writer in 0..WRITERS {
        let acknowledged = write_rows(mounted, &name, count + 1, Duration::from_millis(150 + 97 * writer));
        let question = "PRAGMA integrity_check; SELECT count(*) || ' ' || max(number) FROM rows; SELECT count FROM counter;";
        let told = mounted.shell(&format!("sqlite3 {name} \"{question}\""));
        let lines: Vec<&str> = told.lines().collect();
        let [whole, rows, counted] = lines[..] else { panic!("{told}") };
        assert_eq!(whole, "ok", "{journal}: after writer {writer}");
        assert_eq!(rows, format!("{counted} {counted}"), "{journal}: after writer {writer}");
        count = counted.parse().expect("a number");
        assert!(acknowledged <= count, "{journal}: {acknowledged} was acknowledged, {count} are there");
    }
    eprintln!("sqlite3 with journal_mode={journal}: {count} rows by {WRITERS} writers that were killed");
    assert!(count > WRITERS, "hardly anything was written: {count}");
    mounted.shell(&format!("rm {name}*"));
}

/// Rows from this number on, each in a transaction of its own, until the writer is killed; the last one
/// that it said was committed.
fn write_rows(mounted: &Mounted, database: &str, first: u64, life: Duration) -> u64 {
    let mut writer = Command::new("stdbuf")
        .args(["-oL", "sqlite3", database])
        .current_dir(mounted.point.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut input = writer.stdin.take().expect("it was asked for");
    let output = BufReader::new(writer.stdout.take().expect("it was asked for"));
    let speaker = std::thread::spawn(move || {
        let mut line = "PRAGMA synchronous=FULL; PRAGMA busy_timeout=5000;\n".to_owned();
        for number in first.. {
            let _ = writeln!(
                line,
                "BEGIN; INSERT INTO rows VALUES({number}, randomblob(1500)); UPDATE counter SET count = {number}; \
                 COMMIT; SELECT 'row', {number};"
            );
            if input.write_all(line.as_bytes()).is_err() {
                return;
            }
            line.clear();
        }
    });
    let listener = std::thread::spawn(move || {
        let lines = output.lines().map_while(Result::ok);
        let numbers = lines.filter_map(|line| line.strip_prefix("row|")?.parse().ok());
        numbers.last().unwrap_or(0)
    });
    std::thread::sleep(life);
    writer.kill().expect("it can be killed");
    writer.wait().expect("it ends");
    speaker.join().expect("it does not panic");
    listener.join().expect("it does not panic")
}

const SAVES: usize = 120;

/// What stands in a file of this version.
fn text_of(version: usize) -> String {
    format!("version {version}\n").repeat(1 + version * 37 % 4_000)
}

/// Written beside it, synced, and put in its place, as editors do: whoever opens the file, here or at
/// another mount, finds one version whole, and never an older one than before.
fn saved_files_are_seen_whole(mounted: &Mounted) {
    let second = Second::start(&mounted.cluster, &[]);
    let (file, beside) = (mounted.path("letter"), mounted.path(".letter.swp"));
    let save = |version: usize| {
        let mut new = fs::File::create(&beside).expect("it is made");
        new.write_all(text_of(version).as_bytes()).expect("it is written");
        new.sync_all().expect("it is on its servers");
        fs::rename(&beside, &file).expect("it takes the place");
        fs::File::open(mounted.point.path()).and_then(|point| point.sync_all()).expect("so is its name");
    };
    save(0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = |path| {
            let done = &done;
            move || {
                let (mut last, mut seen) = (0, 0);
                while !done.load(Ordering::Relaxed) {
                    let text = fs::read_to_string(&path).expect("it is always there");
                    let line = text.lines().next().expect("it is never empty");
                    let version = line.strip_prefix("version ").and_then(|number| number.parse().ok());
                    let version: usize = version.expect("a version");
                    assert!(text == text_of(version), "version {version} is not whole");
                    assert!(last <= version, "version {version} after {last}");
                    seen += usize::from(last != version);
                    last = version;
                }
                seen
            }
        };
        let watchers =
            [file.clone(), second.point.path().join("letter")].map(|path| scope.spawn(watch(path)));
        (1..=SAVES).for_each(save);
        done.store(true, Ordering::Relaxed);
        let seen = watchers.map(|watcher| watcher.join().expect("every version is seen whole"));
        eprintln!("{SAVES} saves; so many were seen here and at another mount: {seen:?}");
    });
    // The other way: the old one is kept aside while the new one is written under the name.
    let last = mounted.shell(
        "mv letter letter~ && cp -p letter~ letter && sed -i -e '$a last' letter && rm letter~ && tail -n 1 letter",
    );
    assert_eq!(last, "last\n");
    assert!(
        fs::read_to_string(second.point.path().join("letter")).expect("it is read").ends_with("\nlast\n")
    );
    mounted.shell("rm letter");
}
