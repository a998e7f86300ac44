//! What is said to the kernel unasked: that it is not to believe any more what it was told. The words of
//! the protocol (`linux/fuse.h`) that fuser has no name for: a name that has only expired, which unlike an
//! invalid one takes nothing down that is mounted or at work below it.
//!
//! ```text
//!  0        4        8                 16
//! +--------+--------+-----------------+---------------------------------------+
//! | length |  code  |        0        |  an inode:  number, offset, length    |
//! +--------+--------+-----------------+  a name:    parent, u32 length, u32   |
//!                                     |             flags, the name, NUL      |
//!                                     +---------------------------------------+
//! ```
//!
//! All numbers are the machine's own way round, 8 bytes where nothing else is said.

use fuser::INodeNo;
use std::os::fd::OwnedFd;

const INODE: i32 = 2;
const NAME: i32 = 3;
const HEAD_BYTES: usize = 16;
/// It is looked up again before it is believed again. Kernels before 6.2 do not know it, and forget the
/// name.
const ONLY_EXPIRED: u32 = 1;

fn notice(code: i32, body: &[u8]) -> Vec<u8> {
    let length = (HEAD_BYTES + body.len()) as u32;
    [&length.to_ne_bytes()[..], &code.to_ne_bytes(), &0_u64.to_ne_bytes(), body].concat()
}

/// The attributes alone: a negative offset leaves what is cached of the data.
fn attributes(inode: INodeNo) -> Vec<u8> {
    let body = [inode.0.to_ne_bytes(), (-1_i64).to_ne_bytes(), 0_i64.to_ne_bytes()];
    notice(INODE, &body.concat())
}

fn name(parent: INodeNo, name: &[u8]) -> Vec<u8> {
    let length = name.len() as u32;
    let head = [&parent.0.to_ne_bytes()[..], &length.to_ne_bytes(), &ONLY_EXPIRED.to_ne_bytes()];
    notice(NAME, &[&head.concat()[..], name, b"\0"].concat())
}

/// The way to the kernel.
pub(super) struct Notices {
    device: OwnedFd,
}

impl Notices {
    pub(super) fn new(device: OwnedFd) -> Self {
        Self { device }
    }

    /// Never waits for anybody.
    pub(super) fn attributes(&self, inode: INodeNo) {
        self.send(&attributes(inode));
    }

    /// Waits for whatever is being done in the directory.
    pub(super) fn name(&self, parent: INodeNo, of: &[u8]) {
        self.send(&name(parent, of));
    }

    fn send(&self, notice: &[u8]) {
        // What the kernel does not know it does not believe, and when it is gone nobody does.
        let _ = rustix::io::write(&self.device, notice);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_are_what_the_kernel_reads() {
        let told = attributes(INodeNo(5));
        assert_eq!((told.len(), &told[..4]), (40, &40_u32.to_ne_bytes()[..]));
        assert_eq!((&told[4..8], &told[16..24]), (&2_i32.to_ne_bytes()[..], &5_u64.to_ne_bytes()[..]));
        assert_eq!(&told[24..], [&[255; 8][..], &[0; 8]].concat());
        let told = name(INodeNo(1), b"ab");
        assert_eq!((told.len(), &told[4..8]), (35, &3_i32.to_ne_bytes()[..]));
        assert_eq!(&told[24..32], [2_u32.to_ne_bytes(), 1_u32.to_ne_bytes()].concat());
        assert_eq!(&told[32..], b"ab\0");
    }
}
