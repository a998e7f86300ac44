//! Paths and permission bits as they are typed.

use mooseng_core::namespace::{Name, Refusal};
use std::fmt;
use std::str::FromStr;

/// A path from the root: its names, none for the root itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::cli) struct Path(Vec<Name>);

impl Path {
    pub(in crate::cli) fn names(&self) -> &[Name] {
        &self.0
    }

    /// The directory above, and the last name; `None` for the root.
    pub(in crate::cli) fn split_last(&self) -> Option<(Path, Name)> {
        let (last, above) = self.0.split_last()?;
        Some((Path(above.to_vec()), last.clone()))
    }

    /// The directories on the way, from the root's child to the path itself.
    pub(in crate::cli) fn prefixes(&self) -> impl Iterator<Item = Path> {
        (1..=self.0.len()).map(|length| Path(self.0[..length].to_vec()))
    }
}

impl FromStr for Path {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err("a path begins with `/`".to_owned());
        };
        let parts = rest.split('/').filter(|part| !part.is_empty());
        let names = parts.map(|part| Name::new(part.to_owned()));
        names.collect::<Result<_, _>>().map(Path).map_err(|refusal| match refusal {
            Refusal::NameTooLong => refusal.to_string(),
            _ => "write the path without `.` and `..`".to_owned(),
        })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("/");
        }
        for name in &self.0 {
            write!(f, "/{}", String::from_utf8_lossy(name.as_bytes()))?;
        }
        Ok(())
    }
}

/// Permission bits in octal.
pub(in crate::cli) fn mode(text: &str) -> Result<u16, String> {
    match u16::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o7777 => Ok(mode),
        _ => Err("write permission bits in octal, from 0 to 7777".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_its_names() {
        let path: Path = "//a/b c/".parse().unwrap();
        assert_eq!(path.to_string(), "/a/b c");
        let (above, name) = path.split_last().unwrap();
        assert_eq!((above.to_string().as_str(), name.as_bytes()), ("/a", &b"b c"[..]));
        let prefixes: Vec<String> = path.prefixes().map(|path| path.to_string()).collect();
        assert_eq!(prefixes, ["/a", "/a/b c"]);
        let root: Path = "/".parse().unwrap();
        assert_eq!((root.split_last(), root.to_string().as_str()), (None, "/"));
        for bad in ["", "a", "/..", "/a/./b"] {
            assert!(bad.parse::<Path>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn permission_bits_are_octal() {
        assert_eq!(mode("0755"), Ok(0o755));
        assert_eq!(mode("7777"), Ok(0o7777));
        for bad in ["", "8", "10000", "-1", "rwx"] {
            assert!(mode(bad).is_err(), "{bad:?}");
        }
    }
}
