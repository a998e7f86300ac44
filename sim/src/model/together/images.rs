//! What bytes files have for certain: what was written one after the other, by one mount or by several
//! that each had it committed before the next one wrote. Where nobody can tell in which order, nothing is
//! known until somebody has read it all.

use mooseng_core::id::InodeId;
use std::collections::BTreeMap;

/// A place in the order of all changes of bytes.
pub type Turn = u64;

#[derive(Clone, Debug, Default)]
struct Image {
    bytes: Option<Vec<u8>>,
    /// When each mount last changed it, or had it committed.
    touched: BTreeMap<usize, Turn>,
}

#[derive(Default)]
pub(super) struct Images {
    files: BTreeMap<InodeId, Image>,
    turns: Turn,
}

fn overwrite(bytes: &mut Vec<u8>, offset: u64, new: &[u8]) {
    let (from, to) = (offset as usize, offset as usize + new.len());
    if bytes.len() < to {
        bytes.resize(to, 0);
    }
    bytes[from..to].copy_from_slice(new);
}

impl Images {
    /// Whoever opens a file now sees what was committed before.
    pub(super) fn turn(&self) -> Turn {
        self.turns
    }

    fn file(&mut self, file: InodeId) -> &mut Image {
        self.files.entry(file).or_insert_with(|| Image { bytes: Some(Vec::new()), ..Image::default() })
    }

    pub(super) fn touch(&mut self, mount: usize, file: InodeId) {
        self.turns += 1;
        let turn = self.turns;
        self.file(file).touched.insert(mount, turn);
    }

    /// `alone`: nobody else has taken anything in that is not committed.
    pub(super) fn change(
        &mut self,
        mount: usize,
        file: InodeId,
        alone: bool,
        change: impl FnOnce(&mut Vec<u8>),
    ) {
        self.touch(mount, file);
        let bytes = &mut self.file(file).bytes;
        match bytes {
            Some(bytes) if alone => change(bytes),
            _ => *bytes = None,
        }
    }

    pub(super) fn write(&mut self, mount: usize, file: InodeId, alone: bool, offset: u64, new: &[u8]) {
        self.change(mount, file, alone, |bytes| overwrite(bytes, offset, new));
    }

    pub(super) fn cut(&mut self, mount: usize, file: InodeId, alone: bool, size: u64) {
        self.change(mount, file, alone, |bytes| bytes.resize(size as usize, 0));
    }

    pub(super) fn punch(&mut self, mount: usize, file: InodeId, alone: bool, offset: u64, length: u64) {
        self.change(mount, file, alone, |bytes| {
            let end = bytes.len().min((offset + length) as usize);
            bytes[end.min(offset as usize)..end].fill(0);
        });
    }

    /// What was committed of it before, elsewhere, has to be seen by whoever opened it at `opened`.
    fn is_seen(&mut self, mount: usize, file: InodeId, opened: Turn) -> bool {
        self.file(file).touched.iter().all(|(by, turn)| *by == mount || *turn <= opened)
    }

    /// A read through what was opened at `opened` gave these bytes, fewer than were `wanted` only where the
    /// file ends. The error says what it had to give.
    pub(super) fn read(
        &mut self,
        (mount, file, opened): (usize, InodeId, Turn),
        settled: bool,
        (offset, wanted): (u64, u64),
        shown: &[u8],
    ) -> Result<(), String> {
        if !self.is_seen(mount, file, opened) {
            return Ok(());
        }
        let image = self.file(file);
        let Some(bytes) = &image.bytes else {
            if settled && offset == 0 && (shown.len() as u64) < wanted {
                image.bytes = Some(shown.to_vec());
            }
            return Ok(());
        };
        let end = bytes.len().min((offset + wanted) as usize);
        let due = &bytes[end.min(offset as usize)..end];
        if due.len() != shown.len() {
            return Err(format!("{} bytes at {offset}, not {}", due.len(), shown.len()));
        }
        match due.iter().zip(shown).position(|(due, shown)| due != shown) {
            None => Ok(()),
            Some(wrong) => {
                let (due, shown) = (due[wrong], shown[wrong]);
                Err(format!("the byte {due:#04x} at {}, not {shown:#04x}", offset + wrong as u64))
            }
        }
    }

    /// Data, or a hole, was looked for from an offset on.
    pub(super) fn sought(
        &mut self,
        file: InodeId,
        from: u64,
        hole: bool,
        found: Option<u64>,
    ) -> Result<(), String> {
        let Some(bytes) = &self.file(file).bytes else { return Ok(()) };
        let size = bytes.len() as u64;
        let data_between = |to: u64| bytes[from as usize..to as usize].iter().any(|byte| *byte != 0);
        let fits = match found {
            None if from >= size => true,
            None => !hole && !data_between(size),
            Some(found) if found < from || from >= size => false,
            Some(found) if hole => found == size || bytes.get(found as usize) == Some(&0),
            Some(found) => found < size && !data_between(found),
        };
        if fits { Ok(()) } else { Err(format!("something else than {found:?} from {from} of {size} bytes")) }
    }

    pub(super) fn doubt(&mut self, file: InodeId) {
        self.file(file).bytes = None;
    }
}
