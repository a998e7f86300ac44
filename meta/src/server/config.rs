//! The limits of a metadata server. Daemons and simulator share the defaults.

use super::keeper::KeeperConfig;
use crate::census::CensusConfig;
use crate::group::driver::DriverConfig;
use crate::group::handle::Handle;
use crate::group::members::ADDRESS_BYTES_MAX;
use crate::state::StateConfig;
use mooseng_core::env::Address;
use mooseng_core::id::{ClusterId, GroupId, ReplicaId, ServerId};
use mooseng_net::rpc;
use mooseng_storage::JournalConfig;
use std::fmt;
use std::sync::Arc;

#[derive(Clone, Debug)]
pub struct ServerConfig {
    pub server: ServerId,
    /// Whose it has to be; whose its disk is, or whoever it joins, if nobody says so.
    pub cluster: Option<ClusterId>,
    /// Where it listens, and where others find it.
    pub address: Address,
    /// The groups it has replicas of.
    pub groups: Vec<GroupId>,
    /// Servers to ask when it has no replica, or lost the one it had.
    pub join: Option<Vec<Address>>,
    /// May it come back as another replica by itself when its own is lost?
    pub rejoin: bool,
    pub driver: DriverConfig,
    pub journal: JournalConfig,
    pub channel: rpc::ChannelConfig,
    pub rpc: rpc::ServerConfig,
    pub census: CensusConfig,
    pub keeper: KeeperConfig,
    pub tap: Tap,
}

/// Told of the way to each group's task when it begins to serve, and of the room that the server has
/// for callers: how oracles look at what a replica holds. Nobody is told by default.
#[derive(Clone, Default)]
pub struct Tap(Option<Arc<Told>>);

type Told = dyn Fn(Handle, rpc::Rooms) + Send + Sync;

impl Tap {
    pub fn new(told: impl Fn(Handle, rpc::Rooms) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(told)))
    }

    pub(super) fn tell(&self, handle: &Handle, rooms: &rpc::Rooms) {
        if let Some(told) = &self.0 {
            told(handle.clone(), rooms.clone());
        }
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Tap" } else { "no tap" })
    }
}

impl ServerConfig {
    pub fn new(server: ServerId, address: Address) -> Self {
        Self {
            server,
            cluster: None,
            address,
            groups: vec![GroupId(1)],
            join: None,
            rejoin: true,
            driver: DriverConfig::default(),
            journal: JournalConfig::default(),
            channel: rpc::ChannelConfig::default(),
            rpc: rpc::ServerConfig::default(),
            census: CensusConfig::default(),
            keeper: KeeperConfig::default(),
            tap: Tap::default(),
        }
    }

    /// One clear line if it makes no sense.
    pub fn check(&self) -> Result<(), String> {
        if self.groups.is_empty() {
            return Err("groups: a server with none has nothing to do".into());
        }
        check_address(&self.address)?;
        self.census.check()?;
        self.driver.check()
    }
}

fn check_address(address: &Address) -> Result<(), String> {
    if address.as_str().is_empty() || address.as_str().len() > ADDRESS_BYTES_MAX {
        return Err(format!("address: it must have 1 to {ADDRESS_BYTES_MAX} bytes"));
    }
    Ok(())
}

/// How a group's first replicas are made: the same on every server but for `server`.
#[derive(Clone, Debug)]
pub struct FormatConfig {
    pub cluster: ClusterId,
    pub server: ServerId,
    pub group: GroupId,
    pub voters: Vec<(ReplicaId, ServerId, Address)>,
    pub state: StateConfig,
    pub journal: JournalConfig,
}

impl FormatConfig {
    /// This server's replica, or one clear line if the group makes no sense.
    pub fn check(&self) -> Result<ReplicaId, String> {
        self.state.check()?;
        if self.voters.len() > crate::group::members::MEMBERS_MAX {
            return Err(format!("voters: {} are too many", self.voters.len()));
        }
        for (at, (replica, server, address)) in self.voters.iter().enumerate() {
            check_address(address)?;
            if replica.0 == 0 || replica.0 >= self.state.first_replica {
                return Err(format!("voters: {replica} is not from 1 to {}", self.state.first_replica - 1));
            }
            if self.voters[..at].iter().any(|(other, host, _)| other == replica || host == server) {
                return Err(format!("voters: {replica} or {server} is named twice"));
            }
            if self.voters[..at].iter().any(|(_, _, other)| other == address) {
                return Err(format!(
                    "voters: {address} is named twice; each server has an address of its own"
                ));
            }
        }
        let own = self.voters.iter().find(|(_, server, _)| *server == self.server);
        own.map(|(replica, ..)| *replica).ok_or_else(|| format!("voters: {} is not among them", self.server))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format_config() -> FormatConfig {
        let voter = |id: u64| (ReplicaId(id), ServerId(id), Address::new(format!("s{id}:9421")));
        FormatConfig {
            cluster: ClusterId(1),
            server: ServerId(2),
            group: GroupId(1),
            voters: vec![voter(1), voter(2), voter(3)],
            state: StateConfig::default(),
            journal: JournalConfig::default(),
        }
    }

    #[test]
    fn a_server_finds_its_own_replica_among_the_voters() {
        assert_eq!(format_config().check(), Ok(ReplicaId(2)));
        let stranger = FormatConfig { server: ServerId(9), ..format_config() };
        assert_eq!(stranger.check(), Err("voters: s9 is not among them".into()));
    }

    #[test]
    fn voters_that_cannot_be_are_refused_by_name() {
        let mut twice = format_config();
        twice.voters[2].0 = ReplicaId(1);
        assert_eq!(twice.check(), Err("voters: r1 or s3 is named twice".into()));
        let mut together = format_config();
        together.voters[2].2 = Address::new("s1:9421");
        let wanted = "voters: s1:9421 is named twice; each server has an address of its own";
        assert_eq!(together.check(), Err(wanted.into()));
        let mut allotted = format_config();
        allotted.voters[0].0 = ReplicaId(1_000);
        assert_eq!(allotted.check(), Err("voters: r1000 is not from 1 to 999".into()));
        let mut nowhere = format_config();
        nowhere.voters[0].2 = Address::new("");
        assert!(nowhere.check().is_err_and(|line| line.starts_with("address:")));
    }

    #[test]
    fn limits_that_stop_everything_are_refused_by_name() {
        let mut config = ServerConfig::new(ServerId(1), Address::new("s1:9421"));
        assert_eq!(config.check(), Ok(()));
        config.driver.inquiry_ticks = 0;
        assert_eq!(config.check(), Err("inquiry_ticks: it must be at least 1".into()));
        config.groups.clear();
        assert!(config.check().is_err_and(|line| line.starts_with("groups:")));
    }
}
