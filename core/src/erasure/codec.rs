//! From parts to parts. The codec multiplies nothing: a row's product is evaluated bit by bit from
//! the highest (Horner's rule), so that all there is to do is to double a block and to add others
//! to it. Both are a few instructions on whole vector registers, whatever the processor, without a
//! table and without a line of unsafe code.

use super::field::REDUCTION;
use super::matrix::{Row, generator, invert, product};

/// The bytes worked on at a time: the sums of one block stay in registers.
const BLOCK_BYTES: usize = 128;

/// How parts are made from parts. Data parts may be shorter than parity: zeros are understood
/// behind their end.
pub trait Codec: Send + Sync {
    /// Fills the parity parts, each as long as it is to be; none of the data is longer.
    fn encode(&self, data: &[&[u8]], parity: &mut [Vec<u8>]);

    /// Brings the parts `wanted` back from any K that are there (`parts` has a place for every part
    /// of the class), all `length` bytes long, or shorter where zeros are understood. Each wanted
    /// part comes back `length` bytes long. Parts that were there stay as they are.
    fn reconstruct(
        &self,
        parts: &mut [Option<Vec<u8>>],
        wanted: &[u8],
        length: usize,
    ) -> Result<(), PartsMissing>;
}

/// Fewer parts are there than the slice is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{present} parts are left and {needed} are needed")]
pub struct PartsMissing {
    pub present: usize,
    pub needed: usize,
}

/// The codec for `data` and `parity` parts.
pub fn codec(data: u8, parity: u8) -> impl Codec + use<> {
    XorCodec::new(data, parity)
}

pub struct XorCodec {
    data: usize,
    rows: Vec<Row>,
    parity: Vec<Recipe>,
}

impl XorCodec {
    pub fn new(data: u8, parity: u8) -> Self {
        let data = usize::from(data);
        let rows = generator(data, data + usize::from(parity));
        let parity = rows[data..].iter().map(Recipe::new).collect();
        Self { data, rows, parity }
    }
}

impl Codec for XorCodec {
    fn encode(&self, data: &[&[u8]], parity: &mut [Vec<u8>]) {
        assert_eq!((data.len(), parity.len()), (self.data, self.parity.len()), "the parts of this class");
        for (recipe, target) in self.parity.iter().zip(parity) {
            recipe.fill(data, target);
        }
    }

    fn reconstruct(
        &self,
        parts: &mut [Option<Vec<u8>>],
        wanted: &[u8],
        length: usize,
    ) -> Result<(), PartsMissing> {
        assert_eq!(parts.len(), self.rows.len(), "the parts of this class");
        let present: Vec<usize> = (0..parts.len()).filter(|index| parts[*index].is_some()).collect();
        if present.len() < self.data {
            return Err(PartsMissing { present: present.len(), needed: self.data });
        }
        let present = &present[..self.data];
        let wanted: Vec<usize> =
            wanted.iter().map(|index| usize::from(*index)).filter(|index| parts[*index].is_none()).collect();
        let square = present.iter().map(|index| self.rows[*index].clone()).collect();
        let inverse = invert(square).expect("any K rows of the generator are independent");
        let rows: Vec<Row> = wanted.iter().map(|index| self.rows[*index].clone()).collect();
        let sources: Vec<&[u8]> = present.iter().filter_map(|index| parts[*index].as_deref()).collect();
        let made: Vec<Vec<u8>> = product(&rows, &inverse)
            .iter()
            .map(|row| {
                let mut target = vec![0; length];
                Recipe::new(row).fill(&sources, &mut target);
                target
            })
            .collect();
        for (index, part) in wanted.into_iter().zip(made) {
            parts[index] = Some(part);
        }
        Ok(())
    }
}

/// One row of a matrix: which sources are added at each bit, the highest bit first.
struct Recipe([Vec<u8>; 8]);

impl Recipe {
    fn new(row: &Row) -> Self {
        let at = |bit: usize| {
            let chosen = row.iter().enumerate().filter(|(_, factor)| *factor >> bit & 1 == 1);
            chosen.map(|(source, _)| source as u8).collect()
        };
        Self(std::array::from_fn(|step| at(7 - step)))
    }

    fn fill(&self, sources: &[&[u8]], target: &mut [u8]) {
        assert!(sources.iter().all(|source| source.len() <= target.len()), "a source outgrows its target");
        for (number, target) in target.chunks_mut(BLOCK_BYTES).enumerate() {
            let block = self.block(sources, number * BLOCK_BYTES);
            target.copy_from_slice(&block[..target.len()]);
        }
    }

    fn block(&self, sources: &[&[u8]], start: usize) -> [u8; BLOCK_BYTES] {
        let mut sum = [0u8; BLOCK_BYTES];
        for (step, chosen) in self.0.iter().enumerate() {
            if step > 0 {
                sum = doubled(sum);
            }
            for source in chosen {
                let rest = sources[usize::from(*source)].get(start..).unwrap_or_default();
                match rest.first_chunk::<BLOCK_BYTES>() {
                    Some(block) => add(&mut sum, block),
                    None => add(&mut sum, &padded(rest)),
                }
            }
        }
        sum
    }
}

/// Whatever is done to a sum is done to all of it: else the compiler keeps it in memory, at half the
/// speed.
fn padded(rest: &[u8]) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    block[..rest.len()].copy_from_slice(rest);
    block
}

#[inline(always)]
fn doubled(block: [u8; BLOCK_BYTES]) -> [u8; BLOCK_BYTES] {
    // The sign of a byte, spread over it, says whether x^8 is to be reduced.
    block.map(|byte| (byte << 1) ^ ((byte as i8 >> 7) as u8 & REDUCTION))
}

#[inline(always)]
fn add(sum: &mut [u8; BLOCK_BYTES], block: &[u8; BLOCK_BYTES]) {
    sum.iter_mut().zip(block).for_each(|(sum, byte)| *sum ^= byte);
}
