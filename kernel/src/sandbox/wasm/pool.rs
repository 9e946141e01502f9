//! Where instances come from: slots that are reserved once and used again.
//!
//! Making a memory of its own for each run costs system calls under a lock that
//! all threads of a process share. A slot of a pool keeps its mapping from run to
//! run: only the pages that the last guest wrote to are put back, and the next
//! guest finds them as its module says, zero or initialised.
//!
//! A pool costs address space, 4 GiB and a guard for each memory, and little
//! else until it is used. A process under `RLIMIT_AS`, or on a machine with fewer
//! bits of address, gets a smaller pool or none; what a run may use and how it
//! ends are the same.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use wasmtime::{Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::drive::{Stop, Watch};
use super::limits;

/// Memories in a pool, the most that is tried first: 49 TiB of the 128 that a
/// process of 64 bits has.
const SIZES: [u32; 3] = [12_288, 1_024, 64];

/// Runs at once in one process; another waits for one of them to end, as long as
/// its own time lasts. Each has a stack, whose guard page is made with the pool.
const RUNNING: u32 = 1_024;

/// Bytes of a memory that stay with its slot, which are cleared by writing and
/// not by giving the pages back.
const MEMORY_KEPT: usize = 64 << 10;

/// The same of a table.
const TABLE_KEPT: usize = 4 << 10;

/// Slots that remember the module they were used for.
const WARM: u32 = 64;

/// Bytes of the engine's own record of an instance: 50 000 functions and globals
/// fit, which is what a module may have.
const INSTANCE: usize = 16 << 20;

/// How long a run waits before it asks again for a place.
const RETRY: Duration = Duration::from_millis(1);

static ONE_RUN: AtomicBool = AtomicBool::new(false);

/// Reserves no pool: for a process that runs one module and ends. Of no effect
/// once something has run.
pub(super) fn do_without() {
    ONE_RUN.store(true, Ordering::Relaxed);
}

/// The sizes to try, the largest first.
pub(super) fn wanted() -> &'static [u32] {
    if ONE_RUN.load(Ordering::Relaxed) { &[] } else { &SIZES }
}

/// Runs at once in a pool of so many memories.
fn running(memories: u32) -> u32 {
    memories.min(RUNNING)
}

/// A pool of so many memories.
pub(super) fn of(memories: u32) -> InstanceAllocationStrategy {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_memories(memories)
        .total_core_instances(memories.saturating_mul(2))
        .total_component_instances(memories)
        // Enough for all runs at once, whatever their modules have.
        .total_tables(running(memories).saturating_mul(limits::TABLES).max(memories))
        .total_stacks(running(memories))
        .max_core_instance_size(INSTANCE)
        .max_component_instance_size(INSTANCE)
        .max_tables_per_module(limits::TABLES)
        // One more, so that it is the limiter who ends a guest, with its own word.
        .table_elements(limits::TABLE_ELEMENTS + 1)
        .max_unused_warm_slots(WARM)
        .linear_memory_keep_resident(MEMORY_KEPT)
        .table_keep_resident(TABLE_KEPT)
        .pagemap_scan(Enabled::Auto);
    InstanceAllocationStrategy::Pooling(pool)
}

/// The places of one process: how many runs go on at once.
#[derive(Debug)]
pub(super) struct Places {
    most: u32,
    taken: AtomicU32,
}

/// The right to run; given back when dropped.
#[derive(Debug)]
pub(super) struct Place<'a>(&'a Places);

impl Places {
    /// The places of a process whose pool has so many memories; `None` is no pool.
    pub(super) fn of(memories: Option<u32>) -> Self {
        Self { most: memories.map_or(RUNNING, running), taken: AtomicU32::new(0) }
    }

    /// Takes a place, or waits for one until `watch` says stop.
    pub(super) fn take(&self, watch: &Watch) -> Result<Place<'_>, Stop> {
        loop {
            if self.taken.fetch_add(1, Ordering::Relaxed) < self.most {
                return Ok(Place(self));
            }
            self.taken.fetch_sub(1, Ordering::Relaxed);
            if let Some(stop) = watch.stop() {
                return Err(stop);
            }
            thread::sleep(RETRY.min(watch.left()));
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_no_place_waits_for_one_as_long_as_its_time_lasts() {
        let places = Places::of(Some(1));
        let watch = || Watch::start(Duration::from_millis(20));
        let first = places.take(&watch()).unwrap();

        assert_eq!(places.take(&watch()).unwrap_err(), Stop::Deadline);

        drop(first);
        places.take(&watch()).unwrap();
    }
}
