//! A plan's file: TOML, one line per fault and per step, and of the knobs only what is not usual.

use super::budget::{self, Budget};
use super::fault::{Milestone, Operations, PlannedFault, When};
use super::knobs::{Differences, Knobs, Topology, merge};
use super::workload::{Action, Step, read_span, write_span};
use super::{Member, Plan, VERSION};
use crate::machine::{Fault, MachineConfig, Moment, OperationKind};
use mooseng_core::class::StorageClass;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;
use toml::{Table, Value};

const SERVERS_MAX: u32 = 64;
const CLIENTS_MAX: usize = 256;
const EVENTS_MAX: usize = 100_000;
const END_MAX: Duration = Duration::from_secs(24 * 3600);

/// Why a text is no plan: one line that names the field and the remedy.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadPlan(String);

impl From<String> for BadPlan {
    fn from(line: String) -> Self {
        Self(line.replace(['\n', '\r'], " "))
    }
}

fn quoted(text: &str) -> Value {
    Value::String(text.to_owned())
}

impl Plan {
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("writing to a string does not fail");
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let schedules: Vec<Value> = self.schedules.iter().map(|one| quoted(&format!("{one:#x}"))).collect();
        writeln!(text, "version = {VERSION}")?;
        writeln!(text, "story = {}", quoted(&self.story))?;
        writeln!(text, "seed = \"{:#x}\"", self.seed)?;
        writeln!(text, "schedules = {}", Value::Array(schedules))?;
        if let Some(planted) = &self.planted {
            writeln!(text, "planted = {}", quoted(planted))?;
        }
        writeln!(text, "budget = {}", value_of(&self.budget))?;
        writeln!(text, "faults_end = \"{}\"", write_span(self.faults_end))?;
        writeln!(text, "end = \"{}\"", write_span(self.end))?;
        writeln!(text, "\nfaults = [")?;
        for planned in &self.faults {
            writeln!(text, "  {},", write_fault(planned))?;
        }
        writeln!(text, "]\n\n[topology]")?;
        let Topology { servers, spares, chunk_servers, racks, mounts } = self.topology;
        writeln!(text, "servers = {servers}\nspares = {spares}")?;
        if chunk_servers > 0 {
            writeln!(text, "chunk_servers = {chunk_servers}\nracks = {racks}")?;
        }
        if mounts {
            writeln!(text, "mounts = true")?;
        }
        write_section(text, "knobs", &Differences::of(&self.knobs, &Knobs::default()))?;
        write_section(text, "machine", &Differences::of(&self.machine, &MachineConfig::calm()))?;
        for steps in &self.clients {
            writeln!(text, "\n[[client]]\nsteps = [")?;
            for step in steps {
                writeln!(text, "  {},", quoted(&step.to_string()))?;
            }
            writeln!(text, "]")?;
        }
        Ok(())
    }

    pub fn from_text(text: &str) -> Result<Self, BadPlan> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or("");
            let line = before.matches('\n').count() + 1;
            format!("line {line}: {}: the file has to be TOML", error.message())
        })?;
        let plan = Self::read(Fields::new("", table))?;
        plan.check()?;
        Ok(plan)
    }

    fn read(mut fields: Fields) -> Result<Self, String> {
        let version: i64 = fields.take("version", None)?;
        if version != i64::from(VERSION) {
            return Err(format!("version: {version} is not known here: it has to be {VERSION}"));
        }
        let schedules: Vec<String> = fields.take("schedules", Some(vec!["0x0".to_owned()]))?;
        let faults: Vec<Table> = fields.take("faults", Some(Vec::new()))?;
        let clients: Vec<Table> = fields.take("client", Some(Vec::new()))?;
        let section = |fields: &mut Fields, name| fields.take::<Table>(name, Some(Table::new()));
        let plan = Self {
            story: fields.take("story", Some("swarm".to_owned()))?,
            seed: read_word("seed", &fields.take::<String>("seed", None)?)?,
            schedules: schedules.iter().map(|one| read_word("schedules", one)).collect::<Result<_, _>>()?,
            planted: fields.take_optional("planted")?,
            budget: fields.take("budget", Some(Budget::Within))?,
            faults_end: fields.take_span("faults_end")?,
            end: fields.take_span("end")?,
            topology: merge("topology", &Topology::default(), &section(&mut fields, "topology")?)?,
            knobs: merge("knobs", &Knobs::default(), &section(&mut fields, "knobs")?)?,
            machine: merge("machine", &MachineConfig::calm(), &section(&mut fields, "machine")?)?,
            faults: numbered("faults", faults, read_fault)?,
            clients: numbered("client", clients, read_client)?,
        };
        fields.done()?;
        Ok(plan)
    }

    /// What types do not say: names of nodes, limits, the budget of faults.
    pub fn check(&self) -> Result<(), BadPlan> {
        if self.schedules.is_empty() {
            return Err("schedules: none is given: give one, as \"0x0\"".to_owned().into());
        }
        if !(1..=SERVERS_MAX).contains(&self.topology.servers) || self.topology.spares > SERVERS_MAX {
            return Err(
                format!("topology.servers: 1 to {SERVERS_MAX} are possible, and so many spares").into()
            );
        }
        if self.topology.chunk_servers > SERVERS_MAX || self.topology.racks == 0 {
            return Err(format!("topology.chunk_servers: at most {SERVERS_MAX}, in at least one rack").into());
        }
        let wants_chunk_servers = |step: &Step| step.action.is_of_open_file();
        if self.topology.chunk_servers == 0 && self.clients.iter().flatten().any(wants_chunk_servers) {
            return Err("topology.chunk_servers: there are none, and open files need them: add some"
                .to_owned()
                .into());
        }
        if self.topology.chunk_servers > 0 {
            self.check_classes()?;
        }
        if self.clients.len() > CLIENTS_MAX || self.events() > EVENTS_MAX {
            return Err(format!("client: at most {CLIENTS_MAX}, and {EVENTS_MAX} steps and faults").into());
        }
        if self.faults_end > self.end || self.end > END_MAX {
            return Err("end: it has to come after faults_end, and within a day".to_owned().into());
        }
        self.knobs.check()?;
        for (number, planned) in self.faults.iter().enumerate() {
            for node in planned.nodes() {
                let met = planned.when.after.is_some_and(|(milestone, _)| milestone.is_of_a_server());
                match (node, met) {
                    ("there", true) => Ok(()),
                    ("there", false) => {
                        Err("`there` is the server of the milestone in `after`: name one".to_owned())
                    }
                    _ => self.check_node(node),
                }
                .map_err(|line| format!("faults.{number}: {line}"))?;
            }
        }
        for action in self.clients.iter().flatten().map(|step| &step.action) {
            let Some(server) = action.server() else { continue };
            self.check_node(&Member::Server(server).to_string()).map_err(|line| format!("client: {line}"))?;
            if matches!(action, Action::AddServer { .. }) && server <= self.topology.servers {
                return Err(format!("client: `{action}`: it takes part from the start: name a spare").into());
            }
        }
        let mounts = self.topology.mounts;
        if mounts && self.topology.chunk_servers == 0 {
            return Err("topology.mounts: a mount needs chunk servers: add some".to_owned().into());
        }
        for action in self.clients.iter().flatten().map(|step| &step.action) {
            if mounts && action.is_beneath_mounts() {
                return Err(format!("client: `{action}`: no mount does that: leave it out").into());
            }
            if !mounts && action.is_of_mount() {
                return Err(format!("client: `{action}`: only mounts do: set topology.mounts").into());
            }
        }
        let mut labels = BTreeSet::new();
        for label in self.clients.iter().flatten().filter_map(|step| step.label) {
            if !labels.insert(label) {
                return Err(format!("client: the label @{label} is given twice: use another").into());
            }
        }
        Ok(budget::check(self)?)
    }

    /// Every part needs a server of its own.
    fn check_classes(&self) -> Result<(), String> {
        let classes = self.clients.iter().flatten().filter_map(|step| match step.action {
            Action::SetClass { class, .. } => Some(class),
            _ => None,
        });
        let usual = u32::from(StorageClass::default().parts());
        let widest = classes.map(|class| u32::from(class.parts())).fold(usual, u32::max);
        let has = self.topology.chunk_servers;
        if has < widest {
            return Err(format!("topology.chunk_servers: {has}, and a class has {widest} parts: add some"));
        }
        Ok(())
    }

    fn check_node(&self, name: &str) -> Result<(), String> {
        let followers = self.topology.servers.saturating_sub(1);
        let servers = self.topology.servers + self.topology.spares;
        let part = name.strip_prefix("follower-").map(|number| number.parse::<u32>());
        let fits = match (part, name) {
            (_, "leader") => true,
            (Some(number), _) => number.is_ok_and(|number| (1..=followers).contains(&number)),
            (None, _) => match name.parse::<Member>()? {
                Member::Server(number) => number <= servers,
                Member::Chunk(number) => number <= self.topology.chunk_servers,
                Member::Client(number) => number as usize <= self.clients.len(),
            },
        };
        match fits {
            true => Ok(()),
            false => Err(format!(
                "there is no node `{name}`: nodes are meta-1 to meta-{servers}, client-1 to client-{}, leader, \
                 and follower-1 to follower-{followers}",
                self.clients.len()
            )),
        }
    }
}

/// The fields of a table that have not been read yet.
struct Fields {
    section: String,
    table: Table,
}

impl Fields {
    fn new(section: &str, table: Table) -> Self {
        Self { section: section.to_owned(), table }
    }

    fn take_optional<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>, String> {
        let Some(value) = self.table.remove(key) else { return Ok(None) };
        let read = value.try_into();
        read.map(Some).map_err(|error: toml::de::Error| {
            format!("{}{key}: {}: give it a value of its kind", self.section, error.message())
        })
    }

    fn take<T: DeserializeOwned>(&mut self, key: &str, usual: Option<T>) -> Result<T, String> {
        let value = self.take_optional(key)?.or(usual);
        value.ok_or_else(|| format!("{}{key}: it is missing: add it", self.section))
    }

    fn take_span(&mut self, key: &str) -> Result<Duration, String> {
        let text: String = self.take(key, None)?;
        read_span(&text).map_err(|line| format!("{}{key}: {line}", self.section))
    }

    fn done(self) -> Result<(), String> {
        match self.table.keys().next() {
            None => Ok(()),
            Some(key) => Err(format!("{}{key}: there is no such field: leave it out", self.section)),
        }
    }
}

fn numbered<T>(
    section: &str,
    tables: Vec<Table>,
    read: impl Fn(Fields) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let numbered = tables.into_iter().enumerate();
    numbered.map(|(number, table)| read(Fields::new(&format!("{section}.{number}."), table))).collect()
}

fn read_word(field: &str, text: &str) -> Result<u64, String> {
    let read = text.strip_prefix("0x").map_or_else(|| text.parse(), |digits| u64::from_str_radix(digits, 16));
    read.map_err(|_| format!("{field}: `{text}` is no number of 64 bits: write \"0x1828\""))
}

fn read_client(mut fields: Fields) -> Result<Vec<Step>, String> {
    let section = fields.section.clone();
    let lines: Vec<String> = fields.take("steps", None)?;
    fields.done()?;
    let steps = lines.iter().enumerate();
    steps
        .map(|(number, line)| line.parse().map_err(|why| format!("{section}steps.{number}: {why}")))
        .collect()
}

fn value_of<T: Serialize>(value: &T) -> Value {
    Value::try_from(value).expect("plain values are values")
}

/// Tables of tables are written with dots, so that each setting is one line.
fn write_section(text: &mut String, name: &str, differences: &Differences) -> std::fmt::Result {
    if differences.is_empty() {
        return Ok(());
    }
    writeln!(text, "\n[{name}]")?;
    differences.lines().try_for_each(|(path, value)| writeln!(text, "{path} = {value}"))
}

fn write_fault(planned: &PlannedFault) -> String {
    let PlannedFault { when, fault } = planned;
    let mut parts: Vec<(&str, Value)> = Vec::new();
    if let Some((milestone, times)) = &when.after {
        parts.push(("after", value_of(milestone)));
        parts.push(("times", value_of(times)));
    }
    if when.after.is_none() || !when.wait.is_zero() {
        let millis = u64::try_from(when.wait.as_millis()).unwrap_or(u64::MAX);
        parts.push((if when.after.is_none() { "at_ms" } else { "wait_ms" }, value_of(&millis)));
    }
    if let Some(Operations { node, kind, count, moment, prefix }) = &when.then {
        parts.push(("on", value_of(kind)));
        parts.push(("of", quoted(node)));
        parts.push(("count", value_of(count)));
        parts.push(("moment", value_of(moment)));
        if !prefix.is_empty() {
            parts.push(("under", quoted(prefix)));
        }
    }
    parts.push(("fault", quoted(fault.kind())));
    let table = Table::try_from(fault).expect("faults are tables of plain values");
    parts.extend(table.iter().filter(|(key, _)| *key != "fault").map(|(key, value)| (&**key, value.clone())));
    let parts: Vec<String> = parts.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    format!("{{ {} }}", parts.join(", "))
}

fn read_fault(mut fields: Fields) -> Result<PlannedFault, String> {
    let section = fields.section.clone();
    let after: Option<Milestone> = fields.take_optional("after")?;
    let times: Option<u32> = fields.take_optional("times")?;
    if after.is_none() && times.is_some() {
        return Err(format!("{section}times: it counts milestones, and `after` names none: add it"));
    }
    let wait: u64 = match after {
        None => fields.take("at_ms", None)?,
        Some(_) => fields.take("wait_ms", Some(0))?,
    };
    let then = match fields.take_optional::<OperationKind>("on")? {
        None => None,
        Some(kind) => Some(Operations {
            node: fields.take("of", None)?,
            kind,
            count: fields.take("count", Some(1))?,
            moment: fields.take("moment", Some(Moment::After))?,
            prefix: fields.take("under", Some(String::new()))?,
        }),
    };
    let after = after.map(|milestone| (milestone, times.unwrap_or(1)));
    let none =
        after.is_some_and(|(_, times)| times == 0) || then.as_ref().is_some_and(|then| then.count == 0);
    if none {
        return Err(format!("{section}count: what is counted is counted from 1"));
    }
    let when = When { after, wait: Duration::from_millis(wait), then };
    let given = fields.table;
    let fault: Fault = given.clone().try_into().map_err(|error: toml::de::Error| {
        format!(
            "{}: {}: see the faults in `sim/src/machine/fault.rs`",
            section.trim_end_matches('.'),
            error.message()
        )
    })?;
    // What the fault does not write itself, it did not read either.
    let known = Table::try_from(&fault).expect("faults are tables of plain values");
    match given.keys().find(|key| !known.contains_key(*key)) {
        None => Ok(PlannedFault { when, fault }),
        Some(key) => Err(format!("{section}{key}: `{}` has no such field: leave it out", fault.kind())),
    }
}
