//! A server whose methods do what a test asks for, and a caller beside it.

use crate::rpc::{
    Call, CallError, Channel, ChannelConfig, ExtentOf, Handler, Incoming, Method, Reply, Rooms, ServerConfig,
    Share, Status, serve,
};
use crate::testing::TestEnv;
use bytes::Bytes;
use mooseng_core::env::{Address, Body, Clock, Env, Net, Received, sleep};
use mooseng_core::time::Instant;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Gives message and body back.
pub(super) static ECHO: Method = Method { number: 1, name: "Lab.Echo", one_way: false };
/// Takes as many milliseconds as the message says.
pub(super) static WAIT: Method = Method { number: 2, name: "Lab.Wait", one_way: false };
/// Writes the message down.
pub(super) static NEWS: Method = Method { number: 3, name: "Lab.News", one_way: true };
/// Says who leads.
pub(super) static LEAD: Method = Method { number: 4, name: "Lab.Lead", one_way: false };

/// A server with less room for clients.
pub(super) fn few(change: impl FnOnce(&mut Share)) -> ServerConfig {
    let mut config = ServerConfig::default();
    change(&mut config.clients);
    config
}

#[derive(Clone)]
pub(super) struct Lab {
    pub(super) env: TestEnv,
    log: Arc<Mutex<Vec<String>>>,
}

/// Writes down that a call was dropped before its end.
struct Dropped(Lab, String);

impl Drop for Dropped {
    fn drop(&mut self) {
        if !self.1.is_empty() {
            self.0.write(format!("dropped {}", self.1));
        }
    }
}

impl Lab {
    pub(super) fn new() -> Self {
        Self { env: TestEnv::new(), log: Arc::default() }
    }

    fn write(&self, line: String) {
        self.log.lock().unwrap().push(line);
    }

    pub(super) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    pub(super) fn address() -> Address {
        Address::new("server")
    }

    /// Starts the server.
    pub(super) async fn open(&self, config: ServerConfig) {
        let listener = self.env.net().listen(&Self::address()).await.unwrap();
        let (env, handler) = (self.env.clone(), self.clone());
        self.env
            .spawn("server", async move { serve(env, listener, handler, config, Rooms::new(&config)).await });
    }

    pub(super) fn channel(&self, config: ChannelConfig) -> Channel<TestEnv> {
        Channel::new(&self.env, Self::address(), config)
    }

    pub(super) fn now_millis(&self) -> u64 {
        self.env.clock().now().as_nanos() / 1_000_000
    }

    pub(super) fn within(&self, millis: u64) -> Instant {
        self.env.clock().now() + Duration::from_millis(millis)
    }

    pub(super) async fn pause(&self, millis: u64) {
        sleep(&self.env, Duration::from_millis(millis)).await;
    }

    /// Calls WAIT.
    pub(super) async fn wait(
        &self,
        channel: &Channel<TestEnv>,
        millis: u64,
        patience: u64,
    ) -> Result<Received, CallError> {
        let message = Bytes::from(millis.to_string());
        channel.call(&WAIT, message, Body::Empty, self.within(patience)).await
    }
}

impl Handler<TestEnv> for Lab {
    fn serves(&self, method: u32) -> bool {
        (1..=4).contains(&method)
    }

    fn is_vital(&self, _: u32) -> bool {
        false
    }

    async fn handle(&self, method: u32, incoming: Incoming) -> Result<Reply<ExtentOf<TestEnv>>, Status> {
        let Incoming { call: Call { deadline, .. }, message, body } = incoming;
        let text = String::from_utf8_lossy(&message).into_owned();
        match method {
            1 => Ok(Reply::from_bytes(&message, Body::Bytes(body))),
            2 => {
                let mut dropped = Dropped(self.clone(), text.clone());
                let left = deadline.since(self.env.clock().now()).as_millis();
                self.write(format!("waits {text} of {left}"));
                self.pause(text.parse().unwrap()).await;
                dropped.1.clear();
                Ok(Reply::from_bytes(&message, Body::Empty))
            }
            3 => {
                self.write(format!("news {text}"));
                Ok(Reply::nothing())
            }
            4 => Err(Status::not_leader(Some(Address::new("elsewhere")))),
            other => Err(Status::unimplemented(other)),
        }
    }
}
