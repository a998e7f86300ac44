//! A naive model of a namespace, to be compared with: paths, nothing else. A file is a number that
//! several paths may hold, a directory a path that others begin with. Knows nothing of ids, hashes,
//! link counters or parents.

use mooseng_core::namespace::{Refusal, RenameMode};
use std::collections::BTreeMap;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Thing {
    Directory(u64),
    File(u64),
}

/// Everything but the root by its path; the number tells which inode it is.
#[derive(Clone, Default)]
pub(super) struct Model {
    pub(super) paths: BTreeMap<String, Thing>,
    pub(super) made: u64,
    pub(super) links_max: u32,
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn lies_in(path: &str, directory: &str) -> bool {
    path.len() > directory.len() && path.starts_with(directory) && path.as_bytes()[directory.len()] == b'/'
}

impl Model {
    /// The root is a directory that has no path.
    fn get(&self, path: &str) -> Option<Thing> {
        if path.is_empty() { Some(Thing::Directory(0)) } else { self.paths.get(path).copied() }
    }

    fn is_directory(&self, path: &str) -> bool {
        matches!(self.get(path), Some(Thing::Directory(_)))
    }

    pub(super) fn children(&self, directory: &str) -> impl Iterator<Item = (&String, &Thing)> {
        self.paths.iter().filter(move |(path, _)| parent(path) == directory)
    }

    pub(super) fn links(&self, path: &str) -> u32 {
        match self.get(path) {
            Some(Thing::File(_)) => {
                self.paths.values().filter(|held| Some(**held) == self.get(path)).count() as u32
            }
            _ => {
                2 + self.children(path).filter(|(_, held)| matches!(held, Thing::Directory(_))).count() as u32
            }
        }
    }

    pub(super) fn make(&mut self, path: &str, directory: bool) -> Result<(), Refusal> {
        if self.get(path).is_some() {
            return Err(Refusal::Exists);
        }
        if directory && self.links(parent(path)) >= self.links_max {
            return Err(Refusal::TooManyLinks);
        }
        self.made += 1;
        let thing = if directory { Thing::Directory(self.made) } else { Thing::File(self.made) };
        self.paths.insert(path.into(), thing);
        Ok(())
    }

    pub(super) fn unlink(&mut self, path: &str) -> Result<(), Refusal> {
        match self.paths.get(path) {
            None => Err(Refusal::NotFound),
            Some(Thing::Directory(_)) => Err(Refusal::IsDirectory),
            Some(Thing::File(_)) => {
                self.paths.remove(path);
                Ok(())
            }
        }
    }

    pub(super) fn rmdir(&mut self, path: &str) -> Result<(), Refusal> {
        match self.paths.get(path) {
            None => Err(Refusal::NotFound),
            Some(Thing::File(_)) => Err(Refusal::NotDirectory),
            Some(Thing::Directory(_)) if self.children(path).next().is_some() => Err(Refusal::NotEmpty),
            Some(Thing::Directory(_)) => {
                self.paths.remove(path);
                Ok(())
            }
        }
    }

    pub(super) fn link(&mut self, path: &str, to: &str) -> Result<(), Refusal> {
        let thing = self.get(path).ok_or(Refusal::Stale)?;
        if self.get(to).is_some() {
            return Err(Refusal::Exists);
        }
        if self.is_directory(path) {
            return Err(Refusal::NotPermitted);
        }
        if self.links(path) >= self.links_max {
            return Err(Refusal::TooManyLinks);
        }
        self.paths.insert(to.into(), thing);
        Ok(())
    }

    pub(super) fn rename(&mut self, source: &str, target: &str, mode: RenameMode) -> Result<(), Refusal> {
        let moved = self.get(source).ok_or(Refusal::NotFound)?;
        let there = self.get(target);
        match (mode, there) {
            (RenameMode::Keep, Some(_)) => return Err(Refusal::Exists),
            (RenameMode::Exchange, None) => return Err(Refusal::NotFound),
            _ => {}
        }
        let exchange = mode == RenameMode::Exchange;
        if lies_in(target, source) && self.is_directory(source) {
            return Err(Refusal::Invalid);
        }
        if lies_in(source, target) && self.is_directory(target) {
            return Err(if exchange { Refusal::Invalid } else { Refusal::NotEmpty });
        }
        if there == Some(moved) {
            return Ok(());
        }
        let (source_is, target_is) = (self.is_directory(source), self.is_directory(target));
        match there {
            Some(_) if exchange => {}
            Some(_) if source_is && !target_is => return Err(Refusal::NotDirectory),
            Some(_) if !source_is && target_is => return Err(Refusal::IsDirectory),
            Some(_) if target_is && self.children(target).next().is_some() => return Err(Refusal::NotEmpty),
            _ => {}
        }
        let full = |path: &str| self.links(parent(path)) >= self.links_max;
        if parent(source) != parent(target) {
            let gains_target = source_is && !target_is && full(target);
            let gains_source = exchange && target_is && !source_is && full(source);
            if gains_target || gains_source {
                return Err(Refusal::TooManyLinks);
            }
        }
        let from = self.cut(source);
        let to = self.cut(target);
        self.paste(from, target);
        if exchange {
            self.paste(to, source);
        }
        Ok(())
    }

    /// Takes a path out with all that lies in it, as paths from there.
    fn cut(&mut self, path: &str) -> Vec<(String, Thing)> {
        let all: Vec<String> =
            self.paths.keys().filter(|held| *held == path || lies_in(held, path)).cloned().collect();
        let take =
            |held: String| self.paths.remove(&held).map(|thing| (held[path.len()..].to_string(), thing));
        all.into_iter().filter_map(take).collect()
    }

    fn paste(&mut self, things: Vec<(String, Thing)>, path: &str) {
        self.paths.extend(things.into_iter().map(|(rest, thing)| (format!("{path}{rest}"), thing)));
    }
}
