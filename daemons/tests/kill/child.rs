//! The process that is killed.
//!
//! Its lines: `begin`; `ack WRITER SEQUENCE POSITION`, of an append's first record, once it is
//! acknowledged; `release WRITER SEQUENCE`, before what lies below is released.

use crate::record::Head;
use crate::{JOURNAL, config};
use mooseng::machine::RealEnv;
use mooseng_core::chance::Dice;
use mooseng_core::env::Env;
use mooseng_storage::{Journal, Position, StreamId};
use std::collections::VecDeque;
use std::path::Path;

pub(crate) const WRITERS: u64 = 12;
/// A writer releases what lies this many appends behind.
const KEPT: usize = 40;

pub(crate) async fn append_for_ever(directory: &Path) {
    println!("begin");
    let env = RealEnv::start(directory).expect("a machine");
    let (journal, recovered) = Journal::open(&env, JOURNAL, config()).await.expect("the journal opens");
    let writers = (0..WRITERS).map(|writer| {
        let last = recovered.records.iter().rev().find(|record| record.stream == StreamId(writer));
        let next =
            last.map_or(0, |record| Head::read(&record.bytes).expect("it is one of ours").sequence + 1);
        write(env.clone(), journal.clone(), writer, next)
    });
    futures::future::join_all(writers).await;
}

/// Two appends are under way at any time.
async fn write(env: RealEnv, journal: Journal<RealEnv>, writer: u64, mut sequence: u64) {
    let stream = StreamId(writer);
    let mut dice = env.rng("appends", writer);
    let mut kept: VecDeque<(u64, Position)> = VecDeque::new();
    let mut before = None;
    loop {
        let first = sequence;
        let count = 1 + dice.below(3) as u32;
        let records = (0..count).map(|place| {
            let sequence = first + u64::from(place);
            Head { writer, sequence, place, count }.record()
        });
        let append = journal.append(stream, records.collect());
        sequence += u64::from(count);
        if let Some((first, append)) = before.replace((first, append)) {
            let position = append.await.expect("the append becomes durable");
            println!("ack {writer} {first} {position}");
            kept.push_back((first, position));
        }
        if kept.len() > KEPT
            && let Some((below, position)) = kept.pop_front()
        {
            println!("release {writer} {below}");
            journal.release(stream, position);
        }
    }
}
