//! Writing one slice: which server gets which part, who takes over from one that fails, and when
//! what is kept is enough to be committed. Pure: outcomes come in, places come out.

use super::error::DataError;
use mooseng_core::class::StorageClass;
use mooseng_core::id::{ServerId, SliceId};
use mooseng_core::placement::{Candidate, place};
use mooseng_core::{plant, probe};

/// Why a server did not keep a part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refused {
    /// It did not answer, or could not.
    Silent,
    Full,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// Parts are under way.
    Waiting,
    /// Enough are durable: the server of each, `None` where there is a deficit.
    Kept(Vec<Option<ServerId>>),
    /// Too few parts are durable and no server is left that could be asked, but somebody may come
    /// back: begin another round.
    Again,
    Failed(DataError),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Nowhere,
    Going(ServerId),
    Kept(ServerId),
}

pub(super) struct Upload {
    slice: SliceId,
    class: StorageClass,
    candidates: Vec<Candidate>,
    places: Vec<Place>,
    refused: Vec<(ServerId, Refused)>,
}

impl Upload {
    pub(super) fn new(slice: SliceId, class: StorageClass, candidates: Vec<Candidate>) -> Self {
        let places = vec![Place::Nowhere; usize::from(class.parts())];
        Self { slice, class, candidates, places, refused: Vec::new() }
    }

    /// The parts to send now, and where to.
    pub(super) fn sends(&mut self) -> Vec<(u8, ServerId)> {
        let refused = &self.refused;
        let left: Vec<Candidate> = self
            .candidates
            .iter()
            .filter(|candidate| refused.iter().all(|(server, _)| *server != candidate.server))
            .cloned()
            .collect();
        let taken: Vec<ServerId> = self.places.iter().filter_map(|place| place.server()).collect();
        let taken = plant!("two-parts-on-one-server", taken, vec![ServerId(u64::MAX); taken.len()]);
        let placed = place(self.slice, self.class, &left, &taken);
        let mut servers = placed.servers.into_iter().flatten();
        let mut sends = Vec::new();
        for (index, place) in self.places.iter_mut().enumerate() {
            if *place == Place::Nowhere {
                let Some(server) = servers.next() else { break };
                *place = Place::Going(server);
                sends.push((index as u8, server));
            }
        }
        if !self.refused.is_empty() && !sends.is_empty() {
            probe!("part of a slice sent to another server");
        }
        sends
    }

    /// The part is durable there.
    pub(super) fn kept(&mut self, index: u8, server: ServerId) {
        assert_eq!(self.places[usize::from(index)], Place::Going(server), "part {index} was sent there");
        self.places[usize::from(index)] = Place::Kept(server);
    }

    /// The part is not known to be durable there; another server gets it.
    pub(super) fn refused(&mut self, index: u8, server: ServerId, why: Refused) {
        assert_eq!(self.places[usize::from(index)], Place::Going(server), "part {index} was sent there");
        self.places[usize::from(index)] = Place::Nowhere;
        self.refused.push((server, why));
    }

    /// How it stands, after [`Upload::sends`] had nothing more to send. `late`: the time is up.
    pub(super) fn verdict(&self, late: bool) -> Verdict {
        if self.places.iter().any(|place| matches!(place, Place::Going(_))) {
            return Verdict::Waiting;
        }
        let kept = self.places.iter().filter(|place| matches!(place, Place::Kept(_))).count();
        let needed = usize::from(self.class.parts_to_commit());
        if kept >= needed {
            if kept < self.places.len() {
                probe!("slice committed with a deficit");
            }
            return Verdict::Kept(self.places.iter().map(|place| place.server()).collect());
        }
        self.short(kept, needed, late)
    }

    /// Full disks are told at once. That too few servers are there at all may be a matter of
    /// moments; if it is not, then there is no space.
    fn short(&self, kept: usize, needed: usize, late: bool) -> Verdict {
        let count = |kind| self.refused.iter().filter(|(_, why)| *why == kind).count();
        let (full, silent) = (count(Refused::Full), count(Refused::Silent));
        if !late && (full == 0 || silent > 0) {
            return Verdict::Again;
        }
        let what = format!(
            "{kept} of {} parts are durable and {needed} are needed; of {} servers {full} are full and {silent} do not answer",
            self.places.len(),
            self.candidates.len(),
        );
        let slice = self.slice;
        Verdict::Failed(if silent > 0 && kept + silent >= needed {
            DataError::TimedOut { slice, what }
        } else {
            DataError::NoSpace { slice, what }
        })
    }

    /// Tries everybody again, those that have become known meanwhile too. What is durable stays.
    pub(super) fn again(&mut self, candidates: Vec<Candidate>) {
        self.refused.clear();
        self.candidates = candidates;
    }
}

impl Place {
    fn server(self) -> Option<ServerId> {
        match self {
            Place::Nowhere => None,
            Place::Going(server) | Place::Kept(server) => Some(server),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mooseng_core::id::Slot;
    use std::collections::BTreeSet;

    fn upload(class: &str, servers: u64) -> Upload {
        let candidate = |server| Candidate {
            server: ServerId(server),
            rack: format!("rack {}", server % 3).into(),
            weight: 1,
            usable: true,
        };
        let slice = SliceId::new(0, Slot::default(), 9).unwrap();
        Upload::new(slice, class.parse().unwrap(), (1..=servers).map(candidate).collect())
    }

    #[test]
    fn every_part_goes_to_a_server_of_its_own() {
        let mut upload = upload("ec=4+2", 8);
        let sends = upload.sends();
        let servers: BTreeSet<ServerId> = sends.iter().map(|(_, server)| *server).collect();
        assert_eq!((sends.len(), servers.len()), (6, 6));
        assert_eq!(upload.sends(), []);
        assert_eq!(upload.verdict(false), Verdict::Waiting);
        sends.iter().for_each(|(index, server)| upload.kept(*index, *server));
        let Verdict::Kept(places) = upload.verdict(false) else { panic!("all are durable") };
        assert_eq!(places, sends.iter().map(|(_, server)| Some(*server)).collect::<Vec<_>>());
    }

    #[test]
    fn a_server_that_fails_is_replaced_by_one_that_has_no_part() {
        let mut upload = upload("copies=2", 4);
        let mut tried: BTreeSet<ServerId> = BTreeSet::new();
        let first = upload.sends();
        upload.kept(first[1].0, first[1].1);
        tried.extend(first.iter().map(|(_, server)| *server));
        upload.refused(first[0].0, first[0].1, Refused::Silent);
        for _ in 0..2 {
            let [(index, server)] = upload.sends()[..] else { panic!("one part is to be sent") };
            assert!(tried.insert(server), "{server} was tried before");
            upload.refused(index, server, Refused::Full);
        }
        assert_eq!(upload.sends(), []);
        assert_eq!(upload.verdict(false), Verdict::Again);
        assert!(matches!(upload.verdict(true), Verdict::Failed(DataError::TimedOut { .. })));
        // Another round finds somebody recovered, and does not send again what is durable.
        let candidates = upload.candidates.clone();
        upload.again(candidates);
        let [(index, server)] = upload.sends()[..] else { panic!("one part is to be sent") };
        assert_ne!(server, first[1].1);
        upload.kept(index, server);
        assert!(matches!(upload.verdict(false), Verdict::Kept(_)));
    }

    #[test]
    fn a_loose_class_makes_do_with_a_deficit_and_a_strict_one_does_not() {
        for (class, servers, enough) in [
            ("copies=3", 2, true),
            ("copies=3,strict", 2, false),
            ("copies=3", 1, false),
            ("ec=4+2", 5, true),
            ("ec=4+2", 4, false),
            ("ec=4+2,strict", 5, false),
            ("copies=1", 1, true),
        ] {
            let mut upload = upload(class, servers);
            for (index, server) in upload.sends() {
                upload.kept(index, server);
            }
            assert_eq!(upload.sends(), []);
            let verdict = upload.verdict(false);
            assert_eq!(matches!(verdict, Verdict::Kept(_)), enough, "{class} on {servers}: {verdict:?}");
            let late = upload.verdict(true);
            assert_eq!(matches!(late, Verdict::Failed(DataError::NoSpace { .. })), !enough);
        }
    }

    #[test]
    fn full_disks_are_told_at_once() {
        let mut upload = upload("copies=2", 2);
        for (index, server) in upload.sends() {
            upload.refused(index, server, Refused::Full);
        }
        assert_eq!(upload.sends(), []);
        assert!(matches!(upload.verdict(false), Verdict::Failed(DataError::NoSpace { .. })));
    }
}
