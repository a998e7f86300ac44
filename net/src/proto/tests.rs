//! The bytes of messages on the wire, pinned: an older build reads them, or a newer one did not keep
//! its word. One message of each service, and a line of a log.

use super::{chunk, cluster, log, metadata, namespace, raft, rpc};
use bytes::Bytes;
use prost::Message;

fn hex(message: &impl Message) -> String {
    message.encode_to_vec().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn mkdir() -> namespace::Op {
    let mkdir = namespace::Mkdir {
        parent: 0x0100_0000_0000_0001,
        name: Bytes::from_static(b"etc"),
        mode: 0o755,
        uid: 0,
        gid: 100,
    };
    namespace::Op { kind: Some(namespace::op::Kind::Mkdir(mkdir)) }
}

#[test]
fn a_metadata_request() {
    let request = metadata::MutateRequest {
        session: 7,
        sequence: 300,
        low_water: 299,
        slot: 1317,
        slot_table_version: 1,
        op: Some(mkdir()),
        caller: Some(namespace::Caller { uid: 5, gid: 6, groups: vec![7, 300] }),
        ..metadata::MutateRequest::default()
    };
    assert_eq!(
        hex(&request),
        "080710ac0218ab0220a50a280132150a13090100000000000001120365746318ed0328643a09080510061a0307ac02"
    );
}

#[test]
fn a_metadata_reply() {
    let attr = namespace::Attr {
        inode: 0x0052_5000_0000_0001,
        kind: namespace::FileKind::Regular as i32,
        mode: 0o644,
        links: 1,
        uid: 1_000,
        gid: 100,
        size: 4_096,
        atime: 1,
        mtime: -1,
        ctime: 1_000_000_000,
        version: 9,
        class: 0x0000_0101,
        blocks: 8,
        rdev: 0,
    };
    let outcome = namespace::Outcome { kind: Some(namespace::outcome::Kind::Attr(attr)) };
    let reply = metadata::MutateReply { outcome: Some(outcome), index: 12, ..Default::default() };
    assert_eq!(
        hex(&reply),
        "0a3e123c090100000000505200100118a403200128e807306438802041010000000000000049ffffffffffffffff5100ca9a3b00000000580980018102880108100c"
    );
}

#[test]
fn a_raft_message() {
    let message = raft::RaftMessage {
        group: 1,
        source: 2,
        target: 3,
        payload: Bytes::from_static(b"opaque"),
        sent: 5_000_000_000,
        echo: 4_999_000_000,
        full: false,
    };
    assert_eq!(hex(&message), "08011002180322066f70617175652900f2052a0100000031c0aff62901000000");
}

#[test]
fn an_operators_reply() {
    let reply = cluster::JoinReplicaReply { replica: 4, index: 1_000 };
    assert_eq!(hex(&reply), "080410e807");
}

#[test]
fn a_part_on_its_way() {
    let request = chunk::PutPartRequest {
        server: 3,
        slice: 0x0052_5000_0000_0001,
        index: 2,
        offset: 4_096,
        sums: Bytes::from_static(&[1, 2, 3, 4]),
        seal: true,
        length: 4_100,
    };
    assert_eq!(hex(&request), "080311010000000050520018022080202a04010203043001388420");
}

#[test]
fn a_line_of_a_log() {
    let mutate = log::MutateCommand {
        session: 7,
        sequence: 300,
        low_water: 299,
        slot: 1317,
        op: Some(mkdir()),
        caller: None,
    };
    let record = log::CommandRecord {
        format: 1,
        time: 1_700_000_000_000_000_000,
        stamp: 0x018b_cfe5_6800_0000,
        region: 0,
        kind: Some(log::command_record::Kind::Mutate(mutate)),
    };
    assert_eq!(
        hex(&record),
        "08011100002a36fe9c97171900000068e5cf8b014a22080710ac0218ab0220a50a2a150a13090100000000000001120365746318ed032864"
    );
}

#[test]
fn hellos_and_refusals() {
    let hello =
        rpc::Hello { version_oldest: 1, version_newest: 2, build: "0.1.0".into(), ..rpc::Hello::default() };
    assert_eq!(hex(&hello), "080110021a05302e312e30");
    let hello = rpc::Hello { control: true, refusal: "no".into(), ..hello };
    assert_eq!(hex(&hello), "080110021a05302e312e3020012a026e6f");
    let detail = rpc::StatusDetail {
        code: rpc::StatusCode::NotLeader as i32,
        message: "no".into(),
        leader: "s2:9421".into(),
    };
    assert_eq!(hex(&detail), "080212026e6f1a0773323a39343231");
}

/// A field that a newer build added is passed over, not stumbled upon.
#[test]
fn unknown_fields_are_passed_over() {
    let mut bytes = cluster::JoinReplicaReply { replica: 4, index: 9 }.encode_to_vec();
    bytes.extend_from_slice(&[0xfa, 0x01, 0x03, b'n', b'e', b'w']);
    let read = cluster::JoinReplicaReply::decode(&bytes[..]);
    assert_eq!(read, Ok(cluster::JoinReplicaReply { replica: 4, index: 9 }));
}
