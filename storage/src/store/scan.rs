//! Reading a segment that has no table: which batches and parts in it are whole, and what makes no
//! sense. Pure: an image in, a judgement out.
//!
//! One batch is in flight at a time. So where bytes make no sense and a later batch is whole, what
//! was there had been acknowledged, and is lost here. Where nothing whole follows, it may be a
//! batch that was never acknowledged: whoever counts on its parts will miss them.

use super::layout::{Batch, Put, Record, SegmentHead, area_bytes, leaf_count};
use crate::field::is_zero;
use mooseng_core::checksum::{leaf_bad_first, root, sums_from_bytes};
use mooseng_core::plant;

/// What a segment holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Scan {
    /// Of all parts that are whole, and all that were given up.
    pub(super) records: Vec<Record>,
    /// Where the last batch ends; the segment's first data sector if there is none.
    pub(super) used: u64,
    /// Where the last batch begins and ends, zeros included.
    pub(super) last: Option<(u64, u64)>,
    /// What makes no sense, one line each, in the order of the segment.
    pub(super) damage: Vec<Damage>,
    /// Nothing but zeros follows, and the last batch is whole: the segment can be gone on with.
    pub(super) clean: bool,
}

/// Something in a file that is not as it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    pub file: String,
    pub what: String,
}

/// Is the part in this image as its record says?
pub(super) fn is_whole(put: &Put, image: &[u8]) -> bool {
    let area = &image[put.offset as usize..][..area_bytes(put.length)];
    let (sums, data) = area.split_at(leaf_count(put.length) * 4);
    let sums = sums_from_bytes(sums);
    root(put.part, u64::from(put.length), &sums) == put.root
        && leaf_bad_first(put.part, 0, data, &sums).is_none()
}

/// Judges the image of a whole segment. `file` is its name, for the damage.
pub(super) fn scan(head: &SegmentHead, image: &[u8], file: &str) -> Scan {
    assert_eq!(image.len() as u64, head.segment_bytes, "a whole segment");
    let start = head.data_start();
    let mut found = Scan { records: Vec::new(), used: start, last: None, damage: Vec::new(), clean: true };
    let mut at = start;
    while at < head.segment_bytes {
        if let Some(batch) = Batch::decode(head, image, at) {
            found.take(head, image, at, batch, file);
            at = head.sector_from(found.used);
            continue;
        }
        if is_zero(&image[at as usize..]) {
            break;
        }
        let sectors = (at..head.segment_bytes).step_by(head.sector_bytes as usize).skip(1);
        let next = sectors.into_iter().find(|sector| Batch::decode(head, image, *sector).is_some());
        let what = match next {
            Some(next) => format!("bytes {at} to {next} are lost, and the parts in them"),
            None => format!("behind byte {at} lies what is no batch: perhaps parts, perhaps a torn write"),
        };
        found.damage.push(Damage { file: file.to_owned(), what });
        found.clean = false;
        let Some(next) = next else { break };
        at = next;
    }
    found
}

impl Scan {
    fn take(&mut self, head: &SegmentHead, image: &[u8], at: u64, batch: Batch, file: &str) {
        // What was wrong before has a whole batch behind it now: the segment can be gone on with.
        self.clean = true;
        self.used = batch.end;
        self.last = Some((at, head.sector_from(batch.end).min(head.segment_bytes)));
        for record in batch.records {
            let whole = match &record {
                Record::Put(put) => is_whole(put, image) || plant!("chunk-takes-torn-part", false, true),
                Record::Kill(_) => true,
            };
            if whole {
                self.records.push(record);
            } else if let Record::Put(put) = record {
                let what = format!("part {} at byte {at} is torn or damaged", put.part);
                self.damage.push(Damage { file: file.to_owned(), what });
                self.clean = false;
            }
        }
    }

    /// Nobody has written to it.
    pub(super) fn is_pristine(&self) -> bool {
        self.clean && self.last.is_none()
    }
}
