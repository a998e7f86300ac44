//! A handful of processes that belong together: started together, started again when one ends,
//! stopped together. Knows nothing of what they do.

use super::logs;
use crate::stderr;
use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::future::{Either, select};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::pin::pin;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

/// What a process is started with.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
    /// Where its standard error goes, after what is there.
    pub(super) log: PathBuf,
    /// It uses the others, so it is stopped before them.
    pub(super) leaves_first: bool,
    /// The others do without it: it ends without an error when somebody wants it to, and then it is left at that;
    /// while it cannot stay it is started ever more rarely, and then no more.
    pub(super) may_leave: bool,
}

/// The longest pause is 64 times the first.
const PAUSE_DOUBLINGS_MAX: u32 = 6;

#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Between the end of a process and its next start.
    pub(super) pause: Duration,
    /// A process that ends this often in a row, never having run for `steady`, is given up, and all of
    /// them with it unless they do without it.
    pub(super) falls_max: u32,
    pub(super) steady: Duration,
    /// How long a process may take to end when it is told to.
    pub(super) farewell: Duration,
    /// How often logs are looked at, and how long each may be; as much again is kept of what it held before.
    pub(super) log_look: Duration,
    pub(super) log_bytes_max: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            pause: Duration::from_millis(500),
            falls_max: 10,
            steady: Duration::from_secs(10),
            farewell: Duration::from_secs(5),
            log_look: Duration::from_secs(5),
            log_bytes_max: 16 << 20,
        }
    }
}

struct Running {
    part: Part,
    /// A name for the process that nobody else is ever given, while it runs.
    process: Option<OwnedFd>,
    started: Instant,
    falls: u32,
    /// When to start it again, if it is down.
    again: Option<Instant>,
}

/// The processes, and where their ends are told.
pub(super) struct Supervisor {
    parts: Vec<Running>,
    patience: Patience,
    ends: UnboundedReceiver<(usize, ExitStatus)>,
    tell_end: UnboundedSender<(usize, ExitStatus)>,
}

impl Supervisor {
    pub(super) fn new(parts: Vec<Part>, patience: Patience) -> Self {
        let (tell_end, ends) = unbounded();
        let now = Instant::now();
        let parts = parts.into_iter().map(|part| Running {
            part,
            process: None,
            started: now,
            falls: 0,
            again: Some(now),
        });
        Self { parts: parts.collect(), patience, ends, tell_end }
    }

    /// Keeps them running until `stop` resolves, or one of them cannot be kept running. All of them
    /// are gone when this returns.
    pub(super) async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), String> {
        let kept = match select(pin!(stop), pin!(self.keep())).await {
            Either::Left(((), _)) => Ok(()),
            Either::Right((why, _)) => Err(why),
        };
        self.stop().await;
        kept
    }

    /// Returns only with the reason to give up.
    async fn keep(&mut self) -> String {
        let mut look = Instant::now();
        loop {
            if let Err(why) = self.start_due() {
                return why;
            }
            if look <= Instant::now() {
                look = Instant::now() + self.patience.log_look;
                self.bound_logs();
            }
            let next = self.parts.iter().filter_map(|running| running.again).min();
            let next = next.map_or(look, |next| next.min(look));
            let end = match select(self.ends.next(), pin!(sleep_until(next))).await {
                Either::Left((end, _)) => end,
                Either::Right(((), _)) => None,
            };
            if let Some((index, status)) = end
                && let Err(why) = self.ended(index, status)
            {
                return why;
            }
        }
    }

    /// That a log cannot be kept within bounds is no reason to end what writes it.
    fn bound_logs(&self) {
        for running in &self.parts {
            let Part { name, log, .. } = &running.part;
            if let Err(error) = logs::bound(log, self.patience.log_bytes_max) {
                stderr::tell(format_args!("{name}: lines of its log {} are lost: {error}", log.display()));
            }
        }
    }

    fn start_due(&mut self) -> Result<(), String> {
        let now = Instant::now();
        for index in 0..self.parts.len() {
            if self.parts[index].again.is_some_and(|again| again <= now) {
                self.start(index)?;
            }
        }
        Ok(())
    }

    fn start(&mut self, index: usize) -> Result<(), String> {
        let running = &mut self.parts[index];
        let Part { name, program, arguments, log, .. } = &running.part;
        let refuse =
            |what: std::io::Error| format!("{name} cannot be started: {}: {what}", program.display());
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .map_err(|error| format!("{name} cannot be started: its log {}: {error}", log.display()))?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(output);
        // A Ctrl-C is for us alone: we say who ends when.
        command.process_group(0);
        let mut child = command.spawn().map_err(refuse)?;
        let pid = Pid::from_child(&child);
        running.process = Some(pidfd_open(pid, PidfdFlags::empty()).map_err(|error| refuse(error.into()))?);
        running.started = Instant::now();
        running.again = None;
        let tell_end = self.tell_end.clone();
        std::thread::spawn(move || {
            if let Ok(status) = child.wait() {
                // Nobody listens any more if the supervisor is gone, and then nobody needs to know.
                let _ = tell_end.unbounded_send((index, status));
            }
        });
        Ok(())
    }

    fn ended(&mut self, index: usize, status: ExitStatus) -> Result<(), String> {
        let Patience { pause, falls_max, steady, .. } = self.patience;
        let running = &mut self.parts[index];
        let (name, log) = (&running.part.name, running.part.log.display());
        running.process = None;
        if running.part.may_leave && status.success() {
            stderr::tell(format_args!("{name} was ended, and is not started again before all of it is"));
            return Ok(());
        }
        running.falls = if running.started.elapsed() >= steady { 1 } else { running.falls + 1 };
        let falls = running.falls;
        if falls >= falls_max && running.part.may_leave {
            stderr::tell(format_args!(
                "{name} ended {falls} times in a row ({status}) and is not started again before all of it is; its \
                 log {log} says why"
            ));
            return Ok(());
        }
        if falls >= falls_max {
            return Err(format!("{name} ended {falls} times in a row ({status}); its log {log} says why"));
        }
        stderr::tell(format_args!("{name} ended ({status}) and is started again; its log is {log}"));
        let doublings =
            if running.part.may_leave { falls.saturating_sub(1).min(PAUSE_DOUBLINGS_MAX) } else { 0 };
        running.again = Some(Instant::now() + pause * (1 << doublings));
        Ok(())
    }

    async fn stop(&mut self) {
        self.stop_those(|part| part.leaves_first).await;
        self.stop_those(|_| true).await;
    }

    /// Asks them to end, and ends those that do not.
    async fn stop_those(&mut self, meant: impl Fn(&Part) -> bool) {
        for signal in [Signal::TERM, Signal::KILL] {
            let those = self.parts.iter().filter(|running| meant(&running.part));
            for process in those.filter_map(|running| running.process.as_ref()) {
                // It fails if the process is gone, which is what is wanted.
                let _ = pidfd_send_signal(process, signal);
            }
            let gone = async {
                while self.parts.iter().any(|running| meant(&running.part) && running.process.is_some()) {
                    if let Some((index, _)) = self.ends.next().await {
                        self.parts[index].process = None;
                    }
                }
            };
            if timeout(self.patience.farewell, gone).await.is_ok() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
