//! Plans there and back, drawn, damaged and refused.

use super::*;
use crate::machine::{Fault, Moment, OperationKind};
use mooseng_core::chance::{self, Dice};

fn example() -> Plan {
    let mut plan = Plan::quiet("an example", 0x1828).with_bug("vote-not-persisted");
    plan.faults = vec![
        PlannedFault {
            when: When::at(Duration::from_millis(3_200)),
            fault: Fault::Partition {
                left: vec!["meta-1".to_owned()],
                right: vec!["meta-2".to_owned(), "meta-3".to_owned()],
                for_ms: Some(900),
            },
        },
        PlannedFault {
            when: When::after(Milestone::Elected, 2).then("leader", OperationKind::Sync, 2, Moment::During),
            fault: Fault::Crash { node: "leader".to_owned(), restart_ms: Some(800) },
        },
    ];
    plan.knobs.snapshot_entries = 4;
    plan.machine.network.reset_ppm = 20;
    plan.clients = vec![
        vec!["mkdir /a as @1".parse().unwrap(), "12ms: rename /a /b".parse().unwrap()],
        vec!["create @1/x".parse().unwrap()],
    ];
    plan
}

const EXAMPLE: &str = r#"version = 1
story = "an example"
seed = "0x1828"
schedules = ["0x0"]
planted = "vote-not-persisted"
budget = "within"
faults_end = "10000ms"
end = "20000ms"

faults = [
  { at_ms = 3200, fault = "partition", for_ms = 900, left = ["meta-1"], right = ["meta-2", "meta-3"] },
  { after = "elected", times = 2, on = "sync", of = "leader", count = 2, moment = "during", fault = "crash", node = "leader", restart_ms = 800 },
]

[topology]
servers = 3
spares = 0

[knobs]
snapshot_entries = 4

[machine]
network.reset_ppm = 20

[[client]]
steps = [
  "mkdir /a as @1",
  "12ms: rename /a /b",
]

[[client]]
steps = [
  "create @1/x",
]
"#;

#[test]
fn a_plan_is_a_readable_file() {
    assert_eq!(example().to_text(), EXAMPLE);
    assert_eq!(Plan::from_text(EXAMPLE).unwrap(), example());
}

#[test]
fn every_drawn_plan_is_sound_and_comes_back_from_its_text() {
    let mut kinds = std::collections::BTreeSet::new();
    for weights in
        [Weights::swarm(), Weights::beyond(), Weights::failover(), Weights::flaps(), Weights::stalls()]
    {
        for seed in 0..200 {
            let plan = Plan::draw(seed, &weights);
            let again = Plan::from_text(&plan.to_text()).unwrap_or_else(|line| panic!("seed {seed}: {line}"));
            assert_eq!(plan, again, "seed {seed}");
            kinds.extend(plan.faults.iter().map(|planned| planned.fault.kind()));
        }
    }
    for seed in 0..200 {
        for plan in [
            Plan::draw(seed, &Weights::cluster()),
            Plan::draw(seed, &Weights::mounts()),
            Plan::stripes(seed, Budget::Within),
            Plan::stripes(seed, Budget::Beyond),
        ] {
            let again = Plan::from_text(&plan.to_text()).unwrap_or_else(|line| panic!("seed {seed}: {line}"));
            assert_eq!(plan, again, "seed {seed}");
        }
    }
    for kind in ["crash", "partition", "empty", "sync-lies", "rollback", "wall-step", "bit-rot", "disk-full"]
    {
        assert!(kinds.contains(kind), "{kind} is never drawn");
    }
}

#[test]
fn another_seed_is_another_plan() {
    let swarm = |seed| Plan::draw(seed, &Weights::swarm());
    assert_eq!(swarm(7), swarm(7));
    assert_ne!(swarm(7).clients, swarm(8).clients);
}

#[test]
fn a_bad_plan_is_refused_by_one_line_that_names_the_field() {
    for (from, to, words) in [
        ("version = 1", "version = 2", "version: 2 is not known here"),
        ("version = 1", "", "version: it is missing"),
        ("seed = \"0x1828\"", "seed = \"lucky\"", "seed: `lucky` is no number"),
        ("seed = \"0x1828\"", "sead = \"0x1828\"", "seed: it is missing"),
        ("story = ", "stories = 3\nstory = ", "stories: there is no such field"),
        ("\"within\"", "\"huge\"", "budget: "),
        ("\"10000ms\"", "\"later\"", "faults_end: `later` is no time"),
        ("\"20000ms\"", "\"2s\"", "end: it has to come after faults_end"),
        ("[\"0x0\"]", "[]", "schedules: none"),
        ("at_ms = 3200, ", "", "faults.0.at_ms: it is missing"),
        ("for_ms = 900", "for_sm = 900", "faults.0.for_sm: `partition` has no such field"),
        ("\"partition\"", "\"party\"", "faults.0: unknown variant `party`"),
        ("[\"meta-1\"]", "[\"meta-9\"]", "faults.0: there is no node `meta-9`"),
        ("[\"meta-1\"]", "[\"moose\"]", "faults.0: there is no node `moose`"),
        ("count = 2", "count = 0", "faults.1.count: what is counted"),
        ("after = \"elected\", ", "", "faults.1.times: it counts milestones"),
        ("servers = 3", "servers = 0", "topology.servers: 1 to 64"),
        ("snapshot_entries = 4", "snapshot_entries = 0", "knobs.snapshot_entries: it is 0"),
        ("snapshot_entries = 4", "snapshot_entries = \"4\"", "knobs.snapshot_entries: it is of another kind"),
        ("snapshot_entries = 4", "snapshots = 4", "knobs.snapshots: there is no such setting"),
        ("snapshot_entries = 4", "lease_ms = 400", "knobs.lease_ms: it is not below"),
        ("network.reset_ppm = 20", "network.reset_ppm = -1", "machine: "),
        ("\"mkdir /a as @1\"", "\"mkdir\"", "client.0.steps.0: `mkdir` needs a place"),
        ("\"create @1/x\"", "\"create @1/x as @1\"", "client: the label @1 is given twice"),
        ("[topology]", "[topology", "line 15: "),
        ("\"crash\", node", "\"sync-lies\", node", "faults.1"),
    ] {
        assert!(EXAMPLE.contains(from), "{from}");
        let line = Plan::from_text(&EXAMPLE.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(line.contains(words) && !line.contains('\n'), "{from} -> {to}: {line}");
    }
}

#[test]
fn faults_beyond_the_budget_are_refused_within_it() {
    let mut plan = example();
    let empty = |node: &str| PlannedFault {
        when: When::at(Duration::ZERO),
        fault: Fault::Empty { node: node.to_owned(), restart_ms: None },
    };
    plan.faults = vec![empty("meta-1"), empty("meta-1")];
    assert_eq!(plan.check(), Ok(()));
    plan.faults = vec![empty("meta-1"), empty("leader")];
    assert!(plan.check().unwrap_err().to_string().contains("may damage 2 of 3 voters"));
    plan.budget = Budget::Beyond;
    assert_eq!(plan.check(), Ok(()));
    plan.budget = Budget::Within;
    let swap = |left: &str, right: &str, for_ms| PlannedFault {
        when: When::at(Duration::ZERO),
        fault: Fault::SwapDisks { left: left.to_owned(), right: right.to_owned(), restart_ms: None, for_ms },
    };
    plan.topology.chunk_servers = 3;
    plan.faults = vec![swap("meta-1", "meta-2", None)];
    assert!(plan.check().unwrap_err().to_string().contains("may damage 2 of 3 voters"));
    // Disks that come back damage nobody, but what strikes them meanwhile may have struck either.
    plan.faults =
        vec![swap("meta-1", "chunk-2", Some(5)), swap("chunk-2", "meta-3", Some(5)), empty("chunk-1")];
    assert_eq!(plan.check(), Ok(()));
    plan.faults[2] = empty("meta-2");
    assert_eq!(plan.check(), Ok(()));
    plan.faults[2] = empty("chunk-2");
    assert!(plan.check().unwrap_err().to_string().contains("may damage 2 of 3 voters"));
    plan.faults[2] = empty("leader");
    assert!(plan.check().unwrap_err().to_string().contains("may damage 2 of 3 voters"));
    plan.faults = vec![PlannedFault {
        fault: Fault::Drift { node: "meta-1".to_owned(), ppm: 20_000 },
        ..empty("meta-1")
    }];
    assert!(plan.check().unwrap_err().to_string().contains("needs `budget = \"beyond\"`"));
}

/// Whatever stands in the file: a plan or one line, never a panic.
#[test]
fn no_text_makes_a_panic() {
    let texts = [EXAMPLE.to_owned(), Plan::swarm(11).to_text()];
    let mut refused = 0;
    for round in 0..3_000 {
        let mut dice = chance::stream(round, "fuzz", 0, 0);
        let mut bytes = dice.pick(&texts).clone().into_bytes();
        for _ in 0..dice.between(1, 4) {
            let at = dice.below(bytes.len() as u64) as usize;
            match dice.below(4) {
                0 => bytes[at] = *dice.pick(b"\"'[]{}=,.-@/%#\n 0123456789xems"),
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, dice.word() as u8),
                _ => {
                    let end = (at + dice.below(40) as usize).min(bytes.len());
                    bytes.drain(at..end);
                }
            }
        }
        if let Err(line) = Plan::from_text(&String::from_utf8_lossy(&bytes)) {
            refused += 1;
            assert!(!line.to_string().contains('\n'), "{line}");
        }
    }
    assert!(refused > 1_000, "{refused}");
}

#[test]
fn settings_go_back_to_their_usual_values_one_by_one() {
    let knobs = Knobs { lease_ms: 100, links_max: 3, ..Knobs::default() };
    let differences = Differences::of(&knobs, &Knobs::default());
    let names: Vec<String> = differences.lines().map(|(path, _)| path).collect();
    assert_eq!(names, ["lease_ms", "links_max"]);
    let kept: Knobs = differences.keep(|number| number == 1).unwrap();
    assert_eq!(kept, Knobs { links_max: 3, ..Knobs::default() });
}

#[test]
fn nodes_of_a_fault_are_renamed_wherever_it_names_them() {
    let planned = &example().faults[0];
    let other = planned.renamed(&|name| Some(name.replace("meta", "disk"))).unwrap();
    assert_eq!(other.nodes(), ["disk-1", "disk-2", "disk-3"]);
    assert_eq!(planned.renamed(&|name| (name != "meta-3").then(|| name.to_owned())), None);
}
