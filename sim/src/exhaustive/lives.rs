//! What the searches on one disk share: a node that lives three times. In its first life the strike
//! comes, in the second the power fails at the end, and the third is a last look. Knows nothing of
//! what the node keeps on its disk.

use crate::machine::{Fault, MachineConfig, Moment, NodeConfig, NodeId, OperationKind, Sim, SimEnv, Trigger};
use std::future::Future;
use std::time::Duration;

pub(super) const NODE: &str = "disk";
const LIFE: Duration = Duration::from_secs(5);
const LIVES: u32 = 3;
const KINDS: [OperationKind; 4] =
    [OperationKind::Write, OperationKind::Sync, OperationKind::SyncDir, OperationKind::Names];
const MOMENTS: [Moment; 3] = [Moment::Before, Moment::During, Moment::After];

/// An operation of the node's first life, or of those after it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    pub(super) kind: OperationKind,
    pub(super) count: u32,
    pub(super) moment: Moment,
}

/// A node, and what its lives have met so far.
pub(super) struct Lives {
    sim: Sim,
    node: NodeId,
}

impl Lives {
    /// A node on whose disk something was formatted.
    pub(super) fn begin<F, T, E>(seed: u64, format: impl FnOnce(SimEnv) -> F) -> Result<Self, String>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: std::fmt::Display + Send + 'static,
    {
        let mut sim = Sim::new(seed, MachineConfig::calm());
        let node = sim.add_node(NODE, NodeConfig::default());
        sim.boot_idle(node);
        let env = sim.env(node);
        let formatted = sim.run(node, LIFE, format(env));
        formatted.ok_or("formatting does not end")?.map_err(|error| format!("formatting: {error}"))?;
        sim.apply(&Fault::Kill { node: NODE.to_owned(), restart_ms: None })
            .map_err(|error| error.to_string())?;
        Ok(Self { sim, node })
    }

    pub(super) fn power_cut() -> Fault {
        Fault::Crash { node: NODE.to_owned(), restart_ms: None }
    }

    pub(super) fn strike_at(&mut self, spot: Spot, fault: Fault) -> Result<(), String> {
        let Spot { kind, count, moment } = spot;
        let (node, prefix) = (NODE.to_owned(), String::new());
        let trigger = Trigger { node, kind, count, moment, prefix, faults: vec![fault] };
        self.sim.arm(trigger).map_err(|error| error.to_string())
    }

    /// Lives all lives; `fault` says what was wrong in the last one.
    pub(super) fn live<F>(
        &mut self,
        life: impl Fn(SimEnv) -> F + Clone + Send + Sync + 'static,
        fault: impl Fn() -> Option<String>,
    ) -> Result<(), String>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        for _ in 0..LIVES {
            self.sim.boot(self.node, life.clone());
            self.sim.run_for(LIFE);
            if let Some(reason) = self.sim.halted(self.node) {
                return Err(format!("the server stopped itself: {reason}"));
            }
            fault().map_or(Ok(()), Err)?;
            self.sim.apply(&Self::power_cut()).map_err(|error| error.to_string())?;
            self.sim.run_for(Duration::from_millis(1));
        }
        Ok(())
    }

    /// How many operations of a kind all lives came to.
    pub(super) fn count(&self, kind: OperationKind) -> u32 {
        self.sim.counts(self.node).of(kind) as u32
    }

    /// Before, during and after every disk operation that all lives came to.
    pub(super) fn spots(&self) -> Vec<Spot> {
        let of_kind = |kind| (1..=self.count(kind)).map(move |count| (kind, count));
        let operations = KINDS.into_iter().flat_map(of_kind);
        operations.flat_map(|(kind, count)| MOMENTS.map(|moment| Spot { kind, count, moment })).collect()
    }
}
