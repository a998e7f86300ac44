//! How long files are to each mount, and when they were last written to. What a mount has taken in it
//! shows at once; others show it when it is committed, which is known at the latest when an fsync or a
//! close has said so.

use mooseng_core::id::InodeId;
use mooseng_core::namespace::Attr;
use mooseng_core::time::WallTime;
use std::collections::BTreeMap;

/// From when to when something happened.
pub type Span = (WallTime, WallTime);

/// A write that is taken in and perhaps not yet committed.
#[derive(Clone, Copy, Debug)]
struct Taken {
    mount: usize,
    end: u64,
    /// The time that it leaves; `None`: any.
    at: Option<Span>,
    /// Another mount has left a time of its own since: if this was committed before, that one counts.
    overtaken: bool,
}

#[derive(Clone, Debug, Default)]
struct File {
    /// Once all is committed but `taken`; `None` where nobody can tell yet.
    size: Option<u64>,
    /// What the time may be then; `None`: any.
    times: Option<Vec<Span>>,
    taken: Vec<Taken>,
    /// Nobody heard what became of a change: nothing is predicted any more.
    doubtful: bool,
}

impl File {
    fn taken_by(&self, mount: usize) -> impl Iterator<Item = &Taken> {
        self.taken.iter().filter(move |taken| taken.mount == mount)
    }

    fn taken_by_others(&self, mount: usize) -> impl Iterator<Item = &Taken> {
        self.taken.iter().filter(move |taken| taken.mount != mount)
    }

    /// What a mount shows at least, and whatever more it may show.
    fn sizes(&self, mount: usize) -> Option<Vec<u64>> {
        let least = self.taken_by(mount).map(|taken| taken.end).fold(self.size?, u64::max);
        let more = self.taken_by_others(mount).map(|taken| taken.end).filter(|end| *end > least);
        Some(std::iter::once(least).chain(more).collect())
    }

    fn times(&self, mount: usize) -> Option<Vec<Span>> {
        if self.taken_by_others(mount).next().is_some() {
            let mut times = self.times.clone()?;
            for taken in &self.taken {
                times.push(taken.at?);
            }
            return Some(times);
        }
        match self.taken_by(mount).last() {
            Some(newest) if newest.overtaken => {
                let mut times = self.times.clone()?;
                times.push(newest.at?);
                Some(times)
            }
            Some(newest) => newest.at.map(|at| vec![at]),
            None => self.times.clone(),
        }
    }

    /// A mount has left a time that is not of a write of another one.
    fn overtake(&mut self, mount: usize) {
        self.taken.iter_mut().filter(|taken| taken.mount != mount).for_each(|taken| taken.overtaken = true);
    }

    /// False if there was nothing to be committed.
    fn settle(&mut self, mount: usize) -> bool {
        if self.taken_by(mount).next().is_none() {
            return false;
        }
        self.times = self.times_settled(mount);
        let end = self.taken_by(mount).map(|taken| taken.end).max().unwrap_or(0);
        self.size = self.size.map(|size| size.max(end));
        self.taken.retain(|taken| taken.mount != mount);
        self.overtake(mount);
        true
    }

    fn times_settled(&self, mount: usize) -> Option<Vec<Span>> {
        if self.taken_by_others(mount).next().is_none() {
            return self.times(mount);
        }
        let mut times = self.times.clone()?;
        for taken in self.taken_by(mount) {
            times.push(taken.at?);
        }
        Some(times)
    }
}

#[derive(Default)]
pub(super) struct Lengths(BTreeMap<InodeId, File>);

impl Lengths {
    fn file(&mut self, file: InodeId) -> &mut File {
        // Whatever was made has no bytes yet.
        self.0.entry(file).or_insert_with(|| File { size: Some(0), ..File::default() })
    }

    pub(super) fn write(&mut self, mount: usize, file: InodeId, end: u64, at: Span) {
        self.file(file).taken.push(Taken { mount, end, at: Some(at), overtaken: false });
    }

    /// It takes effect behind what its mount has taken in before, of which nothing is left behind its end.
    pub(super) fn cut(&mut self, mount: usize, file: InodeId, size: u64) {
        let file = self.file(file);
        // Whether what others have taken in comes before or after, nobody can tell.
        let alone = file.taken_by_others(mount).next().is_none();
        file.size = alone.then_some(size);
        file.times = None;
        file.overtake(mount);
        for taken in file.taken.iter_mut().filter(|taken| taken.mount == mount) {
            (taken.end, taken.at) = (taken.end.min(size), None);
        }
    }

    pub(super) fn punch(&mut self, mount: usize, file: InodeId) {
        let file = self.file(file);
        file.times = None;
        file.overtake(mount);
    }

    /// What was written here before is committed before, or never. `None`: to some time.
    pub(super) fn set_time(&mut self, mount: usize, file: InodeId, to: Option<WallTime>) {
        let to = to.map(|time| (time, time));
        let file = self.file(file);
        file.times = to.map(|to| vec![to]);
        file.overtake(mount);
        file.taken.iter_mut().filter(|taken| taken.mount == mount).for_each(|taken| taken.at = to);
    }

    pub(super) fn settle(&mut self, mount: usize, file: InodeId) -> bool {
        self.file(file).settle(mount)
    }

    pub(super) fn doubt(&mut self, file: InodeId) {
        self.file(file).doubtful = true;
    }

    /// What a mount that is gone had taken in may be committed, or not. Gives the files of which it had.
    pub(super) fn dies(&mut self, mount: usize) -> Vec<InodeId> {
        let left = self.0.iter_mut().filter(|(_, file)| file.taken_by(mount).next().is_some());
        left.map(|(inode, file)| {
            file.doubtful = true;
            *inode
        })
        .collect()
    }

    pub(super) fn is_doubtful(&self, file: InodeId) -> bool {
        self.0.get(&file).is_some_and(|file| file.doubtful)
    }

    /// Has nobody else taken anything in that may not be committed?
    pub(super) fn is_alone(&self, mount: usize, file: InodeId) -> bool {
        self.0.get(&file).is_none_or(|file| file.taken_by_others(mount).next().is_none())
    }

    /// May it be committed at any moment that something was written to it?
    pub(super) fn is_moving(&self, file: InodeId) -> bool {
        self.0.get(&file).is_some_and(|file| file.doubtful || !file.taken.is_empty())
    }

    /// A mount shows these attributes of a file. The error says what it had to show.
    pub(super) fn show(&mut self, mount: usize, attr: &Attr) -> Result<(), String> {
        let file = self.file(attr.inode);
        if file.doubtful {
            return Ok(());
        }
        if let Some(sizes) = file.sizes(mount)
            && !sizes.contains(&attr.size)
        {
            return Err(format!("a length of {sizes:?}, not {}", attr.size));
        }
        let within = |(from, to): &Span| (from.0..=to.0).contains(&attr.mtime.0);
        if let Some(times) = file.times(mount)
            && !times.iter().any(within)
        {
            return Err(format!("that it was last written to at {times:?}, not {:?}", attr.mtime));
        }
        if file.taken.is_empty() {
            (file.size, file.times) = (Some(attr.size), Some(vec![(attr.mtime, attr.mtime)]));
        }
        Ok(())
    }
}
