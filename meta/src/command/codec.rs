//! Commands as bytes: the `CommandRecord` of `log.proto`. What comes back is doubted field by
//! field, because it comes from a disk.

use super::{Command, CommandKind};
use bytes::Bytes;
use mooseng_core::id::{ServerId, SessionId};
use mooseng_core::namespace::Op;
use mooseng_core::time::{Stamp, WallTime};
use mooseng_net::convert::{
    self, Malformed, caller, count, nonce, part_index, required, session, sessions, slice, slot, write_caller,
};
use mooseng_net::proto::log as proto;
use prost::Message;

/// The format of a command written by this build.
pub const FORMAT: u32 = 1;

/// Why bytes are not a command that this build can apply.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    /// Written by a newer build: a replica that skipped it would differ from the others, so it
    /// stops until it is upgraded.
    #[error("a command of a newer version ({0}): upgrade this server")]
    Newer(String),
    #[error("a damaged command: {0}")]
    Malformed(#[from] Malformed),
}

impl Command {
    pub fn encode(&self) -> Bytes {
        assert!(self.region < 64, "a region has six bits in an inode id");
        let record = proto::CommandRecord {
            format: FORMAT,
            time: self.time.0,
            stamp: self.stamp.0,
            region: u32::from(self.region),
            kind: Some(encode_kind(&self.kind)),
        };
        Bytes::from(record.encode_to_vec())
    }

    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let record = proto::CommandRecord::decode(bytes)
            .map_err(|error| Malformed::new("command", error.to_string()))?;
        if record.format > FORMAT {
            return Err(DecodeError::Newer(format!("format {}, this build knows {FORMAT}", record.format)));
        }
        count("command.format", u64::from(record.format))?;
        let region = u8::try_from(record.region).ok().filter(|region| *region < 64);
        let region = region
            .ok_or_else(|| Malformed::new("command.region", format!("{} is not below 64", record.region)))?;
        // A kind that this build does not know was skipped as an unknown field.
        let kind = record.kind.ok_or_else(|| DecodeError::Newer("of an unknown kind".into()))?;
        let (time, stamp) = (WallTime(record.time), Stamp(record.stamp));
        Ok(Self { time, stamp, region, kind: decode_kind(kind)? })
    }
}

fn numbers(sessions: &[SessionId]) -> Vec<u64> {
    sessions.iter().map(|session| session.0).collect()
}

fn encode_kind(kind: &CommandKind) -> proto::command_record::Kind {
    use proto::command_record::Kind;
    match kind {
        CommandKind::Noop => Kind::Noop(proto::NoopCommand {}),
        CommandKind::OpenSession { nonce, caches } => {
            let open = proto::OpenSessionCommand { nonce: Bytes::copy_from_slice(nonce) };
            if *caches { Kind::OpenCachingSession(open) } else { Kind::OpenSession(open) }
        }
        CommandKind::CloseSession { session } => {
            Kind::CloseSession(proto::CloseSessionCommand { session: session.0 })
        }
        CommandKind::ExpireSessions { sessions } => {
            Kind::ExpireSessions(proto::ExpireSessionsCommand { sessions: numbers(sessions) })
        }
        CommandKind::SetCaching { sessions, caches } => {
            Kind::SetCaching(proto::SetCachingCommand { sessions: numbers(sessions), caches: *caches })
        }
        CommandKind::Mutate { session, sequence, low_water, slot, op, caller } => {
            Kind::Mutate(proto::MutateCommand {
                session: session.0,
                sequence: *sequence,
                low_water: *low_water,
                slot: u32::from(slot.get()),
                op: Some(op.into()),
                caller: write_caller(caller),
            })
        }
        CommandKind::AllotReplica { server, nonce } => Kind::AllotReplica(proto::AllotReplicaCommand {
            server: server.0,
            nonce: Bytes::copy_from_slice(nonce),
        }),
        CommandKind::Collect { orphans } => {
            let orphans = orphans.iter().map(|inode| inode.raw()).collect();
            Kind::Collect(proto::CollectCommand { orphans })
        }
        CommandKind::RegisterServer { server, address, rack } => {
            let (address, rack) = (address.to_string(), rack.to_string());
            Kind::RegisterServer(proto::RegisterServerCommand { server: server.0, address, rack })
        }
        CommandKind::RetireServer { server } => {
            Kind::RetireServer(proto::RetireServerCommand { server: server.0 })
        }
        CommandKind::ForgetSlices { slices } => {
            let slices = slices.iter().map(|slice| slice.raw()).collect();
            Kind::ForgetSlices(proto::ForgetSlicesCommand { slices })
        }
        CommandKind::MovePart { slice, index, source, target } => Kind::MovePart(proto::MovePartCommand {
            slice: slice.raw(),
            index: u32::from(*index),
            source: source.map_or(0, |server| server.0),
            target: target.map_or(0, |server| server.0),
        }),
    }
}

fn decode_kind(kind: proto::command_record::Kind) -> Result<CommandKind, Malformed> {
    use proto::command_record::Kind;
    Ok(match kind {
        Kind::Noop(proto::NoopCommand {}) => CommandKind::Noop,
        Kind::OpenSession(open) => {
            CommandKind::OpenSession { nonce: nonce("open_session.nonce", &open.nonce)?, caches: false }
        }
        Kind::OpenCachingSession(open) => {
            let nonce = nonce("open_caching_session.nonce", &open.nonce)?;
            CommandKind::OpenSession { nonce, caches: true }
        }
        Kind::CloseSession(close) => {
            CommandKind::CloseSession { session: session("close_session.session", close.session)? }
        }
        Kind::ExpireSessions(expire) => {
            CommandKind::ExpireSessions { sessions: sessions("expire_sessions.sessions", expire.sessions)? }
        }
        Kind::SetCaching(set) => {
            let sessions = sessions("set_caching.sessions", set.sessions)?;
            CommandKind::SetCaching { sessions, caches: set.caches }
        }
        Kind::Mutate(mutate) => CommandKind::Mutate {
            session: session("mutate.session", mutate.session)?,
            sequence: mutate.sequence,
            low_water: mutate.low_water,
            slot: slot("mutate.slot", mutate.slot)?,
            op: Op::try_from(required("mutate.op", mutate.op)?)?,
            caller: caller("mutate.caller", mutate.caller)?,
        },
        Kind::AllotReplica(allot) => CommandKind::AllotReplica {
            server: ServerId(allot.server),
            nonce: nonce("allot_replica.nonce", &allot.nonce)?,
        },
        Kind::Collect(collect) => {
            CommandKind::Collect { orphans: convert::inodes("collect.orphans", collect.orphans)? }
        }
        Kind::RegisterServer(register) => CommandKind::RegisterServer {
            server: ServerId(count("register_server.server", register.server)?),
            address: register.address.into(),
            rack: register.rack.into(),
        },
        Kind::RetireServer(retire) => CommandKind::RetireServer { server: ServerId(retire.server) },
        Kind::ForgetSlices(forget) => {
            let each = forget.slices.into_iter().map(|raw| slice("forget_slices.slices", raw));
            CommandKind::ForgetSlices { slices: each.collect::<Result<_, Malformed>>()? }
        }
        Kind::MovePart(moved) => CommandKind::MovePart {
            slice: slice("move_part.slice", moved.slice)?,
            index: part_index("move_part.index", moved.index)?,
            source: convert::server(moved.source),
            target: convert::server(moved.target),
        },
    })
}
