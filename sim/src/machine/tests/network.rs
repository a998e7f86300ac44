//! What a network does to connections, and what each end learns of it, and when.

use super::super::{Fault, MachineConfig, NodeId, Sim, SimConn, SimEnv, SimReceiver, SimSender, Span};
use super::disk::create_durable;
use super::{LIMIT, frame, millis, world, world_of};
use bytes::Bytes;
use mooseng_core::env::{
    Address, Body, Clock, Conn, Env, File, Frame, FrameReceiver, FrameSender, Listener, Net, NetError, sleep,
    timeout,
};
use std::collections::BTreeSet;
use std::time::Duration;

const PORT: &str = "b:7";

async fn dial(env: &SimEnv) -> (SimSender, SimReceiver) {
    loop {
        match env.net().connect(&Address::new(PORT)).await {
            Ok(conn) => return conn.split(),
            Err(_) => sleep(env, millis(1)).await,
        }
    }
}

async fn accept(env: &SimEnv) -> (SimSender, SimReceiver) {
    let mut listener = env.net().listen(&Address::new(PORT)).await.unwrap();
    listener.accept().await.unwrap().conn.split()
}

/// Two connected nodes, `a` and `b`, and the halves that each holds.
struct Pair {
    sim: Sim,
    nodes: Vec<NodeId>,
    a: (SimSender, SimReceiver),
    b: (SimSender, SimReceiver),
}

fn pair_of(seed: u64, config: MachineConfig) -> Pair {
    let (mut sim, nodes) = world_of(seed, config, &["a", "b", "c"]);
    let (env, far) = (sim.env(nodes[0]), sim.env(nodes[1]));
    let (give, mut take) = futures::channel::oneshot::channel();
    sim.spawn(nodes[1], "accept", async move { drop(give.send(accept(&far).await)) });
    let a = sim.run(nodes[0], LIMIT, async move { dial(&env).await }).unwrap();
    sim.run_for(millis(5));
    let b = take.try_recv().unwrap().unwrap();
    Pair { sim, nodes, a, b }
}

fn pair(seed: u64) -> Pair {
    pair_of(seed, MachineConfig::calm())
}

fn text(received: Result<Option<mooseng_core::env::Received>, NetError>) -> Result<Option<String>, NetError> {
    received.map(|found| found.map(|frame| String::from_utf8(frame.head.to_vec()).unwrap()))
}

fn is_closed<T>(result: &Result<T, NetError>) -> bool {
    matches!(result, Err(NetError::Closed { .. }))
}

fn cut(source: &str, target: &str, for_ms: Option<u64>) -> Fault {
    Fault::Cut { source: source.into(), target: target.into(), for_ms }
}

#[test]
fn a_one_way_cut_is_silent_one_way_and_what_was_sent_arrives_after_it() {
    let Pair { mut sim, nodes, mut a, mut b } = pair(1);
    sim.apply(&cut("a", "b", Some(2_000))).unwrap();
    let (env, far) = (sim.env(nodes[0]), sim.env(nodes[1]));
    sim.spawn(nodes[0], "a", async move {
        for word in ["one", "two", "three"] {
            a.0.send(frame(word)).await.unwrap();
        }
        assert_eq!(text(a.1.recv().await), Ok(Some("passes".into())));
        assert!(env.true_time().as_nanos() < 200_000_000, "the other way is open");
        futures::future::pending::<()>().await;
    });
    let words = sim.run(nodes[1], LIMIT, async move {
        b.0.send(frame("passes")).await.unwrap();
        assert!(timeout(&far, millis(1_500), b.1.recv()).await.is_err(), "nothing comes through");
        let mut words = Vec::new();
        for _ in 0..3 {
            words.push(text(b.1.recv().await).unwrap().unwrap());
        }
        assert!(far.true_time().as_nanos() > 2_000_000_000);
        words
    });
    assert_eq!(words, Some(vec!["one".into(), "two".into(), "three".into()]));
}

#[test]
fn a_sender_gives_up_after_long_silence_and_the_other_end_learns_when_it_sends() {
    let Pair { mut sim, nodes, mut a, mut b } = pair(1);
    sim.apply(&cut("a", "b", None)).unwrap();
    let env = sim.env(nodes[0]);
    let gave_up = sim.run(nodes[0], LIMIT, async move {
        a.0.send(frame("lost")).await.unwrap();
        let found = a.1.recv().await;
        assert!(is_closed(&found), "{found:?}");
        assert!(is_closed(&a.0.send(frame("more")).await));
        env.true_time()
    });
    let seconds = gave_up.unwrap().as_nanos() / 1_000_000_000;
    assert_eq!(seconds, 8, "the configured silence");
    sim.heal();
    let far = sim.env(nodes[1]);
    sim.run(nodes[1], LIMIT, async move {
        let waited = timeout(&far, Duration::from_secs(60), b.1.recv()).await;
        assert!(waited.is_err(), "who only listens never learns");
        b.0.send(frame("are you there?")).await.unwrap();
        assert!(is_closed(&b.1.recv().await));
        assert!(is_closed(&b.0.send(frame("hello?")).await));
    })
    .unwrap();
}

/// What is sent arrives, but no acknowledgement comes back: to the sender that is silence too.
#[test]
fn a_sender_that_is_heard_and_not_answered_gives_up() {
    let Pair { mut sim, nodes, mut a, mut b } = pair(1);
    sim.apply(&cut("b", "a", None)).unwrap();
    let heard = sim.env(nodes[1]);
    sim.spawn(nodes[1], "b", async move {
        assert_eq!(text(b.1.recv().await), Ok(Some("can you hear me?".into())));
        assert!(heard.true_time().as_nanos() < 100_000_000);
        futures::future::pending::<()>().await;
    });
    let env = sim.env(nodes[0]);
    let gave_up = sim.run(nodes[0], LIMIT, async move {
        a.0.send(frame("can you hear me?")).await.unwrap();
        assert!(is_closed(&a.1.recv().await));
        env.true_time()
    });
    assert_eq!(gave_up.unwrap().as_nanos() / 1_000_000_000, 8);
}

#[test]
fn a_crash_leaves_the_other_end_half_open() {
    for restart_ms in [Some(50), None] {
        let Pair { mut sim, nodes, a, mut b } = pair(1);
        sim.apply(&Fault::Crash { node: "a".into(), restart_ms }).unwrap();
        drop(a);
        let far = sim.env(nodes[1]);
        let heard = sim.run(nodes[1], LIMIT, async move {
            let waited = timeout(&far, Duration::from_secs(30), b.1.recv()).await;
            assert!(waited.is_err(), "a crash says nothing");
            let begin = far.clock().now();
            b.0.send(frame("are you there?")).await.unwrap();
            assert!(is_closed(&b.1.recv().await));
            far.clock().now().since(begin)
        });
        let heard = heard.unwrap();
        match restart_ms {
            Some(_) => assert!(heard < millis(5), "a new kernel answers at once: {heard:?}"),
            None => assert!(heard >= Duration::from_secs(7), "nobody answers: {heard:?}"),
        }
    }
}

#[test]
fn a_killed_process_is_heard_of_at_once() {
    let Pair { mut sim, nodes, a, mut b } = pair(1);
    sim.apply(&Fault::Kill { node: "a".into(), restart_ms: None }).unwrap();
    drop(a);
    let found = sim.run(nodes[1], millis(10), async move { b.1.recv().await });
    assert!(is_closed(&found.unwrap()));
}

#[test]
fn connecting_is_refused_or_times_out() {
    let (mut sim, nodes) = world(1, &["a", "b", "c"]);
    let tries = |sim: &mut Sim| {
        let env = sim.env(nodes[0]);
        let begin = sim.now();
        let found = sim.run(nodes[0], LIMIT, async move {
            let found = env.net().connect(&Address::new(PORT)).await.map(drop);
            assert!(matches!(found, Err(NetError::Unreachable { .. })), "{found:?}");
            env.true_time()
        });
        found.unwrap().since(begin)
    };
    assert!(tries(&mut sim) < millis(2), "nobody listens");
    sim.apply(&Fault::Kill { node: "b".into(), restart_ms: None }).unwrap();
    assert!(tries(&mut sim) < millis(2), "its kernel answers");
    sim.apply(&Fault::Crash { node: "b".into(), restart_ms: None }).unwrap();
    let waited = tries(&mut sim);
    assert!((millis(2_990)..millis(3_010)).contains(&waited), "nobody answers: {waited:?}");
    sim.apply(&Fault::Restart { node: "b".into() }).unwrap();
    sim.apply(&cut("b", "a", None)).unwrap();
    assert!(tries(&mut sim) > millis(2_900), "the answer is lost");
}

#[test]
fn an_attempt_that_timed_out_leaves_the_acceptor_half_open() {
    let (mut sim, nodes) = world(1, &["a", "b"]);
    sim.apply(&cut("b", "a", None)).unwrap();
    let (env, far) = (sim.env(nodes[0]), sim.env(nodes[1]));
    sim.spawn(nodes[0], "dial", async move {
        assert!(env.net().connect(&Address::new(PORT)).await.is_err());
    });
    let control = sim.control().clone();
    let end = sim.run(nodes[1], LIMIT, async move {
        let mut halves = accept(&far).await;
        sleep(&far, Duration::from_secs(5)).await;
        control.heal();
        halves.0.send(frame("welcome")).await.unwrap();
        halves.1.recv().await
    });
    assert!(is_closed(&end.unwrap()));
}

#[test]
fn a_clog_delays_and_breaks_nothing() {
    let Pair { mut sim, nodes, mut a, mut b } = pair(1);
    let clog = Fault::Clog { source: "a".into(), target: "b".into(), for_ms: Some(60_000) };
    sim.apply(&clog).unwrap();
    sim.spawn(nodes[0], "a", async move {
        for index in 0..20 {
            a.0.send(frame(&index.to_string())).await.unwrap();
        }
        assert_eq!(text(a.1.recv().await), Ok(Some("all".into())));
    });
    let far = sim.env(nodes[1]);
    let when = sim.run(nodes[1], LIMIT, async move {
        for index in 0..20 {
            assert_eq!(text(b.1.recv().await), Ok(Some(index.to_string())));
        }
        b.0.send(frame("all")).await.unwrap();
        far.true_time()
    });
    let seconds = when.unwrap().as_nanos() / 1_000_000_000;
    assert_eq!(seconds, 60, "longer than any silence would have been borne");
}

#[test]
fn a_slow_link_takes_its_time_for_every_byte() {
    let Pair { mut sim, nodes, mut a, mut b } = pair(1);
    let slow = Fault::SlowLink {
        source: "a".into(),
        target: "b".into(),
        extra_us: 100_000,
        bytes_per_second: Some(1_000_000),
        for_ms: None,
    };
    sim.apply(&slow).unwrap();
    sim.spawn(nodes[0], "a", async move {
        let body = Body::Bytes(Bytes::from(vec![1; 500_000]));
        a.0.send(Frame { head: Bytes::new(), body }).await.unwrap();
        let _ = a.1.recv().await;
    });
    let begin = sim.now();
    let far = sim.env(nodes[1]);
    let when = sim.run(nodes[1], LIMIT, async move {
        assert_eq!(b.1.recv().await.unwrap().unwrap().body.len(), 500_000);
        far.true_time()
    });
    let took = when.unwrap().since(begin);
    assert!((millis(600)..millis(605)).contains(&took), "{took:?}");
}

#[test]
fn connections_overtake_one_another_and_none_itself() {
    let mut config = MachineConfig::calm();
    config.network.latency_jitter_ns = 5_000_000;
    let (mut sim, nodes) = world_of(1, config, &["a", "b"]);
    let (env, far) = (sim.env(nodes[0]), sim.env(nodes[1]));
    sim.spawn(nodes[0], "dials", async move {
        let mut all = Vec::new();
        for _ in 0..5 {
            all.push(dial(&env).await);
        }
        for index in 0..20 {
            for (sender, _) in &mut all {
                sender.send(frame(&index.to_string())).await.unwrap();
            }
            sleep(&env, millis(1)).await;
        }
        futures::future::pending::<()>().await;
    });
    let order = sim.run(nodes[1], LIMIT, async move {
        let (give, take) = futures::channel::mpsc::unbounded();
        let mut listener = far.net().listen(&Address::new(PORT)).await.unwrap();
        for number in 0..5 {
            let (_sender, mut receiver) = listener.accept().await.unwrap().conn.split();
            let give = give.clone();
            far.spawn("receive", async move {
                for _ in 0..20 {
                    let word = text(receiver.recv().await).unwrap().unwrap();
                    give.unbounded_send((number, word.parse::<u32>().unwrap())).unwrap();
                }
            });
        }
        drop(give);
        futures::StreamExt::collect::<Vec<_>>(take).await
    });
    let order = order.unwrap();
    for number in 0..5 {
        let own: Vec<u32> = order.iter().filter(|(of, _)| *of == number).map(|(_, index)| *index).collect();
        assert_eq!(own, (0..20).collect::<Vec<_>>());
    }
    let all: Vec<u32> = order.iter().map(|(_, index)| *index).collect();
    assert!(!all.is_sorted(), "some connection overtook another");
}

#[test]
fn a_damaged_frame_is_rubbish_and_ends_the_connection() {
    for seed in 0..20 {
        let Pair { mut sim, nodes, mut a, mut b } = pair(seed);
        let fault = Fault::Corrupt { source: "a".into(), target: "b".into(), frames: 1 };
        sim.apply(&fault).unwrap();
        sim.spawn(nodes[1], "b", async move {
            let found = b.1.recv().await;
            assert!(matches!(found, Err(NetError::Rubbish { .. })), "{found:?}");
            assert!(is_closed(&b.1.recv().await));
            assert!(is_closed(&b.0.send(frame("more")).await));
        });
        let end = sim.run(nodes[0], LIMIT, async move {
            a.0.send(frame("a frame")).await.unwrap();
            a.1.recv().await
        });
        assert!(is_closed(&end.unwrap()), "seed {seed}");
        assert_eq!(sim.stats().faults["corrupt"].struck, 1);
    }
}

/// Nobody looks at the bytes of an extent before their reader does, so damage to them arrives.
#[test]
fn damage_to_an_extent_is_for_its_reader_to_find() {
    let mut arrived = 0;
    for seed in 0..20 {
        let Pair { mut sim, nodes, mut a, mut b } = pair(seed);
        let fault = Fault::Corrupt { source: "a".into(), target: "b".into(), frames: 1 };
        sim.apply(&fault).unwrap();
        let env = sim.env(nodes[0]);
        sim.spawn(nodes[0], "a", async move {
            let extent = create_durable(&env, "f", 7, 4_096).await.extent(0, 4_096).await.unwrap();
            a.0.send(Frame { head: Bytes::from_static(b"head"), body: Body::Extent(extent) }).await.unwrap();
            let _ = a.1.recv().await;
        });
        match sim.run(nodes[1], LIMIT, async move { b.1.recv().await }).unwrap() {
            Ok(found) => {
                let found = found.unwrap();
                assert_eq!(&found.head[..], b"head");
                let flipped: u32 = found.body.iter().map(|byte| (byte ^ 7).count_ones()).sum();
                assert_eq!(flipped, 1, "seed {seed}");
                arrived += 1;
            }
            Err(error) => assert!(matches!(error, NetError::Rubbish { .. }), "{error}"),
        }
    }
    assert!(arrived > 10, "{arrived} of 20 arrived");
}

#[test]
fn some_frames_are_really_encoded() {
    let Pair { mut sim, nodes, mut a, mut b } = pair(1);
    sim.spawn(nodes[0], "a", async move {
        for index in 0..2_000 {
            a.0.send(frame(&index.to_string())).await.unwrap();
        }
        let _ = a.1.recv().await;
    });
    sim.run(nodes[1], LIMIT, async move {
        for index in 0..2_000 {
            assert_eq!(text(b.1.recv().await), Ok(Some(index.to_string())));
        }
    })
    .unwrap();
    let encoded = sim.stats().frames_encoded;
    assert!((10..70).contains(&encoded), "{encoded} of 2000");
}

#[test]
fn a_lost_connection_is_lost_for_both() {
    let Pair { mut sim, nodes, mut a, mut b } = pair(1);
    sim.apply(&Fault::Reset { left: "a".into(), right: "b".into() }).unwrap();
    assert!(is_closed(&sim.run(nodes[0], LIMIT, async move { a.1.recv().await }).unwrap()));
    assert!(is_closed(&sim.run(nodes[1], LIMIT, async move { b.0.send(frame("x")).await }).unwrap()));
}

/// One end has forgotten the connection and hears so at once; the other believes in it until it
/// sends, and then for as long as nothing tells it otherwise. New ones come about all the while.
#[test]
fn a_half_open_connection_is_found_out_by_whoever_sends() {
    for (silent, found_ms) in [(false, 0..10), (true, 8_000..8_010)] {
        let Pair { mut sim, nodes, mut a, mut b } = pair(1);
        sim.apply(&Fault::HalfOpen { source: "b".into(), target: "a".into(), silent }).unwrap();
        sim.run(nodes[1], millis(1), async move { assert!(is_closed(&b.1.recv().await)) }).unwrap();
        let env = sim.env(nodes[0]);
        let found = sim.run(nodes[0], LIMIT, async move {
            assert!(timeout(&env, millis(20_000), a.1.recv()).await.is_err(), "it hears nothing of it");
            let refused = env.net().connect(&Address::new(PORT)).await.err().unwrap();
            assert!(refused.to_string().contains("refused"), "the path is open: {refused}");
            let sent = env.clock().now();
            a.0.send(frame("are you there?")).await.unwrap();
            assert!(is_closed(&a.1.recv().await));
            assert!(is_closed(&a.0.send(frame("hello?")).await));
            env.clock().now().since(sent).as_millis()
        });
        assert!(found_ms.contains(&found.unwrap()), "silent {silent}: after {found:?} ms");
        assert_eq!(sim.stats().faults["half-open"].struck, 1);
    }
}

/// What was under way when it was forgotten is answered by a reset like anything later.
#[test]
fn what_meets_a_forgotten_connection_is_answered() {
    let Pair { mut sim, nodes, mut a, mut b } = pair(1);
    let sent = async move { a.0.send(frame("under way")).await.map(|()| a) };
    let mut a = sim.run(nodes[0], LIMIT, sent).unwrap().unwrap();
    sim.apply(&Fault::HalfOpen { source: "b".into(), target: "a".into(), silent: false }).unwrap();
    assert!(is_closed(&sim.run(nodes[0], millis(10), async move { a.1.recv().await }).unwrap()));
    assert!(is_closed(&sim.run(nodes[1], millis(10), async move { b.1.recv().await }).unwrap()));
}

#[test]
fn partitions_separate_groups_and_isolation_one_from_all() {
    let reach = |fault: Fault| {
        let (mut sim, nodes) = world(1, &["a", "b", "c"]);
        for node in &nodes {
            let env = sim.env(*node);
            sim.spawn(*node, "listen", async move {
                let address = Address::new(format!("{}:7", env.name()));
                let mut listener = env.net().listen(&address).await.unwrap();
                let mut kept: Vec<SimConn> = Vec::new();
                while let Ok(accepted) = listener.accept().await {
                    kept.push(accepted.conn);
                }
            });
        }
        sim.run_for(millis(1));
        sim.apply(&fault).unwrap();
        let mut reached = BTreeSet::new();
        for node in &nodes {
            for target in ["a", "b", "c"] {
                let env = sim.env(*node);
                let address = Address::new(format!("{target}:7"));
                let done = sim.run(*node, LIMIT, async move { env.net().connect(&address).await.is_ok() });
                if done == Some(true) {
                    reached.insert(format!("{}{target}", sim.name(*node)));
                }
            }
        }
        reached.into_iter().collect::<Vec<_>>().join(" ")
    };
    let names = |list: &[&str]| list.iter().map(|name| name.to_string()).collect();
    let partition = Fault::Partition { left: names(&["a"]), right: names(&["b"]), for_ms: None };
    assert_eq!(reach(partition), "aa ac bb bc ca cb cc");
    assert_eq!(reach(Fault::Isolate { node: "b".into(), for_ms: None }), "aa ac bb ca cc");
    assert_eq!(reach(cut("a", "b", None)), "aa ac bb bc ca cb cc", "the answer goes the other way");
}

#[test]
fn a_sleeping_machine_hears_everything_when_it_wakes() {
    let Pair { mut sim, nodes, mut a, mut b } = pair(1);
    sim.apply(&Fault::Suspend { node: "b".into(), for_ms: Some(3_000) }).unwrap();
    sim.spawn(nodes[0], "a", async move {
        a.0.send(frame("wake up")).await.unwrap();
        let _ = a.1.recv().await;
    });
    let far = sim.env(nodes[1]);
    let begin = far.clock().now();
    let seen = sim.run(nodes[1], LIMIT, async move {
        let first = far.clock().now();
        let word = text(b.1.recv().await);
        (first, word)
    });
    let (first, word) = seen.unwrap();
    assert_eq!(word, Ok(Some("wake up".into())));
    let slept = first.since(begin);
    assert!((millis(2_900)..millis(3_100)).contains(&slept), "its clock jumped: {slept:?}");
}

#[test]
fn a_frame_lost_to_chance_costs_the_connection_only() {
    let mut config = MachineConfig::calm();
    config.network.reset_ppm = 20_000;
    config.network.latency_base_ns = Span::new(1_000, 1_000);
    let Pair { mut sim, nodes, mut a, mut b } = pair_of(3, config);
    sim.spawn(nodes[1], "b", async move { while let Ok(Some(_)) = b.1.recv().await {} });
    let env = sim.env(nodes[0]);
    let sent = sim.run(nodes[0], LIMIT, async move {
        let mut sent = 0;
        while a.0.send(frame("x")).await.is_ok() {
            sent += 1;
            sleep(&env, millis(1)).await;
        }
        sent
    });
    assert!((1..2_000).contains(&sent.unwrap()), "{sent:?}");
    assert_eq!(sim.stats().faults["reset"].struck, 1);
}
