//! Where to mount: looks at the mount point before anything is mounted on it, clears away what a killed
//! mount has left, and says in one line what is in the way.

use super::MountError;
use crate::stderr;
use rustix::fs::makedev;
use rustix::mount::{UnmountFlags, unmount};
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

const DEVICE: &str = "/dev/fuse";
const DEVICE_NUMBER: (u32, u32) = (10, 229);
/// ENXIO and ENODEV: the kernel has nothing behind the device.
const NO_SUCH_DEVICE_OR_ADDRESS: i32 = 6;
const NO_SUCH_DEVICE: i32 = 19;
/// What `mount` and /proc/mounts call us.
pub(super) const SUBTYPE: &str = "mooseng";
const TYPE: &str = "fuse.mooseng";
/// ENOTCONN: what a mount answers whose process is gone.
const NOT_CONNECTED: i32 = 107;

/// A directory that can be mounted on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place(PathBuf);

impl Place {
    pub fn prepare(point: &Path) -> Result<Self, MountError> {
        look_at_device()?;
        let refuse = |what: &str, remedy: String| MountError::Point {
            point: point.display().to_string(),
            what: what.to_owned(),
            remedy,
        };
        let shown = point.display();
        let mut found = look_at(point);
        if found.as_ref().err().and_then(io::Error::raw_os_error) == Some(NOT_CONNECTED) {
            clear(point).map_err(|what| refuse(&what, format!("umount -l {shown}")))?;
            found = look_at(point);
        }
        match found {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(refuse("is not a directory", "name a directory".to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(refuse("does not exist", format!("mkdir -p {shown}")));
            }
            Err(error) => return Err(refuse(&error.to_string(), "name another directory".to_owned())),
        }
        let path = fs::canonicalize(point)
            .map_err(|error| refuse(&error.to_string(), "name another directory".to_owned()))?;
        if type_of_mount(&mounts(), &path).as_deref() == Some(TYPE) {
            return Err(refuse("has a MooseNG mounted on it", format!("umount {shown}")));
        }
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Is a file system of ours mounted here now?
    pub fn is_mounted(&self) -> bool {
        type_of_mount(&mounts(), &self.0).as_deref() == Some(TYPE)
    }
}

/// The kernel's door to us: what is wrong with it is told before anybody mounts.
fn look_at_device() -> Result<(), MountError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => MountError::NoDevice,
        _ => match error.raw_os_error() {
            Some(NO_SUCH_DEVICE | NO_SUCH_DEVICE_OR_ADDRESS) => MountError::NoDevice,
            _ => MountError::Device { what: error.to_string() },
        },
    };
    let found = fs::metadata(DEVICE).map_err(failed)?;
    if !found.file_type().is_char_device() || found.rdev() != makedev(DEVICE_NUMBER.0, DEVICE_NUMBER.1) {
        return Err(MountError::NotDevice);
    }
    fs::OpenOptions::new().read(true).write(true).open(DEVICE).map_err(failed).map(drop)
}

/// What is there. Of a mount whose process is gone the kernel may know that for a while, but not how full it is.
fn look_at(point: &Path) -> io::Result<fs::Metadata> {
    rustix::fs::statfs(point)?;
    fs::metadata(point)
}

/// Takes away a mount of ours whose process is gone; nobody can be using it.
fn clear(point: &Path) -> Result<(), String> {
    let dead = "is a mount whose process is gone";
    // It cannot be looked at, so the part above it leads there.
    let absolute = std::path::absolute(point).map_err(|error| format!("{dead} ({error})"))?;
    let path = match (absolute.parent().map(fs::canonicalize), absolute.file_name()) {
        (Some(Ok(parent)), Some(name)) => parent.join(name),
        _ => absolute,
    };
    if type_of_mount(&mounts(), &path).as_deref() != Some(TYPE) {
        return Err(format!("{dead}, and not of MooseNG"));
    }
    unmount(&path, UnmountFlags::DETACH).map_err(|error| format!("{dead} and stays ({error})"))?;
    stderr::tell(format_args!("{}: a mount whose process is gone was taken away", point.display()));
    Ok(())
}

fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap_or_default()
}

/// The type of what is mounted at `path`, the topmost if there are several.
fn type_of_mount(mountinfo: &str, path: &Path) -> Option<String> {
    let wanted = path.as_os_str().as_encoded_bytes();
    let at = |line: &&str| {
        let point = line.split(' ').nth(4).unwrap_or_default();
        unescape(point) == wanted
    };
    let line = mountinfo.lines().rfind(at)?;
    let (_, behind) = line.split_once(" - ")?;
    behind.split(' ').next().map(str::to_owned)
}

/// Spaces, tabs, newlines and backslashes stand as `\ooo`.
fn unescape(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let octal = (bytes[at] == b'\\').then(|| text.get(at + 1..at + 4)).flatten();
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                plain.push(byte);
                at += 4;
            }
            None => {
                plain.push(bytes[at]);
                at += 1;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
        22 1 0:20 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n\
        40 22 0:35 / /mnt/a\\040b rw,nosuid,nodev - tmpfs tmpfs rw\n\
        41 40 0:36 / /mnt/a\\040b rw,nosuid shared:9 - fuse.mooseng mooseng rw,user_id=0\n";

    #[test]
    fn the_topmost_mount_is_found_by_its_path() {
        let kind = |path: &str| type_of_mount(MOUNTS, Path::new(path));
        assert_eq!(kind("/mnt/a b").as_deref(), Some("fuse.mooseng"));
        assert_eq!(kind("/").as_deref(), Some("ext4"));
        assert_eq!(kind("/mnt"), None);
        assert_eq!(type_of_mount("rubbish\n\n1 2 3 4 /x", Path::new("/x")), None);
        assert_eq!(unescape("a\\134b\\9"), b"a\\b\\9");
    }
}
