//! What is printed of the namespace.

use crate::calendar::utc;
use mooseng_core::namespace::{Attr, DirEntry, FileKind};
use serde_json::{Value, json};

fn kind_name(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Regular => "file",
        FileKind::Directory => "directory",
        FileKind::Symlink => "symlink",
        FileKind::Fifo => "fifo",
        FileKind::Socket => "socket",
        FileKind::CharDevice => "character device",
        FileKind::BlockDevice => "block device",
    }
}

fn kind_letter(kind: FileKind) -> char {
    match kind {
        FileKind::Regular => '-',
        FileKind::Directory => 'd',
        FileKind::Symlink => 'l',
        FileKind::Fifo => 'p',
        FileKind::Socket => 's',
        FileKind::CharDevice => 'c',
        FileKind::BlockDevice => 'b',
    }
}

/// Ten letters, as `ls` has them.
fn mode_letters(kind: FileKind, mode: u16) -> String {
    let mut letters = String::from(kind_letter(kind));
    for (shift, special, set) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        letters.push(if bits & 4 != 0 { 'r' } else { '-' });
        letters.push(if bits & 2 != 0 { 'w' } else { '-' });
        letters.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => set,
            (true, false) => set.to_ascii_uppercase(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    letters
}

pub(super) fn attr_lines(attr: &Attr) -> String {
    let Attr {
        inode,
        kind,
        mode,
        links,
        uid,
        gid,
        size,
        atime,
        mtime,
        ctime,
        version,
        class,
        blocks,
        rdev: _,
    } = attr;
    let (kind, raw) = (kind_name(*kind), inode.raw());
    format!(
        "{kind}, inode {raw}, version {version}\nmode {mode:04o}, {links} links, uid {uid}, gid {gid}, {size} bytes\n\
         stored as {class}, {blocks} blocks of 512 bytes\n\
         read {}, written {}, changed {}",
        utc(*atime),
        utc(*mtime),
        utc(*ctime)
    )
}

/// Inode numbers are text: they do not fit the numbers that many readers of JSON have.
pub(super) fn attr_json(attr: &Attr) -> Value {
    json!({
        "inode": attr.inode.raw().to_string(),
        "kind": kind_name(attr.kind),
        "mode": format!("{:04o}", attr.mode),
        "links": attr.links,
        "uid": attr.uid,
        "gid": attr.gid,
        "size": attr.size,
        "atime": utc(attr.atime),
        "mtime": utc(attr.mtime),
        "ctime": utc(attr.ctime),
        "version": attr.version,
        "class": attr.class.to_string(),
        "blocks": attr.blocks,
        "rdev": attr.rdev,
    })
}

/// One line of a listing: a name, or more if the attributes are there; in JSON, one object.
pub(super) fn entry(entry: &DirEntry, attr: Option<&Attr>, json: bool) -> String {
    let name = String::from_utf8_lossy(entry.name.as_bytes());
    match attr {
        Some(attr) if json => json!({ "name": name, "attr": attr_json(attr) }).to_string(),
        Some(Attr { kind, mode, links, uid, gid, size, mtime, .. }) => {
            let letters = mode_letters(*kind, *mode);
            format!("{letters} {links:>3} {uid:>6} {gid:>6} {size:>12} {} {name}", utc(*mtime))
        }
        None => name.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permission_bits_read_as_in_ls() {
        assert_eq!(mode_letters(FileKind::Directory, 0o755), "drwxr-xr-x");
        assert_eq!(mode_letters(FileKind::Regular, 0o4755), "-rwsr-xr-x");
        assert_eq!(mode_letters(FileKind::Regular, 0o6644), "-rwSr-Sr--");
        assert_eq!(mode_letters(FileKind::Directory, 0o1777), "drwxrwxrwt");
        assert_eq!(mode_letters(FileKind::Symlink, 0), "l---------");
    }
}
