//! Where in the tree a client does something: by path, or by an inode that it remembers. A path is
//! looked up when its turn comes; a remembered inode may be gone by then, and that is the point.

use mooseng_core::namespace::Name;
use std::fmt;
use std::str::FromStr;

/// Where a path begins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Base {
    Root,
    /// The inode that the step with this label made, by whichever client. As long as there is
    /// none, the step that needs it is left out.
    Made(u32),
}

/// `/a/b` is looked up from the root, `@7/x` from what step `@7` made, `@7` is that inode itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    pub base: Base,
    pub names: Vec<Name>,
}

impl Place {
    pub fn root() -> Self {
        Self { base: Base::Root, names: Vec::new() }
    }

    pub fn made(label: u32) -> Self {
        Self { base: Base::Made(label), names: Vec::new() }
    }

    /// The directory and the name in it; `None` of a place that is no name.
    pub fn split(&self) -> Option<(Place, &Name)> {
        let (name, above) = self.names.split_last()?;
        Some((Place { base: self.base, names: above.to_vec() }, name))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.base {
            Base::Root if self.names.is_empty() => f.write_str("/")?,
            Base::Root => {}
            Base::Made(label) => write!(f, "@{label}")?,
        }
        for name in &self.names {
            f.write_str("/")?;
            for byte in name.as_bytes() {
                match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => {
                        write!(f, "{}", char::from(*byte))?;
                    }
                    _ => write!(f, "%{byte:02x}")?,
                }
            }
        }
        Ok(())
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (base, path) = text.split_once('/').map_or((text, None), |(base, path)| (base, Some(path)));
        let base = match (base.strip_prefix('@'), path) {
            (Some(label), _) => match label.parse() {
                Ok(label) => Base::Made(label),
                Err(_) => return Err(format!("`{base}` is no label: labels are `@` and a number")),
            },
            (None, Some(_)) if base.is_empty() => Base::Root,
            _ => return Err(format!("`{text}` is no place: write `/a/b`, or `@7/b` for what step @7 made")),
        };
        let names = path.filter(|path| !path.is_empty()).map_or(Ok(Vec::new()), |path| {
            path.split('/').map(|name| parse_name(name).ok_or(name)).collect::<Result<Vec<Name>, &str>>()
        });
        match names {
            Ok(names) => Ok(Self { base, names }),
            Err(name) => Err(format!(
                "`{name}` in `{text}` is no name: letters, digits, `._-`, and `%2f` for any other byte"
            )),
        }
    }
}

fn parse_name(text: &str) -> Option<Name> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut left = text.as_bytes();
    while let Some((byte, rest)) = left.split_first() {
        left = rest;
        match byte {
            b'%' => {
                let digits = std::str::from_utf8(left.get(..2)?).ok()?;
                let plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| plain)?);
                left = &left[2..];
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => bytes.push(*byte),
            _ => return None,
        }
    }
    Name::new(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back_from_their_text() {
        for text in ["/", "/a", "/a/b.c", "@7", "@7/x", "/%ff%20%2d/-"] {
            let place: Place = text.parse().unwrap();
            let again: Place = place.to_string().parse().unwrap();
            assert_eq!(place, again, "{text}");
        }
        assert_eq!("@7/x".parse::<Place>().unwrap().split().unwrap().0, Place::made(7));
        assert_eq!(Place::root().split(), None);
    }

    #[test]
    fn what_is_no_place_is_refused_in_one_line() {
        for bad in
            ["", "a", "a/b", "@", "@x", "@-1/a", "//", "/a//b", "/..", "/%2", "/%zz", "/%+1", "/a b", "/ä"]
        {
            let line = bad.parse::<Place>().unwrap_err();
            assert!(!line.contains('\n') && line.contains(':'), "{bad}: {line}");
        }
    }
}
