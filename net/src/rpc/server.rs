//! Takes connections in, each to be served by a task of its own, within a limit. When it is dropped
//! its connections take on nothing more, finish what is under way, and end.

use super::complaints::Complaints;
use super::config::ServerConfig;
use super::connection;
use super::method::Handler;
use super::room::Rooms;
use futures::channel::oneshot;
use mooseng_core::env::{Accepted, Clock, Env, Listener, Net};
use std::time::Duration;

/// The pause after a connection that could not be taken in, so that running out of descriptors
/// does not become running hot.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(50);

/// Serves until it is dropped, within the room that there is.
pub async fn serve<E: Env, H: Handler<E>>(
    env: E,
    mut listener: <E::Net as Net>::Listener,
    handler: H,
    config: ServerConfig,
    rooms: Rooms,
) {
    let connections_max = config.clients.connections_max.saturating_add(config.control.connections_max);
    let connections_max = connections_max.saturating_add(config.greetings_max);
    let complaints = Complaints::default();
    // Dropping a sender tells its connection to drain.
    let mut connections: Vec<oneshot::Sender<()>> = Vec::new();
    loop {
        let Accepted { conn, peer } = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                let own = listener.address();
                complaints.tell(&env, &own, format!("a connection could not be taken in: {error}"));
                env.clock().sleep_until(env.clock().now() + PAUSE_AFTER_ERROR).await;
                continue;
            }
        };
        connections.retain(|connection| !connection.is_canceled());
        // Who has said hello finds out whether there is room; of those who have not there are
        // only so many.
        if connections.len() >= connections_max {
            drop(conn);
            continue;
        }
        let (keep, drain) = oneshot::channel();
        connections.push(keep);
        let connection = connection::Connection {
            env: env.clone(),
            peer,
            handler: handler.clone(),
            config,
            rooms: rooms.clone(),
            complaints: complaints.clone(),
        };
        env.spawn("rpc connection", connection.run(conn, drain));
    }
}
