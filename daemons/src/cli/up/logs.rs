//! Keeps a log within bounds while somebody writes to it: what it holds moves to a file beside it, and it begins
//! again. Whoever writes appends, and need not be told; a line that is written in that moment may be lost.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "logs are files of the real world")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Where the lines before the present ones are.
pub(super) fn former(log: &Path) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(".old");
    name.into()
}

/// Lets the log begin again if it holds more than that. The last so many bytes of it are kept.
pub(super) fn bound(log: &Path, bytes_max: u64) -> io::Result<()> {
    let length = match fs::metadata(log) {
        Ok(found) if found.is_file() => found.len(),
        _ => return Ok(()),
    };
    if length <= bytes_max {
        return Ok(());
    }
    // On a full disk nothing can be kept, and that the log goes is the more wanted.
    let kept = keep(log, length.saturating_sub(bytes_max));
    OpenOptions::new().write(true).open(log)?.set_len(0)?;
    kept
}

fn keep(log: &Path, from: u64) -> io::Result<()> {
    let mut source = File::open(log)?;
    source.seek(SeekFrom::Start(from))?;
    io::copy(&mut source, &mut File::create(former(log))?).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_log_begins_again_and_what_it_held_is_beside_it() {
        let log = std::env::temp_dir().join(format!("mooseng-log-{}", std::process::id()));
        let mut writer = OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        for (line, now, before) in
            [("first", "first", ""), ("second", "", "stsecond"), ("third", "third", "stsecond")]
        {
            write!(writer, "{line}").unwrap();
            bound(&log, 8).unwrap();
            let former = if before.is_empty() { String::new() } else { read(&former(&log)) };
            assert_eq!((read(&log).as_str(), former.as_str()), (now, before), "{line}");
        }
        fs::remove_file(former(&log)).unwrap();
        fs::remove_file(&log).unwrap();
        bound(&log, 8).unwrap();
    }
}
