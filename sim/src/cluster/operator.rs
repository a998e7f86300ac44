//! The operator of a run: starts spare metadata servers, and takes servers away for good, as long as so
//! many others vote as took part from the start. It sees who leads and who belongs to the group without
//! asking; what it wants it asks for as anybody does, over the network.

use super::servers::{GROUP, Handles, address, lock, versions};
use crate::machine::{Control, Fault, SimEnv};
use crate::plan::{Member, Plan, WIRE_VERSION};
use mooseng_core::env::{Clock, Env, sleep, timeout};
use mooseng_core::id::{ReplicaId, ServerId};
use mooseng_meta::group::Members;
use mooseng_net::proto::cluster::{ClusterClient, RemoveReplicaRequest, TransferLeaderRequest};
use mooseng_net::rpc::{Channel, ChannelConfig};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long one try may take, and the pause before the next.
const LOOK_TIME: Duration = Duration::from_millis(100);
const CALL_TIME: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(100);
/// How long it tries.
const REMOVING_MAX: Duration = Duration::from_secs(5);

pub(super) struct Operator {
    control: Control,
    handles: Handles,
    /// So many have to be left to vote.
    voters_min: usize,
    /// Servers whose removal was asked for: each is to be gone in the end.
    leaving: Mutex<BTreeSet<u32>>,
}

/// What whoever leads says of its group.
struct Group {
    /// The server that leads.
    leader: u32,
    term: u64,
    members: Members,
}

impl Group {
    fn of_server(&self, server: u32) -> Vec<ReplicaId> {
        let server = ServerId(u64::from(server));
        self.members
            .iter()
            .filter(|(_, member)| member.server == server)
            .map(|(replica, _)| replica)
            .collect()
    }

    /// Voters that stay, and are not on these servers.
    fn voters_but(&self, servers: &BTreeSet<u32>) -> Vec<ReplicaId> {
        let stays = |replica: &ReplicaId| {
            let server = self.members.get(*replica).map(|member| member.server.0);
            server.is_some_and(|server| !servers.iter().any(|gone| u64::from(*gone) == server))
        };
        self.members.voters().into_iter().filter(stays).collect()
    }
}

impl Operator {
    pub(super) fn new(plan: &Plan, control: Control, handles: Handles) -> Self {
        let voters_min = plan.topology.servers as usize;
        Self { control, handles, voters_min, leaving: Mutex::default() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<u32>> {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, server: u32) {
        // Gone is gone: its disk would come back as another replica's.
        if !self.lock().contains(&server) {
            let node = Member::Server(server).to_string();
            self.control.apply(&Fault::Restart { node }).expect("the node was added");
        }
    }

    /// Takes a server out of its group and switches it off; waits for a while if too few would be left,
    /// for one that was added may be on its way. Nothing new is begun once it is `late`.
    pub(super) async fn remove(&self, env: &SimEnv, server: u32, late: impl Fn() -> bool) {
        let latest = env.clock().now() + REMOVING_MAX;
        while env.clock().now() < latest && !late() {
            if self.remove_once(env, server).await {
                return;
            }
            sleep(env, PAUSE).await;
        }
    }

    /// When everything is healed: what was asked for is seen through to its end.
    pub(super) async fn finish(&self, env: SimEnv) {
        loop {
            let leaving = self.lock().clone();
            let mut over = true;
            for server in leaving {
                over &= self.remove_once(&env, server).await;
            }
            if over {
                return;
            }
            sleep(&env, PAUSE).await;
        }
    }

    /// True if there is nothing left to do.
    async fn remove_once(&self, env: &SimEnv, server: u32) -> bool {
        let Some(group) = self.group(env).await else { return false };
        let seats = group.of_server(server);
        let mut without = self.lock().clone();
        let asked = !without.insert(server);
        if seats.is_empty() {
            if asked {
                self.switch_off(server);
            }
            return true;
        }
        // While the group goes over to other voters, nobody can say who is left.
        if group.members.is_joint() {
            return false;
        }
        let left = group.voters_but(&without);
        if !asked && left.len() < self.voters_min {
            return false;
        }
        let deadline = env.clock().now() + CALL_TIME;
        let config = ChannelConfig { versions: versions(WIRE_VERSION), ..ChannelConfig::default() };
        let client = ClusterClient::new(Channel::new(env, address(group.leader), config));
        if group.leader == server {
            let Some(heir) = left.first() else { return false };
            let request = TransferLeaderRequest { group: GROUP.0, replica: heir.0 };
            let _ = client.transfer_leader(&request, deadline).await;
            return false;
        }
        self.lock().insert(server);
        for replica in seats {
            let request = RemoveReplicaRequest { group: GROUP.0, replica: replica.0 };
            let _ = client.remove_replica(&request, deadline).await;
        }
        false
    }

    fn switch_off(&self, server: u32) {
        let node = Member::Server(server).to_string();
        self.control.apply(&Fault::Crash { node, restart_ms: None }).expect("the node was added");
    }

    /// As whoever leads in the latest term has it.
    async fn group(&self, env: &SimEnv) -> Option<Group> {
        let handles: Vec<_> =
            lock(&self.handles).iter().map(|(node, (handle, _))| (*node, handle.clone())).collect();
        let mut found: Option<Group> = None;
        for (node, handle) in handles {
            if !self.control.is_up(node) {
                continue;
            }
            let Ok(Ok(look)) = timeout(env, LOOK_TIME, handle.look()).await else { continue };
            let leads = look.leader.as_ref().map(|(leader, _)| *leader) == look.answer.replica;
            if leads && found.as_ref().is_none_or(|group| group.term < look.answer.term) {
                let (leader, term, members) = (node.0 + 1, look.answer.term, look.answer.members);
                found = Some(Group { leader, term, members });
            }
        }
        found
    }
}
