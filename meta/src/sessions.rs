//! Exactly once: sessions, and the answers their retries are given.
//!
//! ```text
//!   ... 4 5 6 | 7 8 9 10 11 12 | 13 14 ...        low_water 7, session_window 6
//!    gone     |  carried out   |  too many in flight
//!             |  once, in any  |
//!             |  order, and    |
//!             |  remembered    |
//! ```
//!
//! Time is not known here: that a session ran out is a command of its own.

use crate::command::{Effect, Reply};
use crate::state::{AnswerKey, Caches, Kept, Nonce, Recorded, Session, State};
use mooseng_core::id::{SessionId, SliceId};
use mooseng_core::namespace::Outcome;
use mooseng_core::{plant, probe};

/// What makes a request the same as one before.
pub(crate) struct Request {
    pub(crate) session: SessionId,
    pub(crate) sequence: u64,
    pub(crate) low_water: u64,
}

/// The same nonce is the same session, for as long as that lives.
pub(crate) fn open(state: &mut State, nonce: Nonce, caches: bool, effects: &mut Vec<Effect>) -> Reply {
    if let Some(session) = state.nonces.get(&nonce) {
        probe!("session opened again under its nonce");
        return Reply::Session { session: *session };
    }
    if state.sessions.len() as u64 >= state.config.sessions_max {
        probe!("no more sessions");
        return Reply::TooManySessions;
    }
    let session = SessionId(state.marks.next_session);
    state.marks.next_session += 1;
    let before = state.sessions.insert(session, Session { nonce, low_water: 1 });
    assert!(before.is_none(), "{session:?} is given once");
    state.nonces.insert(nonce, session);
    if caches {
        state.caching.insert(session, Caches);
    }
    effects.push(Effect::SessionOpened(session));
    Reply::Session { session }
}

/// Forgets a session, its answers and its pending slices; false if there is none.
pub(crate) fn end(state: &mut State, session: SessionId) -> bool {
    let Some(held) = state.sessions.remove(&session) else { return false };
    let nonce = state.nonces.remove(&held.nonce);
    assert_eq!(nonce, Some(session), "every session is found by its nonce");
    state.caching.remove(&session);
    forget(state, session, None);
    plant!("pending-slices-never-collected", forget_pending(state, session), ());
    true
}

/// Whether a session may hold leases from now on; nothing if there is none.
pub(crate) fn set_caching(state: &mut State, session: SessionId, caches: bool) -> Option<Effect> {
    state.sessions.get(&session)?;
    if caches {
        state.caching.insert(session, Caches);
        Some(Effect::SessionCaches(session))
    } else {
        state.caching.remove(&session);
        Some(Effect::SessionRests(session))
    }
}

/// What a session did not commit is nobody's: no more than the session may have pending.
fn forget_pending(state: &mut State, session: SessionId) {
    let slices: Vec<SliceId> = state.pending_slices(session).collect();
    for slice in slices {
        probe!("a session ends with pending slices");
        state.take_pending(slice);
    }
}

/// What a request was answered that was carried out before. A replica that is behind may not know yet,
/// but what it knows is so for good.
pub(crate) fn answered(state: &State, session: SessionId, sequence: u64) -> Option<Reply> {
    let recorded = state.answers.get(&AnswerKey { session, sequence })?;
    Some(Reply::Outcome { outcome: recorded.kept.outcome(), index: recorded.index })
}

/// Does nobody wait for an answer to this request any more? It is carried out no more, then.
pub(crate) fn is_given_up(state: &State, session: SessionId, sequence: u64) -> bool {
    state.sessions.get(&session).is_none_or(|held| sequence < held.low_water)
}

/// Carries a request out unless it was before, and remembers the answer.
pub(crate) fn once(
    state: &mut State,
    index: u64,
    request: &Request,
    carry_out: impl FnOnce(&mut State) -> Outcome,
) -> Reply {
    let Request { session, sequence, low_water } = *request;
    let Some(held) = state.sessions.get(&session) else {
        probe!("request of a session that is gone");
        return plant!("expired-session-recreated", Reply::UnknownSession, {
            state.marks.next_session = state.marks.next_session.max(session.0 + 1);
            let mut nonce = [0; 16];
            nonce[..8].copy_from_slice(&session.0.to_le_bytes());
            state.nonces.insert(nonce, session);
            state.sessions.insert(session, Session { nonce, low_water: 1 });
            let outcome = carry_out(state);
            Reply::Outcome { outcome, index }
        });
    };
    // A client whose mark lies above its own request wants no answer to it.
    if sequence < held.low_water.max(low_water) {
        probe!("request below the low water mark");
        return Reply::AnswerGone;
    }
    if low_water > held.low_water {
        state.sessions.change(&session, |held| held.low_water = low_water);
        plant!("answers-never-forgotten", forget(state, session, Some(low_water)), ());
    }
    let key = AnswerKey { session, sequence };
    if let Some(recorded) = state.answers.get(&key) {
        probe!("answer served from the table");
        let answer = Reply::Outcome { outcome: recorded.kept.outcome(), index: recorded.index };
        plant!("retry-applied-twice", return answer, drop(answer));
    }
    let lowest = state.sessions.get(&session).map_or(0, |held| held.low_water);
    assert!(sequence >= lowest, "what lies below the mark was answered above");
    if sequence - lowest >= state.config.session_window {
        probe!("session window full");
        return Reply::TooManyInFlight;
    }
    let outcome = carry_out(state);
    let kept = Kept::of(&outcome);
    state.answers.insert(key, Recorded { index, kept });
    Reply::Outcome { outcome, index }
}

/// Forgets the answers below a sequence, or all: no more than a window holds.
fn forget(state: &mut State, session: SessionId, below: Option<u64>) {
    while let Some(key) = state.oldest_answer(session)
        && below.is_none_or(|below| key.sequence < below)
    {
        state.answers.remove(&key);
    }
}
