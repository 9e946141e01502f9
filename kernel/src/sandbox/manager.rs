//! Many runs at once: how many, how they fared on average, and ending those
//! that take too long.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::command::Command;
use super::config::SandboxConfig;
use super::error::{Error, Result};
use super::executor::SandboxExecutor;
use super::outcome::Outcome;
use super::running::Killer;

/// Counts and ends runs. One of it is meant to be shared by many threads.
///
/// A *sandbox* here is either a named one, from [`create_sandbox`] until it is
/// destroyed or cleaned up, or that of a single run, which lives as long as the
/// run.
///
/// ```
/// use kernel::sandbox::{SandboxConfig, SandboxManager};
///
/// let manager = SandboxManager::new(SandboxConfig::default());
/// manager.execute("true", &[])?;
/// let stats = manager.get_stats();
/// assert_eq!((stats.active_sandboxes, stats.total_executions), (0, 1));
/// # Ok::<(), kernel::sandbox::Error>(())
/// ```
///
/// [`create_sandbox`]: Self::create_sandbox
#[derive(Debug)]
pub struct SandboxManager {
    /// Kept, since what it prepares for one run serves the next.
    default: SandboxExecutor,
    state: Mutex<State>,
    /// Told whenever a run has ended.
    run_ended: Condvar,
}

/// What a [`SandboxManager`] counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SandboxStats {
    /// Named sandboxes, and runs that have none, alive now.
    pub active_sandboxes: usize,
    /// Runs that came to an outcome so far; those whose guest never started
    /// are not among them.
    pub total_executions: u64,
    /// Mean wall-clock time of a run, in milliseconds; 0 before the first.
    pub avg_execution_time: f64,
    /// Mean peak memory of a run, in MiB; 0 before the first.
    pub avg_memory_mb: f64,
}

/// How long [`SandboxManager::cleanup`] waits for what it killed to be gone. A
/// guest in an uninterruptible sleep can outlast it.
const GONE_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
struct State {
    named: BTreeMap<String, Named>,
    runs: BTreeMap<u64, Run>,
    next_run: u64,
    executions: u64,
    wall_ms: f64,
    memory_bytes: f64,
}

#[derive(Debug)]
struct Named {
    executor: SandboxExecutor,
    /// When it was made, or its last run ended.
    idle_since: Instant,
}

#[derive(Debug)]
struct Run {
    started: Instant,
    killer: Killer,
    sandbox: Option<String>,
}

impl SandboxManager {
    /// A manager with no sandbox in it. `default_config` is what
    /// [`execute`](Self::execute) runs with.
    #[must_use]
    pub fn new(default_config: SandboxConfig) -> Self {
        let default = SandboxExecutor::new_process(default_config);
        Self { default, state: Mutex::default(), run_ended: Condvar::new() }
    }

    /// Runs a program in the process sandbox, with the default config.
    ///
    /// # Errors
    ///
    /// As for [`SandboxExecutor::run`].
    pub fn execute(&self, program: &str, args: &[&str]) -> Result<Outcome> {
        let mut command = Command::new(program);
        command.args(args);
        self.run(&self.default, command)
    }

    /// Runs a program in the process sandbox, with a config of its own.
    ///
    /// # Errors
    ///
    /// As for [`SandboxExecutor::run`].
    pub fn execute_with_config(
        &self,
        config: SandboxConfig,
        program: &str,
        args: &[&str],
    ) -> Result<Outcome> {
        let mut command = Command::new(program);
        command.args(args);
        self.run(&SandboxExecutor::new_process(config), command)
    }

    /// Runs `command` in any sandbox, and counts it.
    ///
    /// # Errors
    ///
    /// As for [`SandboxExecutor::run`].
    pub fn run(&self, executor: &SandboxExecutor, command: Command) -> Result<Outcome> {
        self.counted(None, &Killer::new(), |killer| executor.run_with(command, killer))
    }

    /// Runs a WASM module, with `input` as its standard input, and counts it.
    ///
    /// # Errors
    ///
    /// As for [`SandboxExecutor::execute_wasm`].
    pub fn run_wasm(
        &self,
        executor: &SandboxExecutor,
        module: &[u8],
        input: &[u8],
    ) -> Result<Outcome> {
        let run = |killer: &Killer| executor.execute_wasm_with(module, input, killer);
        self.counted(None, &Killer::new(), run)
    }

    /// Keeps a sandbox under a name, until it is destroyed or cleaned up.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when the name is taken.
    pub fn create_sandbox(&self, id: &str, executor: SandboxExecutor) -> Result<()> {
        let mut state = self.lock();
        if state.named.contains_key(id) {
            return Err(Error::config(format!("a sandbox `{id}` exists already")));
        }
        let named = Named { executor, idle_since: Instant::now() };
        state.named.insert(id.to_owned(), named);
        Ok(())
    }

    /// Runs `command` in the sandbox of that name. Runs in one sandbox may
    /// overlap; they share its config and nothing else.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when there is no such sandbox; else as for
    /// [`SandboxExecutor::run`].
    pub fn run_in(&self, id: &str, command: Command) -> Result<Outcome> {
        let executor = self.lock().named.get(id).map(|named| named.executor.clone());
        let Some(executor) = executor else {
            return Err(Error::config(format!("there is no sandbox `{id}`")));
        };
        self.counted(Some(id), &Killer::new(), |killer| executor.run_with(command, killer))
    }

    /// Ends the sandbox of that name and its runs. False when there is none.
    pub fn destroy_sandbox(&self, id: &str) -> bool {
        let existed = self.lock().named.remove(id).is_some();
        self.end_runs(|run| run.sandbox.as_deref() == Some(id));
        existed
    }

    /// The counts so far.
    #[must_use]
    pub fn get_stats(&self) -> SandboxStats {
        let state = self.lock();
        let anonymous = state.runs.values().filter(|run| run.sandbox.is_none()).count();
        #[expect(clippy::cast_precision_loss, reason = "a mean needs no 53 bits of runs")]
        let runs = state.executions.max(1) as f64;
        SandboxStats {
            active_sandboxes: state.named.len() + anonymous,
            total_executions: state.executions,
            avg_execution_time: state.wall_ms / runs,
            avg_memory_mb: state.memory_bytes / runs / f64::from(1 << 20),
        }
    }

    /// Ends the runs that have taken longer than `timeout`. Tells how many.
    ///
    /// Returns when nothing of them runs any more.
    pub fn cleanup_longer_than(&self, timeout: Duration) -> usize {
        self.end_runs(|run| run.started.elapsed() >= timeout)
    }

    /// Removes the named sandboxes in which nothing has run for `idle_timeout`.
    /// Tells how many.
    pub fn cleanup_idle(&self, idle_timeout: Duration) -> usize {
        let mut state = self.lock();
        let State { named, runs, .. } = &mut *state;
        let before = named.len();
        named.retain(|id, sandbox| {
            let busy = runs.values().any(|run| run.sandbox.as_ref() == Some(id));
            busy || sandbox.idle_since.elapsed() < idle_timeout
        });
        before - named.len()
    }

    /// Ends every run and removes every sandbox. Tells how many sandboxes, those
    /// of single runs included.
    ///
    /// Returns when nothing of them runs any more.
    pub fn cleanup(&self) -> usize {
        let active = self.get_stats().active_sandboxes;
        self.lock().named.clear();
        self.end_runs(|_| true);
        active
    }

    /// Runs `work` as a run that clean-up can find and end, and counts it: as one
    /// of the sandbox of that name or, without a name, by itself.
    ///
    /// For callers that keep the `killer`, or that have more to do than to run a
    /// command. `work` must end soon after the killer was used.
    ///
    /// # Errors
    ///
    /// Those of `work`, and [`Error::Config`] when there is no such sandbox.
    pub fn counted(
        &self,
        sandbox: Option<&str>,
        killer: &Killer,
        work: impl FnOnce(&Killer) -> Result<Outcome>,
    ) -> Result<Outcome> {
        /// Takes the run out again, however `work` ends.
        struct Listed<'manager>(&'manager SandboxManager, u64);

        impl Drop for Listed<'_> {
            fn drop(&mut self) {
                let mut state = self.0.lock();
                if let Some(Run { sandbox: Some(id), .. }) = state.runs.remove(&self.1)
                    && let Some(named) = state.named.get_mut(&id)
                {
                    named.idle_since = Instant::now();
                }
                self.0.run_ended.notify_all();
            }
        }

        let run = Run {
            started: Instant::now(),
            killer: killer.clone(),
            sandbox: sandbox.map(str::to_owned),
        };
        let mut state = self.lock();
        if let Some(id) = sandbox
            && !state.named.contains_key(id)
        {
            return Err(Error::config(format!("there is no sandbox `{id}`")));
        }
        let id = state.next_run;
        state.next_run += 1;
        state.runs.insert(id, run);
        drop(state);
        let listed = Listed(self, id);

        let outcome = work(killer)?;
        if outcome.exit.guest_ran() {
            let mut state = self.lock();
            state.executions += 1;
            state.wall_ms += outcome.usage.wall_ms.as_f64();
            #[expect(clippy::cast_precision_loss, reason = "a mean needs no 53 bits of bytes")]
            let memory = outcome.usage.max_memory_bytes as f64;
            state.memory_bytes += memory;
        }
        drop(listed);
        Ok(outcome)
    }

    /// Kills the runs that `select` picks and waits until they are gone.
    fn end_runs(&self, select: impl Fn(&Run) -> bool) -> usize {
        let state = self.lock();
        let picked: Vec<(u64, Killer)> = state
            .runs
            .iter()
            .filter(|(_, run)| select(run))
            .map(|(id, run)| (*id, run.killer.clone()))
            .collect();
        drop(state);
        for (_, killer) in &picked {
            killer.kill();
        }

        let still_there =
            |state: &mut State| picked.iter().any(|(id, _)| state.runs.contains_key(id));
        drop(self.run_ended.wait_timeout_while(self.lock(), GONE_WITHIN, still_there));
        picked.len()
    }

    /// No code that holds the lock can panic half-way through a change.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for SandboxManager {
    fn default() -> Self {
        Self::new(SandboxConfig::default())
    }
}

/// Ends every run that is still going on.
impl Drop for SandboxManager {
    fn drop(&mut self) {
        for run in self.lock().runs.values() {
            run.killer.kill();
        }
    }
}
