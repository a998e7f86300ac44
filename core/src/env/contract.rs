//! What every machine promises: one suite, run against each of them. Knows no machine, so a case
//! sees only what logic sees, and waits only by the machine's own clock.
//!
//! A case is a function that panics when a promise is broken. A case *alone* is one future of one
//! node. A case of a *pair* is two futures of two nodes (or of one node twice), each run where it
//! belongs; both are given the address at which the first listens, and both must end. A machine
//! lists what it runs with [`contract_cases!`](crate::contract_cases):
//!
//! ```text
//! macro_rules! alone { ($name:ident, $case:path) => { #[test] fn $name() { run(|env| $case(env)) } } }
//! macro_rules! pair { ($name:ident, $listen:path, $dial:path) => { ... } }
//! mooseng_core::contract_cases!(alone, pair);
//! ```
//!
//! The data directory is empty when a case begins. What would not end is the machine's to stop.

pub mod clock;
pub mod close;
pub mod disk;
pub mod extent;
pub mod flow;
pub mod frames;
pub mod names;
pub mod ports;
pub mod task;

use super::{
    Address, Body, Clock, Conn, Disk, Env, File, Frame, Listener, Net, NetError, OpenMode, Received, sleep,
};
use bytes::Bytes;
use std::time::Duration;

type ExtentOf<E> = <<E as Env>::Disk as Disk>::Extent;
type FileOf<E> = <<E as Env>::Disk as Disk>::File;
type ConnOf<E> = <<E as Env>::Net as Net>::Conn;
type ListenerOf<E> = <<E as Env>::Net as Net>::Listener;
type SenderOf<E> = <ConnOf<E> as Conn>::Sender;
type ReceiverOf<E> = <ConnOf<E> as Conn>::Receiver;

/// Calls `$alone! { name, case }` or `$pair! { name, listening side, dialling side }` for each case.
#[macro_export]
macro_rules! contract_cases {
    ($alone:ident, $pair:ident) => {
        $crate::contract_cases! { @alone $alone,
            clock: time_only_grows, a_sleep_ends_at_its_deadline_or_later,
                a_deadline_that_has_passed_does_not_wait, sleeps_end_in_the_order_of_their_deadlines,
                a_dropped_sleep_wakes_nobody, the_end_of_time_may_be_waited_for;
            disk: what_was_written_is_read_back, a_read_is_short_only_where_the_file_ends,
                a_gap_reads_as_zeros, a_file_is_cut_and_lengthened, handles_share_one_file,
                buffers_are_owned, writes_side_by_side_keep_apart, a_large_write_is_whole,
                what_is_written_can_be_synced, a_durable_write_is_a_write,
                offsets_that_no_file_has_are_answers,
                space_adds_up;
            names: modes_say_what_must_be_there, missing_names_are_not_found, directories_nest,
                a_list_is_sorted, a_rename_replaces, a_rename_moves_between_directories,
                a_removed_file_lives_in_its_handles, a_directory_is_no_file,
                bad_paths_are_answers;
            extent: an_extent_lies_within_its_file, an_extent_knows_its_length;
            task: a_spawned_task_runs, spawned_tasks_run_side_by_side, computing_gives_the_result,
                streams_of_dice_are_told_apart, a_note_changes_nothing;
        }
        $crate::contract_cases! { @pair $pair,
            frames: frames_arrive_whole_and_in_order, the_largest_frame_passes,
                a_frame_too_large_is_refused_and_nothing_is_sent, what_is_sent_stays_the_callers,
                both_directions_flow_at_once, many_connections_live_at_once;
            flow: a_sender_waits_while_nobody_reads, a_dropped_recv_loses_no_frame,
                a_dropped_accept_loses_no_connection;
            close: a_dropped_sender_ends_one_direction, a_closed_connection_takes_no_more,
                a_send_dropped_midway_closes_the_connection;
            ports: a_port_of_zero_becomes_a_real_one, a_taken_address_is_refused,
                nobody_listening_is_unreachable, a_dropped_listener_is_gone_and_its_connections_live;
            extent: an_extent_arrives_as_it_was_written, an_extent_outlives_the_name_of_its_file,
                extents_and_bytes_share_a_connection, the_largest_extent_passes;
        }
    };
    (@alone $alone:ident, $($module:ident: $($case:ident),+;)+) => {
        $($($alone! { $case, $crate::env::contract::$module::$case })+)+
    };
    (@pair $pair:ident, $($module:ident: $($case:ident),+;)+) => {
        $($($pair! {
            $case,
            $crate::env::contract::$module::$case::listen,
            $crate::env::contract::$module::$case::dial
        })+)+
    };
}

const MILLISECOND: Duration = Duration::from_millis(1);
/// Long enough for what is under way to get stuck, if it ever does.
const A_WHILE: Duration = Duration::from_millis(100);
/// How often a side tries to reach the other one, which may not have begun to listen yet.
const TRIES_MAX: u32 = 1_000;

async fn listen_at<E: Env>(env: &E, address: &Address) -> ListenerOf<E> {
    env.net().listen(address).await.expect("the case's address can be listened at")
}

async fn accept_one<E: Env>(env: &E, address: &Address) -> (SenderOf<E>, ReceiverOf<E>) {
    accept_from::<E>(&mut listen_at(env, address).await).await
}

async fn accept_from<E: Env>(listener: &mut ListenerOf<E>) -> (SenderOf<E>, ReceiverOf<E>) {
    listener.accept().await.expect("a connection comes in").conn.split()
}

async fn dial_one<E: Env>(env: &E, address: &Address) -> (SenderOf<E>, ReceiverOf<E>) {
    for _ in 0..TRIES_MAX {
        match env.net().connect(address).await {
            Ok(conn) => return conn.split(),
            Err(NetError::Unreachable { .. }) => sleep(env, 10 * MILLISECOND).await,
            Err(other) => panic!("a connection is made, or the far end is unreachable, not: {other}"),
        }
    }
    panic!("{address} was never listened at")
}

/// A file of its own with these bytes.
async fn file_of<E: Env>(env: &E, path: &str, bytes: Bytes) -> FileOf<E> {
    let file = env.disk().open(path, OpenMode::New).await.expect("a new file opens");
    file.write_at(0, bytes).await.expect("the disk takes bytes");
    file
}

/// Bytes that differ at every offset and from those of another key, so that nothing misplaced
/// looks right.
fn pattern(key: u64, len: usize) -> Bytes {
    let word = |index: u64| crate::chance::mix(key << 32 | index).to_le_bytes();
    let mut bytes: Vec<u8> = (0..len.div_ceil(8) as u64).flat_map(word).collect();
    bytes.truncate(len);
    Bytes::from(bytes)
}

fn frame<E: Env>(head: impl Into<Bytes>, body: Bytes) -> Frame<ExtentOf<E>> {
    let body = if body.is_empty() { Body::Empty } else { Body::Bytes(body) };
    Frame { head: head.into(), body }
}

/// The sizes (of head and body) at which framing goes wrong, if it does.
const SIZES: [(usize, usize); 10] = [
    (0, 0),
    (1, 0),
    (0, 1),
    (7, 9),
    (24, 24),
    (4_096, 1),
    (100, 65_536),
    (1, 1_000_003),
    (65_537, 65_535),
    (3, 3),
];

/// The frame that is sent as number `index`, as it must arrive.
fn expected(index: usize) -> Received {
    let (head, body) = SIZES[index % SIZES.len()];
    let key = index as u64 + 1;
    Received { head: pattern(key, head), body: pattern(key << 16, body) }
}

fn sent<E: Env>(index: usize) -> Frame<ExtentOf<E>> {
    let Received { head, body } = expected(index);
    frame::<E>(head, body)
}

/// Compares without printing megabytes.
fn assert_same(found: &Bytes, wanted: &Bytes, what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}: the length");
    let differs = found.iter().zip(wanted.iter()).position(|(found, wanted)| found != wanted);
    assert_eq!(differs, None, "{what}: the first byte that differs");
}

fn assert_received(found: Result<Option<Received>, NetError>, wanted: &Received, what: &str) {
    let found = found.unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = found.unwrap_or_else(|| panic!("{what}: the connection ended before it"));
    assert_same(&found.head, &wanted.head, &format!("{what}: head"));
    assert_same(&found.body, &wanted.body, &format!("{what}: body"));
}
