//! Whatever is lost, rotten, slow or silent: a read that ends gives the right bytes, and it ends
//! whenever every place of the slice is left often enough.

use super::*;
use crate::data::rectangle::{cut, join};
use mooseng_core::chance::{Dice, stream};
use mooseng_core::class::StorageClass;
use mooseng_core::id::Slot;

/// A slice as its servers have it.
struct Stored {
    slice: SliceId,
    layout: Layout,
    bytes: Vec<u8>,
    parts: Vec<Vec<u8>>,
    /// Leaves that rotted.
    rotten: BTreeSet<(u8, u32)>,
    gone: BTreeSet<u8>,
    silent: BTreeSet<u8>,
}

impl Stored {
    fn new(class: &str, length: u32, dice: &mut impl Dice) -> Self {
        let class: StorageClass = class.parse().unwrap();
        let layout = Layout::new(class, length);
        let bytes: Vec<u8> = (0..length).map(|_| dice.word() as u8).collect();
        let mut parts: Vec<Vec<u8>> = Vec::new();
        if class.is_copies() {
            parts = vec![bytes.clone(); usize::from(class.parts())];
        } else {
            for index in 0..class.data() {
                let start = layout.part_start(index) as usize;
                parts.push(bytes[start..start + layout.part_bytes(index) as usize].to_vec());
            }
            let mut parity = vec![vec![0; layout.part_bytes_max() as usize]; usize::from(class.parity())];
            let data: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            codec(class.data(), class.parity()).encode(&data, &mut parity);
            parts.extend(parity);
        }
        let slice = SliceId::new(0, Slot::default(), 77).unwrap();
        let (rotten, gone, silent) = Default::default();
        Self { slice, layout, bytes, parts, rotten, gone, silent }
    }

    fn servers(&self) -> Vec<Option<ServerId>> {
        (0..self.parts.len() as u64).map(|index| Some(ServerId(index + 1))).collect()
    }

    fn answer(&self, ask: &Ask) -> Result<Sent, Failure> {
        let index = ask.part.index;
        assert_eq!(ask.server, ServerId(u64::from(index) + 1));
        assert_eq!(ask.offset % LEAF_BYTES, 0);
        assert!(ask.length > 0, "nothing is asked for");
        if self.gone.contains(&index) {
            return Err(Failure::Gone);
        }
        if self.silent.contains(&index) {
            return Err(Failure::Silent);
        }
        let part = &self.parts[usize::from(index)];
        let (from, to) = (ask.offset as usize, (ask.offset + ask.length) as usize);
        let mut bytes = part[from..to].to_vec();
        let first = ask.offset / LEAF_BYTES;
        let sums = checksum::leaves(ask.part, u64::from(first), &bytes);
        for (at, leaf) in bytes.chunks_mut(LEAF_BYTES as usize).zip(first..) {
            if self.rotten.contains(&(index, leaf)) {
                at[0] ^= 1;
            }
        }
        Ok(Sent { part_length: part.len() as u32, sums, bytes: bytes.into() })
    }

    fn fetch(&self, rectangle: Rectangle, dice: &mut impl Dice) -> Fetch {
        let mut order: Vec<u8> = (0..self.parts.len() as u8).collect();
        dice.shuffle(&mut order);
        Fetch::new(self.slice, self.layout, rectangle, &self.servers(), order)
    }

    /// Reads a range as the driver does; `None` if some rectangle is stuck.
    fn read(&self, offset: u32, length: u32, dice: &mut impl Dice) -> Option<Bytes> {
        let mut strips = Vec::new();
        for rectangle in cut(&self.layout, offset, length) {
            let expected = self.is_recoverable(&rectangle);
            let mut fetch = self.fetch(rectangle, dice);
            let done = self.drive(&mut fetch, dice);
            assert_eq!(done, expected, "{}", fetch.describe());
            if !done {
                return None;
            }
            strips.extend(fetch.finish());
        }
        Some(join(&self.layout, offset, length, &strips))
    }

    /// Answers in any order, some of them after others were asked because they were slow.
    fn drive(&self, fetch: &mut Fetch, dice: &mut impl Dice) -> bool {
        let mut under_way: Vec<Ask> = Vec::new();
        loop {
            under_way.extend(fetch.asks());
            match fetch.verdict() {
                Verdict::Done => return true,
                Verdict::Stuck { .. } => return false,
                Verdict::Waiting if dice.chance(200_000) => fetch.slow(),
                Verdict::Waiting => {
                    let ask = under_way.swap_remove(dice.below(under_way.len() as u64) as usize);
                    let bad = fetch.answered(&ask, self.answer(&ask));
                    assert!(bad.iter().all(|leaf| self.rotten.contains(&(ask.part.index, *leaf))));
                }
            }
        }
    }

    fn is_recoverable(&self, rectangle: &Rectangle) -> bool {
        let class = self.layout.class();
        (rectangle.first..rectangle.end).all(|leaf| {
            let there = |part: &u8| {
                let empty = leaf * LEAF_BYTES >= self.layout.part_bytes(*part);
                let lost = self.gone.contains(part) || self.silent.contains(part);
                empty || !lost && !self.rotten.contains(&(*part, leaf))
            };
            let left = (0..class.parts()).filter(there).count();
            left >= usize::from(class.data()) || !class.is_copies() && rectangle.wanted.iter().all(there)
        })
    }
}

#[test]
fn what_can_be_read_is_read_right_and_what_cannot_is_an_error() {
    let mut whole = 0;
    let mut stuck = 0;
    for seed in 0..600 {
        let mut dice = stream(seed, "fetch", 0, 0);
        let (class, length) = *dice.pick(&[
            ("copies=1", 9_000),
            ("copies=3", 30_000),
            ("ec=4+2", 100_000),
            ("ec=3+1", 20_481),
            ("ec=2+2", 8_193),
        ]);
        let mut stored = Stored::new(class, length, &mut dice);
        let parts = stored.layout.class().parts();
        let one = |dice: &mut rand_chacha::ChaCha8Rng| dice.below(u64::from(parts)) as u8;
        for _ in 0..dice.below(3) {
            let part = one(&mut dice);
            if dice.chance(500_000) {
                stored.gone.insert(part)
            } else {
                stored.silent.insert(part)
            };
        }
        for _ in 0..dice.below(8) {
            stored.rotten.insert((one(&mut dice), dice.below(8) as u32));
        }
        let offset = dice.below(u64::from(length)) as u32;
        let wanted = dice.between(1, u64::from(length)) as u32;
        match stored.read(offset, wanted, &mut dice) {
            Some(bytes) => {
                let end = length.min(offset + wanted) as usize;
                assert_eq!(bytes, stored.bytes[offset as usize..end], "seed {seed}");
                whole += 1;
            }
            None => stuck += 1,
        }
    }
    assert!(whole > 200 && stuck > 50, "{whole} whole, {stuck} stuck");
}

fn whole_of(stored: &Stored) -> Rectangle {
    cut(&stored.layout, 0, u32::MAX).remove(0)
}

#[test]
fn a_healthy_stripe_is_read_without_parity() {
    let mut dice = stream(1, "", 0, 0);
    let stored = Stored::new("ec=4+2", 65_536, &mut dice);
    let mut fetch = stored.fetch(whole_of(&stored), &mut dice);
    let asks = fetch.asks();
    assert_eq!(asks.iter().map(|ask| ask.part.index).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(fetch.asks(), []);
    // One of them is slow: a parity part is read beside it, and the slow one is not waited for.
    for ask in &asks[1..] {
        fetch.answered(ask, stored.answer(ask));
    }
    fetch.slow();
    let more = fetch.asks();
    assert!(matches!(more[..], [Ask { part: PartId { index: 4 | 5, .. }, .. }]));
    fetch.answered(&more[0], stored.answer(&more[0]));
    assert_eq!((fetch.verdict(), fetch.needs_work()), (Verdict::Done, true));
    assert_eq!(join(&stored.layout, 0, 65_536, &fetch.finish()), stored.bytes);
}

#[test]
fn of_a_rotten_copy_only_what_is_rotten_is_read_elsewhere() {
    let mut dice = stream(2, "", 0, 0);
    let mut stored = Stored::new("copies=2", 40_960, &mut dice);
    stored.rotten.extend([(0, 3), (0, 4), (1, 9)]);
    let mut fetch = Fetch::new(stored.slice, stored.layout, whole_of(&stored), &stored.servers(), vec![0, 1]);
    let [first] = fetch.asks()[..] else { panic!("one copy is enough") };
    assert_eq!(fetch.answered(&first, stored.answer(&first)), [3, 4]);
    let [second] = fetch.asks()[..] else { panic!("the other copy has the rest") };
    assert_eq!((second.offset, second.length), (3 * LEAF_BYTES, 2 * LEAF_BYTES));
    fetch.answered(&second, stored.answer(&second));
    assert_eq!(fetch.verdict(), Verdict::Done);
    assert_eq!(fetch.finish()[0].bytes, stored.bytes);
}

#[test]
fn what_was_damaged_on_its_way_is_asked_for_again() {
    let mut dice = stream(3, "", 0, 0);
    let mut stored = Stored::new("copies=2", 10_000, &mut dice);
    stored.rotten.insert((0, 1));
    stored.silent.insert(1);
    let mut fetch = stored.fetch(whole_of(&stored), &mut dice);
    assert!(!stored.drive(&mut fetch, &mut dice));
    let Verdict::Stuck { hope: Hope::Answers, what } = fetch.verdict() else { panic!("somebody is silent") };
    let described =
        what.contains("part 0 on s1 has 1 bad leaves") && what.contains("part 1 on s2 does not answer");
    assert!(described, "{what}");
    stored.silent.clear();
    stored.gone.insert(1);
    for _ in 0..LUCK_MAX {
        fetch.again();
        assert!(!stored.drive(&mut fetch, &mut dice));
    }
    assert!(matches!(fetch.verdict(), Verdict::Stuck { hope: Hope::None, .. }));
    stored.rotten.clear();
    fetch.again();
    assert!(stored.drive(&mut fetch, &mut dice));
    assert_eq!(fetch.finish()[0].bytes, stored.bytes);
}

/// Another part under the right name, a part of another length, fewer bytes than there should be.
#[test]
fn nothing_but_the_part_itself_verifies() {
    let mut dice = stream(4, "", 0, 0);
    let stored = Stored::new("ec=2+1", 16_384, &mut dice);
    let changes: [fn(&Stored, Sent) -> Sent; 4] = [
        |_, sent| Sent { part_length: sent.part_length + 1, ..sent },
        |_, sent| Sent { bytes: sent.bytes.slice(..4_095), ..sent },
        |_, sent| Sent { sums: Vec::new(), ..sent },
        |stored, sent| Sent { bytes: stored.parts[1].clone().into(), ..sent },
    ];
    for change in changes {
        let mut fetch = stored.fetch(whole_of(&stored), &mut dice);
        let ask = fetch.asks()[0];
        let sent = change(&stored, stored.answer(&ask).unwrap());
        assert!(fetch.answered(&ask, Ok(sent)).contains(&0));
    }
}
