//! Looking at a tree of processes from outside: what it takes at this moment.
//!
//! A look is not a limit: what comes and goes between two looks is not seen, and
//! memory that belongs to no process (a memfd, a socket's buffer) is not either.
//! Where a cgroup counts, nobody looks.

use std::fs;
use std::time::Duration;

use super::running::Sample;

/// What the process `top` and all that descends from it take.
///
/// Processes that were orphaned are seen as long as something of the tree adopts
/// them, which an init or a subreaper at its top does. Resident pages count once
/// for each process that maps them; a sum above `suspect` bytes is counted again
/// by proportional shares, which takes the kernel longer.
pub(crate) fn sample(top: u32, suspect: Option<u64>) -> Sample {
    let members = members(top);
    let mut sample = Sample::default();
    for pid in &members {
        add(&mut sample, *pid);
    }
    if suspect.is_some_and(|suspect| sample.memory_bytes > suspect) {
        sample.memory_bytes = members.iter().map(|pid| proportional(*pid)).sum();
    }
    sample
}

/// `top` and its descendants, by the kernel's lists of children.
fn members(top: u32) -> Vec<u32> {
    let mut members = vec![top];
    let mut next = 0;
    while let Some(pid) = members.get(next).copied() {
        next += 1;
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for task in tasks.flatten() {
            let Ok(children) = fs::read_to_string(task.path().join("children")) else { continue };
            members.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
    }
    members
}

/// Adds what /proc/pid/stat tells: fields are numbered as in proc_pid_stat(5),
/// counted from behind the name, which may hold anything.
fn add(sample: &mut Sample, pid: u32) {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return };
    let Some((_, fields)) = stat.rsplit_once(')') else { return };
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let number = |field: usize| -> u64 {
        fields.get(field - 3).and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    let ticks: u64 = [14, 15, 16, 17].into_iter().map(number).sum();
    sample.cpu += Duration::from_secs_f64(ticks as f64 / ticks_per_second());
    sample.tasks += number(20);
    sample.memory_bytes += number(24) * rustix::param::page_size() as u64;
}

fn ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

/// The process's share of what it maps: `Pss` of /proc/pid/smaps_rollup.
fn proportional(pid: u32) -> u64 {
    let Ok(rollup) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else { return 0 };
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_process_is_seen_with_memory_and_a_thread() {
        let sample = sample(std::process::id(), None);

        assert!(sample.memory_bytes > 0);
        assert!(sample.tasks > 0);
    }
}
