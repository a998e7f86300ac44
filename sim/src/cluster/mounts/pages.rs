//! What a kernel would have cached of files: what it has read and written through a mount, until the mount
//! says, when a file is opened, that something else is there. Pure.

use mooseng_core::id::InodeId;
use std::collections::BTreeMap;

/// So many runs are cached of a file.
const RUNS_MAX: usize = 8;

type Run = (u64, Vec<u8>);

#[derive(Default)]
pub(super) struct Pages(BTreeMap<InodeId, Vec<Run>>);

impl Pages {
    /// The file is opened. Gives what is to be there still.
    pub(super) fn opened(&mut self, file: InodeId, keeps_bytes: bool) -> Vec<Run> {
        if !keeps_bytes {
            self.forget(file);
        }
        self.0.get(&file).cloned().unwrap_or_default()
    }

    pub(super) fn read(&mut self, file: InodeId, offset: u64, bytes: &[u8]) {
        self.add(file, offset, bytes);
    }

    pub(super) fn write(&mut self, file: InodeId, offset: u64, bytes: &[u8]) {
        self.add(file, offset, bytes);
    }

    /// What lies under it is forgotten.
    fn add(&mut self, file: InodeId, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let runs = self.0.entry(file).or_default();
        let end = offset + bytes.len() as u64;
        runs.retain(|(from, old)| *from >= end || from + old.len() as u64 <= offset);
        if runs.len() == RUNS_MAX {
            runs.remove(0);
        }
        runs.push((offset, bytes.to_vec()));
    }

    pub(super) fn forget(&mut self, file: InodeId) {
        self.0.remove(&file);
    }
}
