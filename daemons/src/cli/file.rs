//! `mooseng file info`: what a file is made of, and where that is.

use super::client::{life_name, read_verb, verbs};
use super::failure::Failure;
use super::ns::path::Path;
use super::ns::{Tree, senseless, with_tree};
use super::output::{count, say, shown};
use clap::{ArgMatches, Command, Subcommand};
use mooseng_core::class::CHUNK_BYTES;
use mooseng_core::extent::{FileExtent, SliceInfo};
use mooseng_core::id::{ServerId, SliceId};
use mooseng_core::namespace::{Answer, Attr, FileKind, Query};
use mooseng_net::proto::cluster::{ChunkServerLife, ChunkServerStatus};
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[derive(Subcommand)]
enum Verb {
    /// Show chunks, slices and parts of a file, and which of the parts can be read now
    Info {
        path: Path,
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn command() -> Command {
    verbs::<Verb>("file", "Look at what a file is made of")
}

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let (settings, Verb::Info { path, json }) = read_verb(matches)?;
    with_tree(settings, async |tree| {
        let info = Info::ask(tree, &path).await?;
        if json { say(format_args!("{:#}", info.json())) } else { info.lines().iter().try_for_each(say) }
    })
}

fn kind_name(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Regular => "a file",
        FileKind::Directory => "a directory",
        FileKind::Symlink => "a symbolic link",
        FileKind::Fifo => "a fifo",
        FileKind::Socket => "a socket",
        FileKind::CharDevice | FileKind::BlockDevice => "a device",
    }
}

struct Info {
    path: String,
    attr: Attr,
    extents: Vec<FileExtent>,
    slices: BTreeMap<SliceId, SliceInfo>,
    servers: BTreeMap<ServerId, ChunkServerStatus>,
}

impl Info {
    async fn ask(tree: &Tree, path: &Path) -> Result<Self, Failure> {
        let attr = tree.find(path).await?;
        if attr.kind != FileKind::Regular {
            let kind = kind_name(attr.kind);
            return Err(Failure::Other(format!("{path} is {kind}; name a file")));
        }
        let servers = tree.session.chunk_servers().await?.servers.into_iter();
        let servers = servers.map(|status| (ServerId(status.server), status)).collect();
        let (extents, slices) = (Vec::new(), BTreeMap::new());
        let mut info = Self { path: path.to_string(), attr, extents, slices, servers };
        let mut offset = 0;
        while offset < info.attr.size {
            let (inode, length) = (info.attr.inode, info.attr.size - offset);
            match tree.ask(path, Query::Map { inode, offset, length }).await? {
                Answer::Map { extents, slices, end, .. } if end > offset => {
                    info.extents.extend(extents);
                    info.slices.extend(slices.into_iter().map(|slice| (slice.slice, slice)));
                    offset = end;
                }
                other => return Err(senseless(&other)),
            }
        }
        Ok(info)
    }

    fn life(&self, server: ServerId) -> ChunkServerLife {
        self.servers.get(&server).map_or(ChunkServerLife::Unspecified, ChunkServerStatus::life)
    }

    fn parts_alive(&self, slice: &SliceInfo) -> usize {
        slice.parts.iter().flatten().filter(|server| self.life(**server) == ChunkServerLife::Alive).count()
    }

    fn lines(&self) -> Vec<String> {
        let Attr { size, class, .. } = &self.attr;
        let (path, slices) = (&self.path, count(self.slices.len() as u64, "slice"));
        let chunks = count(size.div_ceil(CHUNK_BYTES), "chunk");
        let mut lines = vec![format!("{path}: {size} bytes in {chunks} and {slices}; new data is {class}")];
        for FileExtent { offset, length, slice, slice_offset } in &self.extents {
            let (chunk, end) = (offset / CHUNK_BYTES, offset + u64::from(*length));
            lines.push(format!(
                "chunk {chunk}: bytes {offset} to {end} are in {slice} from {slice_offset} on"
            ));
        }
        for slice in self.slices.values() {
            let SliceInfo { slice: number, class, length, parts } = slice;
            let (alive, needed) = (self.parts_alive(slice), class.data());
            lines.push(format!(
                "{number}: {length} bytes as {class}; {} alive, {needed} needed",
                count(alive as u64, "part")
            ));
            lines.extend((0..).zip(parts).map(|(index, server)| self.part_line(index, *server)));
        }
        lines
    }

    fn part_line(&self, index: u8, server: Option<ServerId>) -> String {
        let Some(server) = server else { return format!("  part {index} is missing, and is being made") };
        let place = self.servers.get(&server).map_or(String::new(), |status| {
            let rack = if status.rack.is_empty() { "-" } else { &status.rack };
            format!(" at {} in rack {}", shown(&status.address), shown(rack))
        });
        format!("  part {index} is on chunk server {}{place}, {}", server.0, life_name(self.life(server)))
    }

    /// Numbers of slices are text: they do not fit the numbers that many readers of JSON have.
    fn json(&self) -> Value {
        let extents = self.extents.iter().map(|extent| {
            json!({
                "chunk": extent.offset / CHUNK_BYTES,
                "offset": extent.offset,
                "length": extent.length,
                "slice": extent.slice.raw().to_string(),
                "slice_offset": extent.slice_offset,
            })
        });
        let part = |(index, server): (u8, &Option<ServerId>)| {
            let status = server.and_then(|server| self.servers.get(&server));
            json!({
                "index": index,
                "server": server.map(|server| server.0),
                "address": status.map(|status| status.address.as_str()),
                "rack": status.map(|status| status.rack.as_str()),
                "life": server.map(|server| life_name(self.life(server))),
            })
        };
        let slices = self.slices.values().map(|slice| {
            json!({
                "slice": slice.slice.raw().to_string(),
                "class": slice.class.to_string(),
                "length": slice.length,
                "parts_needed": slice.class.data(),
                "parts_alive": self.parts_alive(slice),
                "parts": (0..).zip(&slice.parts).map(part).collect::<Vec<_>>(),
            })
        });
        json!({
            "path": self.path,
            "inode": self.attr.inode.raw().to_string(),
            "size": self.attr.size,
            "class": self.attr.class.to_string(),
            "chunks": self.attr.size.div_ceil(CHUNK_BYTES),
            "extents": extents.collect::<Vec<_>>(),
            "slices": slices.collect::<Vec<_>>(),
        })
    }
}
