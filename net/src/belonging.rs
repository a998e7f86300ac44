//! Which cluster metadata servers belong to, asked of all that somebody was told of. Knows nothing of what is
//! done with the answer, nor whether it is the cluster that was meant.

use crate::proto::cluster::{ClusterClient, StatusRequest};
use crate::rpc::{CallError, Channel, Code};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use mooseng_core::chance::Dice;
use mooseng_core::env::{Address, Clock, Env, sleep};
use mooseng_core::id::ClusterId;
use mooseng_core::time::Instant;
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

/// How long one server may take before all are asked again.
const CALL_TIME: Duration = Duration::from_secs(1);
/// Who waits longer than this says what for.
const SILENT_MAX: Duration = Duration::from_secs(1);
const PAUSE_LEAST: Duration = Duration::from_millis(100);
const PAUSE_SPREAD_MS: u64 = 200;

/// Nobody has said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unanswered {
    /// What came of asking last, with the address.
    pub last: String,
    /// All of them answer, and are something else than metadata servers.
    pub strangers: bool,
}

/// Asks all of them at once, again and again, until one answers. `tell` hears once, after a while, how it stands.
pub async fn ask_cluster<E: Env>(env: &E, servers: &[Channel<E>], mut tell: impl FnMut(&str)) -> ClusterId {
    let mut waiting = Waiting::new(env);
    loop {
        match ask_once(env, servers).await {
            Ok((_, cluster)) => return cluster,
            Err(unanswered) => waiting.pause(&unanswered.last, &mut tell).await,
        }
    }
}

/// The same, and who has said so. Gives up after `patience`, or when all are strangers.
pub async fn ask_cluster_within<E: Env>(
    env: &E,
    servers: &[Channel<E>],
    patience: Duration,
    mut tell: impl FnMut(&str),
) -> Result<(Address, ClusterId), Unanswered> {
    let mut waiting = Waiting::new(env);
    loop {
        match ask_once(env, servers).await {
            Err(unanswered) if !unanswered.strangers && waiting.since() < patience => {
                waiting.pause(&unanswered.last, &mut tell).await;
            }
            end => return end,
        }
    }
}

/// Between one question and the next.
struct Waiting<'e, E: Env> {
    env: &'e E,
    dice: ChaCha8Rng,
    began: Instant,
    told: bool,
}

impl<'e, E: Env> Waiting<'e, E> {
    fn new(env: &'e E) -> Self {
        Self { env, dice: env.rng("ask for the cluster", 0), began: env.clock().now(), told: false }
    }

    fn since(&self) -> Duration {
        self.env.clock().now().since(self.began)
    }

    async fn pause(&mut self, last: &str, tell: &mut impl FnMut(&str)) {
        if !self.told && self.since() >= SILENT_MAX {
            self.told = true;
            tell(last);
        }
        sleep(self.env, PAUSE_LEAST + Duration::from_millis(self.dice.below(PAUSE_SPREAD_MS))).await;
    }
}

/// The first answer counts, and nobody waits for the others.
async fn ask_once<E: Env>(env: &E, servers: &[Channel<E>]) -> Result<(Address, ClusterId), Unanswered> {
    let end = env.clock().now() + CALL_TIME;
    let ask = |channel: &Channel<E>| {
        let (address, client) = (channel.address().clone(), ClusterClient::new(channel.clone()));
        async move { (address, client.status(&StatusRequest {}, end).await) }
    };
    let mut answers: FuturesUnordered<_> = servers.iter().map(ask).collect();
    let (mut last, mut strangers) = (String::new(), 0);
    while let Some((address, answer)) = answers.next().await {
        match answer {
            Ok(reply) => return Ok((address, ClusterId(reply.cluster))),
            Err(CallError::Status(status)) if status.code == Code::Unimplemented => {
                strangers += 1;
                last = format!("{address}: is no metadata server; name the metadata servers' addresses");
            }
            Err(error) => last = format!("{address}: {error}"),
        }
    }
    Err(Unanswered { last, strangers: strangers == servers.len() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::cluster::StatusReply;
    use crate::rpc::{ChannelConfig, ExtentOf, Handler, Incoming, Reply, Rooms, ServerConfig, Status, serve};
    use crate::testing::TestEnv;
    use mooseng_core::env::{Body, Net};

    /// A server of some kind; of a cluster if it is a metadata server.
    #[derive(Clone)]
    struct Server(Option<u64>);

    impl Handler<TestEnv> for Server {
        fn serves(&self, _: u32) -> bool {
            self.0.is_some()
        }

        fn is_vital(&self, _: u32) -> bool {
            false
        }

        async fn handle(&self, method: u32, _: Incoming) -> Result<Reply<ExtentOf<TestEnv>>, Status> {
            let Some(cluster) = self.0 else { return Err(Status::unimplemented(method)) };
            Ok(Reply::of(&StatusReply { cluster, ..StatusReply::default() }, Body::Empty))
        }
    }

    async fn open(env: &TestEnv, name: &str, server: Server) {
        let listener = env.net().listen(&Address::new(name)).await.unwrap();
        let (own, config) = (env.clone(), ServerConfig::default());
        env.spawn("server", async move { serve(own, listener, server, config, Rooms::new(&config)).await });
    }

    fn channels(env: &TestEnv, names: &[&str]) -> Vec<Channel<TestEnv>> {
        let to = |name: &&str| Channel::new(env, Address::new(*name), ChannelConfig::default());
        names.iter().map(to).collect()
    }

    #[test]
    fn whoever_knows_is_believed() {
        let env = TestEnv::new();
        env.run(async {
            open(&env, "stranger", Server(None)).await;
            open(&env, "meta", Server(Some(7))).await;
            let all = channels(&env, &["nobody", "stranger", "meta"]);
            let heard = ask_cluster_within(&env, &all, SILENT_MAX, |line| panic!("{line}")).await;
            assert_eq!(heard, Ok((Address::new("meta"), ClusterId(7))));
            assert_eq!(ask_cluster(&env, &all, |line| panic!("{line}")).await, ClusterId(7));
        });
    }

    #[test]
    fn who_asks_strangers_alone_need_not_ask_again() {
        let env = TestEnv::new();
        env.run(async {
            open(&env, "stranger", Server(None)).await;
            let heard =
                ask_cluster_within(&env, &channels(&env, &["stranger"]), SILENT_MAX * 9, |_| {}).await;
            let unanswered = heard.unwrap_err();
            assert!(unanswered.strangers && unanswered.last.starts_with("stranger: is no metadata server; "));
            assert!(env.clock().now().since(Instant::ZERO) < SILENT_MAX);
        });
    }

    #[test]
    fn who_hears_nothing_says_so_once_and_asks_on() {
        let env = TestEnv::new();
        env.run(async {
            let mut lines = Vec::new();
            let all = channels(&env, &["nobody"]);
            let patience = Duration::from_secs(5);
            let unanswered = ask_cluster_within(&env, &all, patience, |line| lines.push(line.to_owned()))
                .await
                .unwrap_err();
            assert!(!unanswered.strangers && unanswered.last.starts_with("nobody: "), "{unanswered:?}");
            assert_eq!(lines.len(), 1, "{lines:?}");
            let (late, servers) = (env.clone(), channels(&env, &["late"]));
            let asking = ask_cluster(&env, &servers, |_| {});
            let opening = async {
                sleep(&late, Duration::from_secs(20)).await;
                open(&late, "late", Server(Some(9))).await;
            };
            let (heard, ()) = futures::future::join(asking, opening).await;
            assert_eq!(heard, ClusterId(9));
        });
    }
}
