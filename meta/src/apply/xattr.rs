//! Extended attributes: setting them and taking them away.

use super::Moment;
use crate::permission;
use crate::state::{State, Xattr, XattrKey};
use bytes::Bytes;
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{
    Answer, Outcome, Refusal, XATTR_BYTES_MAX, XATTR_VALUE_BYTES_MAX, XattrMode, XattrName,
};
use mooseng_core::{plant, probe};

/// Refuses, in this order: no such inode, who may not, a value that is too long, one that is there or
/// is not, no room for it among those of the inode.
pub(super) fn set(
    state: &mut State,
    moment: &Moment<'_>,
    inode: InodeId,
    name: &XattrName,
    (value, mode): (&Bytes, XattrMode),
) -> Outcome {
    let held = state.inodes.get(&inode).ok_or(Refusal::Stale)?;
    permission::may_set_xattr(moment.caller, held, name)?;
    if value.len() > XATTR_VALUE_BYTES_MAX {
        return Err(Refusal::TooBig);
    }
    let key = XattrKey::new(inode, name);
    let before = state.xattrs.get(&key);
    match mode {
        XattrMode::Create if before.is_some() => return Err(Refusal::Exists),
        XattrMode::Replace if before.is_none() => {
            plant!("xattr-replace-creates", return Err(Refusal::NoAttribute), ());
        }
        _ => {}
    }
    let replaced = before.map_or(0, |before| before.bytes(&key));
    let record = Xattr(value[..].into());
    let all: usize = state.xattrs_of(inode).map(|(key, xattr)| xattr.bytes(key)).sum();
    if all - replaced + record.bytes(&key) > XATTR_BYTES_MAX {
        probe!("an inode has no room for an extended attribute");
        return Err(Refusal::NoSpace);
    }
    state.xattrs.insert(key, record);
    state.inodes.change(&inode, |held| held.changed(moment.time));
    Ok(Answer::Done)
}

pub(super) fn remove(state: &mut State, moment: &Moment<'_>, inode: InodeId, name: &XattrName) -> Outcome {
    let held = state.inodes.get(&inode).ok_or(Refusal::Stale)?;
    permission::may_set_xattr(moment.caller, held, name)?;
    state.xattrs.remove(&XattrKey::new(inode, name)).ok_or(Refusal::NoAttribute)?;
    state.inodes.change(&inode, |held| held.changed(moment.time));
    Ok(Answer::Done)
}
