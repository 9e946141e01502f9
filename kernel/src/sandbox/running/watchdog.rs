//! Limits held by looking: the tree's memory, CPU time and processes, where no
//! cgroup and no namespace counts them.
//!
//! It is the weaker mechanism. What grows between two looks is only bounded by
//! the per-process limits, and what no process maps (a memfd, a socket's buffer)
//! is not seen at all; the receipt says so.

use std::time::{Duration, Instant};

use super::Sample;
use super::verdict::{Cause, Limits};

/// What the watchdog looks after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Watch {
    /// The memory limit, for the tree as a whole.
    pub(crate) memory: bool,
    /// The CPU-time limit, for the tree as a whole.
    pub(crate) cpu: bool,
    /// The number of processes and threads, where nothing counts them for one
    /// run alone.
    pub(crate) tasks: bool,
}

/// Looks at the tree from time to time.
#[derive(Debug)]
pub(super) struct Watchdog {
    memory: Option<u64>,
    cpu: Option<Duration>,
    tasks: Option<u64>,
    next: Option<Instant>,
    most_memory: u64,
    most_tasks: u64,
    looked: bool,
}

/// Between two looks while memory is far below its limit, and near it. A look
/// costs about 30 µs a process.
const CALM: Duration = Duration::from_millis(20);
const WARY: Duration = Duration::from_millis(5);

/// Between two looks when only CPU time is watched, whose overshoot is bounded
/// by the number of processors.
const CPU_ONLY: Duration = Duration::from_millis(50);

impl Watchdog {
    /// Looks after those limits of `limits` that `watch` names.
    pub(super) fn new(watch: Watch, limits: &Limits) -> Self {
        let memory = limits.memory.filter(|_| watch.memory);
        let cpu = limits.cpu_time.filter(|_| watch.cpu).map(Duration::from_secs);
        let tasks = limits.max_processes.filter(|_| watch.tasks);
        let any = memory.is_some() || cpu.is_some() || tasks.is_some();
        let next = any.then(|| Instant::now() + WARY);
        Self { memory, cpu, tasks, next, most_memory: 0, most_tasks: 0, looked: false }
    }

    /// When the next look is due.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.next
    }

    /// Most memory of the tree seen at once.
    pub(super) fn most_memory(&self) -> u64 {
        self.most_memory
    }

    /// Most processes and threads seen at once, if anybody looked.
    pub(super) fn most_tasks(&self) -> Option<u64> {
        self.looked.then_some(self.most_tasks)
    }

    /// Looks if a look is due. `sample` is told the memory that would be too much.
    pub(super) fn look(&mut self, sample: impl FnOnce(Option<u64>) -> Sample) -> Option<Cause> {
        if self.next.is_none_or(|at| at > Instant::now()) {
            return None;
        }
        let seen = sample(self.memory);
        self.next = Some(Instant::now() + self.interval(seen.memory_bytes));
        self.looked = true;
        self.most_memory = self.most_memory.max(seen.memory_bytes);
        self.most_tasks = self.most_tasks.max(seen.tasks);

        if self.memory.is_some_and(|limit| seen.memory_bytes >= limit) {
            return Some(Cause::Memory);
        }
        // The supervisor is one of them, and not the guest's.
        if self.tasks.is_some_and(|limit| seen.tasks > limit.saturating_add(1)) {
            return Some(Cause::Processes);
        }
        self.cpu.filter(|limit| seen.cpu >= *limit).map(|_| Cause::Cpu)
    }

    fn interval(&self, memory: u64) -> Duration {
        if self.tasks.is_some() {
            return WARY;
        }
        match self.memory {
            Some(limit) if memory < limit / 4 => CALM,
            Some(_) => WARY,
            None => CPU_ONLY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { memory: Some(100), cpu_time: Some(1), max_processes: Some(8), ..Limits::default() }
    }

    /// A watchdog whose next look is due now.
    fn due(watch: Watch) -> Watchdog {
        let mut watchdog = Watchdog::new(watch, &limits());
        watchdog.next = watchdog.next.map(|_| Instant::now());
        watchdog
    }

    const ALL: Watch = Watch { memory: true, cpu: true, tasks: false };

    #[test]
    fn tree_at_its_memory_limit_is_to_be_ended() {
        let sample = |memory_bytes| move |_| Sample { memory_bytes, ..Sample::default() };

        assert_eq!(due(ALL).look(sample(99)), None);
        assert_eq!(due(ALL).look(sample(100)), Some(Cause::Memory));
    }

    #[test]
    fn tree_at_its_cpu_limit_is_to_be_ended() {
        let sample = |ms| move |_| Sample { cpu: Duration::from_millis(ms), ..Sample::default() };

        assert_eq!(due(ALL).look(sample(999)), None);
        assert_eq!(due(ALL).look(sample(1000)), Some(Cause::Cpu));
    }

    #[test]
    fn tree_of_too_many_processes_is_to_be_ended() {
        let sample = |tasks| move |_| Sample { tasks, ..Sample::default() };
        let watch = Watch { tasks: true, ..Watch::default() };

        assert_eq!(due(watch).look(sample(9)), None, "eight and the supervisor");
        assert_eq!(due(watch).look(sample(10)), Some(Cause::Processes));
        assert_eq!(due(ALL).look(sample(10)), None, "not watched");
    }

    #[test]
    fn limits_that_are_held_otherwise_are_not_looked_at() {
        let mut watchdog = due(Watch::default());

        let cause = watchdog.look(|_| unreachable!("nothing to look after"));

        assert_eq!((cause, watchdog.next_look(), watchdog.most_tasks()), (None, None, None));
    }

    #[test]
    fn looks_come_closer_when_memory_comes_near_its_limit() {
        let watchdog = due(ALL);

        assert_eq!(watchdog.interval(10), CALM);
        assert_eq!(watchdog.interval(50), WARY);
    }
}
