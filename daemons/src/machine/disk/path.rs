//! Which paths name something on a disk.

use mooseng_core::env::DiskError;

/// Refuses what could lead out of the data directory or name a file in two ways.
pub(super) fn check(path: &str) -> Result<(), DiskError> {
    let what = if path.is_empty() {
        "the data directory itself cannot be used like this"
    } else if path.contains('\0') {
        "a path holds no NUL"
    } else if path.starts_with('/') {
        "a path is relative to the data directory"
    } else if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        "a path has no empty parts, no `.` and no `..`"
    } else {
        return Ok(());
    };
    Err(DiskError::Io { path: path.to_owned(), what: what.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_one_place_inside() {
        for good in ["a", "a/b", "...", "a..b/.c", "ä b"] {
            assert_eq!(check(good), Ok(()), "{good:?}");
        }
        for bad in ["", "/", "/a", "a/", "a//b", ".", "..", "a/..", "./a", "a/./b", "a\0"] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }
}
