//! Who belongs to a group: raft's configuration and, beside it, the server and the address of every
//! replica in it. It changes only by configuration entries of the log, whose context carries the
//! newcomers' addresses, so every replica has the same at the same index; a snapshot carries it.
//!
//! ```text
//!  u8 auto_leave | u32 count | count of: u64 replica | u64 server | u8 seats | u32 length | address
//!  seats: 1 voter, 2 voter of the outgoing configuration, 4 learner, 8 learner once that is left,
//!         16 is to become a voter when it has caught up
//! ```
//!
//! It does not know who is alive, nor how far anybody's log has come.

mod change;

pub use change::{Change, Newcomer, decode_newcomers};

use super::wire::{Malformed, Reader, malformed, put_string};
use bytes::Bytes;
use mooseng_core::env::Address;
use mooseng_core::id::{ReplicaId, ServerId};
use raft::eraftpb::ConfState;
use std::collections::BTreeMap;

/// The most replicas one configuration may name. Raft groups have three or five voters.
pub const MEMBERS_MAX: usize = 32;
/// The longest address.
pub const ADDRESS_BYTES_MAX: usize = 1024;

const VOTER: u8 = 1;
const OUTGOING: u8 = 2;
const LEARNER: u8 = 4;
const LEARNER_NEXT: u8 = 8;
const SEAT_WANTED: u8 = 16;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    pub server: ServerId,
    pub address: Address,
    seats: u8,
}

impl Member {
    /// Does it vote, in the configuration that holds or in the one that is being left?
    pub fn votes(&self) -> bool {
        self.seats & (VOTER | OUTGOING) != 0
    }

    pub fn is_learner(&self) -> bool {
        self.seats & LEARNER != 0
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Members {
    members: BTreeMap<ReplicaId, Member>,
    auto_leave: bool,
}

impl Members {
    /// A first configuration.
    pub fn genesis(voters: &[(ReplicaId, ServerId, Address)]) -> Self {
        let seat = |(replica, server, address): &(ReplicaId, ServerId, Address)| {
            (*replica, Member { server: *server, address: address.clone(), seats: VOTER })
        };
        Self { members: voters.iter().map(seat).collect(), auto_leave: false }
    }

    /// The same replicas and addresses, of whom nobody has a seat: what a newcomer that has no
    /// configuration yet knows of its group.
    pub fn as_hearsay(&self) -> Self {
        let seatless =
            |(replica, member): (&ReplicaId, &Member)| (*replica, Member { seats: 0, ..member.clone() });
        Self { members: self.members.iter().map(seatless).collect(), auto_leave: false }
    }

    pub fn get(&self, replica: ReplicaId) -> Option<&Member> {
        self.members.get(&replica)
    }

    pub fn iter(&self) -> impl Iterator<Item = (ReplicaId, &Member)> {
        self.members.iter().map(|(replica, member)| (*replica, member))
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    fn with(&self, seat: u8) -> impl Iterator<Item = ReplicaId> {
        self.iter().filter(move |(_, member)| member.seats & seat != 0).map(|(replica, _)| replica)
    }

    /// Those who vote in the configuration that holds, in order.
    pub fn voters(&self) -> Vec<ReplicaId> {
        self.with(VOTER).collect()
    }

    pub fn learners(&self) -> Vec<ReplicaId> {
        self.with(LEARNER | LEARNER_NEXT).collect()
    }

    /// Those who vote in either configuration, in order.
    pub fn electorate(&self) -> Vec<ReplicaId> {
        self.with(VOTER | OUTGOING).collect()
    }

    pub fn is_joint(&self) -> bool {
        self.with(OUTGOING).next().is_some()
    }

    pub fn votes(&self, replica: ReplicaId) -> bool {
        self.get(replica).is_some_and(Member::votes)
    }

    /// Is this the only voter there is? It can elect itself and commit alone.
    pub fn is_alone(&self, replica: ReplicaId) -> bool {
        self.electorate() == [replica]
    }

    /// The latest moment that a majority of every configuration in force has reached, each voter
    /// having reached what `reached` says.
    pub fn quorum<T: Copy + Ord>(&self, reached: impl Fn(ReplicaId) -> Option<T>) -> Option<T> {
        let majority = |seat| {
            let mut all: Vec<Option<T>> = self.with(seat).map(&reached).collect();
            all.sort_unstable_by(|one, other| other.cmp(one));
            all.get(all.len() / 2).copied().flatten()
        };
        let incoming = majority(VOTER)?;
        if self.is_joint() { Some(incoming.min(majority(OUTGOING)?)) } else { Some(incoming) }
    }

    /// As raft-rs has it.
    pub fn conf_state(&self) -> ConfState {
        let raw = |seat| self.with(seat).map(|replica| replica.0).collect::<Vec<u64>>();
        let mut conf = ConfState::default();
        conf.set_voters(raw(VOTER));
        conf.set_voters_outgoing(raw(OUTGOING));
        conf.set_learners(raw(LEARNER));
        conf.set_learners_next(raw(LEARNER_NEXT));
        conf.set_auto_leave(self.auto_leave);
        conf
    }

    /// What this becomes when raft-rs has gone over to `conf`; `None` if it names a replica whose
    /// address nobody has told.
    pub fn after(&self, conf: &ConfState, newcomers: &[Newcomer]) -> Option<Members> {
        let mut next = Members { members: BTreeMap::new(), auto_leave: conf.auto_leave };
        let seats = [
            (conf.get_voters(), VOTER),
            (conf.get_voters_outgoing(), OUTGOING),
            (conf.get_learners(), LEARNER),
            (conf.get_learners_next(), LEARNER_NEXT),
        ];
        for (replicas, seat) in seats {
            for replica in replicas.iter().map(|raw| ReplicaId(*raw)) {
                if let Some(member) = next.members.get_mut(&replica) {
                    member.seats |= seat;
                    continue;
                }
                let mut member = self.known(replica, newcomers)?;
                member.seats = (member.seats & SEAT_WANTED) | seat;
                next.members.insert(replica, member);
            }
        }
        (next.members.len() <= MEMBERS_MAX).then_some(next)
    }

    fn known(&self, replica: ReplicaId, newcomers: &[Newcomer]) -> Option<Member> {
        if let Some(newcomer) = newcomers.iter().find(|newcomer| newcomer.replica == replica) {
            let seats = if newcomer.seat_wanted { SEAT_WANTED } else { 0 };
            return Some(Member { server: newcomer.server, address: newcomer.address.clone(), seats });
        }
        self.get(replica).cloned()
    }

    pub fn encode(&self) -> Bytes {
        let mut out = vec![u8::from(self.auto_leave)];
        out.extend_from_slice(&(self.members.len() as u32).to_le_bytes());
        for (replica, member) in &self.members {
            out.extend_from_slice(&replica.0.to_le_bytes());
            out.extend_from_slice(&member.server.0.to_le_bytes());
            out.push(member.seats);
            put_string(&mut out, member.address.as_str().as_bytes());
        }
        out.into()
    }

    pub fn decode(bytes: Bytes) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let auto_leave = match reader.byte("members.auto_leave")? {
            0 => false,
            1 => true,
            other => return malformed("members.auto_leave", format!("{other} is neither yes nor no")),
        };
        let count = reader.word("members.count")? as usize;
        if count > MEMBERS_MAX {
            return malformed("members.count", format!("{count} is more than {MEMBERS_MAX}"));
        }
        let mut members = BTreeMap::new();
        for _ in 0..count {
            let replica = ReplicaId(reader.long("members.replica")?);
            let server = ServerId(reader.long("members.server")?);
            let seats = reader.byte("members.seats")?;
            let address = decode_address(&mut reader)?;
            if members.insert(replica, Member { server, address, seats }).is_some() {
                return malformed("members.replica", format!("{replica} is named twice"));
            }
        }
        reader.end("members")?;
        let members = Members { members, auto_leave };
        sound(&members.conf_state())?;
        Ok(members)
    }
}

fn decode_address(reader: &mut Reader) -> Result<Address, Malformed> {
    let raw = reader.string("members.address")?;
    if raw.len() > ADDRESS_BYTES_MAX {
        return malformed("members.address", format!("{} bytes are too many", raw.len()));
    }
    match std::str::from_utf8(&raw) {
        Ok(address) => Ok(Address::new(address)),
        Err(error) => malformed("members.address", error.to_string()),
    }
}

/// Can this configuration exist? raft-rs panics on one that cannot. The empty one can: a newcomer
/// starts with it.
pub fn sound(conf: &ConfState) -> Result<(), Malformed> {
    let refuse = |why: &str| malformed("configuration", why);
    let lists =
        [conf.get_voters(), conf.get_voters_outgoing(), conf.get_learners(), conf.get_learners_next()];
    if lists.iter().map(|list| list.len()).sum::<usize>() > 2 * MEMBERS_MAX {
        return refuse("it names too many replicas");
    }
    for list in lists {
        if list.contains(&0) {
            return refuse("it names replica 0");
        }
        if (1..list.len()).any(|at| list[..at].contains(&list[at])) {
            return refuse("it names a replica twice");
        }
    }
    let [voters, outgoing, learners, learners_next] = lists;
    let meet = |one: &[u64], other: &[u64]| one.iter().any(|replica| other.contains(replica));
    if voters.is_empty() && !(outgoing.is_empty() && learners.is_empty()) {
        return refuse("nobody votes");
    }
    if meet(learners, voters) || meet(learners, outgoing) || meet(learners_next, voters) {
        return refuse("a learner votes");
    }
    if learners_next.iter().any(|replica| !outgoing.contains(replica)) {
        return refuse("a voter-to-be-learner never voted");
    }
    if outgoing.is_empty() && (conf.auto_leave || !learners_next.is_empty()) {
        return refuse("it leaves a configuration that there is not");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft::eraftpb::ConfChangeTransition;

    fn three() -> Members {
        let voter = |id: u64| (ReplicaId(id), ServerId(id), Address::new(format!("s{id}:9420")));
        Members::genesis(&[voter(1), voter(2), voter(3)])
    }

    fn newcomer(replica: u64, server: u64) -> Newcomer {
        Newcomer {
            replica: ReplicaId(replica),
            server: ServerId(server),
            address: Address::new(format!("s{server}:9420")),
            seat_wanted: true,
        }
    }

    #[test]
    fn bytes_come_back_as_they_were() {
        let mut conf = three().conf_state();
        conf.set_learners(vec![4]);
        let members = three().after(&conf, &[newcomer(4, 3)]).unwrap();
        assert_eq!(Members::decode(members.encode()), Ok(members.clone()));
        assert_eq!(members.conf_state(), conf);
        for cut in 0..members.encode().len() {
            assert!(Members::decode(members.encode().slice(..cut)).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn hearsay_seats_nobody_and_comes_back() {
        let hearsay = three().as_hearsay();
        assert_eq!((hearsay.electorate(), hearsay.iter().count()), (vec![], 3));
        assert_eq!(hearsay.conf_state(), ConfState::default());
        assert_eq!(Members::decode(hearsay.encode()), Ok(hearsay));
    }

    #[test]
    fn a_configuration_that_raft_would_panic_on_is_refused() {
        let conf = |voters: &[u64], outgoing: &[u64], learners: &[u64], next: &[u64], auto_leave| {
            let mut conf = ConfState::default();
            conf.set_voters(voters.to_vec());
            conf.set_voters_outgoing(outgoing.to_vec());
            conf.set_learners(learners.to_vec());
            conf.set_learners_next(next.to_vec());
            conf.set_auto_leave(auto_leave);
            conf
        };
        assert_eq!(sound(&conf(&[1, 2], &[1, 3], &[4], &[3], true)), Ok(()));
        assert_eq!(sound(&conf(&[], &[], &[], &[], false)), Ok(()));
        for bad in [
            conf(&[0], &[], &[], &[], false),
            conf(&[1, 1], &[], &[], &[], false),
            conf(&[], &[1], &[], &[], false),
            conf(&[1], &[], &[1], &[], false),
            conf(&[1], &[2], &[2], &[], false),
            conf(&[1], &[2], &[], &[3], false),
            conf(&[1], &[], &[], &[], true),
        ] {
            assert!(sound(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_quorum_counts_both_configurations_while_they_are_joint() {
        let reached = |replica: ReplicaId| (replica.0 != 9).then_some(replica.0 * 10);
        assert_eq!(three().quorum(reached), Some(20));
        let mut conf = three().conf_state();
        conf.set_voters(vec![1, 2, 9]);
        conf.set_voters_outgoing(vec![1, 2, 3]);
        let joint = three().after(&conf, &[newcomer(9, 3)]).unwrap();
        assert_eq!(joint.quorum(reached), Some(10));
    }

    #[test]
    fn a_learner_that_caught_up_replaces_its_servers_older_replica() {
        let mut conf = three().conf_state();
        conf.set_learners(vec![4]);
        let members = three().after(&conf, &[newcomer(4, 3)]).unwrap();
        assert_eq!(members.next_change(ReplicaId(1), |_| false), None);
        let change = members.next_change(ReplicaId(1), |_| true).unwrap();
        assert_eq!(change, Change::Promote { learner: ReplicaId(4), replaced: vec![ReplicaId(3)] });
        assert!(
            change.conf_change(ConfChangeTransition::Auto).enter_joint().is_some(),
            "one voter in, one out: both or none"
        );
        let second = members.admit(newcomer(5, 3)).unwrap();
        let leftovers = vec![ReplicaId(4)];
        assert_eq!(second, Change::Admit { newcomer: newcomer(5, 3), leftovers });
        assert_eq!(
            decode_newcomers(second.conf_change(ConfChangeTransition::Auto).take_context()),
            Ok(vec![newcomer(5, 3)])
        );
    }
}
