//! A step as a readable line: `12ms: mkdir /a mode=700 as @3`.

use super::super::member::Member;
use super::super::place::Place;
use super::{Action, MODE_DIRECTORY, MODE_FILE, Step};
use mooseng_core::class::ClassUnknown;
use mooseng_core::namespace::{
    Access, AttrChange, CALLER_GROUPS_MAX, Caller, NewTime, RenameMode, Target, XattrMode, XattrName,
};
use mooseng_core::time::WallTime;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The most bits a mode has.
const MODE_MAX: u16 = 0o7777;

pub(in crate::plan) fn write_span(span: Duration) -> String {
    let micros = span.as_micros();
    if micros.is_multiple_of(1_000) { format!("{}ms", micros / 1_000) } else { format!("{micros}us") }
}

pub(in crate::plan) fn read_span(text: &str) -> Result<Duration, String> {
    let (digits, nanos) = match (text.strip_suffix("ms"), text.strip_suffix("us"), text.strip_suffix('s')) {
        (Some(digits), _, _) => (digits, 1_000_000),
        (_, Some(digits), _) => (digits, 1_000),
        (_, _, Some(digits)) => (digits, 1_000_000_000),
        _ => (text, 0),
    };
    let plain = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    let nanos: Option<u64> = digits.parse().ok().and_then(|count: u64| count.checked_mul(nanos));
    match nanos {
        Some(nanos) if plain && (nanos > 0 || digits.bytes().all(|digit| digit == b'0')) => {
            Ok(Duration::from_nanos(nanos))
        }
        _ => Err(format!("`{text}` is no time: write `12ms`, `350us` or `2s`")),
    }
}

impl Action {
    fn write_of_open_file(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::OpenFile { file } => write!(f, "open-file {file}"),
            Action::Put { file, offset, length } => write!(f, "put {file} offset={offset} length={length}"),
            Action::Get { file, offset, length } => write!(f, "get {file} offset={offset} length={length}"),
            Action::Fsync { file } => write!(f, "fsync {file}"),
            Action::CloseFile { file } => write!(f, "close-file {file}"),
            Action::Cut { file, size } => write!(f, "cut {file} size={size}"),
            Action::Append { file, length } => write!(f, "append {file} length={length}"),
            Action::Flush { file } => write!(f, "flush {file}"),
            Action::Reserve { file, offset, length } => {
                write!(f, "reserve {file} offset={offset} length={length}")
            }
            Action::Seek { file, offset, hole } => {
                write!(f, "{} {file} offset={offset}", if *hole { "seek-hole" } else { "seek-data" })
            }
            Action::ListOn { directory, lines } => write!(f, "list-on {directory} lines={lines}"),
            _ => unreachable!("it is done to an open file"),
        }
    }
}

impl fmt::Display for Action {
    #[expect(clippy::too_many_lines, reason = "one arm for each action there is")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode_unless = |mode: u16, usual| match mode {
            mode if mode == usual => String::new(),
            mode => format!(" mode={mode:o}"),
        };
        match self {
            Action::Mkdir { at, mode } => write!(f, "mkdir {at}{}", mode_unless(*mode, MODE_DIRECTORY)),
            Action::Create { at, mode } => write!(f, "create {at}{}", mode_unless(*mode, MODE_FILE)),
            Action::Unlink { at } => write!(f, "unlink {at}"),
            Action::Rmdir { at } => write!(f, "rmdir {at}"),
            Action::Rename { source, target, mode } => {
                let verb = match mode {
                    RenameMode::Replace => "rename",
                    RenameMode::Keep => "rename-keep",
                    RenameMode::Exchange => "exchange",
                };
                write!(f, "{verb} {source} {target}")
            }
            Action::Link { inode, at } => write!(f, "link {inode} {at}"),
            Action::SetAttr { inode, change } => {
                write!(f, "setattr {inode}")?;
                let AttrChange { mode, uid, gid, size, atime, mtime, by_handle } = change;
                if let Some(mode) = mode {
                    write!(f, " mode={mode:o}")?;
                }
                let time = |time: &NewTime| match time {
                    NewTime::At(time) => time.0.to_string(),
                    NewTime::Now => "now".to_owned(),
                };
                let plain = [
                    ("uid", uid.map(|uid| uid.to_string())),
                    ("gid", gid.map(|gid| gid.to_string())),
                    ("size", size.map(|size| size.to_string())),
                    ("atime", atime.as_ref().map(time)),
                    ("mtime", mtime.as_ref().map(time)),
                    ("handle", by_handle.then(|| "1".to_owned())),
                ];
                plain.iter().try_for_each(|(key, value)| match value {
                    Some(value) => write!(f, " {key}={value}"),
                    None => Ok(()),
                })
            }
            Action::Symlink { at, target } => {
                write!(f, "symlink {at} {}", String::from_utf8_lossy(target.as_bytes()))
            }
            Action::Mknod { at, rdev: None } => write!(f, "mknod {at}"),
            Action::Mknod { at, rdev: Some(rdev) } => write!(f, "mknod {at} rdev={rdev}"),
            Action::ReadLink { inode } => write!(f, "readlink {inode}"),
            Action::SetXattr { inode, name, value, mode } => {
                let mode = match mode {
                    XattrMode::Set => "set",
                    XattrMode::Create => "create",
                    XattrMode::Replace => "replace",
                };
                write!(f, "{mode}-xattr {inode} {name} {value}")
            }
            Action::RemoveXattr { inode, name } => write!(f, "remove-xattr {inode} {name}"),
            Action::GetXattr { inode, name } => write!(f, "get-xattr {inode} {name}"),
            Action::ListXattr { inode } => write!(f, "list-xattr {inode}"),
            Action::Open { inode } => write!(f, "open {inode}"),
            Action::Close => write!(f, "close"),
            Action::LookAtOpen => write!(f, "look-at-open"),
            Action::Access { inode, access } => write!(f, "access {inode} bits={}", access.bits()),
            Action::Write { file, offset, length } => {
                write!(f, "write {file} offset={offset} length={length}")
            }
            Action::Punch { file, offset, length } => {
                write!(f, "punch {file} offset={offset} length={length}")
            }
            Action::Compact { file } => write!(f, "compact {file}"),
            Action::Leave => f.write_str("leave"),
            Action::AddServer { server } => write!(f, "add-server {}", Member::Server(*server)),
            Action::RemoveServer { server } => write!(f, "remove-server {}", Member::Server(*server)),
            Action::SetClass { inode, class } => write!(f, "set-class {inode} {class}"),
            Action::Map { file, offset, length } => write!(f, "map {file} offset={offset} length={length}"),
            Action::Lookup { at } => write!(f, "lookup {at}"),
            Action::GetAttr { inode } => write!(f, "getattr {inode}"),
            Action::ReadDir { directory, page } => write!(f, "readdir {directory} page={page}"),
            _ => self.write_of_open_file(f),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.wait.is_zero() {
            write!(f, "{}: ", write_span(self.wait))?;
        }
        write!(f, "{}", self.action)?;
        if self.caller != Caller::ROOT {
            write!(f, " by={}", write_caller(&self.caller))?;
        }
        self.label.map_or(Ok(()), |label| write!(f, " as @{label}"))?;
        self.within.map_or(Ok(()), |within| write!(f, " within {}", write_span(within)))
    }
}

/// `1001:1001,5`: the user, the group, the other groups.
fn write_caller(caller: &Caller) -> String {
    let groups: Vec<String> =
        std::iter::once(&caller.gid).chain(&caller.groups).map(u32::to_string).collect();
    format!("{}:{}", caller.uid, groups.join(","))
}

fn read_caller(text: &str) -> Option<Caller> {
    let (uid, groups) = text.split_once(':')?;
    let mut groups = groups.split(',').map(|group| group.parse().ok());
    let (uid, gid) = (uid.parse().ok()?, groups.next()??);
    let groups: Vec<u32> = groups.collect::<Option<_>>()?;
    (groups.len() <= CALLER_GROUPS_MAX).then_some(Caller { uid, gid, groups })
}

/// The words of a step that have not been read yet.
struct Words<'a> {
    verb: &'a str,
    left: Vec<&'a str>,
}

impl<'a> Words<'a> {
    fn next(&mut self, what: &str) -> Result<&'a str, String> {
        if self.left.is_empty() {
            return Err(format!("`{}` needs {what}", self.verb));
        }
        Ok(self.left.remove(0))
    }

    fn place(&mut self) -> Result<Place, String> {
        self.next("a place, as `/a/b`")?.parse()
    }

    fn server(&mut self) -> Result<u32, String> {
        let name = self.next("a metadata server, as `meta-4`")?;
        match name.parse()? {
            Member::Server(number) => Ok(number),
            _ => Err(format!("`{name}` is no metadata server: write `meta-4`")),
        }
    }

    fn xattr_name(&mut self) -> Result<String, String> {
        let name = self.next("the name of an attribute, as `user.a`")?.to_owned();
        XattrName::new(name.clone()).map_err(|why| format!("`{name}` names no attribute: {why}"))?;
        Ok(name)
    }

    /// A place that is a name in a directory.
    fn named(&mut self) -> Result<Place, String> {
        let place = self.place()?;
        match place.names.is_empty() {
            false => Ok(place),
            true => Err(format!("`{}` needs a name in a directory, as `{place}/x`", self.verb)),
        }
    }

    fn value<T: FromStr>(&mut self, key: &str) -> Result<Option<T>, String> {
        self.digits(key, |digits| digits.parse().ok())
    }

    fn mode(&mut self) -> Result<Option<u16>, String> {
        self.digits("mode", |digits| u16::from_str_radix(digits, 8).ok().filter(|mode| *mode <= MODE_MAX))
    }

    fn time(&mut self, key: &str) -> Result<Option<NewTime>, String> {
        let now = format!("{key}=now");
        if let Some(at) = self.left.iter().position(|word| *word == now) {
            self.left.remove(at);
            return Ok(Some(NewTime::Now));
        }
        Ok(self.value(key)?.map(|time| NewTime::At(WallTime(time))))
    }

    fn caller(&mut self) -> Result<Caller, String> {
        let Some(at) = self.left.iter().position(|word| word.starts_with("by=")) else {
            return Ok(Caller::ROOT);
        };
        let word = self.left.remove(at);
        read_caller(&word[3..])
            .ok_or_else(|| format!("`{word}`: write `by=1001:1001`, more groups behind a comma"))
    }

    fn digits<T>(&mut self, key: &str, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>, String> {
        let value = |word: &&'a str| word.strip_prefix(key).and_then(|rest| rest.strip_prefix('='));
        let Some(at) = self.left.iter().position(|word| value(word).is_some()) else { return Ok(None) };
        let word = self.left.remove(at);
        let digits = value(&word).expect("it was just found");
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        match read(digits).filter(|_| plain) {
            Some(value) => Ok(Some(value)),
            None => Err(format!("`{word}`: `{key}` needs a number that fits it")),
        }
    }
}

/// What is done to the bytes of a file.
fn read_data(words: &mut Words<'_>) -> Result<Action, String> {
    match words.verb {
        "write" => {
            let (offset, length) = (words.value("offset")?.unwrap_or(0), words.value("length")?);
            Ok(Action::Write { file: words.place()?, offset, length: length.unwrap_or(1) })
        }
        "punch" | "map" => {
            let (offset, length) = (words.value("offset")?.unwrap_or(0), words.value("length")?);
            let (file, length) = (words.place()?, length.unwrap_or(1));
            Ok(match words.verb {
                "punch" => Action::Punch { file, offset, length },
                _ => Action::Map { file, offset, length },
            })
        }
        "compact" => Ok(Action::Compact { file: words.place()? }),
        _ => {
            let inode = words.place()?;
            let class = words.next("a storage class, as `copies=2`")?.parse();
            Ok(Action::SetClass { inode, class: class.map_err(|unknown: ClassUnknown| unknown.to_string())? })
        }
    }
}

/// What is done through an open file, or an open directory.
fn read_of_open_file(words: &mut Words<'_>) -> Result<Action, String> {
    let verb = words.verb;
    let offset = match verb {
        "put" | "get" | "reserve" | "seek-data" | "seek-hole" => words.value("offset")?.unwrap_or(0),
        _ => 0,
    };
    let length = match verb {
        "put" | "get" | "reserve" | "append" => words.value("length")?.unwrap_or(1),
        _ => 0,
    };
    let lines = if verb == "list-on" { words.value("lines")?.unwrap_or(64) } else { 1 };
    if lines == 0 {
        return Err("`lines=0`: a listing goes on by at least one line".to_owned());
    }
    let size = if verb == "cut" { words.value("size")?.unwrap_or(0) } else { 0 };
    let file = words.place()?;
    Ok(match verb {
        "put" => Action::Put { file, offset, length },
        "get" => Action::Get { file, offset, length },
        "open-file" => Action::OpenFile { file },
        "fsync" => Action::Fsync { file },
        "close-file" => Action::CloseFile { file },
        "append" => Action::Append { file, length },
        "flush" => Action::Flush { file },
        "reserve" => Action::Reserve { file, offset, length: u64::from(length) },
        "seek-data" | "seek-hole" => Action::Seek { file, offset, hole: verb == "seek-hole" },
        "list-on" => Action::ListOn { directory: file, lines },
        _ => Action::Cut { file, size },
    })
}

fn read_xattr(words: &mut Words<'_>, mode: XattrMode) -> Result<Action, String> {
    let (inode, name) = (words.place()?, words.xattr_name()?);
    Ok(Action::SetXattr { inode, name, value: words.next("a value")?.to_owned(), mode })
}

fn read_action(words: &mut Words<'_>) -> Result<Action, String> {
    let rename = |mode, words: &mut Words<'_>| {
        Ok(Action::Rename { source: words.named()?, target: words.named()?, mode })
    };
    match words.verb {
        "mkdir" => Ok(Action::Mkdir { at: words.named()?, mode: words.mode()?.unwrap_or(MODE_DIRECTORY) }),
        "create" => Ok(Action::Create { at: words.named()?, mode: words.mode()?.unwrap_or(MODE_FILE) }),
        "unlink" => Ok(Action::Unlink { at: words.named()? }),
        "rmdir" => Ok(Action::Rmdir { at: words.named()? }),
        "rename" => rename(RenameMode::Replace, words),
        "rename-keep" => rename(RenameMode::Keep, words),
        "exchange" => rename(RenameMode::Exchange, words),
        "link" => Ok(Action::Link { inode: words.place()?, at: words.named()? }),
        "setattr" => {
            let change = AttrChange {
                mode: words.mode()?,
                uid: words.value("uid")?,
                gid: words.value("gid")?,
                size: words.value("size")?,
                atime: words.time("atime")?,
                mtime: words.time("mtime")?,
                by_handle: words.value::<u8>("handle")?.is_some(),
            };
            Ok(Action::SetAttr { inode: words.place()?, change })
        }
        "symlink" => {
            let at = words.named()?;
            let target = words.next("what it says, as `../b`")?.as_bytes().to_vec();
            let target = Target::new(target).map_err(|why| format!("`symlink`: {why}"))?;
            Ok(Action::Symlink { at, target })
        }
        "mknod" => Ok(Action::Mknod { rdev: words.value("rdev")?, at: words.named()? }),
        "open" => Ok(Action::Open { inode: words.place()? }),
        "close" => Ok(Action::Close),
        "look-at-open" => Ok(Action::LookAtOpen),
        "readlink" => Ok(Action::ReadLink { inode: words.place()? }),
        "set-xattr" => read_xattr(words, XattrMode::Set),
        "create-xattr" => read_xattr(words, XattrMode::Create),
        "replace-xattr" => read_xattr(words, XattrMode::Replace),
        "remove-xattr" => Ok(Action::RemoveXattr { inode: words.place()?, name: words.xattr_name()? }),
        "get-xattr" => Ok(Action::GetXattr { inode: words.place()?, name: words.xattr_name()? }),
        "list-xattr" => Ok(Action::ListXattr { inode: words.place()? }),
        "access" => {
            let bits = words.value("bits")?.unwrap_or(0);
            let access = Access::new(bits).ok_or("`bits`: 4 reads, 2 writes, 1 executes")?;
            Ok(Action::Access { inode: words.place()?, access })
        }
        "write" | "punch" | "map" | "compact" | "set-class" => read_data(words),
        "open-file" | "put" | "get" | "fsync" | "close-file" | "cut" | "append" | "flush" | "reserve"
        | "seek-data" | "seek-hole" | "list-on" => read_of_open_file(words),
        "leave" => Ok(Action::Leave),
        "add-server" => Ok(Action::AddServer { server: words.server()? }),
        "remove-server" => Ok(Action::RemoveServer { server: words.server()? }),
        "lookup" => Ok(Action::Lookup { at: words.named()? }),
        "getattr" => Ok(Action::GetAttr { inode: words.place()? }),
        "readdir" => {
            let page = words.value("page")?.unwrap_or(64);
            if page == 0 {
                return Err("`page=0`: a page holds at least one entry".to_owned());
            }
            Ok(Action::ReadDir { directory: words.place()?, page })
        }
        verb => Err(format!(
            "`{verb}` is no operation: mkdir, create, unlink, rmdir, rename, rename-keep, exchange, link, \
             setattr, write, punch, compact, leave, set-class, symlink, mknod, set-xattr, create-xattr, \
             replace-xattr, remove-xattr, get-xattr, list-xattr, map, lookup, getattr, readdir, readlink, \
             access, open, close, look-at-open, open-file, put, get, fsync, close-file, cut, append, flush, \
             reserve, seek-data, seek-hole, list-on, add-server and remove-server are"
        )),
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (wait, rest) = match text.split_once(": ") {
            None => (Duration::ZERO, text),
            Some((wait, rest)) => (read_span(wait)?, rest),
        };
        let mut left: Vec<&str> = rest.split_ascii_whitespace().collect();
        let mut within = None;
        if let [.., word, span] = left[..]
            && word == "within"
        {
            within = Some(read_span(span)?);
            left.truncate(left.len() - 2);
        }
        let mut label = None;
        if let [.., word, of] = left[..]
            && word == "as"
        {
            let number = of.strip_prefix('@').and_then(|number| number.parse().ok());
            label = Some(number.ok_or_else(|| format!("`as {of}`: a label is `@` and a number"))?);
            left.truncate(left.len() - 2);
        }
        if left.is_empty() {
            return Err("nothing is to be done: write an operation, as `mkdir /a`".to_owned());
        }
        let mut words = Words { verb: left.remove(0), left };
        let caller = words.caller()?;
        let action = read_action(&mut words)?;
        match words.left.first() {
            None => Ok(Self { wait, action, caller, label, within }),
            Some(word) => Err(format!("`{word}` means nothing to `{}`: leave it out", words.verb)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_come_back_from_their_text() {
        for text in [
            "12ms: mkdir /a mode=700 as @3",
            "create @3/x",
            "create @3/y as @9 within 350us",
            "7ms: readdir / page=3 within 2ms",
            "350us: rename /a @3/b",
            "rename-keep /a /b",
            "exchange /a /b",
            "link @4 /c",
            "setattr @4 mode=4755 uid=4294967295 gid=0 size=18446744073709551615 atime=-5 mtime=7",
            "setattr /a",
            "readdir / page=3",
            "lookup /a",
            "getattr /",
            "unlink /a",
            "write @4 offset=7 length=100",
            "punch /a/f offset=0 length=18446744073709551615",
            "compact @4",
            "5ms: leave",
            "add-server meta-4",
            "2ms: remove-server meta-1",
            "open-file @4",
            "put @4 offset=100 length=5000",
            "1ms: get /a/f offset=0 length=4096",
            "fsync @4",
            "close-file /f",
            "cut @4 size=77",
            "set-class /a ec=4+2,strict",
            "map @4 offset=67108864 length=5",
            "2ms: rmdir /a",
            "symlink /s ../b by=1001:1001",
            "mknod /n by=1:2,3,4 as @9",
            "mknod /n rdev=259",
            "setattr /a atime=now mtime=now handle=1",
            "readlink @4/s",
            "open @4 by=1:1",
            "close",
            "look-at-open",
            "create-xattr @4 user.a x",
            "remove-xattr /a trusted.b",
            "get-xattr /a user.a",
            "list-xattr @4/s",
            "access /a bits=5",
        ] {
            let step: Step = text.parse().unwrap();
            assert_eq!(step.to_string(), text);
        }
        assert_eq!("2s: rmdir /a".parse::<Step>().unwrap().wait, Duration::from_secs(2));
    }

    #[test]
    fn what_is_no_step_is_refused_in_one_line_with_a_remedy() {
        for (bad, words) in [
            ("", "nothing is to be done"),
            ("soon: mkdir /a", "write `12ms`"),
            ("99999999999999999999s: mkdir /a", "is no time"),
            ("mkdir", "needs a place"),
            ("mkdir /", "needs a name in a directory"),
            ("mkdir /a mode=99", "`mode` needs a number"),
            ("mkdir /a mode=17777", "`mode` needs a number"),
            ("mkdir /a /b", "leave it out"),
            ("mkdir /a as 7", "a label is"),
            ("mkdir /a within soon", "is no time"),
            ("mkdir /a within 1ms as @7", "leave it out"),
            ("setattr /a size=-1", "`size` needs a number"),
            ("readdir / page=0", "at least one"),
            ("write /f length=4294967296", "`length` needs a number"),
            ("set-class /f", "needs a storage class"),
            ("set-class /f copies=0", "is no storage class"),
            ("fly /a", "is no operation"),
            ("add-server", "needs a metadata server"),
            ("remove-server client-1", "is no metadata server"),
            ("mkdir /a by=me", "write `by=1001:1001`"),
            ("symlink /a", "what it says"),
            ("access /a bits=8", "4 reads"),
        ] {
            let line = bad.parse::<Step>().unwrap_err();
            assert!(line.contains(words) && !line.contains('\n'), "{bad}: {line}");
        }
    }
}
