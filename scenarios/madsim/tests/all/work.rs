//! What clients do and what they then know. Each works in a directory of its own, where it can tell
//! what every answer must be, and in one that all share, where a name is won by one of them.

use crate::cluster::Cluster;
use mooseng_client::{Answered, ClientError, Session};
use mooseng_core::chance::Dice;
use mooseng_core::env::{Env, sleep};
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Answer, Attr, Name, Op, Outcome, Query, Refusal, RenameMode};
use mooseng_madsim::MadEnv;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What is known of a directory's entries: a name that was acknowledged has an inode, one that was
/// only asked for may be there or not.
pub(crate) type Expected = BTreeMap<String, Option<InodeId>>;

/// What all clients of a story know together.
#[derive(Clone, Default)]
pub(crate) struct Known(Arc<Mutex<BTreeMap<InodeId, Expected>>>);

impl Known {
    pub(crate) fn with<T>(&self, directory: InodeId, change: impl FnOnce(&mut Expected) -> T) -> T {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(known.entry(directory).or_default())
    }

    pub(crate) fn acknowledged(&self) -> usize {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.values().flat_map(BTreeMap::values).flatten().count()
    }

    pub(crate) fn all(&self) -> BTreeMap<InodeId, Expected> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub(crate) fn name(name: &str) -> Name {
    Name::new(name.to_owned()).expect("the story's names are good")
}

pub(crate) fn attr(outcome: Outcome) -> Result<Attr, Refusal> {
    match outcome? {
        Answer::Attr(attr) => Ok(attr),
        other => panic!("attributes were asked for, not {other:?}"),
    }
}

/// A name for a round, of any length: what one change writes to a disk takes one sector or several.
fn lengthened(letter: &str, round: u32) -> String {
    format!("{letter}{round}-{}", "long".repeat((round * 7 % 60) as usize))
}

pub(crate) struct Client {
    pub(crate) env: MadEnv,
    session: Session<MadEnv>,
    pub(crate) known: Known,
}

impl Client {
    pub(crate) async fn open(cluster: &Cluster, env: MadEnv, known: Known) -> Self {
        let session = Session::open(&env, cluster.session_config()).await.expect("a session opens");
        Self { env, session, known }
    }

    /// Carries out a change. `None`: nobody knows whether it took effect.
    async fn change(&self, op: Op) -> Option<Outcome> {
        match self.session.mutate(&op).await {
            Ok(Answered { outcome, .. }) => Some(outcome),
            Err(ClientError::TimedOut { .. } | ClientError::NotReached { .. }) => None,
            Err(error) => panic!("{op:?}: {error}"),
        }
    }

    pub(crate) async fn ask(&self, query: Query) -> Outcome {
        loop {
            match self.session.query(&query).await {
                Ok(Answered { outcome, .. }) => return outcome,
                Err(ClientError::TimedOut { .. } | ClientError::NotReached { .. }) => {}
                Err(error) => panic!("{query:?}: {error}"),
            }
        }
    }

    /// Makes an entry; `None` if the name is taken, or if nobody knows.
    async fn make(&self, parent: InodeId, entry: &str, directory: bool) -> Option<InodeId> {
        let (mode, uid, gid) = (0o750, 7, 7);
        let op = if directory {
            Op::Mkdir { parent, name: name(entry), mode, uid, gid }
        } else {
            Op::Create { parent, name: name(entry), mode, uid, gid }
        };
        match self.change(op).await {
            None => {
                self.known.with(parent, |entries| *entries.entry(entry.to_owned()).or_insert(None));
                None
            }
            Some(Err(Refusal::Exists)) => None,
            Some(outcome) => {
                let inode = attr(outcome).expect("a new name can be made").inode;
                let before = self.known.with(parent, |entries| entries.insert(entry.to_owned(), Some(inode)));
                assert_eq!(before.flatten(), None, "{entry} was given to two");
                Some(inode)
            }
        }
    }

    async fn make_own(&self, parent: InodeId, entry: &str, directory: bool) -> Option<InodeId> {
        let made = self.make(parent, entry, directory).await;
        let maybe = self.known.with(parent, |entries| entries.get(entry) == Some(&None));
        assert!(made.is_some() || maybe, "{entry} is taken in a directory where nobody else works");
        made
    }

    /// Renames an entry that is known to be there to a name that is free.
    async fn rename(&self, source: (InodeId, &str), target: (InodeId, &str)) {
        let inode = self.known.with(source.0, |entries| entries.insert(source.1.to_owned(), None));
        self.known.with(target.0, |entries| entries.insert(target.1.to_owned(), None));
        let op = Op::Rename {
            source_parent: source.0,
            source_name: name(source.1),
            target_parent: target.0,
            target_name: name(target.1),
            mode: RenameMode::Keep,
        };
        let Some(outcome) = self.change(op).await else { return };
        assert_eq!(outcome, Ok(Answer::Done), "{} to {}", source.1, target.1);
        self.known.with(source.0, |entries| entries.remove(source.1));
        self.known.with(target.0, |entries| entries.insert(target.1.to_owned(), inode.flatten()));
    }

    /// Gives an entry that is known to be there a second name.
    async fn link(&self, (parent, source): (InodeId, &str), target: &str) {
        let inode = self.known.with(parent, |entries| entries.get(source).copied().flatten());
        let inode = inode.expect("what was made was acknowledged");
        self.known.with(parent, |entries| entries.insert(target.to_owned(), None));
        let Some(outcome) = self.change(Op::Link { inode, parent, name: name(target) }).await else { return };
        assert_eq!(attr(outcome).map(|attr| attr.inode), Ok(inode), "{source} as {target}");
        self.known.with(parent, |entries| entries.insert(target.to_owned(), Some(inode)));
    }

    /// What only this client changes is at every moment as it left it.
    pub(crate) async fn check(&self, parent: InodeId, entry: &str) {
        let expected = self.known.with(parent, |entries| entries.get(entry).copied());
        let found =
            self.ask(Query::Lookup { parent, name: name(entry) }).await.and_then(|found| attr(Ok(found)));
        match expected {
            None => assert_eq!(found, Err(Refusal::NotFound), "{entry} was moved away"),
            Some(None) => {}
            Some(Some(inode)) => assert_eq!(found.map(|attr| attr.inode), Ok(inode), "{entry}"),
        }
    }

    /// Rounds of changes and questions, a pause between them.
    pub(crate) async fn work(&self, own: &str, rounds: u32) {
        let mut dice = self.env.rng("work", 0);
        let shared = self.shared_directory().await;
        let Some(own) = self.make_own(InodeId::ROOT, own, true).await else { return };
        let mut inner = None;
        for round in 0..rounds {
            let [fresh, moved, linked] = ["f", "m", "l"].map(|letter| lengthened(letter, round));
            let made = self.make_own(own, &fresh, false).await;
            if round % 5 == 0 {
                inner = self.make_own(own, &format!("d{round}"), true).await;
            }
            if made.is_some() && round % 2 == 0 {
                let target = inner.filter(|_| dice.chance(500_000)).unwrap_or(own);
                self.rename((own, &fresh), (target, &moved)).await;
                self.check(target, &moved).await;
            }
            if made.is_some() && round % 4 == 1 {
                self.link((own, &fresh), &linked).await;
            }
            self.check(own, &fresh).await;
            self.make(shared, &format!("s{round}"), false).await;
            sleep(&self.env, Duration::from_millis(dice.between(0, 40))).await;
        }
    }

    pub(crate) async fn shared_directory(&self) -> InodeId {
        self.make(InodeId::ROOT, "shared", true).await;
        let found = self.ask(Query::Lookup { parent: InodeId::ROOT, name: name("shared") }).await;
        attr(found).expect("somebody made it").inode
    }
}
