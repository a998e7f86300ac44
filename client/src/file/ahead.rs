//! How far to read ahead: twice as far with every read that goes on where the last one ended, not
//! at all when reads jump about. Pure; knows no bytes.

/// What is read ahead at once.
const BLOCK_BYTES: u64 = 1 << 20;
const WINDOW_BYTES_FIRST: u64 = 128 << 10;
/// Reads of one stream may come a little out of order.
const SLACK_BYTES: u64 = 512 << 10;

#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// Where the stream is expected to go on.
    next: u64,
    window: u64,
    /// What lies before this was asked for.
    asked: u64,
}

impl Ahead {
    /// A read happened: the blocks, as start and end, that are worth reading now.
    pub(super) fn read(&mut self, offset: u64, length: u64, size: u64, window_max: u64) -> Vec<(u64, u64)> {
        let end = offset.saturating_add(length);
        let goes_on =
            offset <= self.next.saturating_add(SLACK_BYTES) && end.saturating_add(SLACK_BYTES) >= self.next;
        if goes_on && offset >= self.next {
            self.window = (self.window * 2).clamp(WINDOW_BYTES_FIRST, window_max.max(WINDOW_BYTES_FIRST));
        } else if !goes_on {
            (self.window, self.asked) = (0, 0);
        }
        self.next = if goes_on { self.next.max(end) } else { end };
        let target = self.next.saturating_add(self.window).min(size);
        let mut start = self.asked.max(self.next);
        let mut blocks = Vec::new();
        // Half a window at a time, or what is left: not a trickle behind every small read.
        if self.window > 0 && (target.saturating_sub(start) >= self.window / 2 || target == size) {
            while start < target {
                let end = (start + BLOCK_BYTES).min(target);
                blocks.push((start, end));
                start = end;
            }
            self.asked = start;
        }
        blocks
    }

    /// What lies before this is no longer of use to the stream.
    pub(super) fn behind(&self) -> u64 {
        self.next.saturating_sub(SLACK_BYTES)
    }

    /// Whatever was read ahead is gone.
    pub(super) fn forget(&mut self) {
        self.asked = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: u64 = 4 << 20;

    #[test]
    fn a_stream_is_read_ahead_of_once_and_farther_and_farther() {
        let size = 100 << 20;
        let mut ahead = Ahead::default();
        let mut covered = 128 << 10;
        let mut farthest = 0;
        for step in 0..200u64 {
            let offset = step * (128 << 10);
            for (start, end) in ahead.read(offset, 128 << 10, size, MOST) {
                assert_eq!(start, covered, "nothing twice, nothing left out");
                assert!(end - start <= BLOCK_BYTES);
                covered = end;
            }
            farthest = farthest.max(covered - offset);
            assert!(covered >= offset + (128 << 10), "always ahead");
        }
        assert!(farthest <= MOST + (128 << 10) && farthest > MOST / 2, "{farthest}");
    }

    #[test]
    fn jumping_about_reads_nothing_ahead() {
        let mut ahead = Ahead::default();
        ahead.read(0, 4_096, 1 << 30, MOST);
        for step in 1..50u64 {
            let offset = (step * 7_919 % 1_000) << 20;
            assert_eq!(ahead.read(offset, 4_096, 1 << 30, MOST), []);
        }
    }

    #[test]
    fn nothing_is_read_behind_the_end() {
        let mut ahead = Ahead::default();
        assert_eq!(ahead.read(0, 4_096, 6_000, MOST), [(4_096, 6_000)]);
        assert_eq!(ahead.read(4_096, 1_904, 6_000, MOST), []);
    }

    #[test]
    fn a_stream_that_comes_out_of_order_is_one() {
        let mut ahead = Ahead::default();
        let step = 128 << 10;
        let mut blocks = 0;
        for pair in 0..20u64 {
            blocks += ahead.read((2 * pair + 1) * step, step, 1 << 30, MOST).len();
            blocks += ahead.read(2 * pair * step, step, 1 << 30, MOST).len();
        }
        assert!(blocks > 4 && ahead.window > WINDOW_BYTES_FIRST);
    }
}
