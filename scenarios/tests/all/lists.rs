//! The lists of planted bugs, controls and probes against the source: nothing is planted that the
//! scoreboard does not know, and nothing is on it that is not planted.

use mooseng_sim::bugs::{
    BLIND, BUGS, BUGS_ELSEWHERE, BUGS_OF_PLANS, BUGS_OF_SCENARIOS, CLUSTER_PROBES, CONTROLS, MOUNT_PROBES,
    PROBES, PROBES_ELSEWHERE,
};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Every name that stands first in such a macro in the logic crates.
fn planted(mark: &str) -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("scenarios/ lies in the workspace");
    let mut files = Vec::new();
    for folder in ["net", "storage", "meta", "chunk", "client"] {
        collect(&root.join(folder).join("src"), &mut files);
    }
    let mut names = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("source is UTF-8");
        for after in text.split(mark).skip(1) {
            let name = after.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"'));
            let (name, _) = name.unwrap_or_else(|| panic!("{}: {mark} without a name", file.display()));
            names.insert(name.to_owned());
        }
    }
    names
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

#[test]
fn the_scoreboard_knows_every_planted_bug() {
    let shown = BUGS.iter().chain(CONTROLS).map(|bug| bug.name);
    let elsewhere = BUGS_ELSEWHERE.iter().map(|(bug, _)| *bug);
    let others = BUGS_OF_SCENARIOS.iter().chain(BUGS_OF_PLANS).map(|(_, bug)| bug.name);
    let listed: BTreeSet<String> = shown.chain(elsewhere).chain(others).map(str::to_owned).collect();
    assert_eq!(planted("plant!("), listed);
    assert!(BUGS.len() - BLIND.len() >= 15 && CONTROLS.len() >= 3);
    assert!(
        BLIND.iter().all(|blind| BUGS.iter().chain(CONTROLS).any(|bug| bug.name == *blind)),
        "only what is planted can go unseen"
    );
}

/// A bug that only a test sees is named in that test, or the test goes through the list.
#[test]
fn bugs_planted_elsewhere_are_seen_where_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("scenarios/ lies in the workspace");
    for (bug, file) in BUGS_ELSEWHERE {
        let text = std::fs::read_to_string(root.join(file)).expect("the test is there");
        let seen = text.contains(&format!("\"{bug}\"")) || text.contains("BUGS_ELSEWHERE");
        assert!(seen, "{file} does not mention {bug}");
    }
}

#[test]
fn the_report_knows_every_probe() {
    let elsewhere = PROBES_ELSEWHERE.iter().map(|(probe, _)| probe);
    let reached = PROBES.iter().chain(CLUSTER_PROBES).chain(MOUNT_PROBES);
    let listed: BTreeSet<String> = reached.chain(elsewhere).map(|probe| (*probe).to_owned()).collect();
    let all = PROBES.len() + CLUSTER_PROBES.len() + MOUNT_PROBES.len() + PROBES_ELSEWHERE.len();
    assert_eq!(listed.len(), all, "a probe is reached or it is not");
    assert_eq!(planted("probe!("), listed);
}
