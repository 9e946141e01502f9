//! How a run ended, worked out from what the system and the supervision saw.
//!
//! One pure function decides, so that every ending can be tested without a
//! guest. The guest has no say in it: nothing it prints is looked at.

use std::time::Duration;

use super::super::command::Command;
use super::super::outcome::{Exit, Pressure, Violation};
use super::super::policy::Policy;

/// How the guest's main process ended, as `wait` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// It called `exit` with this code.
    Exited(i32),
    /// This signal ended it.
    Signalled(i32),
}

/// What the system counted for the guest and all its descendants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// How the main process ended.
    pub(crate) status: Status,
    /// CPU time in user mode.
    pub(crate) cpu_user: Duration,
    /// CPU time in the kernel.
    pub(crate) cpu_system: Duration,
    /// Peak memory: of the cgroup, or of the largest process without one.
    pub(crate) max_rss_bytes: u64,
    /// What the memory controller has to say.
    pub(crate) memory: Memory,
    /// How often the pids controller refused a fork; `None` where there is none.
    pub(crate) pids_refused: Option<u64>,
    /// Most processes and threads at once, where a cgroup counted them.
    pub(crate) most_tasks: Option<u64>,
    /// How long it waited for what, where that is measured.
    pub(crate) pressure: Option<Pressure>,
}

/// What the memory controller has to say at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    any(neuroflow_portable, not(target_os = "linux")),
    allow(dead_code, reason = "for the twin on Linux")
)]
pub(crate) enum Memory {
    /// Nothing: there is none.
    Unwatched,
    /// Nobody was ended for memory.
    Sufficed,
    /// Somebody was.
    RanOut(Shortage),
}

/// Whose memory it was that ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    any(neuroflow_portable, not(target_os = "linux")),
    allow(dead_code, reason = "for the twin on Linux")
)]
pub(crate) enum Shortage {
    /// The run met its own limit.
    OfTheGuest,
    /// The machine, or a cgroup above ours, had no more.
    OfTheHost,
}

/// Why the supervision ended a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Somebody used the run's [`Killer`](super::Killer).
    Killed,
    /// The wall clock ran out.
    Deadline,
    /// Far more output than is kept.
    Output,
    /// The watchdog saw the tree above its memory limit.
    Memory,
    /// The watchdog saw the tree above its CPU limit.
    Cpu,
    /// The watchdog saw more processes and threads than allowed.
    Processes,
}

/// What the supervision saw while the guest ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Observed {
    /// Why we ended the guest, if we did.
    pub(crate) cause: Option<Cause>,
    /// Bytes written to stdout and stderr, kept or not; the larger of the two.
    pub(crate) most_output: u64,
    /// Most processes and threads seen at once, where it was watched.
    pub(crate) most_tasks: Option<u64>,
    /// Most memory of the tree seen at once, where it was watched.
    pub(crate) most_memory: u64,
}

/// The limits of a run, as numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Wall clock, counted from the start.
    pub(crate) timeout: Option<Duration>,
    /// CPU seconds.
    pub(crate) cpu_time: Option<u64>,
    /// Bytes of memory.
    pub(crate) memory: Option<u64>,
    /// Bytes of the largest file.
    pub(crate) file_size: Option<u64>,
    /// Processes and threads.
    pub(crate) max_processes: Option<u64>,
    /// Bytes kept of each stream.
    pub(crate) max_output: u64,
}

/// Output past this many times the cap ends the guest: up to there it is read
/// and thrown away, so that a program which only talks too much can finish.
pub(crate) const OUTPUT_FACTOR: u64 = 10;

impl Limits {
    /// The limits of `policy`, with the wall-clock limit of `command` in place
    /// of the policy's where it has one.
    pub(crate) fn of(policy: &Policy, command: &Command) -> Self {
        Self {
            timeout: command.get_timeout().or(policy.timeout.map(|limit| limit.value)),
            cpu_time: policy.cpu_time.map(|limit| limit.value),
            memory: policy.memory.map(|limit| limit.value),
            file_size: policy.file_size.map(|limit| limit.value),
            max_processes: policy.max_processes.map(|limit| limit.value),
            max_output: policy.max_output,
        }
    }

    /// Bytes of one stream at which the guest is ended.
    pub(crate) fn output_end(&self) -> u64 {
        self.max_output.saturating_mul(OUTPUT_FACTOR)
    }
}

/// Decides how the run ended.
///
/// What is true however a race went comes first: too much output and too much
/// memory are reported as such even if the guest got to its own `exit` before
/// our signal reached it. The other reasons of ours count only if our SIGKILL
/// is what ended the guest.
pub(crate) fn verdict(ended: &Ended, observed: &Observed, limits: &Limits) -> Exit {
    use super::sys::signal;

    if limits.max_output > 0 && observed.most_output >= limits.output_end() {
        return Exit::Output(limits.max_output);
    }
    if let Some(limit) = limits.memory
        && over_memory(ended, observed, limit)
    {
        return Exit::OutOfMemory(limit);
    }

    match (ended.status, observed.cause) {
        (Status::Signalled(signal::KILL), Some(cause)) => match (cause, limits) {
            (Cause::Deadline, Limits { timeout: Some(limit), .. }) => Exit::TimedOut(*limit),
            (Cause::Cpu, Limits { cpu_time: Some(limit), .. }) => Exit::CpuTime(*limit),
            (Cause::Memory, Limits { memory: Some(limit), .. }) => Exit::OutOfMemory(*limit),
            (Cause::Processes, Limits { max_processes: Some(limit), .. }) => {
                Exit::Processes(*limit)
            }
            (Cause::Output, _) => Exit::Output(limits.max_output),
            _ => Exit::Signalled(signal::KILL),
        },
        (Status::Signalled(signal @ (signal::XCPU | signal::KILL)), _)
            if cpu_used_up(ended, signal, limits) =>
        {
            Exit::CpuTime(limits.cpu_time.unwrap_or_default())
        }
        (Status::Signalled(signal::XFSZ), _) if limits.file_size.is_some() => {
            Exit::FileSize(limits.file_size.unwrap_or_default())
        }
        (Status::Exited(1..) | Status::Signalled(_), _) if processes_refused(ended, limits) => {
            Exit::Processes(limits.max_processes.unwrap_or_default())
        }
        (Status::Signalled(signal), _) => Exit::Signalled(signal),
        (Status::Exited(code), _) => Exit::Exited(code),
    }
}

/// Whether the cgroup refused the guest a process. One that fails after that is
/// said to have failed by it; one that copes with it keeps its own ending.
fn processes_refused(ended: &Ended, limits: &Limits) -> bool {
    limits.max_processes.is_some() && ended.pids_refused.is_some_and(|refused| refused > 0)
}

/// The memory controller's word where there is one; else what was seen.
fn over_memory(ended: &Ended, observed: &Observed, limit: u64) -> bool {
    use super::sys::signal;

    match ended.memory {
        Memory::RanOut(Shortage::OfTheGuest) => ended.status == Status::Signalled(signal::KILL),
        Memory::RanOut(Shortage::OfTheHost) | Memory::Sufficed => false,
        Memory::Unwatched => observed.cause == Some(Cause::Memory) || ended.max_rss_bytes >= limit,
    }
}

/// Whether a signal that comes at the CPU limit came because of it.
///
/// The kernel compares the limit with ticks that it samples and reports what was
/// measured; on a busy virtual machine the two were seen more than 20 % apart. So
/// SIGXCPU counts from a quarter of the limit on: below, the guest sent it to
/// itself. SIGKILL, which has other senders, comes a second of ticks after the
/// limit, and counts from three quarters on.
fn cpu_used_up(ended: &Ended, signal: i32, limits: &Limits) -> bool {
    let used = ended.cpu_user + ended.cpu_system;
    limits.cpu_time.map(Duration::from_secs).is_some_and(|limit| match signal {
        super::sys::signal::XCPU => used >= limit / 4,
        _ => used >= limit / 4 * 3,
    })
}

/// The limits a run ran into, each with the smallest change that lifts it.
pub(crate) fn violations(
    exit: &Exit,
    ended: &Ended,
    observed: &Observed,
    limits: &Limits,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut reached = |kind: &str, what: String, rule: &str, fix: String| {
        violations.push(Violation { kind: kind.into(), what, rule: rule.into(), fix });
    };

    match exit {
        Exit::TimedOut(limit) => {
            let seconds = limit.as_secs_f64();
            let what = format!("ran longer than {seconds} s");
            reached("timeout", what, "timeout", format!("timeout: {}", seconds * 2.0));
        }
        Exit::CpuTime(limit) => {
            let what = format!("used {limit} s of CPU time");
            reached("cpu_time", what, "cpu_time_limit", format!("cpu_time_limit: {}", limit * 2));
        }
        Exit::OutOfMemory(limit) => {
            let what = format!("used {limit} bytes of memory");
            let fix = format!("memory_limit: {}", limit.saturating_mul(2));
            reached("memory", what, "memory_limit", fix);
        }
        Exit::Processes(limit) => {
            let what = format!("ran more than {limit} processes and threads");
            let fix = format!("max_processes: {}", limit.saturating_mul(2));
            reached("max_processes", what, "max_processes", fix);
        }
        Exit::FileSize(limit) => {
            let what = format!("wrote a file past {limit} bytes");
            let fix = format!("file_size_limit: {}", limit.saturating_mul(2));
            reached("file_size", what, "file_size_limit", fix);
        }
        Exit::Output(limit) => {
            let what = format!("wrote {OUTPUT_FACTOR} times the {limit} bytes that are kept");
            let fix = format!("max_output: {}", limits.output_end());
            reached("output", what, "max_output", fix);
        }
        _ => {}
    }
    if let (Some(refused @ 1..), Some(limit)) = (ended.pids_refused, limits.max_processes) {
        let what = format!("{refused} processes or threads beyond {limit} were refused");
        let fix = format!("max_processes: {}", limit.saturating_mul(2));
        reached("max_processes", what, "max_processes", fix);
    }
    // Without a cgroup nobody counts refusals, but whoever had as many as may be
    // may have been refused one more.
    if let (None, Some(most), Some(limit)) =
        (ended.pids_refused, observed.most_tasks, limits.max_processes)
        && most >= limit
        && *exit != Exit::Exited(0)
    {
        let what = format!("had all {limit} processes and threads alive at once");
        let fix = format!("max_processes: {}", limit.saturating_mul(2));
        reached("max_processes", what, "max_processes", fix);
    }
    match ended.memory {
        Memory::RanOut(Shortage::OfTheGuest) if !matches!(exit, Exit::OutOfMemory(_)) => {
            let what = "a process of the guest was ended for memory".to_owned();
            let limit = limits.memory.unwrap_or_default().saturating_mul(2);
            reached("memory", what, "memory_limit", format!("memory_limit: {limit}"));
        }
        Memory::RanOut(Shortage::OfTheHost) => {
            let what = "the host ran out of memory and ended the guest for it".to_owned();
            let fix = "give the host, or the cgroup it runs in, more memory".to_owned();
            reached("memory", what, "host memory", fix);
        }
        _ => {}
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::super::sys::signal;
    use super::*;

    const LIMITS: Limits = Limits {
        timeout: Some(Duration::from_secs(5)),
        cpu_time: Some(2),
        memory: Some(64 << 20),
        file_size: Some(1 << 20),
        max_processes: Some(8),
        max_output: 100,
    };

    fn ended(status: Status) -> Ended {
        Ended {
            status,
            cpu_user: Duration::from_millis(10),
            cpu_system: Duration::ZERO,
            max_rss_bytes: 1 << 20,
            memory: Memory::Unwatched,
            pids_refused: None,
            most_tasks: None,
            pressure: None,
        }
    }

    fn because(cause: Cause) -> Observed {
        Observed { cause: Some(cause), ..Observed::default() }
    }

    const KILLED: Status = Status::Signalled(signal::KILL);

    #[test]
    fn guest_that_ends_by_itself_keeps_its_own_ending() {
        for (status, exit) in [
            (Status::Exited(0), Exit::Exited(0)),
            (Status::Exited(137), Exit::Exited(137)),
            (Status::Signalled(11), Exit::Signalled(11)),
            (KILLED, Exit::Signalled(9)),
        ] {
            assert_eq!(verdict(&ended(status), &Observed::default(), &LIMITS), exit);
        }
    }

    #[test]
    fn guest_that_fails_after_a_refused_process_failed_by_the_limit() {
        let refused = |status| Ended { pids_refused: Some(3), ..ended(status) };
        let verdict = |ended: &Ended| verdict(ended, &Observed::default(), &LIMITS);

        assert_eq!(verdict(&refused(Status::Exited(1))), Exit::Processes(8));
        assert_eq!(verdict(&refused(Status::Signalled(6))), Exit::Processes(8));
        assert_eq!(verdict(&refused(Status::Exited(0))), Exit::Exited(0));
    }

    #[test]
    fn guest_that_we_ended_is_told_by_our_reason() {
        for (cause, exit) in [
            (Cause::Killed, Exit::Signalled(9)),
            (Cause::Deadline, Exit::TimedOut(Duration::from_secs(5))),
            (Cause::Output, Exit::Output(100)),
            (Cause::Memory, Exit::OutOfMemory(64 << 20)),
            (Cause::Cpu, Exit::CpuTime(2)),
            (Cause::Processes, Exit::Processes(8)),
        ] {
            assert_eq!(verdict(&ended(KILLED), &because(cause), &LIMITS), exit);
        }
    }

    #[test]
    fn guest_that_exited_before_the_deadlines_signal_reached_it_has_exited() {
        let exit = verdict(&ended(Status::Exited(0)), &because(Cause::Deadline), &LIMITS);

        assert_eq!(exit, Exit::Exited(0));
    }

    #[test]
    fn cpu_signals_count_as_the_limit_only_when_that_much_was_used() {
        for signal in [signal::XCPU, signal::KILL] {
            let idle = ended(Status::Signalled(signal));
            let busy = Ended { cpu_user: Duration::from_secs(2), ..idle };

            assert_eq!(verdict(&idle, &Observed::default(), &LIMITS), Exit::Signalled(signal));
            assert_eq!(verdict(&busy, &Observed::default(), &LIMITS), Exit::CpuTime(2));
        }
    }

    #[test]
    fn file_size_signal_counts_as_the_limit_only_under_one() {
        let ended = ended(Status::Signalled(signal::XFSZ));
        let unlimited = Limits { file_size: None, ..LIMITS };

        assert_eq!(verdict(&ended, &Observed::default(), &LIMITS), Exit::FileSize(1 << 20));
        let exit = verdict(&ended, &Observed::default(), &unlimited);
        assert_eq!(exit, Exit::Signalled(signal::XFSZ));
    }

    #[test]
    fn peak_above_the_memory_limit_is_out_of_memory_whoever_won_the_race() {
        let over = Ended { max_rss_bytes: 64 << 20, ..ended(Status::Exited(1)) };

        let exit = verdict(&over, &Observed::default(), &LIMITS);

        assert_eq!(exit, Exit::OutOfMemory(64 << 20));
    }

    #[test]
    fn memory_controller_has_the_last_word_on_memory() {
        let not_over = Ended { memory: Memory::Sufficed, max_rss_bytes: 65 << 20, ..ended(KILLED) };
        let over = Ended { memory: Memory::RanOut(Shortage::OfTheGuest), ..not_over };
        let child_only = Ended { status: Status::Exited(0), ..over };

        assert_eq!(verdict(&not_over, &Observed::default(), &LIMITS), Exit::Signalled(9));
        assert_eq!(verdict(&over, &Observed::default(), &LIMITS), Exit::OutOfMemory(64 << 20));
        let exit = verdict(&child_only, &Observed::default(), &LIMITS);
        assert_eq!(exit, Exit::Exited(0));
        assert_eq!(violations(&exit, &child_only, &Observed::default(), &LIMITS)[0].kind, "memory");
    }

    #[test]
    fn guest_that_died_for_the_hosts_memory_did_not_run_out_of_its_own() {
        let killed = Ended { memory: Memory::RanOut(Shortage::OfTheHost), ..ended(KILLED) };

        let exit = verdict(&killed, &Observed::default(), &LIMITS);

        assert_eq!(exit, Exit::Signalled(9));
        let violations = violations(&exit, &killed, &Observed::default(), &LIMITS);
        assert_eq!(violations[0].rule, "host memory");
    }

    #[test]
    fn ten_times_the_output_cap_is_the_output_limit_however_it_ended() {
        let observed = Observed { most_output: 1000, ..Observed::default() };
        let below = Observed { most_output: 999, ..Observed::default() };

        let exit = verdict(&ended(Status::Exited(0)), &observed, &LIMITS);

        assert_eq!(exit, Exit::Output(100));
        assert_eq!(verdict(&ended(Status::Exited(0)), &below, &LIMITS), Exit::Exited(0));
    }

    #[test]
    fn refused_forks_are_a_violation_even_of_a_guest_that_copes() {
        let refused = Ended { pids_refused: Some(3), ..ended(Status::Exited(0)) };

        let exit = verdict(&refused, &Observed::default(), &LIMITS);

        assert_eq!(exit, Exit::Exited(0));
        let violations = violations(&exit, &refused, &Observed::default(), &LIMITS);
        assert_eq!(violations[0].rule, "max_processes");
        assert_eq!(violations[0].fix, "max_processes: 16");
    }
}
