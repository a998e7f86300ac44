//! What clients, metadata servers and other chunk servers ask.

use super::Server;
use super::repair::Order;
use super::uploads::{Piece, Taken};
use crate::incoming::is_possible;
use bytes::Bytes;
use futures::channel::oneshot;
use mooseng_core::checksum::{leaf_bad_first, sums_from_bytes, sums_to_bytes};
use mooseng_core::class::LEAF_BYTES;
use mooseng_core::env::{Body, Clock, Env, FRAME_BODY_BYTES_MAX};
use mooseng_core::id::{PartId, SliceId};
use mooseng_core::probe;
use mooseng_net::convert::PARTS_MAX;
use mooseng_net::proto::chunk::*;
use mooseng_net::rpc::{BodyOf, Call, Code, Status};
use mooseng_storage::StoreError;
use mooseng_storage::store::{Given, Health, Sealed};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(super) struct Service<E: Env> {
    server: Arc<Server<E>>,
}

impl<E: Env> Clone for Service<E> {
    fn clone(&self) -> Self {
        Self { server: self.server.clone() }
    }
}

fn invalid(line: impl Into<String>) -> Status {
    Status::new(Code::Invalid, line)
}

fn part(slice: u64, index: u32) -> Result<PartId, Status> {
    let slice = SliceId::from_raw(slice).ok_or_else(|| invalid("slice: no slice has this number"))?;
    let index = u8::try_from(index).map_err(|_| invalid("index: no slice has that many parts"))?;
    Ok(PartId { slice, index })
}

/// What the store's answer is to whoever asked; `None` if it is no answer about the part.
pub(super) fn outcome_of(error: &StoreError) -> Option<PartOutcome> {
    match error {
        StoreError::NoSpace => Some(PartOutcome::NoSpace),
        StoreError::Absent => Some(PartOutcome::Absent),
        StoreError::Damaged => Some(PartOutcome::Damaged),
        StoreError::Conflict => Some(PartOutcome::Conflict),
        StoreError::Mismatch => Some(PartOutcome::Mismatch),
        StoreError::Busy(_) | StoreError::Storage(_) => None,
    }
}

/// No answer: the call failed.
pub(super) fn refused(error: StoreError) -> Status {
    match error {
        StoreError::Busy(why) => Status::overloaded(why),
        error => Status::new(Code::Unavailable, error.to_string()),
    }
}

impl<E: Env> Service<E> {
    pub(super) fn new(server: Arc<Server<E>>) -> Self {
        Self { server }
    }

    /// A server that took over another's address must not take its orders.
    fn is_meant(&self, server: u64) -> Result<(), Status> {
        let own = self.server.config.server.0;
        if server == own {
            return Ok(());
        }
        Err(Status::new(Code::NotHere, format!("server: this is s{own}, not s{server}")))
    }

    /// Takes parts away from where they are not needed, except those that a rebuild was answered with
    /// since. It goes on even if the caller goes away, so that nothing is rebuilt in the midst of it.
    async fn give_up_unless_rebuilt(
        &self,
        wishes: Vec<(PartId, u64)>,
        moment: Moment,
    ) -> Result<Vec<Given>, StoreError> {
        let server = self.server.clone();
        let (done, given) = oneshot::channel();
        self.server.env.spawn("give parts up", async move {
            let _alone = server.busy.lock().await;
            let may_go = |part| moment.life == server.life && server.rebuilt().may_go(part, moment.rebuilds);
            let (go, stay): (Vec<_>, Vec<_>) = wishes.iter().partition(|(part, _)| may_go(*part));
            if !stay.is_empty() {
                probe!("part stays because a rebuild was answered with it");
            }
            let given = server.store.give_up(&go).await.map(|given| {
                let given: BTreeMap<PartId, Given> = go.iter().map(|(part, _)| *part).zip(given).collect();
                wishes.iter().map(|(part, _)| given.get(part).copied().unwrap_or(Given::Other)).collect()
            });
            // Whoever went away does not want to know.
            let _ = done.send(given);
        });
        given.await.unwrap_or(Err(StoreError::Busy("the server is stopping")))
    }

    async fn keep(
        &self,
        part: PartId,
        request: &PutPartRequest,
        piece: Piece,
    ) -> Result<Option<Sealed>, StoreError> {
        let Server { env, store, uploads, .. } = &*self.server;
        let now = env.clock().now();
        if !request.seal {
            return match uploads.put(part, piece, now).await? {
                Taken::Kept => Ok(None),
                Taken::Conflict => Err(StoreError::Conflict),
            };
        }
        if piece.offset == 0 && piece.data.len() == request.length as usize {
            return store.put(part, piece.sums, piece.data).await.map(Some);
        }
        uploads.seal(part, piece, request.length, now).await
    }
}

impl<E: Env> Chunk<E> for Service<E> {
    async fn put(&self, _: Call, request: PutPartRequest, body: Bytes) -> Result<PutPartReply, Status> {
        self.is_meant(request.server)?;
        let part = part(request.slice, request.index)?;
        let sums = sums_from_bytes(&request.sums);
        if !request.sums.len().is_multiple_of(4) || !is_possible(request.offset, body.len(), sums.len()) {
            return Err(invalid("sums: they do not fit offset and body"));
        }
        let first = u64::from(request.offset / LEAF_BYTES);
        let (bytes, data) = (body.len(), body.clone());
        let look = move || (leaf_bad_first(part, first, &data, &sums), sums);
        let (bad, sums) = self.server.env.compute(bytes, look).await;
        let done = match bad {
            Some(_) => Err(StoreError::Mismatch),
            None => self.keep(part, &request, Piece { offset: request.offset, sums, data: body }).await,
        };
        let reply = |outcome: PartOutcome| PutPartReply { outcome: outcome.into(), ..Default::default() };
        match done {
            Ok(Some(Sealed { root, incarnation })) => {
                Ok(PutPartReply { root: root.to_vec().into(), incarnation, ..reply(PartOutcome::Done) })
            }
            Ok(None) if request.seal => Ok(reply(PartOutcome::Incomplete)),
            Ok(None) => Ok(reply(PartOutcome::Done)),
            Err(error) => outcome_of(&error).map(reply).ok_or_else(|| refused(error)),
        }
    }

    async fn read(&self, _: Call, request: ReadPartRequest) -> Result<(ReadPartReply, BodyOf<E>), Status> {
        let part = part(request.slice, request.index)?;
        if !request.offset.is_multiple_of(LEAF_BYTES) {
            return Err(invalid("offset: it is no multiple of 4096"));
        }
        let length = request.length.min(FRAME_BODY_BYTES_MAX as u32);
        match self.server.store.read(part, request.offset, length).await {
            Ok(found) => {
                let reply = ReadPartReply {
                    outcome: PartOutcome::Done.into(),
                    part_length: found.part_length,
                    sums: sums_to_bytes(&found.sums).into(),
                };
                Ok((reply, found.data.map_or(Body::Empty, Body::Extent)))
            }
            Err(error) => {
                let outcome = outcome_of(&error).ok_or_else(|| refused(error))?;
                Ok((ReadPartReply { outcome: outcome.into(), ..Default::default() }, Body::Empty))
            }
        }
    }

    async fn delete(&self, _: Call, request: DeletePartsRequest) -> Result<DeletePartsReply, Status> {
        self.is_meant(request.server)?;
        if request.parts.len() > PARTS_MAX {
            return Err(invalid(format!("parts: at most {PARTS_MAX} at once")));
        }
        let wish = |name: &PartName| Ok((part(name.slice, name.index)?, name.incarnation));
        let wishes = request.parts.iter().map(wish).collect::<Result<Vec<_>, Status>>()?;
        let given = match request.moment {
            Some(moment) => self.give_up_unless_rebuilt(wishes, moment).await,
            None => self.server.store.give_up(&wishes).await,
        };
        let outcome = |given: Given| match given {
            Given::Done => PartOutcome::Done,
            Given::Absent => PartOutcome::Absent,
            Given::Other => PartOutcome::Conflict,
        };
        let outcomes = given.map_err(refused)?.into_iter().map(|given| outcome(given).into()).collect();
        Ok(DeletePartsReply { outcomes })
    }

    async fn inventory(&self, _: Call, request: InventoryRequest) -> Result<InventoryReply, Status> {
        let after = request.after.map(|after| part(after.slice, after.index)).transpose()?;
        let limit = match request.limit as usize {
            0 => PARTS_MAX,
            limit => limit.min(PARTS_MAX),
        };
        let moment = Moment { life: self.server.life, rebuilds: self.server.rebuilt().moment() };
        let (kept, complete) = self.server.store.inventory(after, limit);
        let entry = |kept: mooseng_storage::store::Kept| PartEntry {
            slice: kept.part.slice.raw(),
            index: u32::from(kept.part.index),
            length: kept.length,
            incarnation: kept.incarnation,
            damaged: kept.damaged,
        };
        let parts = kept.into_iter().map(entry).collect();
        Ok(InventoryReply { parts, complete, moment: Some(moment) })
    }

    async fn report_bad(&self, _: Call, request: ReportBadRequest) -> Result<ReportBadReply, Status> {
        let part = part(request.slice, request.index)?;
        // One look after the other: a report is a reason to read, not to be read to death.
        let _alone = self.server.busy.lock().await;
        let outcome = match self.server.store.verify(part).await.map_err(refused)? {
            Health::Good => PartOutcome::Done,
            Health::Bad => PartOutcome::Damaged,
            Health::Absent => PartOutcome::Absent,
        };
        if outcome == PartOutcome::Damaged {
            probe!("reported part is bad");
        }
        Ok(ReportBadReply { outcome: outcome.into() })
    }

    async fn rebuild(&self, _: Call, request: RebuildPartRequest) -> Result<RebuildPartReply, Status> {
        self.is_meant(request.server)?;
        let part = part(request.slice, request.index)?;
        let order = Order::read(&request, part)?;
        let _alone = self.server.busy.lock().await;
        order.carry_out(&self.server).await
    }

    async fn status(&self, _: Call, _: ChunkStatusRequest) -> Result<ChunkStatusReply, Status> {
        let Server { config, identity, store, uploads, scrubs, scrubbed_bytes, .. } = &*self.server;
        let space = store.space().await.map_err(refused)?;
        let usage = store.usage();
        Ok(ChunkStatusReply {
            cluster: identity.cluster.0,
            server: identity.server.0,
            build: config.rpc.build.to_owned(),
            total: space.total,
            free: space.free,
            parts: usage.parts,
            bytes: usage.bytes,
            damaged: usage.damaged,
            uploads: uploads.len() as u64,
            scrubs: scrubs.load(Ordering::Relaxed),
            scrubbed_bytes: scrubbed_bytes.load(Ordering::Relaxed),
        })
    }
}
