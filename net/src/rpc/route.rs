//! Whom to ask: follows hints to the leader, goes round the servers when there is none, and backs
//! off while nobody helps. Pure: failures and dice come in, an address and a wait come out.

use super::backoff::{RetryBudget, Spent};
use super::status::{CallError, Code};
use mooseng_core::chance::Dice;
use mooseng_core::env::Address;
use std::time::Duration;

/// The first wait after a whole round of servers has failed to help, and the longest.
const WAIT_FIRST: Duration = Duration::from_millis(10);
const WAIT_LONGEST: Duration = Duration::from_millis(100);
/// The wait before a retry that no budget is left for.
const WAIT_BEYOND_BUDGET: Duration = Duration::from_millis(400);

/// How an attempt failed, as far as the choice of the next server goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Miss {
    /// It is not the leader; it may know who is.
    NotLeader(Option<Address>),
    /// It did not answer, or could not serve.
    Silent,
    /// It is the leader and has too much to do, or no room for more.
    Overloaded,
}

impl Miss {
    /// What to do about a call that failed; `None` if no server would answer otherwise.
    pub fn of(error: &CallError) -> Option<Self> {
        Some(match error {
            CallError::Overloaded => Self::Overloaded,
            CallError::Unreachable(_) | CallError::Lost(_) | CallError::Deadline => Self::Silent,
            CallError::Status(status) => match status.code {
                Code::NotLeader => Self::NotLeader(status.leader.clone()),
                Code::Overloaded | Code::NoSpace => Self::Overloaded,
                Code::Unavailable | Code::Deadline | Code::Uncertain => Self::Silent,
                _ => return None,
            },
        })
    }
}

/// What a caller believes about who leads.
#[derive(Debug)]
pub struct Route {
    servers: Vec<Address>,
    current: usize,
    /// Misses since somebody last helped.
    misses: u32,
}

impl Route {
    pub fn new(servers: Vec<Address>, start: u64) -> Self {
        assert!(!servers.is_empty(), "a caller needs a server to talk to");
        let current = (start % servers.len() as u64) as usize;
        Self { servers, current, misses: 0 }
    }

    pub fn current(&self) -> &Address {
        &self.servers[self.current]
    }

    /// How many there are to ask.
    pub fn servers(&self) -> usize {
        self.servers.len()
    }

    /// The server asked last was the right one.
    pub fn hit(&mut self) {
        self.misses = 0;
    }

    /// `asked` did not help: how long to wait before the next one is asked, a retry that the budget
    /// pays for. To go where one is shown is no retry: nobody did any work.
    pub fn pause(
        &mut self,
        asked: &Address,
        miss: Miss,
        budget: &mut RetryBudget,
        dice: &mut impl Dice,
    ) -> Duration {
        let shown_the_way = matches!(miss, Miss::NotLeader(Some(_)));
        let wait = self.miss(asked, miss, dice);
        if shown_the_way && wait.is_zero() {
            return wait;
        }
        match budget.spend() {
            Spent::Token => wait,
            Spent::Nothing => wait.max(self.long_wait(dice)),
        }
    }

    /// `asked` did not help: who is next (see [`Route::current`]) and how long to wait first.
    pub fn miss(&mut self, asked: &Address, miss: Miss, dice: &mut impl Dice) -> Duration {
        self.misses = self.misses.saturating_add(1);
        // Several requests fail at once when a leader dies; only the first of them moves on.
        let asked_current = self.current() == asked;
        match miss {
            Miss::NotLeader(Some(leader)) if leader != *asked => {
                if asked_current || self.misses > 1 {
                    self.follow(leader);
                }
                // Two servers that name one another are no better than none: wait as for silence.
                if self.misses <= 2 { Duration::ZERO } else { self.wait(dice) }
            }
            Miss::NotLeader(_) | Miss::Silent => {
                if asked_current {
                    self.current = (self.current + 1) % self.servers.len();
                }
                let round = self.servers.len() as u32;
                if self.misses < round { Duration::ZERO } else { self.wait(dice) }
            }
            Miss::Overloaded => self.wait(dice),
        }
    }

    /// A hint may name a server that joined after the caller was configured.
    fn follow(&mut self, leader: Address) {
        const SERVERS_MAX: usize = 64;
        match self.servers.iter().position(|server| *server == leader) {
            Some(index) => self.current = index,
            None if self.servers.len() < SERVERS_MAX => {
                self.servers.push(leader);
                self.current = self.servers.len() - 1;
            }
            None => self.current = (self.current + 1) % self.servers.len(),
        }
    }

    /// Doubles with every further round, up to a limit; half of it is chance, so that callers that
    /// lost the same leader do not come back together.
    fn wait(&self, dice: &mut impl Dice) -> Duration {
        let rounds = (self.misses / self.servers.len() as u32).min(16);
        spread((WAIT_FIRST * (1 << rounds.min(10))).min(WAIT_LONGEST), dice)
    }

    /// The wait before a retry that the caller's budget does not allow at once.
    pub fn long_wait(&self, dice: &mut impl Dice) -> Duration {
        spread(WAIT_BEYOND_BUDGET, dice)
    }
}

fn spread(longest: Duration, dice: &mut impl Dice) -> Duration {
    let nanos = longest.as_nanos() as u64;
    Duration::from_nanos(dice.between(nanos / 2, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mooseng_core::chance::stream;

    fn servers() -> Vec<Address> {
        ["a:1", "b:1", "c:1"].map(Address::new).to_vec()
    }

    #[test]
    fn a_hint_is_followed_at_once() {
        let mut route = Route::new(servers(), 0);
        let wait = route.miss(
            &Address::new("a:1"),
            Miss::NotLeader(Some(Address::new("c:1"))),
            &mut stream(0, "", 0, 0),
        );
        assert_eq!((route.current().as_str(), wait), ("c:1", Duration::ZERO));
    }

    #[test]
    fn silence_goes_round_and_then_waits_longer_and_longer() {
        let mut route = Route::new(servers(), 2);
        let mut dice = stream(0, "", 0, 0);
        let mut waits = Vec::new();
        for expected in ["c:1", "a:1", "b:1", "c:1", "a:1", "b:1"] {
            let asked = route.current().clone();
            assert_eq!(asked.as_str(), expected);
            waits.push(route.miss(&asked, Miss::Silent, &mut dice));
        }
        assert_eq!(waits[..2], [Duration::ZERO; 2]);
        assert!(waits[2..].iter().all(|wait| *wait >= WAIT_FIRST && *wait <= WAIT_LONGEST));
        route.hit();
        let asked = route.current().clone();
        assert_eq!(route.miss(&asked, Miss::Silent, &mut dice), Duration::ZERO);
    }

    #[test]
    fn a_late_failure_of_the_old_leader_does_not_leave_the_new_one() {
        let mut route = Route::new(servers(), 0);
        let old = Address::new("a:1");
        let mut dice = stream(0, "", 0, 0);
        route.miss(&old, Miss::NotLeader(Some(Address::new("b:1"))), &mut dice);
        route.hit();
        route.miss(&old, Miss::Silent, &mut dice);
        assert_eq!(route.current().as_str(), "b:1");
    }

    #[test]
    fn servers_that_name_one_another_do_not_spin() {
        let mut route = Route::new(servers(), 0);
        let mut dice = stream(0, "", 0, 0);
        let mut waited = Duration::ZERO;
        for _ in 0..20 {
            let asked = route.current().clone();
            let other = if asked.as_str() == "a:1" { "b:1" } else { "a:1" };
            waited += route.miss(&asked, Miss::NotLeader(Some(Address::new(other))), &mut dice);
        }
        assert!(waited >= Duration::from_millis(100));
    }
}
