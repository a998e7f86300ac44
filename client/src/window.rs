//! The sequence numbers of one session: each change has its own, and the server may forget its
//! answer to every number below the lowest one still in flight. Pure; knows no requests.

use std::collections::BTreeSet;

/// Numbers given out and not yet done with. At most `width` at once, all within `width` of the
/// lowest, which is what the server's table promises to remember.
#[derive(Debug)]
pub(crate) struct Window {
    next: u64,
    width: u64,
    open: BTreeSet<u64>,
}

impl Window {
    pub(crate) fn new(width: u64) -> Self {
        assert!(width > 0, "a session that may ask nothing is no session");
        Self { next: 1, width, open: BTreeSet::new() }
    }

    /// The next number, or `None` while the window is full.
    pub(crate) fn take(&mut self) -> Option<u64> {
        if self.next - self.low_water() >= self.width {
            return None;
        }
        let sequence = self.next;
        self.next += 1;
        self.open.insert(sequence);
        Some(sequence)
    }

    /// Nobody wants the answer to this one any more.
    pub(crate) fn done(&mut self, sequence: u64) {
        let known = self.open.remove(&sequence);
        assert!(known, "sequence {sequence} is done with twice");
    }

    /// The lowest number whose answer may still be asked for.
    pub(crate) fn low_water(&self) -> u64 {
        self.open.first().copied().unwrap_or(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_unanswered_request_holds_the_window() {
        let mut window = Window::new(3);
        assert_eq!(
            [window.take(), window.take(), window.take(), window.take()],
            [Some(1), Some(2), Some(3), None]
        );
        window.done(2);
        assert_eq!((window.low_water(), window.take()), (1, None));
        window.done(1);
        assert_eq!(
            (window.low_water(), window.take(), window.take(), window.take()),
            (3, Some(4), Some(5), None)
        );
    }
}
