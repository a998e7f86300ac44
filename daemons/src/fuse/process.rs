//! What the kernel's request does not say of the process behind it: its supplementary groups, and
//! whether it has been told to end while it waits. Read from /proc, and only when it matters.
//!
//! fuser passes no FUSE_INTERRUPT on, and a process whose request is being worked on cannot be killed
//! before there is an answer. So requests that take long look after their process themselves.

use fuser::Request;
use std::time::Duration;

/// A request that is answered before this costs nothing more.
const PATIENCE: Duration = Duration::from_millis(200);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// SIGHUP, SIGINT, SIGQUIT, SIGKILL, SIGTERM. A signal that ends the process by default is turned
/// into SIGKILL by the kernel, so the others are those that the process wants to act on. Signals that
/// belong to a program's ordinary life (timers, children, a runtime's own) interrupt nothing.
const TO_END: u64 = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 8 | 1 << 14;

/// Who made a request. 0 stands for nobody, as when the kernel writes pages back on its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Process(u32);

impl Process {
    pub(super) fn of(request: &Request) -> Self {
        Self(request.pid())
    }

    /// None if the process is gone, or not to be seen from here.
    pub(super) fn groups(self) -> Vec<u32> {
        self.status().map(|status| groups(&status)).unwrap_or_default()
    }

    /// Resolves when the process has been told to end.
    pub(super) async fn told_to_end(self) {
        tokio::time::sleep(PATIENCE).await;
        while self.status().map_or(0, |status| pending(&status)) & TO_END == 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn status(self) -> Option<String> {
        if self.0 == 0 {
            return None;
        }
        std::fs::read_to_string(format!("/proc/{}/status", self.0)).ok()
    }
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let mut lines = status.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(key, _)| *key == name).map_or("", |(_, value)| value.trim())
}

fn groups(status: &str) -> Vec<u32> {
    field(status, "Groups").split_ascii_whitespace().filter_map(|group| group.parse().ok()).collect()
}

/// The signals that wait for the thread or its process, are not blocked and not ignored.
fn pending(status: &str) -> u64 {
    let set = |name| u64::from_str_radix(field(status, name), 16).unwrap_or(0);
    (set("SigPnd") | set("ShdPnd")) & !set("SigBlk") & !set("SigIgn")
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tcat\nState:\tD (disk sleep)\nGroups:\t4 24 1000 \n\
        SigQ:\t1/95847\nSigPnd:\t0000000000000100\nShdPnd:\t0000000000000002\n\
        SigBlk:\t0000000000000000\nSigIgn:\t0000000000000002\nSigCgt:\t0000000000000000\n";

    #[test]
    fn a_status_tells_groups_and_signals() {
        assert_eq!(groups(STATUS), [4, 24, 1000]);
        assert_eq!(pending(STATUS), 1 << 8, "SIGKILL waits; SIGINT is ignored");
        assert_eq!(pending(&STATUS.replace("SigBlk:\t0000000000000000", "SigBlk:\t00000000ffffffff")), 0);
        assert_eq!((groups("rubbish"), pending("SigPnd:\tx")), (vec![], 0));
    }

    #[test]
    fn this_process_is_there() {
        let own = Process(std::process::id());
        assert!(own.status().is_some_and(|status| field(&status, "Name").len() > 1));
        assert!(Process(0).groups().is_empty());
    }
}
