//! The one function that changes a shard. Deterministic and total: refusals are values, ids come
//! from the state, time comes in the command. What is refused changes nothing, save that the
//! refusal is remembered for a retry.
//!
//! It neither logs, nor waits, nor knows that there are other replicas.

mod attr;
mod create;
mod data;
mod keeping;
mod link;
mod rename;
mod unlink;
mod xattr;

#[cfg(test)]
mod tests;

use crate::command::{Applied, Command, CommandKind, Effect, Reply};
use crate::sessions;
use crate::state::{Allotted, State};
use mooseng_core::id::{InodeId, ReplicaId, ServerId, SessionId};
use mooseng_core::namespace::{Caller, Op, Outcome};
use mooseng_core::time::WallTime;

/// When and where a command takes effect, and in whose name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment<'a> {
    pub(crate) time: WallTime,
    pub(crate) region: u8,
    /// Whose request it is, if it is one.
    pub(crate) session: SessionId,
    pub(crate) caller: &'a Caller,
}

/// Applies the command at `index` of the log, which lies beyond every one applied before.
pub fn apply(state: &mut State, index: u64, command: &Command) -> Applied {
    assert!(index > state.marks.applied, "index {index} after {}", state.marks.applied);
    state.marks.applied = index;
    state.marks.stamp = state.marks.stamp.max(command.stamp);
    let mut effects = Vec::new();
    let reply = match &command.kind {
        CommandKind::Noop => Reply::Done,
        CommandKind::OpenSession { nonce, caches } => sessions::open(state, *nonce, *caches, &mut effects),
        CommandKind::CloseSession { session } => {
            effects.extend(sessions::end(state, *session).then_some(Effect::SessionEnded(*session)));
            Reply::Done
        }
        CommandKind::ExpireSessions { sessions } => {
            for session in sessions {
                effects.extend(sessions::end(state, *session).then_some(Effect::SessionEnded(*session)));
            }
            Reply::Done
        }
        CommandKind::SetCaching { sessions, caches } => {
            for session in sessions {
                effects.extend(sessions::set_caching(state, *session, *caches));
            }
            Reply::Done
        }
        CommandKind::Mutate { session, sequence, low_water, slot: _, op, caller } => {
            let (time, region) = (command.time, command.region);
            let moment = Moment { time, region, session: *session, caller };
            let request = sessions::Request { session: *session, sequence: *sequence, low_water: *low_water };
            sessions::once(state, index, &request, |state| carry_out(state, &moment, op))
        }
        CommandKind::AllotReplica { server, nonce } => allot_replica(state, *server, *nonce),
        CommandKind::Collect { orphans } => unlink::collect(state, orphans),
        CommandKind::RegisterServer { server, address, rack } => {
            keeping::register(state, *server, address, rack)
        }
        CommandKind::RetireServer { server } => keeping::retire(state, *server),
        CommandKind::ForgetSlices { slices } => keeping::forget(state, slices),
        CommandKind::MovePart { slice, index, source, target } => {
            keeping::move_part(state, *slice, *index, *source, *target)
        }
    };
    Applied { reply, effects }
}

fn carry_out(state: &mut State, moment: &Moment<'_>, op: &Op) -> Outcome {
    match op {
        Op::Mkdir { parent, name, mode, uid, gid } => {
            create::directory(state, moment, *parent, name, (*mode, *uid, *gid))
        }
        Op::Create { parent, name, mode, uid, gid } => {
            create::file(state, moment, *parent, name, (*mode, *uid, *gid))
        }
        Op::Symlink { parent, name, target, uid, gid } => {
            create::symlink(state, moment, *parent, name, target, (*uid, *gid))
        }
        Op::Mknod { parent, name, kind, mode, rdev, uid, gid } => {
            create::node(state, moment, *parent, name, (*kind, *rdev), (*mode, *uid, *gid))
        }
        Op::Unlink { parent, name } => unlink::file(state, moment, *parent, name),
        Op::Rmdir { parent, name } => unlink::directory(state, moment, *parent, name),
        Op::Rename { source_parent, source_name, target_parent, target_name, mode } => {
            let source = (*source_parent, source_name);
            let target = (*target_parent, target_name);
            rename::rename(state, moment, source, target, *mode)
        }
        Op::Link { inode, parent, name } => link::link(state, moment, *inode, *parent, name),
        Op::SetAttr { inode, change } => attr::set(state, moment, *inode, change),
        Op::GrantSlices { inode, count } => data::grant(state, moment, *inode, *count),
        Op::AbandonSlices { slices } => data::abandon(state, moment, slices),
        Op::Commit { inode, slices, extents, mtime } => {
            data::commit(state, moment, *inode, (slices, extents), *mtime)
        }
        Op::Compact { inode, replaced, slices, extents } => {
            data::compact(state, moment, *inode, replaced, (slices, extents))
        }
        Op::Punch { inode, offset, length } => data::punch(state, moment, *inode, *offset, *length),
        Op::SetClass { inode, class } => data::set_class(state, moment, *inode, *class),
        Op::SetXattr { inode, name, value, mode } => xattr::set(state, moment, *inode, name, (value, *mode)),
        Op::RemoveXattr { inode, name } => xattr::remove(state, moment, *inode, name),
    }
}

/// The entries of a directory changed, and its links by as much as it gained subdirectories.
fn touch(state: &mut State, moment: &Moment<'_>, directory: InodeId, links: i32) {
    let changed = state.inodes.change(&directory, |inode| {
        inode.mtime = moment.time;
        inode.changed(moment.time);
        // Named by itself and by its parent: never fewer than two.
        inode.links = inode.links.saturating_add_signed(links).max(2);
    });
    assert!(changed.is_some(), "{directory:?} was found before it is touched");
}

/// A server that asks again under its last nonce is given the same number again.
fn allot_replica(state: &mut State, server: ServerId, nonce: [u8; 16]) -> Reply {
    if let Some((last, replica)) = state.allotted(server)
        && last == nonce
    {
        return Reply::Replica { replica };
    }
    let replica = ReplicaId(state.marks.next_replica);
    state.marks.next_replica += 1;
    state.replicas.insert(server, Allotted { nonce, replica });
    Reply::Replica { replica }
}
