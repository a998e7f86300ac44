//! The page is whole, well-formed, and asks nobody for anything.

use super::*;
use crate::machine::{Fault, MachineEvent, NodeId, Seen, TraceLine, TraceWhat};
use crate::oracle::testing::{GROUP, Script};
use crate::trace::Tape;
use mooseng_core::chance::{self, Dice};
use mooseng_core::event::Event;
use mooseng_core::id::ReplicaId;
use std::time::Duration;

/// A run of two servers and a client in which everything that a page can show happens.
pub(crate) fn example() -> Timeline {
    let mut script = Script::new();
    let mut tape = Tape::default();
    let mut dice = chance::stream(1, "timeline", 0, 0);
    let millis = |millis: u64| Instant::from_nanos(millis * 1_000_000);
    let (one, two) = (Some(Member::Server(1)), Some(Member::Server(2)));
    let elected =
        |replica, term| Seen::Logic(Event::Elected { group: GROUP, replica: ReplicaId(replica), term });
    let mut lines = Vec::new();
    for serial in 0..300 {
        let (at, ends) = (serial * 6_000_000 + dice.below(1_000_000), [(0, 1), (1, 0), (2, 0), (0, 2)]);
        let (source, target) = ends[serial as usize % 4];
        let line = |time, node, what| TraceLine {
            time: Instant::from_nanos(time),
            node: Some(NodeId(node)),
            what,
            hash: 0,
        };
        lines.push(line(at, source, TraceWhat::Sent { target: NodeId(target), serial, bytes: 90 }));
        if dice.chance(950_000) {
            let late = at + 200_000 + dice.below(900_000);
            lines.push(line(late, target, TraceWhat::Delivered { source: NodeId(source), serial }));
        }
    }
    tape.machine(&lines, |node| if node.0 < 2 { Member::Server(node.0 + 1) } else { Member::Client(1) });
    tape.see(millis(20), one, &elected(1, 1));
    let cut = Fault::Cut { source: "meta-1".to_owned(), target: "meta-2".to_owned(), for_ms: Some(300) };
    tape.see(millis(600), None, &Seen::Machine(MachineEvent::Fault(cut.clone())));
    tape.see(millis(900), None, &Seen::Machine(MachineEvent::FaultOver(cut)));
    tape.see(millis(1_000), one, &Seen::Machine(MachineEvent::Crashed));
    tape.see(millis(1_400), one, &Seen::Machine(MachineEvent::Booted { life: 2 }));
    tape.see(millis(1_350), two, &elected(2, 2));
    for child in ["a", "b", "<script>alert('&\"')</script>"] {
        script.wait(Duration::from_millis(350));
        let number = script.call_mkdir(0, &child.replace('/', "\\"));
        script.wait(Duration::from_millis(120));
        script.answer_mkdir(number);
    }
    tape.history(&script.history);
    let failure = Failure {
        oracle: "linearizable".to_owned(),
        promise: "G1".to_owned(),
        at: script.now,
        what: "operation 2 got </script><b>& an answer".to_owned(),
        operation: Some(2),
        expected: Some("a refusal (the name is taken)".to_owned()),
    };
    tape.broken(&failure);
    let mut plan = Plan::quiet("an \"example\" & more", 0x1828);
    plan.clients = vec![vec!["mkdir /a".parse().unwrap()]];
    Timeline {
        replay: "cargo sim replay swarm --seed 0x1828   # commit 3f2a1c9".to_owned(),
        plan,
        history: script.history,
        failure: Some(failure),
        members: vec![Member::Server(1), Member::Server(2), Member::Client(1)],
        lines: tape.finish(),
        end: millis(1_800),
    }
}

/// The text between the last `open` before `close` and `close`.
fn element<'a>(page: &'a str, open: &str, close: &str) -> &'a str {
    let start = page.find(open).expect("the element is there") + open.len();
    &page[start..start + page[start..].find(close).expect("and ends")]
}

/// Every tag that is opened is closed, in order; scripts and styles are text.
fn check_tags(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut left = page;
    while let Some(start) = left.find('<') {
        left = &left[start + 1..];
        let end = left.find('>').expect("a tag ends");
        let (tag, rest) = (&left[..end], &left[end + 1..]);
        left = rest;
        let name = tag.split_ascii_whitespace().next().expect("a tag has a name");
        if let Some(closed) = name.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closed), "before {:.60}", rest);
            continue;
        }
        if matches!(name, "!DOCTYPE" | "meta" | "input") {
            continue;
        }
        open.push(name);
        if matches!(name, "script" | "style") {
            let close = format!("</{name}>");
            left = &left[left.find(&close).expect("it ends")..];
        }
    }
    assert!(open.is_empty(), "{open:?} stays open");
}

#[test]
fn the_page_is_well_formed_and_asks_nobody_for_anything() {
    let page = example().html();
    check_tags(&page);
    for outside in ["http:", "https:", "//cdn", " src=", " href=", "url(", "@import", "fetch(", "XMLHttp"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert_eq!(page.matches("<script").count(), 2, "names and answers are text, never tags");
}

#[test]
fn what_went_wrong_stands_beside_what_was_expected() {
    let page = example().html();
    let judgement = element(&page, "<section class=\"judgement\">", "</section>");
    assert!(judgement.contains("[2] client-1: mkdir"), "{judgement}");
    assert!(judgement.contains("a refusal (the name is taken)"), "{judgement}");
    assert!(page.contains("operation 2 got &lt;/script&gt;&lt;b&gt;&amp; an answer"));
    assert!(page.contains("cargo sim replay swarm --seed 0x1828"));
}

#[test]
fn the_scene_holds_arrows_bands_and_bars() {
    let page = example().html();
    let data = element(&page, "id=\"scene\">", "</script>");
    let scene: serde_json::Value = serde_json::from_str(data).unwrap();
    let arrows = scene["arrows"].as_array().unwrap();
    let lost = arrows.iter().filter(|arrow| arrow["got"].is_null()).count();
    assert!(arrows.len() == 300 && lost > 3 && lost < 50, "{lost} of {}", arrows.len());
    let kinds = |list: &str| -> Vec<String> {
        scene[list].as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap().to_owned()).collect()
    };
    let mut bands = kinds("bands");
    bands.sort();
    assert_eq!(bands, ["down", "fault", "leader", "leader"]);
    assert_eq!(kinds("operations"), ["changed", "changed", "failed"]);
    let down = scene["bands"].as_array().unwrap().iter().find(|band| band["kind"] == "down").unwrap();
    assert_eq!((&down["from"], &down["to"]), (&1_000_000.into(), &1_400_000.into()));
    assert_eq!(scene["failed_at"], serde_json::json!(1_410_006));
}

#[test]
fn a_run_without_a_failure_is_a_page_too() {
    let page = Timeline { failure: None, lines: Vec::new(), ..example() }.html();
    check_tags(&page);
    assert!(page.contains("Nothing found."));
    assert!(!page.contains("class=\"judgement\""));
}
