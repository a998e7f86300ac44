//! A session that keeps what it was told: asking the cache first, telling it what was answered, and waiting
//! for recalls. What may be kept, and for how long, [`crate::cache`] decides.

use super::holding::Wanted;
use super::{Answered, Attempt, Shared, answered, judge};
use crate::cache::{Changing, Granted, Recalled, Tenant};
use crate::error::ClientError;
use futures::channel::oneshot;
use futures::future::{Either, select};
use mooseng_core::env::{Address, Clock, Env, sleep};
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Caller, Op, Query};
use mooseng_core::probe;
use mooseng_net::convert::write_caller;
use mooseng_net::proto::metadata as wire;
use mooseng_net::proto::namespace;
use mooseng_net::rpc::route::Miss;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Longer than a service that has nothing to tell lets anybody wait, and about as long as it takes until
/// another leader stands in the place of one that hangs: it waits for whoever may hold leases.
const PATIENCE: Duration = Duration::from_millis(500);
/// A service that has not answered us yet has no reason to let us wait: at first we give it this long, and
/// twice as long with every few that say nothing.
const PATIENCE_FIRST: Duration = Duration::from_millis(100);
const SILENT_FEW: u32 = 4;
/// How long to wait before the next poll when one was of no use.
const WAIT: Duration = Duration::from_millis(10);
/// How long to wait when the service knows no leases.
const WAIT_WITHOUT: Duration = Duration::from_secs(5);
/// How late recalls are asked for and dealt with where a run wants that to be late; answers a fifth of it.
const LATE: Duration = Duration::from_millis(700);

/// Is it worth while to keep its answer?
pub(super) fn is_kept(query: &Query) -> bool {
    !matches!(query, Query::Map { .. })
}

/// How much of an answer is to be kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Keeping {
    Nothing,
    Answer,
    /// And with a listing what the entries are like.
    Attributes,
}

pub(super) fn granted(epoch: u64, leased: Vec<u64>, attrs: Vec<namespace::Attr>) -> Granted {
    let inodes = leased.into_iter().filter_map(InodeId::from_raw).collect();
    let attrs = attrs.into_iter().filter_map(|attr| attr.try_into().ok()).collect();
    Granted { epoch, inodes, attrs }
}

/// A change on its way, and what it may touch. Dropped before it was answered, it may yet take effect.
pub(super) struct Touching<E: Env> {
    shared: Arc<Shared<E>>,
    changing: Option<Changing>,
}

impl<E: Env> Touching<E> {
    pub(super) fn begin(shared: &Arc<Shared<E>>, op: &Op) -> Self {
        let changing = shared.tenant.as_ref().and_then(|tenant| tenant.begin(op));
        Self { shared: shared.clone(), changing }
    }

    /// What the cache has dropped, and the epoch of the leases on it.
    pub(super) fn dropped(&self) -> (u64, Vec<u64>) {
        let dropped = |changing: &Changing| changing.touched.iter().map(|inode| inode.raw()).collect();
        self.changing.as_ref().map_or((0, Vec::new()), |changing| (changing.epoch, dropped(changing)))
    }

    fn take(&mut self) -> Option<(&Tenant, Changing)> {
        Some((self.shared.tenant.as_ref()?, self.changing.take()?))
    }

    pub(super) fn changed(&mut self, op: &Op, answered: &Answered, granted: &Granted) {
        if let Some((tenant, changing)) = self.take() {
            tenant.changed(changing, op, answered, granted);
        }
    }

    pub(super) fn not_sent(&mut self) {
        if let Some((tenant, changing)) = self.take() {
            tenant.not_sent(changing);
        }
    }
}

impl<E: Env> Drop for Touching<E> {
    fn drop(&mut self) {
        if let Some((tenant, changing)) = self.take() {
            probe!("a change that was given up ends an epoch");
            let forgotten = tenant.change_given_up(changing);
            self.shared.env.spawn("session forgets", forgotten);
        }
    }
}

/// What came of a poll.
enum Told {
    Something,
    Nothing,
    /// The service knows no leases.
    Unknown,
    SessionLost,
}

/// Who answered the last poll, and how many have said nothing since.
#[derive(Default)]
struct Heard {
    server: Option<Address>,
    silent: u32,
}

impl Heard {
    fn patience(&self, server: &Address) -> Duration {
        if self.server.as_ref() == Some(server) {
            return PATIENCE;
        }
        PATIENCE.min(PATIENCE_FIRST * (1 << (self.silent / SILENT_FEW).min(8)))
    }
}

/// Waits for recalls as long as the session has handles and the cache is its own.
pub(super) async fn wait_for_recalls<E: Env>(session: Weak<Shared<E>>) {
    let mut heard = Heard::default();
    loop {
        let Some(shared) = session.upgrade() else { return };
        let Some(tenant) = shared.tenant.clone() else { return };
        let env = shared.env.clone();
        if env.buggify("recalls asked for late") {
            sleep(&env, LATE).await;
        }
        let asked = env.clock().now();
        let told = shared.poll(&tenant, &mut heard).await;
        drop(shared);
        let wait = match told {
            Told::SessionLost => return,
            Told::Unknown => WAIT_WITHOUT,
            // A service that answers at once, and says nothing, is not asked all the time.
            Told::Nothing if env.clock().now().since(asked) < WAIT => WAIT,
            Told::Something | Told::Nothing => continue,
        };
        sleep(&env, wait).await;
    }
}

impl<E: Env> Shared<E> {
    pub(super) async fn query(
        shared: &Arc<Self>,
        caller: &Caller,
        query: &Query,
        keeping: Keeping,
    ) -> Result<(Answered, Granted), ClientError> {
        let request = wire::QueryRequest {
            session: shared.id.0,
            slot: u32::from(query.slot().get()),
            slot_table_version: 0,
            query: Some(query.into()),
            caller: write_caller(caller),
            lease_wanted: keeping != Keeping::Nothing,
            attrs_wanted: keeping == Keeping::Attributes,
        };
        let ask = shared.ask(|client, deadline| {
            let request = request.clone();
            async move { client.query(&request, deadline).await }
        });
        let reply = ask.await?.reply;
        if reply.attach_wanted {
            Self::catch_up(shared, Some(Wanted::ByTerm(reply.attach_term)));
        }
        Ok((answered(reply.outcome, reply.index)?, granted(reply.lease_epoch, reply.leased, reply.attrs)))
    }

    pub(super) async fn query_through(
        self: &Arc<Self>,
        tenant: &Tenant,
        caller: &Caller,
        query: &Query,
        keeping: Keeping,
    ) -> Result<Answered, ClientError> {
        let known = tenant.answer(caller, query, self.env.clock().now());
        if let Some(known) = known
            && !self.env.buggify("known answer asked for again")
        {
            return Ok(known);
        }
        let asking = tenant.ask();
        let (answered, granted) = Self::query(self, caller, query, keeping).await?;
        if self.env.buggify("answer kept late") {
            sleep(&self.env, LATE / 5).await;
        }
        asking.learn(caller, query, &answered, &granted);
        Ok(answered)
    }

    /// Asks once what is to be given back, and gives it back. The next poll tells the service so.
    async fn poll(&self, tenant: &Tenant, heard: &mut Heard) -> Told {
        let Some(((mut epoch, acknowledged), worn)) = tenant.poll() else { return Told::SessionLost };
        if worn {
            probe!("leases given up for new ones");
            tenant.forget().await;
            epoch = 0;
        }
        let Ok((server, client)) = self.client() else { return Told::SessionLost };
        let request = wire::RecallsRequest { session: self.id.0, epoch, acknowledged };
        let asked = self.env.clock().now();
        let rerouted = self.rerouted();
        // A leader that has been replaced may let us wait while its successor waits for us.
        let deadline = asked + heard.patience(&server);
        let call = match select(pin!(client.recalls(&request, deadline)), rerouted).await {
            Either::Left((call, _)) => call,
            Either::Right(_) => return Told::Something,
        };
        match judge(call) {
            Attempt::Answered(reply) => {
                self.lock().route.hit();
                *heard = Heard { server: Some(server), silent: 0 };
                let nothing = reply.inodes.is_empty() && reply.epoch == epoch;
                let told = Recalled {
                    epoch: reply.epoch,
                    number: reply.number,
                    inodes: reply.inodes.into_iter().filter_map(InodeId::from_raw).collect(),
                    lease: Duration::from_millis(reply.lease_ms),
                };
                if self.env.buggify("recall dealt with late") {
                    sleep(&self.env, LATE).await;
                }
                tenant.polled(asked, epoch, &told).await;
                tenant.dealt_with(told.epoch, told.number);
                if nothing { Told::Nothing } else { Told::Something }
            }
            Attempt::Over(ClientError::SessionLost) => {
                self.lose(self.env.clock().now()).await;
                Told::SessionLost
            }
            Attempt::Over(_) | Attempt::Full(_) => Told::Unknown,
            Attempt::Missed { miss, .. } => {
                heard.server = None;
                heard.silent += u32::from(matches!(miss, Miss::Silent));
                // One at a time, and no work for anybody: it costs no retry.
                let wait = self.reroute(|inner| inner.route.miss(&server, miss, &mut inner.dice));
                sleep(&self.env, wait.max(WAIT)).await;
                Told::Something
            }
        }
    }

    /// Resolves when another server is asked than before, or the session is lost.
    fn rerouted(&self) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        let mut inner = self.lock();
        inner.rerouted.retain(|waiting| !waiting.is_canceled());
        inner.rerouted.push(tell);
        told
    }
}
