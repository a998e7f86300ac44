//! Planted bugs and probes: how the simulator proves that it can see.
//!
//! `plant!("name", right, wrong)` is `right`, except in a simulation that has switched the bug
//! `name` on. `probe!("name")` counts that a rare place was reached. Both exist only with the
//! feature `planted`, which `sim` alone asks for; without it they are the right expression and
//! nothing, and not even their names are in the binary.

#[cfg(feature = "planted")]
mod switched {
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeMap;

    thread_local! {
        static ACTIVE: Cell<Option<&'static str>> = const { Cell::new(None) };
        static REACHED: Cell<u64> = const { Cell::new(0) };
        static PROBES: RefCell<BTreeMap<&'static str, u64>> = const { RefCell::new(BTreeMap::new()) };
    }

    /// Switches one planted bug on for this thread, or all off; the count of times it was reached
    /// starts at zero.
    pub fn activate(name: Option<&'static str>) {
        ACTIVE.set(name);
        REACHED.set(0);
    }

    /// How often the active bug took its wrong turn since it was switched on.
    pub fn reached() -> u64 {
        REACHED.get()
    }

    /// Is this bug on? Asking counts as reaching it.
    pub fn active(name: &'static str) -> bool {
        let active = ACTIVE.get() == Some(name);
        if active {
            REACHED.set(REACHED.get() + 1);
        }
        active
    }

    /// Counts that a place was reached.
    pub fn probe(name: &'static str) {
        PROBES.with_borrow_mut(|probes| *probes.entry(name).or_default() += 1);
    }

    /// Takes this thread's counts of probes, leaving none.
    pub fn take_probes() -> BTreeMap<&'static str, u64> {
        PROBES.take()
    }
}

#[cfg(feature = "planted")]
pub use switched::{activate, active, probe, reached, take_probes};

/// `plant!("vote-not-persisted", right, wrong)`: see the module.
#[cfg(feature = "planted")]
#[macro_export]
macro_rules! plant {
    ($name:literal, $right:expr, $wrong:expr) => {
        if $crate::plant::active($name) { $wrong } else { $right }
    };
}

/// `plant!("vote-not-persisted", right, wrong)`: see the module.
#[cfg(not(feature = "planted"))]
#[macro_export]
macro_rules! plant {
    ($name:literal, $right:expr, $wrong:expr) => {{ $right }};
}

/// `probe!("snapshot installed while the journal rotates")`: see the module.
#[cfg(feature = "planted")]
#[macro_export]
macro_rules! probe {
    ($name:literal) => {
        $crate::plant::probe($name)
    };
}

/// `probe!("snapshot installed while the journal rotates")`: see the module.
#[cfg(not(feature = "planted"))]
#[macro_export]
macro_rules! probe {
    ($name:literal) => {};
}
