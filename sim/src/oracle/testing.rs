//! Doctored histories for the oracles' tests: a system that answers right, one step at a time, and
//! ways to make it wrong.

use super::{End, FinalChunkServer, FinalReplica, Observation, Oracle, Sight, Violation};
use crate::history::{Asked, CommitLog, Committed, Ending, History, Request};
use crate::model::contents::{Change, Ledger, Moment, Read, Stamp, Verdict, bytes_of};
use crate::model::{Tree, TreeEntry};
use crate::plan::Member;
use mooseng_core::class::StorageClass;
use mooseng_core::event::Event;
use mooseng_core::id::{GroupId, IdKind, InodeId, ReplicaId, SessionId, Slot};
use mooseng_core::namespace::{Answer, Attr, Caller, FileKind, Name, Op, Outcome};
use mooseng_core::time::{Instant, WallTime};
use std::time::Duration;

pub(crate) const GROUP: GroupId = GroupId(1);
const STEP: Duration = Duration::from_micros(1);

pub(crate) fn name(name: &str) -> Name {
    Name::new(name.as_bytes().to_vec()).unwrap()
}

pub(crate) fn directory(counter: u64) -> InodeId {
    InodeId::new(0, IdKind::Directory, Slot::default(), counter).unwrap()
}

pub(crate) fn file(counter: u64) -> InodeId {
    InodeId::new(0, IdKind::File, Slot::default(), counter).unwrap()
}

/// Attributes with a mode of 0o755 and times that are all 0.
pub(crate) fn attr(inode: InodeId, links: u32, version: u64) -> Attr {
    let kind = if inode.kind() == IdKind::Directory { FileKind::Directory } else { FileKind::Regular };
    let (mode, uid, gid, size, rdev, time) = (0o755, 0, 0, 0, 0, WallTime(0));
    let (class, blocks) = (StorageClass::default(), 0);
    Attr {
        inode,
        kind,
        mode,
        links,
        uid,
        gid,
        size,
        atime: time,
        mtime: time,
        ctime: time,
        version,
        class,
        blocks,
        rdev,
    }
}

pub(crate) fn entry(parent: InodeId, child: &str, inode: InodeId) -> TreeEntry {
    TreeEntry { parent, name: name(child), inode }
}

pub(crate) fn root_tree() -> Tree {
    Tree { inodes: vec![attr(InodeId::ROOT, 2, 1)], ..Tree::default() }
}

pub(crate) fn mkdir_in(parent: InodeId, child: &str) -> Op {
    Op::Mkdir { parent, name: name(child), mode: 0o755, uid: 0, gid: 0 }
}

pub(crate) fn create_in(parent: InodeId, child: &str) -> Op {
    Op::Create { parent, name: name(child), mode: 0o755, uid: 0, gid: 0 }
}

pub(crate) fn shows(inode: InodeId, links: u32, version: u64) -> Outcome {
    Ok(Answer::Attr(attr(inode, links, version)))
}

/// A history in the making, its clock and its log.
pub(crate) struct Script {
    pub(crate) history: History,
    pub(crate) log: CommitLog,
    pub(crate) now: Instant,
    sequence: u64,
}

/// A directory that was made in the root.
pub(crate) struct Made {
    pub(crate) number: usize,
    id: InodeId,
    name: Name,
}

impl Made {
    /// The tree that holds it alone.
    pub(crate) fn tree(&self) -> Tree {
        let mut tree = root_tree();
        tree.inodes[0].links = 3;
        tree.inodes.push(attr(self.id, 2, 1));
        tree.entries.push(TreeEntry { parent: InodeId::ROOT, name: self.name.clone(), inode: self.id });
        tree
    }
}

impl Script {
    pub(crate) fn new() -> Self {
        Self { history: History::default(), log: CommitLog::default(), now: Instant::ZERO, sequence: 0 }
    }

    pub(crate) fn wait(&mut self, span: Duration) {
        self.now = self.now + span;
    }

    /// A client calls, and time goes on.
    pub(crate) fn call(&mut self, client: usize, asked: Asked) -> usize {
        let number = self.history.call(client, Caller::ROOT, asked, self.now);
        if self.history.operations()[number].change().is_some() {
            self.sequence += 1;
            let request = Request { session: SessionId(client as u64 + 1), sequence: self.sequence };
            assert_eq!(self.history.name(number, request), None);
        }
        self.wait(STEP);
        number
    }

    /// The change takes effect; gives the index.
    pub(crate) fn commit(&mut self, number: usize) -> u64 {
        let request = self.history.operations()[number].request;
        let index = self.log.last() + 1;
        self.log.record(index, &Committed { term: 1, request, outcome: None }).unwrap();
        index
    }

    pub(crate) fn answer(&mut self, number: usize, outcome: Outcome, index: u64) {
        self.history.end(number, Ending::Answered { at: self.now, outcome, index, cached: false });
        self.wait(STEP);
    }

    /// Of what the client knew, true at `index` and since.
    pub(crate) fn answer_from_cache(&mut self, number: usize, outcome: Outcome, index: u64) {
        self.history.end(number, Ending::Answered { at: self.now, outcome, index, cached: true });
        self.wait(STEP);
    }

    pub(crate) fn give_up(&mut self, number: usize) {
        self.history.end(number, Ending::Unknown { at: self.now });
        self.wait(STEP);
    }

    /// Call, effect and answer of a change, all in one.
    pub(crate) fn change(&mut self, client: usize, operation: Op, outcome: Outcome) -> usize {
        let number = self.call(client, Asked::Change(operation));
        let index = self.commit(number);
        self.answer(number, outcome, index);
        number
    }

    pub(crate) fn call_mkdir(&mut self, client: usize, child: &str) -> usize {
        self.call(client, Asked::Change(mkdir_in(InodeId::ROOT, child)))
    }

    pub(crate) fn answer_mkdir(&mut self, number: usize) -> InodeId {
        let id = directory(number as u64 + 2);
        let index = self.commit(number);
        self.answer(number, shows(id, 2, 1), index);
        id
    }

    /// A directory is made in the root.
    pub(crate) fn mkdir(&mut self, client: usize, child: &str) -> Made {
        let number = self.call_mkdir(client, child);
        let id = self.answer_mkdir(number);
        Made { number, id, name: name(child) }
    }

    /// The system loses what it committed for this operation.
    pub(crate) fn forget(&mut self, number: usize) {
        let gone = self.history.operations()[number].request;
        let mut log = CommitLog::default();
        for (index, entry) in self.log.iter() {
            let request = entry.request.filter(|request| Some(*request) != gone);
            log.record(index, &Committed { request, ..entry.clone() }).unwrap();
        }
        self.log = log;
    }

    /// What is left now, where one replica has to serve.
    pub(crate) fn end<'a>(
        &'a self,
        replicas: &'a [FinalReplica],
        chunk_servers: &'a [FinalChunkServer],
    ) -> End<'a> {
        let (history, log) = (&self.history, &self.log);
        End { at: self.now, history, log, replicas, chunk_servers, serving: 1, quorum: 1 }
    }

    /// A server that serves this tree as the state of the end of the log.
    pub(crate) fn replica(&self, server: u32, tree: Tree) -> FinalReplica {
        FinalReplica {
            node: Member::Server(server),
            group: GROUP,
            replica: ReplicaId(u64::from(server)),
            applied: self.log.last(),
            hash: 0,
            serving: true,
            tree,
            slices: Vec::new(),
        }
    }
}

pub(crate) fn see_at(
    oracle: &mut impl Oracle,
    script: &Script,
    at: Instant,
    sight: Sight<'_>,
) -> Result<(), Violation> {
    oracle.observe(&Observation { at, sight, history: &script.history })
}

pub(crate) fn see(oracle: &mut impl Oracle, script: &Script, sight: Sight<'_>) -> Result<(), Violation> {
    see_at(oracle, script, script.now, sight)
}

pub(crate) fn observe(oracle: &mut impl Oracle, script: &Script, event: &Event) -> Result<(), Violation> {
    see(oracle, script, Sight::Event { node: Member::Server(1), event })
}

/// What the oracle says at the end, where one replica has to serve.
pub(crate) fn verdict(oracle: impl Oracle, script: &Script, replicas: &[FinalReplica]) -> Option<Violation> {
    verdict_on(oracle, script, replicas, &[])
}

/// The same, where there are chunk servers too.
pub(crate) fn verdict_on(
    mut oracle: impl Oracle,
    script: &Script,
    replicas: &[FinalReplica],
    chunk_servers: &[FinalChunkServer],
) -> Option<Violation> {
    oracle.finish(&script.end(replicas, chunk_servers)).err()
}

/// A file whose client wrote it and closed it, and the sight of whoever reads it after that.
pub(crate) struct Kept {
    pub(crate) file: InodeId,
    ledger: Ledger,
    stamp: Stamp,
    length: u64,
    /// When it is opened after that, and when it has been read.
    looked: [Moment; 2],
}

impl Kept {
    pub(crate) fn new(length: u64) -> Self {
        let (file, mut ledger) = (file(1), Ledger::default());
        let change = Change::Write { offset: 0, length };
        let begun = ledger.moment();
        let stamp = ledger.begin(file, 0, 1, change, begun);
        ledger.taken(file, stamp, begun);
        let kept = ledger.moment();
        ledger.kept(file, 1, kept, kept);
        let looked = [ledger.moment(), ledger.moment()];
        Self { file, ledger, stamp, length, looked }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        bytes_of(self.stamp, 0, self.length as usize)
    }

    /// What is to be said of a read of all of it that brought these bytes.
    pub(crate) fn read(&self, bytes: &[u8]) -> Verdict {
        let [opened, ended] = self.looked;
        let (file, wanted) = (self.file, self.length);
        self.ledger.judge(&Read { file, client: 1, opened, began: opened, ended, offset: 0, wanted, bytes })
    }

    pub(crate) fn sight<'a>(&self, verdict: &'a Verdict, last: bool) -> Sight<'a> {
        Sight::Read { client: 0, file: self.file, verdict, last }
    }
}
