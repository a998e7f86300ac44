//! G8: no live file without its data, and no data kept for ever. When everything is healed and has
//! settled, every part of every live slice lies whole on the server where its map has it, no two of a
//! slice on one server, and no server keeps a part of a slice that is gone, or one that its slice has
//! elsewhere.

use super::{End, Oracle, Promise, Violation};
use mooseng_core::extent::SliceInfo;
use mooseng_core::id::{PartId, ServerId, SliceId};
use std::collections::{BTreeMap, BTreeSet};

use super::{FinalChunkServer, FinalReplica};

pub struct Parts;

impl Oracle for Parts {
    fn name(&self) -> &'static str {
        "parts"
    }

    fn promise(&self) -> Promise {
        Promise(8)
    }

    fn finish(&mut self, end: &End<'_>) -> Result<(), Violation> {
        if end.chunk_servers.is_empty() {
            return Ok(());
        }
        let mut serving = end.replicas.iter().filter(|replica| replica.serving);
        match serving.find_map(|replica| unsettled(replica, end.chunk_servers)) {
            None => Ok(()),
            Some(what) => Err(self.violation(end.at, what)),
        }
    }
}

/// The first thing that is not as a replica has it, if anything is not.
pub fn unsettled(replica: &FinalReplica, chunk_servers: &[FinalChunkServer]) -> Option<String> {
    let kept: BTreeMap<(ServerId, PartId), bool> = chunk_servers
        .iter()
        .flat_map(|server| server.parts.iter().map(|(part, whole)| ((server.server, *part), *whole)))
        .collect();
    let known: BTreeMap<SliceId, &SliceInfo> = replica.slices.iter().map(|info| (info.slice, info)).collect();
    if let Some(why) = replica.slices.iter().find_map(|info| missing(info, &kept)) {
        return Some(why);
    }
    let pending: BTreeSet<SliceId> = replica.tree.pending.iter().map(|(slice, _)| *slice).collect();
    kept.keys().find_map(|(server, part)| match known.get(&part.slice) {
        None if pending.contains(&part.slice) => None,
        None => Some(format!("{server} keeps {part:?}, and the slice is gone")),
        Some(info) if info.parts.get(usize::from(part.index)) == Some(&Some(*server)) => None,
        Some(_) => Some(format!("{server} keeps {part:?}, and the slice has it elsewhere")),
    })
}

fn missing(info: &SliceInfo, kept: &BTreeMap<(ServerId, PartId), bool>) -> Option<String> {
    let mut servers = BTreeSet::new();
    for (index, server) in (0..).zip(&info.parts) {
        let part = PartId { slice: info.slice, index };
        let Some(server) = server else { return Some(format!("{part:?} is nowhere")) };
        if !servers.insert(*server) {
            return Some(format!("{server} is to keep {part:?} beside another part of the slice"));
        }
        match kept.get(&(*server, part)) {
            Some(true) => {}
            Some(false) => return Some(format!("{part:?} on {server} is damaged")),
            None => return Some(format!("{server} is to keep {part:?}, and does not")),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, root_tree, verdict_on};
    use super::*;
    use crate::plan::Member;
    use mooseng_core::class::StorageClass;
    use mooseng_core::id::{SessionId, Slot};

    fn part(counter: u64, index: u8) -> PartId {
        PartId { slice: SliceId::new(0, Slot::default(), counter).unwrap(), index }
    }

    fn server(number: u32, parts: &[(PartId, bool)]) -> FinalChunkServer {
        let server = ServerId(u64::from(number));
        FinalChunkServer { node: Member::Chunk(number), server, parts: parts.to_vec() }
    }

    fn found(parts: [Option<u64>; 2], servers: &[FinalChunkServer]) -> Option<String> {
        let script = Script::new();
        let mut replica = script.replica(1, root_tree());
        let parts = parts.iter().map(|server| server.map(ServerId)).collect();
        let info = SliceInfo { slice: part(1, 0).slice, class: StorageClass::default(), length: 9, parts };
        replica.slices = vec![info];
        replica.tree.pending = vec![(part(2, 0).slice, SessionId(1))];
        verdict_on(Parts, &script, &[replica], servers).map(|violation| violation.what)
    }

    #[test]
    fn parts_that_are_not_where_the_map_has_them_are_found() {
        let whole = [server(1, &[(part(1, 0), true)]), server(2, &[(part(1, 1), true), (part(2, 0), true)])];
        assert_eq!(found([Some(1), Some(2)], &whole), None);
        assert!(found([Some(1), None], &whole).unwrap().ends_with("is nowhere"));
        assert!(found([Some(1), Some(1)], &whole).unwrap().contains("beside another"));
        assert!(found([Some(2), Some(1)], &whole).unwrap().ends_with("does not"));
        let rotten = [server(1, &[(part(1, 0), false)]), server(2, &[(part(1, 1), true)])];
        assert!(found([Some(1), Some(2)], &rotten).unwrap().ends_with("is damaged"));
        let twice = [server(1, &[(part(1, 0), true), (part(1, 1), true)]), whole[1].clone()];
        assert!(found([Some(1), Some(2)], &twice).unwrap().ends_with("has it elsewhere"));
        let garbage = [whole[0].clone(), server(2, &[(part(1, 1), true), (part(3, 0), true)])];
        assert!(found([Some(1), Some(2)], &garbage).unwrap().ends_with("the slice is gone"));
    }
}
