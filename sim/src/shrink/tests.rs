//! Made-up systems that fail on purpose: what is left is exactly what they need.

use super::*;
use crate::machine::Fault;
use crate::plan::{Action, PlannedFault, Step, When};

fn failure(oracle: &str) -> Failure {
    let (oracle, promise) = (oracle.to_owned(), "G1".to_owned());
    Failure { oracle, promise, at: Instant::ZERO, what: String::new(), operation: None, expected: None }
}

/// What a made-up system reports.
fn report(fails: Option<Failure>) -> Report {
    Report { failure: fails, ..Report::default() }
}

/// A plan with enough in it: many steps of several clients, faults, odd knobs.
fn large() -> Plan {
    let plan = (0..).map(Plan::swarm).find(|plan| {
        let clients = plan.clients.len() > 2 && plan.clients.iter().all(|steps| steps.len() > 8);
        clients && plan.faults.len() > 4 && plan.knobs != Knobs::default()
    });
    plan.expect("the swarm draws large plans")
}

fn is_rename(step: &Step) -> bool {
    matches!(step.action, Action::Rename { .. })
}

fn renames(plan: &Plan) -> usize {
    plan.clients.iter().flatten().filter(|step| is_rename(step)).count()
}

fn swarm_with_renames() -> Plan {
    (0..)
        .map(Plan::swarm)
        .find(|plan| renames(plan) > 10 && plan.faults.len() > 2)
        .expect("renames are drawn")
}

#[test]
fn what_the_failure_does_not_need_is_gone() {
    let plan = swarm_with_renames();
    let mut runs = 0;
    let mut attempt = |plan: &Plan| {
        runs += 1;
        report((renames(plan) >= 2 && !plan.faults.is_empty()).then(|| failure("linearizable")))
    };
    let small = shrink(&plan, &failure("linearizable"), &mut attempt);
    assert_eq!((renames(&small), small.faults.len(), small.events()), (2, 1, 3), "{}", small.to_text());
    assert_eq!((small.knobs, small.machine), (Knobs::default(), MachineConfig::calm()));
    assert_eq!((small.topology.servers, small.schedules.len()), (1, 1));
    assert!(small.clients.len() <= 2 && small.clients.iter().flatten().all(|step| step.wait.is_zero()));
    assert!(runs < 400, "{runs} runs");
}

#[test]
fn another_failure_does_not_count() {
    let plan = large();
    let mut attempt = |plan: &Plan| {
        let oracle = if plan.events() > 10 { "tree" } else { "durable" };
        report(Some(failure(oracle)))
    };
    assert_eq!(shrink(&plan, &failure("tree"), &mut attempt).events(), 11);
}

#[test]
fn a_candidate_may_fail_under_another_schedule() {
    let plan = large();
    let own = plan.schedules[0];
    // As events go away, the original schedule fails no more, and another one does.
    let mut attempt = |plan: &Plan| {
        let other = plan.schedules[0] != own;
        report((plan.events() > 6 || (other && plan.events() > 2)).then(|| failure("tree")))
    };
    let small = shrink(&plan, &failure("tree"), &mut attempt);
    assert_eq!((small.events(), small.schedules.len()), (3, 1));
    assert_ne!(small.schedules[0], own);
}

#[test]
fn knobs_that_matter_stay_and_all_others_go() {
    let mut plan = large();
    plan.knobs.snapshot_entries = 4;
    plan.machine.network.reset_ppm = 200;
    let mut attempt = |plan: &Plan| {
        let needed = plan.knobs.snapshot_entries == 4 && plan.machine.network.reset_ppm == 200;
        report(needed.then(|| failure("replicas")))
    };
    let small = shrink(&plan, &failure("replicas"), &mut attempt);
    let mut machine = MachineConfig::calm();
    machine.network.reset_ppm = 200;
    assert_eq!(small.knobs, Knobs { snapshot_entries: 4, ..Knobs::default() });
    assert_eq!((small.events(), small.machine), (0, machine));
}

#[test]
fn pairs_that_need_each_other_go_together() {
    let mut plan = Plan::quiet("pairs", 1);
    let steps = ["mkdir /a", "create /x", "rmdir /a", "unlink /x", "lookup /a"];
    plan.clients = vec![steps.iter().map(|step| step.parse().unwrap()).collect()];
    let count = |plan: &Plan, verb| {
        plan.clients.iter().flatten().filter(|step| step.to_string().starts_with(verb)).count()
    };
    // Only what is balanced fails.
    let mut attempt = |plan: &Plan| {
        let balanced = count(plan, "mkdir") == count(plan, "rmdir") && count(plan, "lookup") == 1;
        report(balanced.then(|| failure("tree")))
    };
    let small = shrink(&plan, &failure("tree"), &mut attempt);
    assert_eq!(small.clients, [vec!["lookup /a".parse::<Step>().unwrap()]]);
}

#[test]
fn the_same_plan_shrinks_to_the_same_and_within_its_runs() {
    let mut plan = large();
    while !plan.events().is_multiple_of(3) {
        plan.clients[0].pop();
    }
    let once = |runs_max| {
        let mut runs = 0;
        let mut attempt = |plan: &Plan| {
            runs += 1;
            report((plan.events().is_multiple_of(3) && plan.events() > 5).then(|| failure("tree")))
        };
        let effort = Effort { runs_max, schedules: 2 };
        (shrink_with(&plan, &failure("tree"), &mut attempt, effort), runs)
    };
    assert_eq!(once(500), once(500));
    let (small, runs) = once(7);
    assert_eq!(runs, 7);
    assert!(small.events() <= plan.events());
}

#[test]
fn clients_and_servers_that_go_take_their_faults_along() {
    let mut plan = Plan::quiet("cuts", 1);
    plan.topology.servers = 5;
    plan.clients = vec![Vec::new(); 3];
    let fault = |node: &str| crate::plan::PlannedFault {
        when: crate::plan::When::at(Duration::ZERO),
        fault: crate::machine::Fault::Kill { node: node.to_owned(), restart_ms: None },
    };
    plan.faults = ["client-1", "client-2", "client-3", "leader", "meta-4"].map(fault).to_vec();
    let names = |plan: &Plan| -> Vec<String> {
        plan.faults.iter().map(|planned| planned.nodes()[0].to_owned()).collect()
    };
    assert_eq!(names(&cuts::without_client(&plan, 1)), ["client-1", "client-2", "leader", "meta-4"]);
    assert_eq!(names(&cuts::with_servers(&plan, 3)), ["client-1", "client-2", "client-3", "leader"]);
}

#[test]
fn a_fault_that_counts_answers_strikes_where_it_did_when_some_go() {
    let mut plan = Plan::quiet("counts", 1);
    let steps = ["mkdir /a", "lookup /a", "create /x", "rmdir /a"];
    plan.clients = vec![steps.iter().map(|step| step.parse().unwrap()).collect()];
    let fault = crate::machine::Fault::Kill { node: "leader".to_owned(), restart_ms: None };
    let when = crate::plan::When::after(crate::plan::Milestone::Answered, 2);
    plan.faults = vec![crate::plan::PlannedFault { when, fault }];
    let came = Came {
        faults: vec![Some(Instant::from_nanos(25))],
        steps: vec![[0, 10, 20, 30].map(Instant::from_nanos).to_vec()],
    };
    let count = |gone: &[usize]| {
        let lowered = cuts::with_counts_lowered(&plan, &came, &gone.iter().copied().collect());
        lowered.faults[0].when.after.unwrap().1
    };
    assert_eq!([count(&[1]), count(&[2]), count(&[4]), count(&[1, 3])], [1, 2, 2, 1]);
}

#[test]
fn what_no_run_comes_to_goes_first() {
    let mut plan = Plan::quiet("end", 1);
    plan.clients =
        vec![["mkdir /a", "mkdir /b", "mkdir /c"].iter().map(|step| step.parse().unwrap()).collect()];
    let fault = |seconds| crate::plan::PlannedFault {
        when: crate::plan::When::at(Duration::from_secs(seconds)),
        fault: crate::machine::Fault::Restart { node: "meta-1".to_owned() },
    };
    plan.faults = vec![fault(1), fault(9)];
    let came = Came { faults: vec![Some(Instant::ZERO), None], steps: vec![vec![Instant::ZERO; 2]] };
    let cut = cuts::only_what_came(&plan, &came, Instant::from_nanos(1_000_000_001));
    assert_eq!((cut.faults.len(), cut.clients[0].len()), (1, 2));
    assert_eq!((cut.faults_end, cut.end), (Duration::from_millis(3_001), Duration::from_millis(13_001)));
}

fn steps(lines: &[&str]) -> Vec<Step> {
    lines.iter().map(|line| line.parse().unwrap()).collect()
}

#[test]
fn chunk_servers_that_do_not_matter_go_and_the_others_move_up() {
    let mut plan = Plan::quiet("chunk servers", 1);
    plan.topology = Topology { chunk_servers: 5, racks: 3, ..plan.topology };
    let crash = |node: &str| Fault::Crash { node: node.to_owned(), restart_ms: Some(7) };
    let at = |fault| PlannedFault { when: When::at(Duration::ZERO), fault };
    plan.faults = vec![at(crash("chunk-2")), at(crash("chunk-4"))];
    plan.clients = vec![steps(&["create /f", "put /f length=5", "put /g length=5", "get /g length=5"])];
    let mut attempt = |plan: &Plan| {
        let enough = plan.topology.chunk_servers >= 2 && plan.faults.len() == 2;
        let written =
            plan.clients.iter().flatten().any(|step| step.to_string() == "put /f offset=0 length=5");
        report((enough && written).then(|| failure("parts")))
    };
    let small = shrink(&plan, &failure("parts"), &mut attempt);
    assert_eq!((small.topology.chunk_servers, small.topology.racks), (2, 1));
    let struck: Vec<&str> = small.faults.iter().flat_map(|planned| planned.fault.nodes()).collect();
    assert_eq!(struck, ["chunk-1", "chunk-2"]);
    assert_eq!(small.events(), 3, "{}", small.to_text());
}

#[test]
fn spares_that_do_not_matter_go_with_what_is_done_to_them() {
    let mut plan = Plan::quiet("spares", 1);
    plan.topology.spares = 2;
    plan.clients =
        vec![steps(&["add-server meta-4", "remove-server meta-4", "add-server meta-5", "mkdir /a"])];
    let mut attempt = |plan: &Plan| {
        let made = plan.clients.iter().flatten().any(|step| step.to_string() == "mkdir /a");
        report(made.then(|| failure("tree")))
    };
    let small = shrink(&plan, &failure("tree"), &mut attempt);
    assert_eq!((small.topology.spares, small.topology.servers, small.events()), (0, 1, 1));
    plan.topology.servers = 5;
    plan.topology.spares = 1;
    plan.clients = vec![steps(&["add-server meta-6"])];
    let fewer = cuts::with_servers(&plan, 3);
    assert_eq!(fewer.clients, [steps(&["add-server meta-4"])]);
}
