//! A reader that has seen enough closes its pipe: `cargo sim` ends without a word.

use std::process::{Command, Stdio};

fn unread(arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-sim"));
    let mut child = command
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the runner was built with its tests");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    assert_eq!(output.status.code(), Some(141), "{arguments:?}");
}

#[test]
fn whoever_is_read_no_more_ends_quietly() {
    unread(&["replay", "swarm", "--seed", "1", "--trace"]);
    unread(&["replay", "swarm", "--seed", "1", "--json"]);
    unread(&["plan", "swarm", "--seed", "1"]);
    unread(&["hashes", "--seeds", "1", "--from", "0"]);
}
