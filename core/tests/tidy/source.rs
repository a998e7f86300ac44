//! Rules about the text of the source.

use std::fs;
use std::path::{Path, PathBuf};

const LINES_MAX: usize = 800;

/// Every Rust file of the workspace that is ours.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for folder in
        ["core", "net", "storage", "meta", "chunk", "client", "sim", "scenarios", "daemons", "benches"]
    {
        collect(&crate::root().join(folder), &mut found);
    }
    assert!(found.len() > 10, "the source tree was not found");
    found.sort();
    found.into_iter().map(|path| (path.clone(), fs::read_to_string(path).expect("source is UTF-8"))).collect()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn check(rule: &str, fault: impl Fn(&Path, &str) -> Option<String>) {
    let faults: Vec<String> = sources()
        .iter()
        .filter_map(|(path, text)| {
            let shown = path.strip_prefix(crate::root()).unwrap_or(path);
            fault(path, text).map(|what| format!("{}: {what}", shown.display()))
        })
        .collect();
    assert!(faults.is_empty(), "{rule}\n{}", faults.join("\n"));
}

#[test]
fn every_file_says_what_it_is() {
    check("A file opens with `//!`: what it is, and what it deliberately does not know.", |_, text| {
        (!text.starts_with("//!")).then(|| "opens with something else".to_owned())
    });
}

#[test]
fn no_file_outgrows_its_subject() {
    check("A file is named after the one thing it holds.", |_, text| {
        let lines = text.lines().count();
        (lines > LINES_MAX).then(|| format!("{lines} lines, {LINES_MAX} at most"))
    });
}

#[test]
fn nothing_is_left_for_later() {
    // Spelled apart, so that this file does not break its own rule.
    let marks =
        [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("unimple", "mented!")];
    check("What is not built is not mentioned in the source; it is in the tracker.", |_, text| {
        text.lines()
            .enumerate()
            .find(|(_, line)| marks.iter().any(|mark| line.contains(mark)))
            .map(|(index, line)| format!("line {}: {}", index + 1, line.trim()))
    });
}

#[test]
fn unsafe_stays_in_the_daemons() {
    let word = concat!("unsafe", " {");
    check("Only the crate that is the world may step outside the language.", |path, text| {
        let outside = !path.starts_with(crate::root().join("daemons"));
        (outside && text.contains(word)).then(|| "holds an unsafe block".to_owned())
    });
}

/// The shape the code aims for, printed so that a drift is seen: `cargo test -p mooseng-core --test
/// tidy shape -- --nocapture`.
#[test]
fn the_shape_is_known() {
    let mut lengths: Vec<usize> = sources().iter().map(|(_, text)| text.lines().count()).collect();
    lengths.sort_unstable();
    let at = |percent: usize| lengths[(lengths.len() - 1) * percent / 100];
    println!(
        "{} files; median {} lines, nine in ten below {}, longest {}",
        lengths.len(),
        at(50),
        at(90),
        at(100)
    );
    assert!(at(90) <= 600, "nine files in ten stay below 500 lines or so; now it is {}", at(90));
}
