//! A directory listing, which may be one of several pages, held against the directory.

use super::{Expected, Maker, Model};
use mooseng_core::namespace::{DirEntry, Name};

fn wrong(what: String) -> Result<(), Expected> {
    Err(Expected::Shown(what))
}

impl Model {
    /// A page of the entries behind `cookie`. Cookies are the system's, so a page is judged by what
    /// is known of them: they ascend, they stay with their entry, and a page leaves nothing out
    /// that lies between its two ends.
    pub(super) fn list(
        &mut self,
        directory: Maker,
        cookie: u64,
        limit: u32,
        entries: &[DirEntry],
        end: bool,
    ) -> Result<(), Expected> {
        if entries.len() > limit as usize {
            return wrong(format!("at most {limit} entries, not {}", entries.len()));
        }
        if entries.is_empty() && !end && limit > 0 {
            return wrong("a page with an entry, or the end".to_owned());
        }
        let mut last = cookie;
        for entry in entries {
            if entry.cookie <= last {
                return wrong(format!("cookies that ascend, not {} after {last}", entry.cookie));
            }
            last = entry.cookie;
            self.show_entry(directory, entry)?;
        }
        let covered_to = if end { u64::MAX } else { last };
        let listed = |name: &Name| entries.iter().any(|entry| entry.name == *name);
        for (name, entry) in &self.nodes[&directory].entries {
            let between = match entry.cookie {
                Some(known) => known > cookie && known <= covered_to,
                None => cookie == 0 && end,
            };
            if between && !listed(name) {
                return wrong(format!("the entry {name:?} in the listing"));
            }
        }
        Ok(())
    }

    fn show_entry(&mut self, directory: Maker, shown: &DirEntry) -> Result<(), Expected> {
        let Some(entry) = self.nodes[&directory].entries.get(&shown.name) else {
            return wrong(format!("no entry {:?} in the listing", shown.name));
        };
        let (child, known) = (entry.child, entry.cookie);
        if known.is_some_and(|known| known != shown.cookie) {
            return wrong(format!(
                "the cookie of {:?} as it was, {known:?}, not {}",
                shown.name, shown.cookie
            ));
        }
        let kind = self.nodes[&child].kind;
        if kind != shown.kind {
            return wrong(format!("that {:?} is listed as {kind:?}, not {:?}", shown.name, shown.kind));
        }
        self.show_id(child, shown.inode)?;
        let entry = self.node(directory).entries.get_mut(&shown.name).expect("it was just there");
        entry.cookie = Some(shown.cookie);
        Ok(())
    }
}
