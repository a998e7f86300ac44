//! Room for connections and their calls. The servers of a cluster among themselves (control) and
//! everybody else (clients) have room of their own each: however many clients there are and however
//! much they ask, heartbeats get through.
//!
//! When there is no room for another connection, the one that has been idle for longest gives its
//! place up: what a peer without power left behind is in nobody's way, and many callers can take
//! turns, of which each lasts a while. Knows neither the connections nor the clock.

use super::config::{ServerConfig, Share};
use super::ledger::Limits;
use futures::channel::oneshot;
use mooseng_core::time::Instant;
use mooseng_core::{plant, probe};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What is held of a limit now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Load {
    pub what: &'static str,
    pub value: u64,
    pub limit: u64,
}

/// The room of a server. Clones share it.
#[derive(Clone)]
pub struct Rooms {
    pub(super) clients: Arc<Room>,
    pub(super) control: Arc<Room>,
}

impl Rooms {
    pub fn new(config: &ServerConfig) -> Self {
        Self { clients: Room::new(config.clients), control: Room::new(config.control) }
    }

    pub(super) fn of(&self, control: bool) -> &Arc<Room> {
        if control { &self.control } else { &self.clients }
    }

    pub fn loads(&self) -> Vec<Load> {
        let of = |room: &Room, what: [&'static str; 2]| {
            let calls =
                Load { what: what[0], value: room.limits.calls() as u64, limit: room.share.calls_max as u64 };
            let connections = Load {
                what: what[1],
                value: room.lock().seats.len() as u64,
                limit: room.share.connections_max as u64,
            };
            [calls, connections]
        };
        let mut loads = of(&self.clients, ["calls of clients", "connections of clients"]).to_vec();
        loads.extend(of(&self.control, ["calls of servers", "connections of servers"]));
        loads
    }
}

pub(super) struct Room {
    share: Share,
    pub(super) limits: Arc<Limits>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    next: u64,
    seats: BTreeMap<u64, Occupant>,
}

/// Whoever has come in stays for so long at least: where more want a place than there are, all of them
/// waiting for something most of the time, each else has to go before it gets anything done.
const STAY_MIN: Duration = Duration::from_millis(200);

struct Occupant {
    entered: Instant,
    /// Since when it has no call under way but vital ones; `None` while it has.
    idle_since: Option<Instant>,
    /// Its connection goes on until this is dropped.
    _keep: oneshot::Sender<()>,
}

/// A connection's place. It is free again when this is dropped.
pub(super) struct Seat {
    room: Arc<Room>,
    number: u64,
    /// Resolves when the connection has to go.
    pub(super) asked_to_leave: oneshot::Receiver<()>,
}

impl Room {
    fn new(share: Share) -> Arc<Self> {
        let limits = Limits::new(share);
        Arc::new(Self { share, limits, inner: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn share(&self) -> Share {
        self.share
    }

    /// A place, if one is free or can be made free.
    pub(super) fn enter(self: &Arc<Self>, now: Instant) -> Option<Seat> {
        let mut inner = self.lock();
        if inner.seats.len() >= self.share.connections_max {
            let may_go = |one: &&Occupant| {
                plant!("newcomers-chase-each-other", now.since(one.entered) >= STAY_MIN, true)
            };
            let idle = inner.seats.iter().filter(|(_, one)| may_go(one));
            let idle = idle.filter_map(|(number, one)| Some((one.idle_since?, *number)));
            let longest = idle.min().map(|(_, number)| number);
            if longest.is_none() {
                probe!("rpc connection refused: too many");
            }
            let longest = longest?;
            probe!("rpc connection makes room for another");
            // That drops what keeps it: it is told, and does nothing any more.
            inner.seats.remove(&longest);
        }
        let number = inner.next;
        inner.next += 1;
        let (keep, asked_to_leave) = oneshot::channel();
        inner.seats.insert(number, Occupant { entered: now, idle_since: Some(now), _keep: keep });
        Some(Seat { room: self.clone(), number, asked_to_leave })
    }
}

impl Seat {
    /// Since when the connection has had nothing to do.
    pub(super) fn idle(&self, since: Option<Instant>) {
        if let Some(occupant) = self.room.lock().seats.get_mut(&self.number) {
            occupant.idle_since = since;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.room.lock().seats.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rooms(connections_max: usize) -> Rooms {
        let few = |share: Share| Share { connections_max, ..share };
        let usual = ServerConfig::default();
        Rooms::new(&ServerConfig { clients: few(usual.clients), control: few(usual.control), ..usual })
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn servers_find_room_however_many_clients_there_are() {
        let rooms = rooms(2);
        let clients = [rooms.of(false).enter(at(1)).unwrap(), rooms.of(false).enter(at(1)).unwrap()];
        clients.iter().for_each(|client| client.idle(None));
        assert!(rooms.of(false).enter(at(2)).is_none());
        assert!(rooms.of(true).enter(at(2)).is_some());
        let connections = rooms.loads().into_iter().find(|load| load.what == "connections of clients");
        assert_eq!(connections, Some(Load { what: "connections of clients", value: 2, limit: 2 }));
    }

    #[test]
    fn whoever_has_just_come_in_stays() {
        let rooms = rooms(1);
        let _seat = rooms.of(false).enter(at(1)).unwrap();
        assert!(rooms.of(false).enter(at(1) + STAY_MIN / 2).is_none());
        assert!(rooms.of(false).enter(at(1) + STAY_MIN).is_some());
    }

    #[test]
    fn the_longest_idle_makes_room_and_the_busy_stay() {
        let rooms = rooms(3);
        let room = rooms.of(false);
        let mut seats: Vec<Seat> = (1..=3).map(|second| room.enter(at(second)).unwrap()).collect();
        seats[0].idle(None);
        seats[1].idle(Some(at(9)));
        let newcomer = room.enter(at(10)).unwrap();
        let mut asked = |seat: usize| seats[seat].asked_to_leave.try_recv().is_err();
        assert_eq!([asked(0), asked(1), asked(2)], [false, false, true]);
        drop(seats.pop());
        newcomer.idle(None);
        seats[1].idle(None);
        assert!(room.enter(at(12)).is_none(), "all of them have something to do");
        assert_eq!(
            seats.iter_mut().map(|seat| seat.asked_to_leave.try_recv()).collect::<Vec<_>>(),
            [Ok(None); 2]
        );
    }
}
