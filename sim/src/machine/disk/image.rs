//! The bytes of one file, sparse by pages of 4 KiB that images share until one of them changes.

use super::pages::Pages;
use std::sync::Arc;

pub(crate) const PAGE_BYTES: u64 = 4096;
/// What a disk writes whole or not at all.
pub(crate) const SECTOR_BYTES: u64 = 512;
pub(crate) const SECTORS_PER_PAGE: u64 = PAGE_BYTES / SECTOR_BYTES;

/// A page that is there; `None` is all zeros.
type Page = Option<Arc<[u8; PAGE_BYTES as usize]>>;

/// Which sectors of which pages.
pub(super) type Sectors = Pages<u8>;

#[derive(Clone, Default)]
pub(crate) struct Image {
    length: u64,
    pages: Pages<Page>,
}

impl Image {
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn set_length(&mut self, length: u64) {
        self.length = length;
    }

    /// Where the last page ends, whatever the length says.
    pub(crate) fn end_of_pages(&self) -> u64 {
        self.pages.last().map_or(0, |number| (number + 1) * PAGE_BYTES)
    }

    pub(crate) fn page_count(&self) -> u64 {
        self.pages.len()
    }

    /// How many pages a write would add.
    pub(crate) fn pages_missing(&self, offset: u64, len: u64) -> u64 {
        if len == 0 {
            return 0;
        }
        let (first, last) = (offset / PAGE_BYTES, (offset + len - 1) / PAGE_BYTES);
        last - first + 1 - self.pages.count_between(first, last)
    }

    /// Bytes from `offset`, as many as there are up to `len`.
    pub(crate) fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        let end = self.length.min(offset.saturating_add(len as u64));
        let mut bytes = Vec::with_capacity(end.saturating_sub(offset) as usize);
        let mut at = offset;
        while at < end {
            let start = (at % PAGE_BYTES) as usize;
            let take = (PAGE_BYTES as usize - start).min((end - at) as usize);
            match self.pages.get(at / PAGE_BYTES) {
                Some(Some(page)) => bytes.extend_from_slice(&page[start..start + take]),
                _ => bytes.resize(bytes.len() + take, 0),
            }
            at += take as u64;
        }
        bytes
    }

    /// Writes, grows as needed, and adds the sectors that were touched to `touched`.
    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8], touched: &mut Sectors) {
        let mut at = offset;
        let mut left = bytes;
        while !left.is_empty() {
            let start = (at % PAGE_BYTES) as usize;
            let (piece, rest) = left.split_at((PAGE_BYTES as usize - start).min(left.len()));
            self.write_page(at / PAGE_BYTES, start, piece);
            *touched.entry(at / PAGE_BYTES) |= mask(start as u64, piece.len() as u64);
            at += piece.len() as u64;
            left = rest;
        }
        if !bytes.is_empty() {
            self.length = self.length.max(at);
        }
    }

    fn write_page(&mut self, number: u64, start: usize, piece: &[u8]) {
        let page = self.pages.entry(number);
        if piece.len() == PAGE_BYTES as usize {
            *page = match <&[u8; PAGE_BYTES as usize]>::try_from(piece) {
                Ok(whole) if !is_zero(whole) => Some(Arc::new(*whole)),
                _ => None,
            };
            return;
        }
        if page.is_none() && is_zero(piece) {
            return;
        }
        let page = page.get_or_insert_with(|| Arc::new([0; PAGE_BYTES as usize]));
        Arc::make_mut(page)[start..start + piece.len()].copy_from_slice(piece);
    }

    /// Takes the sectors in `mask` of a page from another image, as they are there.
    pub(crate) fn take_sectors(&mut self, source: &Image, number: u64, mask: u8) {
        let from = source.pages.get(number);
        if mask == u8::MAX {
            match from {
                Some(page) => self.pages.entry(number).clone_from(page),
                None => self.pages.remove(number),
            }
            return;
        }
        for sector in (0..SECTORS_PER_PAGE).filter(|sector| mask & (1 << sector) != 0) {
            let start = (sector * SECTOR_BYTES) as usize;
            match from {
                Some(Some(page)) => {
                    self.write_page(number, start, &page[start..start + SECTOR_BYTES as usize])
                }
                _ if self.pages.get(number).is_some() => {
                    self.write_page(number, start, &[0; SECTOR_BYTES as usize]);
                }
                _ => {}
            }
        }
    }

    /// Takes a whole page from another image; the caller knows that nothing else of it differs.
    pub(crate) fn take_page(&mut self, source: &Image, number: u64) {
        self.take_sectors(source, number, u8::MAX);
    }

    /// Cuts or lengthens. What lies beyond a cut reads as zeros if the file grows again.
    pub(crate) fn resize(&mut self, length: u64, touched: &mut Sectors) {
        if length < self.length {
            let first_gone = length.div_ceil(PAGE_BYTES);
            for number in self.pages.cut(first_gone) {
                *touched.entry(number) = u8::MAX;
            }
            self.zero_tail(length, touched);
        }
        self.length = length;
    }

    fn zero_tail(&mut self, length: u64, touched: &mut Sectors) {
        let (number, start) = (length / PAGE_BYTES, length % PAGE_BYTES);
        let Some(Some(page)) = self.pages.get(number) else { return };
        if start > 0 && !is_zero(&page[start as usize..]) {
            let zeros = vec![0; (PAGE_BYTES - start) as usize];
            self.write_page(number, start as usize, &zeros);
            *touched.entry(number) |= mask(start, PAGE_BYTES - start);
        }
    }

    pub(crate) fn flip_bit(&mut self, offset: u64, bit: u8) {
        let byte = self.read(offset, 1).first().copied().unwrap_or_default();
        self.write_page(offset / PAGE_BYTES, (offset % PAGE_BYTES) as usize, &[byte ^ (1 << (bit % 8))]);
    }

    /// The offsets of the sectors between two offsets that hold anything but zeros.
    pub(crate) fn written_sectors(&self, from: u64, to: u64) -> Vec<u64> {
        let mut offsets = Vec::new();
        for (number, page) in self.pages.iter() {
            let Some(page) = page else { continue };
            for (index, sector) in page.chunks(SECTOR_BYTES as usize).enumerate() {
                let offset = number * PAGE_BYTES + index as u64 * SECTOR_BYTES;
                let wanted = offset + SECTOR_BYTES > from && offset < to.min(self.length);
                if wanted && !is_zero(sector) {
                    offsets.push(offset);
                }
            }
        }
        offsets
    }
}

/// At most a page of zeros? Comparing memory is many times faster than looking at each byte.
fn is_zero(bytes: &[u8]) -> bool {
    static ZEROS: [u8; PAGE_BYTES as usize] = [0; PAGE_BYTES as usize];
    bytes == &ZEROS[..bytes.len()]
}

/// The sectors of a page that a range within it touches.
pub(crate) fn mask(start: u64, len: u64) -> u8 {
    assert!(len > 0 && start + len <= PAGE_BYTES, "{len} bytes at {start} do not lie in a page");
    let (first, last) = (start / SECTOR_BYTES, (start + len - 1) / SECTOR_BYTES);
    let upto = |sector: u64| ((1_u16 << sector) - 1) as u8;
    upto(last + 1) & !upto(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_cover_exactly_the_touched_sectors() {
        assert_eq!(mask(0, 4096), 0xff);
        assert_eq!(mask(0, 1), 0b1);
        assert_eq!(mask(511, 2), 0b11);
        assert_eq!(mask(512, 512), 0b10);
        assert_eq!(mask(4095, 1), 0b1000_0000);
    }

    #[test]
    fn bytes_come_back_across_pages_and_zeros_take_no_room() {
        let mut image = Image::default();
        let mut touched = Sectors::default();
        image.write(4_000, &[7; 200], &mut touched);
        let sectors: Vec<(u64, u8)> = touched.iter().map(|(page, mask)| (page, *mask)).collect();
        assert_eq!(sectors, [(0, 0x80), (1, 0b1)]);
        assert_eq!(image.read(3_999, 4), [0, 7, 7, 7]);
        assert_eq!((image.length(), image.read(4_199, 9)), (4_200, vec![7]));
        image.write(8_192, &[0; 8_192], &mut touched);
        assert_eq!(image.page_count(), 4, "zeros are allotted");
        assert_eq!(image.pages.get(2), Some(&None), "and not kept");
        assert!(image.read(1 << 40, 5).is_empty());
    }

    #[test]
    fn what_was_cut_off_is_zero_when_the_file_grows_again() {
        let mut image = Image::default();
        let mut touched = Sectors::default();
        image.write(0, &[9; 10_000], &mut touched);
        image.resize(100, &mut touched);
        image.resize(10_000, &mut touched);
        let bytes = image.read(0, 10_000);
        assert!(bytes[..100].iter().all(|byte| *byte == 9) && bytes[100..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn single_sectors_are_taken_and_the_rest_left() {
        let (mut old, mut new, mut touched) = (Image::default(), Image::default(), Sectors::default());
        old.write(0, &[1; 4_096], &mut touched);
        new.write(0, &[2; 4_096], &mut touched);
        old.take_sectors(&new, 0, 0b10);
        assert_eq!((old.read(511, 1), old.read(512, 1), old.read(1_024, 1)), (vec![1], vec![2], vec![1]));
        assert_eq!(old.written_sectors(600, 1_100), [512, 1_024]);
        old.flip_bit(512, 0);
        assert_eq!(old.read(512, 1), [3]);
    }
}
