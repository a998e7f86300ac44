//! The limits and times of a group. Daemons and simulator share the defaults; the simulator draws
//! others, small ones above all.

use super::records;
use std::time::Duration;

#[derive(Clone, PartialEq, Debug)]
pub struct GroupConfig {
    /// Decides who stands for election when; any number will do.
    pub seed: u64,
    pub tick: Duration,
    pub heartbeat_ticks: usize,
    /// Without a leader for this many ticks, drawn between the two, a replica stands for election.
    pub election_ticks_least: usize,
    pub election_ticks_most: usize,
    /// How long a leader may answer reads after it sent what a majority echoed.
    pub lease: Duration,
    /// How wrong a clock's speed may be, in millionths.
    pub drift_ppm: u32,
    /// Entries in one message, except that one entry always fits.
    pub message_bytes_max: u64,
    pub inflight_messages_max: usize,
    /// Proposed and not committed; beyond it proposals are refused.
    pub uncommitted_bytes_max: u64,
    /// Handed out to be applied at once.
    pub apply_bytes_max: u64,
    /// The longest record in the journal.
    pub record_bytes_max: usize,
    /// A learner this close to the end of the log is made a voter.
    pub promotion_lag_max: u64,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            tick: Duration::from_millis(50),
            heartbeat_ticks: 2,
            election_ticks_least: 9,
            election_ticks_most: 14,
            lease: Duration::from_millis(340),
            drift_ppm: 10_000,
            message_bytes_max: 128 << 10,
            inflight_messages_max: 64,
            uncommitted_bytes_max: 16 << 20,
            apply_bytes_max: 1 << 20,
            record_bytes_max: 512 << 10,
            promotion_lag_max: 64,
        }
    }
}

impl GroupConfig {
    /// One clear line if these times cannot work together.
    pub fn check(&self) -> Result<(), String> {
        if self.heartbeat_ticks == 0 || self.heartbeat_ticks * 2 >= self.election_ticks_least {
            return Err("heartbeat_ticks: two of them must fit into the shortest election timeout".into());
        }
        if self.election_ticks_least > self.election_ticks_most {
            return Err("election_ticks: the least is more than the most".into());
        }
        // A tick may come right after the leader's message, so one of them does not count.
        let shortest = self.tick * (self.election_ticks_least as u32 - 1);
        if self.promise() >= shortest {
            return Err(format!(
                "lease: {:?} and the drift are not less than the shortest election timeout, {shortest:?}",
                self.lease
            ));
        }
        if self.uncommitted_bytes_max < self.message_bytes_max {
            return Err("uncommitted_bytes_max: less than message_bytes_max".into());
        }
        if self.entry_bytes_max() < 1024 {
            return Err("record_bytes_max: an entry of 1 KiB must fit a record".into());
        }
        Ok(())
    }

    /// For how long a voter that answered a leader grants nobody a vote, by its own clock.
    pub fn promise(&self) -> Duration {
        self.lease + self.lease * self.drift_ppm / 1_000_000
    }

    /// A leader that was silent for longer is probably gone: three heartbeats in a row and what one
    /// may be late are missing. Leases have no say in it; they may be shorter than a heartbeat.
    pub fn silence(&self) -> Duration {
        self.tick * (3 * self.heartbeat_ticks as u32 + 1)
    }

    /// A leader that did nothing for this long cannot say who was not heard of meanwhile.
    pub fn absence(&self) -> Duration {
        self.tick * self.election_ticks_least as u32
    }

    /// For how long a voter that was started again grants nobody a vote.
    pub fn restart_wait(&self) -> Duration {
        self.tick * self.election_ticks_most as u32
    }

    /// The most data an entry may hold: it fits one record, and one message.
    pub fn entry_bytes_max(&self) -> usize {
        self.record_bytes_max.saturating_sub(records::APPEND_BYTES + records::ENTRY_BYTES + 64)
    }

    pub(super) fn raft(&self, id: u64, applied: u64) -> raft::Config {
        raft::Config {
            id,
            applied,
            election_tick: self.election_ticks_least - 1,
            min_election_tick: self.election_ticks_least,
            max_election_tick: self.election_ticks_most + 1,
            heartbeat_tick: self.heartbeat_ticks,
            max_size_per_msg: self.message_bytes_max,
            max_inflight_msgs: self.inflight_messages_max,
            max_uncommitted_size: self.uncommitted_bytes_max,
            max_committed_size_per_ready: self.apply_bytes_max,
            check_quorum: true,
            pre_vote: true,
            read_only_option: raft::ReadOnlyOption::Safe,
            // Followers learn what is committed with the next entries or the next heartbeat: a message to each
            // of them, and its answer, for every change alone cost more than they are worth.
            skip_bcast_commit: true,
            ..raft::Config::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_work_together_and_a_long_lease_does_not() {
        assert_eq!(GroupConfig::default().check(), Ok(()));
        let long = GroupConfig { lease: Duration::from_millis(399), ..GroupConfig::default() };
        assert!(long.check().unwrap_err().starts_with("lease:"));
    }
}
