//! Making a lost part from others: reads windows of as few parts as are enough, verifies every leaf
//! of them, makes the lost one and keeps it, and reads it again before it is answered.

use super::Server;
use super::service::{outcome_of, refused};
use crate::rebuild::Rebuild;
use bytes::Bytes;
use futures::future::join_all;
use mooseng_core::checksum::{leaf_bad_first, leaves, sums_from_bytes};
use mooseng_core::class::{LEAF_BYTES, SLICE_BYTES_MAX, StorageClass};
use mooseng_core::env::{Address, Clock, Env};
use mooseng_core::id::PartId;
use mooseng_core::{plant, probe};
use mooseng_net::proto::chunk::{
    ChunkClient, PartOutcome, ReadPartRequest, RebuildPartReply, RebuildPartRequest,
};
use mooseng_net::rpc::{Channel, Code, Status};
use mooseng_storage::store::{Health, Sealed};
use mooseng_storage::{Store, StoreError};
use std::collections::BTreeMap;

/// How much of each part is in memory at once: a whole number of leaves.
const WINDOW_BYTES: u32 = 1 << 20;

/// A repair that was asked for, checked.
pub(super) struct Order {
    part: PartId,
    class: StorageClass,
    rebuild: Rebuild,
    addresses: BTreeMap<u8, Address>,
}

impl Order {
    pub(super) fn read(request: &RebuildPartRequest, part: PartId) -> Result<Self, Status> {
        let invalid = |line: &str| Err(Status::new(Code::Invalid, line));
        let Some(class) = StorageClass::from_raw(request.class) else {
            return invalid("class: there is no such class");
        };
        if request.slice_length > SLICE_BYTES_MAX {
            return invalid("slice_length: no slice is that long");
        }
        let mut addresses = BTreeMap::new();
        for source in &request.sources {
            if let Ok(index) = u8::try_from(source.index)
                && !source.address.is_empty()
            {
                addresses.entry(index).or_insert_with(|| Address::new(source.address.as_str()));
            }
        }
        let sources: Vec<u8> = addresses.keys().copied().collect();
        match Rebuild::new(class, request.slice_length, part.index, &sources) {
            Some(rebuild) => Ok(Self { part, class, rebuild, addresses }),
            None => invalid("index: the class has no such part"),
        }
    }

    pub(super) async fn carry_out<E: Env>(mut self, server: &Server<E>) -> Result<RebuildPartReply, Status> {
        let made = self.make(server).await;
        let failed = self.rebuild.failed().map(u32::from).collect();
        let reply = |outcome: PartOutcome| RebuildPartReply { outcome: outcome.into(), ..Default::default() };
        match made {
            Ok(Some(Sealed { root, incarnation })) => {
                server.rebuilt().answered(self.part);
                Ok(RebuildPartReply {
                    root: root.to_vec().into(),
                    incarnation,
                    failed,
                    ..reply(PartOutcome::Done)
                })
            }
            Ok(None) => Ok(RebuildPartReply { failed, ..reply(PartOutcome::TooFewSources) }),
            Err(error) => match outcome_of(&error) {
                Some(outcome) => Ok(RebuildPartReply { failed, ..reply(outcome) }),
                None => Err(refused(error)),
            },
        }
    }

    /// The part, made and kept; `None` if too few others can be read.
    async fn make<E: Env>(&mut self, server: &Server<E>) -> Result<Option<Sealed>, StoreError> {
        let store: &Store<E> = &server.store;
        let channels: BTreeMap<u8, ChunkClient<E>> = self
            .addresses
            .iter()
            .map(|(index, address)| {
                let channel = Channel::new(&server.env, address.clone(), server.config.channel);
                (*index, ChunkClient::new(channel))
            })
            .collect();
        let length = self.rebuild.length();
        let small = length <= server.config.store.small_bytes_max;
        let upload = if small { None } else { Some(store.upload().await?) };
        let mut sums = Vec::new();
        let mut whole = Vec::new();
        let mut offset = 0;
        while offset < length {
            let window = WINDOW_BYTES.min(length - offset);
            let Some(bytes) = self.window(server, &channels, offset, window).await? else {
                if let Some(upload) = upload {
                    upload.discard().await?;
                }
                return Ok(None);
            };
            let bytes = Bytes::from(bytes);
            sums.extend(leaves(self.part, u64::from(offset / LEAF_BYTES), &bytes));
            match &upload {
                Some(upload) => upload.write(offset, bytes).await?,
                None => whole.extend_from_slice(&bytes),
            }
            offset += window;
        }
        let sealed = match upload {
            Some(upload) => upload.seal(self.part, length, sums).await?,
            None => store.put(self.part, sums, whole.into()).await?,
        };
        match store.verify(self.part).await? {
            Health::Good => Ok(Some(sealed)),
            Health::Bad | Health::Absent => Err(StoreError::Damaged),
        }
    }

    /// Some bytes of the lost part. Sources that fail are replaced by others.
    async fn window<E: Env>(
        &mut self,
        server: &Server<E>,
        channels: &BTreeMap<u8, ChunkClient<E>>,
        offset: u32,
        length: u32,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        while let Some(picks) = self.rebuild.picks() {
            let reads = picks.iter().map(|index| self.fetch(server, channels, *index, offset, length));
            let mut read = Vec::new();
            let mut all = true;
            for (index, bytes) in picks.iter().zip(join_all(reads).await) {
                match bytes {
                    Some(bytes) => read.push((*index, bytes)),
                    None => {
                        probe!("source of a repair failed");
                        self.rebuild.fail(*index);
                        all = false;
                    }
                }
            }
            if all {
                let (class, wanted, bytes) = (self.class, self.part.index, length as usize);
                let cost = bytes * read.len();
                let made = server.env.compute(cost, move || Rebuild::make(class, wanted, read, bytes)).await;
                return Ok(made.ok());
            }
        }
        Ok(None)
    }

    /// Bytes of another part, every leaf of them verified; `None` if they cannot be had.
    async fn fetch<E: Env>(
        &self,
        server: &Server<E>,
        channels: &BTreeMap<u8, ChunkClient<E>>,
        index: u8,
        offset: u32,
        length: u32,
    ) -> Option<Vec<u8>> {
        let there = self.rebuild.source_length(index);
        if offset >= there {
            return Some(Vec::new());
        }
        let source = PartId { slice: self.part.slice, index };
        let request = ReadPartRequest { slice: source.slice.raw(), index: u32::from(index), offset, length };
        let deadline = server.env.clock().now() + server.config.source_timeout;
        let (reply, bytes) = channels.get(&index)?.read(&request, deadline).await.ok()?;
        let wanted = length.min(there - offset) as usize;
        if reply.outcome() != PartOutcome::Done || reply.part_length != there || bytes.len() < wanted {
            return None;
        }
        let sums = sums_from_bytes(&reply.sums);
        let first = u64::from(offset / LEAF_BYTES);
        let bad = leaf_bad_first(source, first, &bytes, &sums);
        if plant!("chunk-rebuild-trusts-sources", bad.is_some(), false) {
            probe!("source of a repair was rotten");
            return None;
        }
        Some(bytes[..wanted].to_vec())
    }
}
