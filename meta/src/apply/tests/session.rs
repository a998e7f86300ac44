//! Exactly once.

use super::Shard;
use crate::command::{CommandKind, Effect, Reply};
use crate::state::{StateConfig, check};
use mooseng_core::id::{InodeId, ReplicaId, ServerId, SessionId};
use mooseng_core::namespace::{Answer, Caller, Name, Op, Refusal};

fn make(name: &str) -> Op {
    let name = Name::new(name.as_bytes().to_vec()).unwrap();
    Op::Create { parent: InodeId::ROOT, name, mode: 0, uid: 0, gid: 0 }
}

fn shard() -> Shard {
    Shard::new(StateConfig { session_window: 4, sessions_max: 3, ..Default::default() })
}

fn request(session: SessionId, sequence: u64, low_water: u64, op: Op) -> CommandKind {
    CommandKind::Mutate { session, sequence, low_water, slot: op.slot(), op, caller: Caller::ROOT }
}

#[test]
fn a_retry_is_answered_once_and_for_all() {
    let mut shard = shard();
    let session = shard.session;
    let first = shard.apply(5, request(session, 1, 1, make("a"))).reply;
    assert!(matches!(&first, Reply::Outcome { outcome: Ok(Answer::Attr(_)), index: 2 }));
    let refused = shard.apply(6, request(session, 2, 1, make("a"))).reply;
    assert_eq!(refused, Reply::Outcome { outcome: Err(Refusal::Exists), index: 3 });
    // The refused name becomes free, and yet the retry is refused as it was.
    let unlink = Op::Unlink { parent: InodeId::ROOT, name: Name::new(&b"a"[..]).unwrap() };
    let done = shard.apply(7, request(session, 3, 1, unlink.clone())).reply;
    assert_eq!(shard.apply(8, request(session, 2, 1, make("a"))).reply, refused);
    assert_eq!(shard.apply(8, request(session, 1, 1, make("a"))).reply, first);
    assert_eq!(shard.apply(9, request(session, 3, 1, unlink)).reply, done);
    shard.collect();
    assert_eq!(shard.state.inodes_count(), 1);
    assert_eq!(check(&shard.state), Ok(()));
}

#[test]
fn requests_may_arrive_in_any_order_within_the_window() {
    let mut shard = shard();
    let session = shard.session;
    for (sequence, name) in [(4, "d"), (2, "b"), (3, "c")] {
        let reply = shard.apply(1, request(session, sequence, 1, make(name))).reply;
        assert!(matches!(reply, Reply::Outcome { outcome: Ok(_), .. }), "{reply:?}");
    }
    assert_eq!(shard.apply(1, request(session, 5, 1, make("e"))).reply, Reply::TooManyInFlight);
    assert_eq!(shard.state.inodes_count(), 4);
    // The client has its answers up to 2: room for 5 and 6.
    let reply = shard.apply(1, request(session, 5, 3, make("e"))).reply;
    assert!(matches!(reply, Reply::Outcome { outcome: Ok(_), .. }));
    assert_eq!(shard.apply(1, request(session, 2, 1, make("b"))).reply, Reply::AnswerGone);
    assert_eq!(shard.apply(1, request(session, 1, 1, make("a"))).reply, Reply::AnswerGone);
    assert_eq!(shard.apply(1, request(session, 0, 0, make("z"))).reply, Reply::AnswerGone);
    assert_eq!(shard.state.answers.len(), 3);
    assert_eq!(check(&shard.state), Ok(()));
}

#[test]
fn a_mark_above_its_own_request_changes_nothing() {
    let mut shard = shard();
    let session = shard.session;
    shard.apply(1, request(session, 1, 1, make("a")));
    assert_eq!(shard.apply(1, request(session, 2, u64::MAX, make("b"))).reply, Reply::AnswerGone);
    let reply = shard.apply(1, request(session, 2, 2, make("b"))).reply;
    assert!(matches!(reply, Reply::Outcome { outcome: Ok(_), .. }));
    // The end of all numbers is a sequence like any other.
    let reply = shard.apply(1, request(session, u64::MAX, u64::MAX, make("c"))).reply;
    assert!(matches!(reply, Reply::Outcome { outcome: Ok(_), .. }));
    assert_eq!(shard.state.answers.len(), 1);
    assert_eq!(check(&shard.state), Ok(()));
}

#[test]
fn sessions_open_once_and_end_for_good() {
    let mut shard = shard();
    let first = shard.session;
    let open = |nonce: u8| CommandKind::OpenSession { nonce: [nonce; 16], caches: nonce == 2 };
    assert_eq!(shard.apply(1, open(1)).reply, Reply::Session { session: first });
    let opened = shard.apply(1, open(2));
    let Reply::Session { session: second } = opened.reply else { panic!("{opened:?}") };
    assert_eq!(opened.effects, [Effect::SessionOpened(second)]);
    shard.apply(1, open(3));
    assert_eq!(shard.apply(1, open(4)).reply, Reply::TooManySessions);

    shard.apply(2, request(second, 1, 1, make("a")));
    let closed = shard.apply(2, CommandKind::CloseSession { session: second });
    assert_eq!((closed.reply, closed.effects), (Reply::Done, vec![Effect::SessionEnded(second)]));
    assert_eq!(shard.state.answers.len(), 0);
    for _ in 0..2 {
        assert_eq!(shard.apply(3, request(second, 1, 1, make("a"))).reply, Reply::UnknownSession);
    }
    let again = shard.apply(4, CommandKind::ExpireSessions { sessions: vec![first, second, first] });
    assert_eq!((again.reply, again.effects), (Reply::Done, vec![Effect::SessionEnded(first)]));
    // A nonce of a session that ended opens another one.
    let Reply::Session { session } = shard.apply(5, open(2)).reply else { panic!("a session") };
    assert!(session > second);
    assert_eq!(check(&shard.state), Ok(()));
}

#[test]
fn replica_ids_are_allotted_once() {
    let mut shard = shard();
    let ask = |server, nonce: u8| CommandKind::AllotReplica { server: ServerId(server), nonce: [nonce; 16] };
    let first = shard.apply(1, ask(1, 1)).reply;
    assert_eq!(first, Reply::Replica { replica: ReplicaId(1_000) });
    assert_eq!(shard.apply(1, ask(1, 1)).reply, first);
    assert_eq!(shard.apply(1, ask(2, 1)).reply, Reply::Replica { replica: ReplicaId(1_001) });
    assert_eq!(shard.apply(1, ask(1, 2)).reply, Reply::Replica { replica: ReplicaId(1_002) });
    assert_eq!(check(&shard.state), Ok(()));
}
