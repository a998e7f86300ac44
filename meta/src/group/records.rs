//! What a group writes to the journal. The journal keeps and checks the bytes; what they say is
//! known only here.
//!
//! ```text
//!  u8 version (1) | u8 kind | body
//!
//!  kind 1, checkpoint: u64 group | u64 replica | hard state | u64 index | u64 term | u32 n | members
//!  kind 2, append:     hard state | u64 first index | u32 count | count of entry
//!  kind 3, fenced:     the reason, in words
//!  kind 4, installed:  as a checkpoint
//!
//!  hard state: u64 term | u64 vote | u64 commit
//!  entry:      u8 kind | u64 term | u32 n | context | u32 n | data
//! ```
//!
//! A checkpoint says: the state as of (index, term) is durable elsewhere, entries up to it are not
//! needed. It repeats who the replica is and what it promised, so everything before it may go.
//! An installed one says so of a state that came from elsewhere: entries before it are of no use,
//! wherever they stand in the log.
//!
//! Every record that holds entries holds the commit index as it was known then: a replica that
//! comes back must know that a configuration was committed if it holds the entry of the next one.

use super::members::Members;
use super::wire::{Malformed, Reader, malformed, put_string};
use bytes::Bytes;
use mooseng_core::id::{GroupId, ReplicaId};
use raft::eraftpb::{Entry, EntryType, HardState};

const VERSION: u8 = 1;
const CHECKPOINT: u8 = 1;
const APPEND: u8 = 2;
const FENCED: u8 = 3;
const INSTALLED: u8 = 4;

/// The most entries one record may hold.
const RECORD_ENTRIES_MAX: usize = 1 << 16;
/// What a record of entries costs beside them, and an entry beside its context and data.
pub const APPEND_BYTES: usize = 38;
pub const ENTRY_BYTES: usize = 17;

#[derive(Clone, PartialEq, Debug)]
pub struct Checkpoint {
    pub group: GroupId,
    pub replica: ReplicaId,
    pub hard_state: HardState,
    /// The last entry that the durable state holds.
    pub index: u64,
    pub term: u64,
    pub members: Members,
    /// The state came from another replica: the log before it is void.
    pub installed: bool,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Record {
    Checkpoint(Checkpoint),
    Append { hard_state: HardState, entries: Vec<Entry> },
    Fenced { reason: String },
}

fn begin(kind: u8, bytes: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes + 2);
    out.extend_from_slice(&[VERSION, kind]);
    out
}

fn put_hard_state(out: &mut Vec<u8>, hard_state: &HardState) {
    for number in [hard_state.term, hard_state.vote, hard_state.commit] {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

pub fn encode_checkpoint(checkpoint: &Checkpoint) -> Bytes {
    let members = checkpoint.members.encode();
    let kind = if checkpoint.installed { INSTALLED } else { CHECKPOINT };
    let mut out = begin(kind, 64 + members.len());
    out.extend_from_slice(&checkpoint.group.0.to_le_bytes());
    out.extend_from_slice(&checkpoint.replica.0.to_le_bytes());
    put_hard_state(&mut out, &checkpoint.hard_state);
    out.extend_from_slice(&checkpoint.index.to_le_bytes());
    out.extend_from_slice(&checkpoint.term.to_le_bytes());
    put_string(&mut out, &members);
    out.into()
}

/// Cuts entries into as many runs as there must be records of so many bytes: one at least, so that a
/// hard state is written alone.
pub fn runs(entries: &[Entry], bytes_max: usize) -> Vec<&[Entry]> {
    let mut runs = Vec::with_capacity(1);
    let (mut start, mut bytes) = (0, APPEND_BYTES);
    for (at, entry) in entries.iter().enumerate() {
        let more = ENTRY_BYTES + entry.context.len() + entry.data.len();
        if at > start && (bytes + more > bytes_max || at - start >= RECORD_ENTRIES_MAX) {
            runs.push(&entries[start..at]);
            (start, bytes) = (at, APPEND_BYTES);
        }
        bytes += more;
    }
    runs.push(&entries[start..]);
    runs
}

/// The entries must follow one another. What is not yet written of the log cannot be committed for
/// this record: it is true without those after it.
pub fn encode_append(hard_state: &HardState, entries: &[Entry]) -> Bytes {
    assert!(entries.len() <= RECORD_ENTRIES_MAX, "{} entries in one record", entries.len());
    let first = entries.first().map_or(0, |entry| entry.index);
    let payload: usize =
        entries.iter().map(|entry| ENTRY_BYTES + entry.context.len() + entry.data.len()).sum();
    let mut out = begin(APPEND, APPEND_BYTES - 2 + payload);
    put_hard_state(&mut out, hard_state);
    out.extend_from_slice(&first.to_le_bytes());
    out.extend_from_slice(&(entries.len() as u32).to_le_bytes());
    for (offset, entry) in entries.iter().enumerate() {
        assert_eq!(entry.index, first + offset as u64, "a record's entries follow one another");
        out.push(entry.get_entry_type() as u8);
        out.extend_from_slice(&entry.term.to_le_bytes());
        put_string(&mut out, &entry.context);
        put_string(&mut out, &entry.data);
    }
    out.into()
}

pub fn encode_fenced(reason: &str) -> Bytes {
    let mut out = begin(FENCED, reason.len());
    out.extend_from_slice(reason.as_bytes());
    out.into()
}

/// Is this a record that this build can know? What a newer one wrote is no damage, and nothing may be
/// concluded from it. Says what it is instead.
pub fn known(bytes: &[u8]) -> Result<(), String> {
    match bytes {
        [VERSION, CHECKPOINT..=INSTALLED, ..] => Ok(()),
        [VERSION, kind, ..] => {
            Err(format!("this record is of kind {kind}, which this program does not know"))
        }
        [version, ..] => {
            Err(format!("this record has format version {version}, and this program knows {VERSION}"))
        }
        [] => Err("this record is empty, which this program does not know".into()),
    }
}

pub fn decode(bytes: Bytes) -> Result<Record, Malformed> {
    let mut reader = Reader::new(bytes);
    match reader.byte("record.version")? {
        VERSION => {}
        other => return malformed("record.version", format!("{other} is unknown, {VERSION} is known")),
    }
    match reader.byte("record.kind")? {
        CHECKPOINT => decode_checkpoint(reader, false),
        INSTALLED => decode_checkpoint(reader, true),
        APPEND => decode_append(reader),
        FENCED => {
            let reason = String::from_utf8_lossy(&reader.rest()).into_owned();
            Ok(Record::Fenced { reason })
        }
        other => malformed("record.kind", format!("{other} is unknown")),
    }
}

fn decode_hard_state(reader: &mut Reader) -> Result<HardState, Malformed> {
    let mut hard_state = HardState::default();
    hard_state.set_term(reader.long("record.term")?);
    hard_state.set_vote(reader.long("record.vote")?);
    hard_state.set_commit(reader.long("record.commit")?);
    Ok(hard_state)
}

fn decode_checkpoint(mut reader: Reader, installed: bool) -> Result<Record, Malformed> {
    let group = GroupId(reader.long("checkpoint.group")?);
    let replica = ReplicaId(reader.long("checkpoint.replica")?);
    let hard_state = decode_hard_state(&mut reader)?;
    let index = reader.long("checkpoint.index")?;
    let term = reader.long("checkpoint.term")?;
    let members = Members::decode(reader.string("checkpoint.members")?)?;
    reader.end("checkpoint")?;
    if replica.0 == 0 {
        return malformed("checkpoint.replica", "0 is nobody");
    }
    Ok(Record::Checkpoint(Checkpoint { group, replica, hard_state, index, term, members, installed }))
}

fn decode_append(mut reader: Reader) -> Result<Record, Malformed> {
    let hard_state = decode_hard_state(&mut reader)?;
    let first = reader.long("append.first")?;
    let count = reader.word("append.count")? as usize;
    if count > RECORD_ENTRIES_MAX || first > super::check::NUMBER_MAX {
        return malformed("append.count", format!("{count} entries from {first}"));
    }
    let mut entries = Vec::with_capacity(count.min(1024));
    for offset in 0..count as u64 {
        let mut entry = Entry::default();
        entry.set_entry_type(match reader.byte("entry.kind")? {
            0 => EntryType::EntryNormal,
            1 => EntryType::EntryConfChange,
            2 => EntryType::EntryConfChangeV2,
            other => return malformed("entry.kind", format!("{other} is unknown")),
        });
        entry.set_index(first + offset);
        entry.set_term(reader.long("entry.term")?);
        entry.set_context(reader.string("entry.context")?);
        entry.set_data(reader.string("entry.data")?);
        entries.push(entry);
    }
    reader.end("append")?;
    Ok(Record::Append { hard_state, entries })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mooseng_core::env::Address;
    use mooseng_core::id::ServerId;

    fn hard_state() -> HardState {
        let mut hard_state = HardState::default();
        hard_state.set_term(7);
        hard_state.set_vote(2);
        hard_state.set_commit(40);
        hard_state
    }

    fn samples() -> [(Bytes, Record); 4] {
        let members = Members::genesis(&[(ReplicaId(3), ServerId(1), Address::new("a:1"))]);
        let checkpoint = Checkpoint {
            group: GroupId(1),
            replica: ReplicaId(3),
            hard_state: hard_state(),
            index: 39,
            term: 6,
            members,
            installed: false,
        };
        let install = Checkpoint { installed: true, ..checkpoint.clone() };
        let mut entry = Entry::default();
        entry.set_index(41);
        entry.set_term(7);
        entry.set_data(Bytes::from_static(b"data"));
        entry.set_context(Bytes::from_static(b"ctx"));
        let mut next = Entry::default();
        next.set_entry_type(EntryType::EntryConfChangeV2);
        next.set_index(42);
        next.set_term(7);
        let entries = vec![entry, next];
        let append = encode_append(&hard_state(), &entries);
        [
            (encode_checkpoint(&checkpoint), Record::Checkpoint(checkpoint)),
            (append, Record::Append { hard_state: hard_state(), entries }),
            (encode_checkpoint(&install), Record::Checkpoint(install)),
            (encode_fenced("why"), Record::Fenced { reason: "why".into() }),
        ]
    }

    #[test]
    fn records_come_back_as_they_were() {
        for (bytes, record) in samples() {
            assert_eq!(decode(bytes), Ok(record));
        }
    }

    /// These bytes are on disks.
    #[test]
    fn the_bytes_are_pinned() {
        let hex = |bytes: &Bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let append = &samples()[1].0;
        assert_eq!(
            hex(append),
            "01020700000000000000020000000000000028000000000000002900000000000000020000000007000000\
             00000000030000006374780400000064617461020700000000000000000000000000000 0"
                .replace(' ', "")
        );
    }

    #[test]
    fn long_runs_of_entries_are_cut() {
        let entry = |index| {
            let mut entry = Entry::default();
            entry.set_index(index);
            entry.set_data(Bytes::from_static(&[7; 100]));
            entry
        };
        let entries: Vec<Entry> = (1..=10).map(entry).collect();
        let lengths = |bytes_max| runs(&entries, bytes_max).iter().map(|run| run.len()).collect::<Vec<_>>();
        assert_eq!(lengths(APPEND_BYTES + 4 * 117), [4, 4, 2]);
        assert_eq!(lengths(1), [1; 10]);
        assert_eq!(runs(&[], 1), [&[] as &[Entry]]);
    }

    #[test]
    fn bytes_cut_short_are_an_error() {
        for (bytes, _) in &samples()[..3] {
            for cut in 0..bytes.len() {
                assert!(decode(bytes.slice(..cut)).is_err(), "cut at {cut}");
            }
        }
        assert!(decode(Bytes::from_static(&[2, 1])).is_err(), "a version of the future");
        assert_eq!(known(&encode_fenced("why")), Ok(()));
        let version = "this record has format version 2, and this program knows 1";
        assert_eq!(known(&[2, 1]), Err(version.to_owned()));
        assert_eq!(
            known(&[1, 5]),
            Err("this record is of kind 5, which this program does not know".to_owned())
        );
        assert!(known(&[]).is_err() && known(&[1, 0]).is_err());
    }
}
