//! Every limit of the cluster that a seed draws, small values included, so that boundaries are
//! crossed. The machine has its own knobs.

use super::data::DataKnobs;
use mooseng_core::chance::Dice;
use mooseng_core::namespace::LINKS_MAX;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

/// Who takes part. Clients are counted by what they do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Topology {
    /// Voters of the group from the start.
    pub servers: u32,
    /// Servers that stand by to replace one that lost its state.
    pub spares: u32,
    /// Chunk servers, and how many racks they are spread over in turn.
    pub chunk_servers: u32,
    pub racks: u32,
    /// Clients are mounts, of which one does something at a time; otherwise each goes about its steps with a
    /// session of its own.
    pub mounts: bool,
}

impl Default for Topology {
    fn default() -> Self {
        Self { servers: 3, spares: 0, chunk_servers: 0, racks: 1, mounts: false }
    }
}

impl Topology {
    /// How many voters may be lost for good.
    pub fn minority(&self) -> u32 {
        self.servers.saturating_sub(1) / 2
    }
}

/// See the module. The defaults are those of the daemons, but for the journal: zeros for whole
/// segments would be most of what a run does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Knobs {
    pub segment_bytes: u64,
    pub batch_bytes_max: u64,
    pub journal_queue_bytes_max: u64,
    pub sector_bytes: u32,

    pub tick_ms: u64,
    pub heartbeat_ticks: u32,
    pub election_ms_min: u64,
    pub election_ms_max: u64,
    pub lease_ms: u64,
    /// Reads by the leader's lease; otherwise each asks a quorum.
    pub lease_reads: bool,
    pub message_bytes_max: u64,
    pub inflight_messages_max: u32,
    /// A snapshot is taken when the log holds this many applied entries.
    pub snapshot_entries: u64,
    pub snapshot_chunk_bytes: u64,
    pub pinned_bytes_max: u64,

    pub session_lifetime_ms: u64,
    pub deadline_ms: u64,
    pub answers_max: u32,
    /// Changes that a client has in flight at most, whatever the servers keep answers for, and steps
    /// that it does at once.
    pub client_window: u32,
    pub client_hands: u32,
    /// How many of the clients keep what they are told: the first ones.
    pub clients_caching: u32,
    /// How long what they keep may be believed, how long they wait for recalls, and how long nobody
    /// keeps what was recalled.
    pub kept_ms: u64,
    pub recalls_wait_ms: u64,
    pub contended_ms: u64,

    pub sessions_max: u64,
    /// Requests that may wait for a group's task, or be under way in it, and messages that may wait.
    pub requests_max: u32,
    pub messages_max: u32,

    /// Of one server: connections of clients, their calls under way, and one-way calls of servers.
    pub rpc_connections_max: u32,
    pub rpc_calls_max: u32,
    pub rpc_notices_max: u32,
    /// Frames that may wait to be sent to one peer.
    pub rpc_queue_frames_max: u32,

    pub links_max: u32,
    /// Bits of a name's hash in its cookie; few make names collide.
    pub name_hash_bits: u32,
    /// The first inode number that is given out, so that a run can begin near 2^32, or
    /// near the last there is.
    pub inode_start: u64,

    /// Of the way that data takes; without chunk servers they mean nothing.
    pub data: DataKnobs,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            segment_bytes: 4 << 20,
            batch_bytes_max: 1 << 20,
            journal_queue_bytes_max: 16 << 20,
            sector_bytes: 4096,
            tick_ms: 50,
            heartbeat_ticks: 2,
            election_ms_min: 400,
            election_ms_max: 700,
            lease_ms: 340,
            lease_reads: true,
            message_bytes_max: 128 << 10,
            inflight_messages_max: 64,
            snapshot_entries: 10_000,
            snapshot_chunk_bytes: 1 << 18,
            pinned_bytes_max: 64 << 20,
            session_lifetime_ms: 60_000,
            deadline_ms: 10_000,
            answers_max: 1_024,
            client_window: 128,
            client_hands: 1,
            clients_caching: 0,
            kept_ms: 5_000,
            recalls_wait_ms: 250,
            contended_ms: 1_000,
            sessions_max: 100_000,
            requests_max: 4_096,
            messages_max: 4_096,
            rpc_connections_max: 4_096,
            rpc_calls_max: 8_192,
            rpc_notices_max: 8_192,
            rpc_queue_frames_max: 4_096,
            links_max: LINKS_MAX,
            name_hash_bits: 55,
            inode_start: 2,
            data: DataKnobs::default(),
        }
    }
}

impl Knobs {
    /// Each from what it may be, its default the likeliest. Timings stay in proportion: a lease
    /// that outlives an election timeout is no configuration but a mistake.
    pub(super) fn draw(dice: &mut impl Dice) -> Self {
        let usual = Self::default();
        // Servers that can do little at once, whose clients have to wait, or clients that do not wait.
        let cramped = dice.chance(400_000);
        let mut room = |small: &[u32], usual| if cramped { *dice.pick(small) } else { usual };
        let requests_max = room(&[2, 16, usual.requests_max], usual.requests_max);
        let rpc_connections_max = room(&[3, 12, usual.rpc_connections_max], usual.rpc_connections_max);
        let rpc_calls_max = room(&[1, 2, 16], usual.rpc_calls_max);
        let deadline_ms = *dice.pick(&[500, 2_000, usual.deadline_ms]);
        let patient = cramped || deadline_ms == usual.deadline_ms;
        let hands = *dice.pick(&[1, 1, 2, 8]);
        Self {
            segment_bytes: *dice.pick(&[16 << 10, 64 << 10, 256 << 10, usual.segment_bytes]),
            batch_bytes_max: *dice.pick(&[4 << 10, 64 << 10, usual.batch_bytes_max]),
            journal_queue_bytes_max: *dice.pick(&[64 << 10, 1 << 20, usual.journal_queue_bytes_max]),
            sector_bytes: *dice.pick(&[512, 4096, 4096]),
            tick_ms: usual.tick_ms,
            heartbeat_ticks: usual.heartbeat_ticks,
            election_ms_min: usual.election_ms_min,
            election_ms_max: usual.election_ms_max,
            lease_ms: *dice.pick(&[100, usual.lease_ms, usual.lease_ms]),
            lease_reads: dice.chance(750_000),
            message_bytes_max: *dice.pick(&[1, 4 << 10, usual.message_bytes_max]),
            inflight_messages_max: *dice.pick(&[1, 4, usual.inflight_messages_max]),
            snapshot_entries: *dice.pick(&[4, 16, 64, usual.snapshot_entries]),
            snapshot_chunk_bytes: *dice.pick(&[1 << 10, 4 << 10, usual.snapshot_chunk_bytes]),
            pinned_bytes_max: *dice.pick(&[256 << 10, 1 << 20, usual.pinned_bytes_max]),
            session_lifetime_ms: *dice.pick(&[2_000, 5_000, usual.session_lifetime_ms]),
            deadline_ms: if cramped { usual.deadline_ms } else { deadline_ms },
            answers_max: *dice.pick(&[4, 64, usual.answers_max]),
            client_window: *dice.pick(&[2, 4, usual.client_window]),
            // Hands are in each other's way.
            client_hands: if patient { hands } else { 1 },
            clients_caching: usual.clients_caching,
            kept_ms: usual.kept_ms,
            recalls_wait_ms: usual.recalls_wait_ms,
            contended_ms: usual.contended_ms,
            sessions_max: usual.sessions_max,
            requests_max,
            messages_max: *dice.pick(&[16, usual.messages_max]),
            rpc_connections_max,
            rpc_calls_max,
            rpc_notices_max: *dice.pick(&[2, usual.rpc_notices_max]),
            rpc_queue_frames_max: *dice.pick(&[2, 16, usual.rpc_queue_frames_max]),
            links_max: *dice.pick(&[3, 4, usual.links_max, usual.links_max]),
            name_hash_bits: *dice.pick(&[0, 2, usual.name_hash_bits]),
            inode_start: *dice.pick(&[usual.inode_start, (1 << 32) - 8, (1 << 44) - 8]),
            data: usual.data,
        }
    }

    /// How many of so many clients keep what they are told, and for how long: in half of all runs some
    /// do.
    pub(super) fn draw_caching(&mut self, clients: u64, ordinary: bool, dice: &mut impl Dice) {
        if dice.chance(500_000) {
            return;
        }
        self.clients_caching = dice.between(1, clients.max(1)) as u32;
        if ordinary {
            return;
        }
        self.kept_ms = *dice.pick(&[100, 1_000, self.kept_ms]);
        self.recalls_wait_ms = *dice.pick(&[20, 100, self.recalls_wait_ms]);
        self.contended_ms = *dice.pick(&[0, 0, 50, self.contended_ms]);
    }

    /// The first thing about them that cannot be, with the remedy.
    pub(super) fn check(&self) -> Result<(), String> {
        let at_least_one = [
            ("segment_bytes", self.segment_bytes),
            ("batch_bytes_max", self.batch_bytes_max),
            ("journal_queue_bytes_max", self.journal_queue_bytes_max),
            ("sector_bytes", u64::from(self.sector_bytes)),
            ("tick_ms", self.tick_ms),
            ("heartbeat_ticks", u64::from(self.heartbeat_ticks)),
            ("inflight_messages_max", u64::from(self.inflight_messages_max)),
            ("snapshot_entries", self.snapshot_entries),
            ("snapshot_chunk_bytes", self.snapshot_chunk_bytes),
            ("session_lifetime_ms", self.session_lifetime_ms),
            ("deadline_ms", self.deadline_ms),
            ("answers_max", u64::from(self.answers_max)),
            ("client_window", u64::from(self.client_window)),
            ("client_hands", u64::from(self.client_hands)),
            ("kept_ms", self.kept_ms),
            ("sessions_max", self.sessions_max),
            ("requests_max", u64::from(self.requests_max)),
            ("messages_max", u64::from(self.messages_max)),
            ("rpc_connections_max", u64::from(self.rpc_connections_max)),
            ("rpc_calls_max", u64::from(self.rpc_calls_max)),
            ("rpc_notices_max", u64::from(self.rpc_notices_max)),
            ("rpc_queue_frames_max", u64::from(self.rpc_queue_frames_max)),
        ];
        self.data.check()?;
        if let Some((name, _)) = at_least_one.iter().find(|(_, value)| *value == 0) {
            return Err(format!("knobs.{name}: it is 0, and has to be at least 1"));
        }
        if !(2..=1 << 44).contains(&self.inode_start) {
            return Err("knobs.inode_start: 1 is the root's number: 2 to 2^44".to_owned());
        }
        if self.name_hash_bits > 60 {
            return Err("knobs.name_hash_bits: a cookie has no room for more than 60: lower it".to_owned());
        }
        if self.links_max < 3 {
            return Err("knobs.links_max: a root with one directory has 3 links: at least 3".to_owned());
        }
        if self.election_ms_min > self.election_ms_max {
            return Err("knobs.election_ms_min: it is above election_ms_max: lower it".to_owned());
        }
        let heartbeat_ms = self.tick_ms.saturating_mul(u64::from(self.heartbeat_ticks));
        if heartbeat_ms >= self.election_ms_min {
            return Err("knobs.election_ms_min: it is not above a heartbeat's interval: raise it".to_owned());
        }
        if self.lease_ms >= self.election_ms_min {
            return Err("knobs.lease_ms: it is not below election_ms_min: lower it".to_owned());
        }
        Ok(())
    }
}

/// What differs between values of a kind and their usual ones, as a table that holds only that:
/// what a plan's file shows of its knobs, and what a shrinker can set back.
pub struct Differences {
    usual: Table,
    found: Vec<(Vec<String>, Value)>,
}

impl Differences {
    pub fn of<T: Serialize>(value: &T, usual: &T) -> Self {
        let table = |value: &T| Table::try_from(value).expect("knobs are tables of plain values");
        let (value, usual) = (table(value), table(usual));
        let mut found = Vec::new();
        collect(&value, &usual, &mut Vec::new(), &mut found);
        Self { usual, found }
    }

    pub fn len(&self) -> usize {
        self.found.len()
    }

    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Each difference, as the path to it and what is there.
    pub fn lines(&self) -> impl Iterator<Item = (String, &Value)> {
        self.found.iter().map(|(path, value)| (path.join("."), value))
    }

    /// The value again, with only those differences for which `keep` holds.
    pub fn keep<T: DeserializeOwned>(&self, keep: impl Fn(usize) -> bool) -> Option<T> {
        let mut table = self.usual.clone();
        for (_, (path, value)) in self.found.iter().enumerate().filter(|(number, _)| keep(*number)) {
            set(&mut table, path, value);
        }
        table.try_into().ok()
    }
}

/// `usual`, changed by what a table holds. The error names what the table should not hold.
pub(super) fn merge<T: Serialize + DeserializeOwned>(
    section: &str,
    usual: &T,
    table: &Table,
) -> Result<T, String> {
    let mut merged = Table::try_from(usual).expect("knobs are tables of plain values");
    overlay(section, &mut merged, table)?;
    merged.try_into().map_err(|error: toml::de::Error| {
        format!("{section}: {}: give it a value of its kind", error.message().replace('\n', " "))
    })
}

fn overlay(section: &str, base: &mut Table, table: &Table) -> Result<(), String> {
    for (key, value) in table {
        let path = format!("{section}.{key}");
        match (base.get_mut(key), value) {
            (None, _) => return Err(format!("{path}: there is no such setting: leave it out")),
            (Some(Value::Table(base)), Value::Table(table)) => overlay(&path, base, table)?,
            (Some(before), value) if before.same_type(value) => *before = value.clone(),
            (Some(before), _) => {
                let usual = before.to_string().replace('\n', " ");
                return Err(format!("{path}: it is of another kind than its usual value, {usual}"));
            }
        }
    }
    Ok(())
}

fn collect(value: &Table, usual: &Table, path: &mut Vec<String>, found: &mut Vec<(Vec<String>, Value)>) {
    for (key, value) in value {
        path.push(key.clone());
        match (value, usual.get(key)) {
            (Value::Table(value), Some(Value::Table(usual))) => collect(value, usual, path, found),
            (value, usual) if usual != Some(value) => found.push((path.clone(), value.clone())),
            _ => {}
        }
        path.pop();
    }
}

fn set(table: &mut Table, path: &[String], value: &Value) {
    match path {
        [] => {}
        [key] => drop(table.insert(key.clone(), value.clone())),
        [key, rest @ ..] => {
            if let Some(Value::Table(inner)) = table.get_mut(key) {
                set(inner, rest, value);
            }
        }
    }
}
