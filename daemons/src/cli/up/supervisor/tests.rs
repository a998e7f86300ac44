//! Processes that sleep, end and refuse to end.

use super::*;

fn shell(name: &str, script: &str) -> Part {
    Part {
        name: name.to_owned(),
        program: PathBuf::from("/bin/sh"),
        arguments: vec!["-c".into(), script.into()],
        log: PathBuf::from("/dev/null"),
        leaves_first: false,
        may_leave: false,
    }
}

const HASTY: Patience = Patience {
    pause: Duration::from_millis(10),
    falls_max: 3,
    steady: Duration::from_secs(60),
    farewell: Duration::from_millis(200),
    log_look: Duration::from_millis(20),
    log_bytes_max: 1_000,
};

fn run(parts: Vec<Part>, stop_after: Duration) -> (Result<(), String>, Duration) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let start = Instant::now();
        let ended = Supervisor::new(parts, HASTY).run(tokio::time::sleep(stop_after)).await;
        (ended, start.elapsed())
    })
}

#[test]
fn a_process_that_keeps_falling_is_given_up_and_the_others_are_stopped() {
    let (ended, took) = run(vec![shell("one", "sleep 60"), shell("two", "exit 3")], Duration::from_secs(30));
    let why = ended.unwrap_err();
    assert_eq!(why, "two ended 3 times in a row (exit status: 3); its log /dev/null says why");
    assert!(took < Duration::from_secs(10), "the other one was stopped: {took:?}");
}

#[test]
fn what_was_ended_in_order_stays_ended_if_it_may() {
    let name = format!("mooseng-supervisor-starts-{}", std::process::id());
    let starts = std::env::temp_dir().join(name);
    let _ = std::fs::remove_file(&starts);
    let script = format!("echo >> {}", starts.display());
    let leaver = Part { may_leave: true, ..shell("leaver", &script) };
    let (ended, took) = run(vec![leaver], Duration::from_millis(300));
    let count = std::fs::read_to_string(&starts).unwrap().len();
    std::fs::remove_file(&starts).unwrap();
    assert_eq!((ended, count), (Ok(()), 1), "{took:?}");
}

#[test]
fn what_the_others_do_without_is_left_at_last() {
    let name = format!("mooseng-supervisor-falls-{}", std::process::id());
    let starts = std::env::temp_dir().join(name);
    let _ = std::fs::remove_file(&starts);
    let script = format!("echo >> {}; exit 1", starts.display());
    let failing = Part { may_leave: true, ..shell("failing", &script) };
    let (ended, _) = run(vec![failing, shell("steady", "sleep 60")], Duration::from_millis(700));
    let count = std::fs::read_to_string(&starts).unwrap().len();
    std::fs::remove_file(&starts).unwrap();
    assert_eq!((ended, count), (Ok(()), 3), "it did not end in order");
}

#[test]
fn a_process_that_will_not_end_is_ended() {
    let stubborn = shell("stubborn", "trap '' TERM; while :; do sleep 0.05; done");
    let (ended, took) = run(vec![stubborn], Duration::from_millis(200));
    assert_eq!(ended, Ok(()));
    assert!(took >= Duration::from_millis(400), "it was asked first: {took:?}");
    assert!(took < Duration::from_secs(10), "and then ended: {took:?}");
}

#[test]
fn a_log_that_grows_for_ever_takes_no_room_for_ever() {
    let log = std::env::temp_dir().join(format!("mooseng-supervisor-log-{}", std::process::id()));
    let script = "while :; do echo 0123456789 >&2; sleep 0.002; done";
    let talker = Part { log: log.clone(), ..shell("talker", script) };
    assert_eq!(run(vec![talker], Duration::from_secs(3)).0, Ok(()));
    let length = |path: &std::path::Path| std::fs::metadata(path).unwrap().len();
    let (now, before) = (length(&log), length(&logs::former(&log)));
    std::fs::remove_file(logs::former(&log)).unwrap();
    std::fs::remove_file(&log).unwrap();
    assert!(now < 2_500 && before <= 1_000, "{now} bytes, and {before} before");
}

#[test]
fn what_cannot_be_started_is_one_line() {
    let missing = Part { program: PathBuf::from("/nowhere/mooseng"), ..shell("three", "") };
    let why = run(vec![missing], Duration::from_secs(30)).0.unwrap_err();
    assert!(why.starts_with("three cannot be started: /nowhere/mooseng: "), "{why}");
}

/// The others are still there while it takes its leave.
#[test]
fn what_uses_the_others_is_stopped_first() {
    let name = format!("mooseng-supervisor-{}", std::process::id());
    let left = std::env::temp_dir().join(name);
    let _ = std::fs::remove_file(&left);
    let script = format!(
        "trap 'sleep 0.1; kill -0 $(cat {0}) && echo yes > {0}; exit' TERM; while :; do sleep 0.02; done",
        left.display()
    );
    let used = shell("used", &format!("echo $$ > {}; while :; do sleep 0.02; done", left.display()));
    let user = Part { leaves_first: true, ..shell("user", &script) };
    let (ended, _) = run(vec![used, user], Duration::from_millis(300));
    assert_eq!(ended, Ok(()));
    let told = std::fs::read_to_string(&left).unwrap();
    std::fs::remove_file(&left).unwrap();
    assert_eq!(told, "yes\n");
}
