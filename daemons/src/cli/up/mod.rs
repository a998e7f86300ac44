//! `mooseng up`: a whole cluster on this computer, in one command.
//!
//! The servers are processes of their own, so that killing one shows what killing one does. They
//! are formatted together before the first of them runs; the file `formed` says that this is done.
//! From then on a server without its data is a server that lost it: it joins as another replica,
//! and never begins again under the old number.

mod claim;
mod logs;
mod supervisor;

use super::failure::Failure;
use super::meta::{Format, LOST_AFTER, lost_after};
use super::output::mention;
use super::process::{runtime, told_to_stop};
use super::settings;
use crate::fuse::Place;
use crate::machine::RealEnv;
use crate::settings::{Peer, Section, Settings, SettingsError, key};
use crate::stderr;
use claim::Port;
use clap::{ArgMatches, Command};
use mooseng_client::{Session, SessionConfig};
use mooseng_core::env::Address;
use mooseng_core::id::{ClusterId, ServerId};
use mooseng_storage::{Identity, JournalConfig, Role};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use supervisor::{Part, Patience, Supervisor};

pub(super) static SECTION: Section = Section {
    name: "up",
    keys: &[
        key("data", "DIRECTORY", Some("mooseng-data"), "Where everything is kept").or("dir"),
        key("port", "NUMBER", Some("9421"), "The first server's; the others' follow"),
        key("servers", "NUMBER", Some("3"), "How many metadata servers: 1, 3 or 5"),
        key("chunks", "NUMBER", Some("6"), "How many chunk servers"),
        key("chunk-port", "NUMBER", Some("9431"), "The first chunk server's; the others' follow"),
        key(
            "grpc-port",
            "NUMBER",
            None,
            "The first metadata server's for gRPC, if at all; the others' follow",
        ),
        LOST_AFTER,
        key(
            "mount",
            "DIRECTORY",
            None,
            "Where to mount the file system, or `none`; by itself in the data directory, where root and FUSE are there",
        ),
    ],
};

/// Says that every server has its first disk.
const FORMED: &str = "formed";
/// Where to mount: not at all, and in the data directory.
const NOWHERE: &str = "none";
const OWN_PLACE: &str = "mount";
/// How often to look whether it is mounted by now.
const MOUNT_LOOK_EVERY: Duration = Duration::from_millis(50);
/// A segment of the journal; what is tried out need not take much of a disk.
const SEGMENT_BYTES: u64 = 16 << 20;
/// The same for small parts.
const CHUNK_SEGMENT: &str = "4MiB";
/// Chunk servers are numbered from here: no metadata server has such a number.
const CHUNK_FIRST: u64 = 101;
const CHUNKS_MAX: u64 = 64;
/// Chunk servers stand in them by turns, so that copies lie in different ones.
const RACKS: [&str; 3] = ["a", "b", "c"];

pub(super) fn command() -> Command {
    SECTION.flags(Command::new("up").about("Run a whole cluster on this computer, until Ctrl-C"))
}

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let mut cluster = Cluster::read(&settings(&SECTION, matches)?)?;
    // On a runtime of its own, with which every hold on the directories goes.
    cluster.number = runtime()?.block_on(cluster.form())?;
    cluster.mention_idle();
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let supervisor = Supervisor::new(cluster.parts()?, Patience::default());
        let stop = told_to_stop()?;
        let addresses = cluster.voters.iter().map(|peer| peer.address.clone()).collect();
        let report = tokio::spawn(report(addresses, cluster.number, cluster.mount.clone()));
        mention(format_args!(
            "starting {} metadata servers and {} chunk servers; data and logs are in {}",
            cluster.voters.len(),
            cluster.chunks.len(),
            cluster.data.display()
        ));
        let ended = supervisor.run(stop).await;
        report.abort();
        ended.map_err(Failure::Other)
    });
    runtime.shutdown_background();
    ended
}

/// Says when the cluster serves, and when it is mounted.
async fn report(servers: Vec<Address>, cluster: Option<ClusterId>, place: Option<Place>) {
    let text = servers.iter().map(Address::as_str).collect::<Vec<_>>().join(",");
    let Ok(env) = RealEnv::without_disk() else { return };
    let mut config =
        SessionConfig { operation_timeout: Duration::from_secs(3_600), ..SessionConfig::new(servers) };
    config.channel.cluster = cluster;
    if let Ok(session) = Session::open(&env, config).await {
        mention(format_args!("ready: the namespace is served at {text}"));
        let _ = session.close().await;
    }
    if let Some(place) = place {
        while !place.is_mounted() {
            tokio::time::sleep(MOUNT_LOOK_EVERY).await;
        }
        mention(format_args!("mounted at {}", place.path().display()));
    }
}

/// So many servers have to find ports from this one on.
fn in_a_row(settings: &Settings, key: &'static str, port: u64, servers: u64) -> Result<u64, SettingsError> {
    let last = 65_536 - servers.max(1);
    if (1..=last).contains(&port) {
        return Ok(port);
    }
    Err(settings.refuse(key, "leaves no ports", &format!("a port from 1 to {last}")))
}

struct Cluster {
    data: PathBuf,
    /// The data directory, which is this process's own for as long as this is here.
    _claim: File,
    /// Whose it is; unknown while every metadata server has lost its disk.
    number: Option<ClusterId>,
    voters: Vec<Peer>,
    mount: Option<Place>,
    chunks: Vec<Peer>,
    /// Where the first metadata server offers gRPC.
    grpc_port: Option<u64>,
    /// As the metadata servers read it.
    lost_after: String,
}

impl Cluster {
    fn read(settings: &Settings) -> Result<Self, Failure> {
        let servers: u64 = settings.get("servers")?;
        if ![1, 3, 5].contains(&servers) {
            return Err(settings.refuse("servers", "makes no good majority", "1, 3 or 5").into());
        }
        let port = in_a_row(settings, "port", settings.get("port")?, servers)?;
        let voters = (1..=servers).map(|number| Peer {
            server: ServerId(number),
            address: Address::new(format!("127.0.0.1:{}", port + number - 1)),
        });
        let chunks = Self::read_chunks(settings)?;
        let grpc_port: Option<u64> = settings.find("grpc-port")?;
        let grpc_port = grpc_port.map(|port| in_a_row(settings, "grpc-port", port, servers)).transpose()?;
        let lost_after = Self::read_lost_after(settings)?;
        let ports = Self::read_ports(settings, servers, chunks.len() as u64)?;
        let data: PathBuf = settings.get("data")?;
        let point: Option<PathBuf> = settings.find("mount")?;
        let own_place = point.is_none();
        let point = point.filter(|point| point != Path::new(NOWHERE));
        let mut mount = point.map(|point| Place::prepare(&point)).transpose()?;
        let claim = claim::directory(&data)?;
        claim::free(&ports)?;
        if own_place {
            mount = Self::own_place(&data)?;
        }
        let voters = voters.collect();
        Ok(Self { data, _claim: claim, number: None, voters, chunks, grpc_port, lost_after, mount })
    }

    /// Every port, each for one server.
    fn read_ports(settings: &Settings, servers: u64, chunks: u64) -> Result<Vec<Port>, Failure> {
        let mut ports = Vec::new();
        for (key, count, owner, first) in [
            ("port", servers, "metadata server", 1),
            ("chunk-port", chunks, "chunk server", CHUNK_FIRST),
            ("grpc-port", servers, "gRPC of metadata server", 1),
        ] {
            let Some(port) = settings.find::<u64>(key)? else { continue };
            let owner = |number| format!("{owner} {}", first + number);
            ports.extend((0..count).map(|number| Port { key, number: port + number, owner: owner(number) }));
        }
        match claim::shared(&ports) {
            Some((key, why)) => {
                Err(settings.refuse(key, &why, "one that leaves each server ports of its own").into())
            }
            None => Ok(ports),
        }
    }

    /// Where it is mounted if nobody says where. Without root or FUSE there is still a namespace.
    fn own_place(data: &Path) -> Result<Option<Place>, Failure> {
        if !rustix::process::geteuid().is_root() {
            mention("not mounted: only root mounts here; `--mount DIRECTORY` tries it with fusermount3");
            return Ok(None);
        }
        let point = data.join(OWN_PLACE);
        // What a killed mount has left there is cleared away, and says that it is there already.
        match fs::create_dir_all(&point) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Failure::Other(format!("{}: {error}", point.display())));
            }
            _ => {}
        }
        Ok(Place::prepare(&point).inspect_err(|error| mention(format_args!("not mounted: {error}"))).ok())
    }

    fn read_chunks(settings: &Settings) -> Result<Vec<Peer>, Failure> {
        let count: u64 = settings.get("chunks")?;
        if count > CHUNKS_MAX {
            return Err(settings.refuse("chunks", "are too many for one computer", "0 to 64").into());
        }
        let port = in_a_row(settings, "chunk-port", settings.get("chunk-port")?, count)?;
        let chunk = |number| Peer {
            server: ServerId(CHUNK_FIRST + number),
            address: Address::new(format!("127.0.0.1:{}", port + number)),
        };
        Ok((0..count).map(chunk).collect())
    }

    fn read_lost_after(settings: &Settings) -> Result<String, Failure> {
        lost_after(settings)?;
        Ok(settings.get("lost-after")?)
    }

    fn directory(&self, server: ServerId) -> PathBuf {
        self.data.join(format!("meta-{}", server.0))
    }

    /// Makes the first disks, unless that was done before, and says whose they are. What an
    /// interrupted attempt left was never served from, so it goes.
    async fn form(&self) -> Result<Option<ClusterId>, Failure> {
        let failed = |path: &Path, error: io::Error| Failure::Other(format!("{}: {error}", path.display()));
        let formed = self.data.join(FORMED);
        if let Ok(text) = fs::read_to_string(&formed) {
            self.same_servers(text.trim())?;
            return Ok(self.formed_before().await);
        }
        let mut cluster = None;
        for Peer { server, .. } in &self.voters {
            let directory = self.directory(*server);
            match fs::remove_dir_all(&directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed(&directory, error));
                }
                _ => {}
            }
            let journal = JournalConfig { segment_bytes: SEGMENT_BYTES, ..JournalConfig::default() };
            let format = Format { cluster, server: *server, voters: self.voters.clone(), journal };
            cluster = Some(format.carry_out(&directory).await?);
        }
        fs::write(&formed, self.addresses()).map_err(|error| failed(&formed, error))?;
        Ok(cluster)
    }

    /// Any of the servers knows. What is wrong with its disk each of them says for itself.
    async fn formed_before(&self) -> Option<ClusterId> {
        for Peer { server, .. } in &self.voters {
            let Ok(env) = RealEnv::start(&self.directory(*server)) else { continue };
            if let Ok(identity) = Identity::read(&env, "", Role::Metadata).await {
                return Some(identity.cluster);
            }
        }
        None
    }

    /// Chunk servers that have been started before and are not started now: what they keep is missed soon.
    fn mention_idle(&self) {
        let idle = (CHUNK_FIRST + self.chunks.len() as u64..CHUNK_FIRST + CHUNKS_MAX)
            .filter(|number| self.data.join(format!("chunk-{number}")).exists());
        let idle: Vec<String> = idle.map(|number| number.to_string()).collect();
        if !idle.is_empty() {
            stderr::tell(format_args!(
                "chunks: {} chunk servers leave out {}, which may keep data; start with as many as before to have it",
                self.chunks.len(),
                idle.join(", ")
            ));
        }
    }

    /// Members know one another by their addresses.
    fn same_servers(&self, formed: &str) -> Result<(), Failure> {
        if formed == self.addresses() {
            return Ok(());
        }
        let data = self.data.display();
        Err(Failure::Other(format!(
            "{data}: this cluster was formed with {formed}; give the same --port and --servers, or another --data"
        )))
    }

    fn addresses(&self) -> String {
        self.voters.iter().map(|peer| peer.address.as_str()).collect::<Vec<_>>().join(",")
    }

    /// For those who are to belong to it; empty if nobody knows it.
    fn number_text(&self) -> String {
        self.number.map_or(String::new(), |number| number.0.to_string())
    }

    fn parts(&self) -> Result<Vec<Part>, Failure> {
        let program =
            std::env::current_exe().map_err(|error| Failure::Other(format!("this program: {error}")))?;
        let metadata = self.voters.iter().map(|peer| {
            let others = self.voters.iter().filter(|other| other.server != peer.server);
            let others = others.map(|peer| peer.address.as_str()).collect::<Vec<_>>().join(",");
            let (segment, lost_after) = (SEGMENT_BYTES.to_string(), self.lost_after.clone());
            let grpc = self.grpc_port.map(|port| format!("127.0.0.1:{}", port + peer.server.0 - 1));
            let flags = [
                ("--join", others),
                ("--journal-segment", segment),
                ("--lost-after", lost_after),
                ("--grpc", grpc.unwrap_or_default()),
            ];
            self.part(&program, "meta", peer, &flags)
        });
        let chunks = (0..).zip(&self.chunks).map(|(number, peer): (usize, &Peer)| {
            let rack = RACKS[number % RACKS.len()].to_owned();
            let segment = CHUNK_SEGMENT.to_owned();
            let flags = [
                ("--metadata", self.addresses()),
                ("--rack", rack),
                ("--segment", segment),
                ("--cluster", self.number_text()),
            ];
            self.part(&program, "chunk", peer, &flags)
        });
        let mount = self.mount.iter().map(|place| Ok(self.mount_part(place, &program)));
        metadata.chain(chunks).chain(mount).collect()
    }

    /// A server as a process of its own, which does not outlive this one.
    fn part(
        &self,
        program: &Path,
        verb: &str,
        peer: &Peer,
        flags: &[(&str, String)],
    ) -> Result<Part, Failure> {
        let Peer { server, address } = peer;
        let directory = self.data.join(format!("{verb}-{}", server.0));
        fs::create_dir_all(&directory)
            .map_err(|error| Failure::Other(format!("{}: {error}", directory.display())))?;
        let mut arguments: Vec<OsString> = vec![verb.into(), "--data".into(), directory.into()];
        let own = [
            ("--server", server.0.to_string()),
            ("--listen", address.to_string()),
            ("--parent", std::process::id().to_string()),
        ];
        for (flag, value) in own.iter().chain(flags) {
            if !value.is_empty() {
                arguments.extend([flag.into(), value.into()]);
            }
        }
        let log = self.data.join(format!("{verb}-{}.log", server.0));
        let (name, program) = (format!("{verb} server {}", server.0), program.to_owned());
        Ok(Part { name, program, arguments, log, leaves_first: false, may_leave: false })
    }

    fn mount_part(&self, place: &Place, program: &Path) -> Part {
        let (servers, parent) = (self.addresses(), std::process::id().to_string());
        let mut options = vec!["mount", "--meta", &servers, "--parent", &parent];
        let number = self.number_text();
        if !number.is_empty() {
            options.extend(["--cluster", &number]);
        }
        let options = options.into_iter().map(OsString::from);
        Part {
            name: "mount".to_owned(),
            program: program.to_owned(),
            arguments: options.chain([place.path().into()]).collect(),
            log: self.data.join("mount.log"),
            leaves_first: true,
            may_leave: true,
        }
    }
}
