//! What a guest may take of the host's memory: linear memories together,
//! tables together.

use wasmtime::ResourceLimiter;

use super::drive::Stop;

/// Most elements in all tables together. An element is a pointer, so this is
/// 8 MB that `max_memory_bytes` does not count.
pub(super) const TABLE_ELEMENTS: usize = 1_000_000;

/// Tables in one instance.
pub(super) const TABLES: u32 = 64;

/// The ending of a module whose tables are too large from the start: no slot of the
/// pool has room for them, so it is not even compiled.
pub(super) fn too_many_elements(wanted: u64) -> Option<Stop> {
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    (wanted > TABLE_ELEMENTS).then_some(Stop::Tables { wanted, most: TABLE_ELEMENTS })
}

/// Counts and limits what one store holds.
///
/// Growing past a limit ends the run with a typed ending. The standard would
/// also allow `memory.grow` to return -1; most programs then abort with a
/// message of their own, and the reason would be lost. A growth past the
/// maximum that *the module itself* declares does return -1.
#[derive(Debug)]
pub(super) struct Limits {
    max_memory: u64,
    memory: u64,
    peak: u64,
    table_elements: usize,
    /// Bytes of the latest growth, taken back if the host cannot supply it.
    pending: u64,
    /// The limit that ended the run.
    pub(super) reached: Option<Stop>,
}

impl Limits {
    pub(super) fn new(max_memory: u64) -> Self {
        Self { max_memory, memory: 0, peak: 0, table_elements: 0, pending: 0, reached: None }
    }

    /// Most bytes that memories and tables held together.
    pub(super) fn peak(&self) -> u64 {
        self.peak
    }

    fn note_peak(&mut self) {
        let tables = (self.table_elements * size_of::<usize>()) as u64;
        self.peak = self.peak.max(self.memory + tables);
    }

    fn stop(&mut self, stop: Stop) -> wasmtime::Error {
        self.reached = Some(stop.clone());
        wasmtime::Error::new(stop)
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let added = desired.saturating_sub(current) as u64;
        let total = self.memory.saturating_add(added);
        if total > self.max_memory {
            return Err(self.stop(Stop::Memory { wanted: total }));
        }
        self.memory = total;
        self.pending = added;
        self.note_peak();
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory = self.memory.saturating_sub(std::mem::take(&mut self.pending));
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // A maximum past our limit is not the module's word, or says no more than
        // ours: the slots of the pool have one, too.
        if maximum.is_some_and(|maximum| maximum <= TABLE_ELEMENTS && desired > maximum) {
            return Ok(false);
        }
        let total = self.table_elements.saturating_add(desired.saturating_sub(current));
        if total > TABLE_ELEMENTS {
            return Err(self.stop(Stop::Tables { wanted: total, most: TABLE_ELEMENTS }));
        }
        self.table_elements = total;
        self.note_peak();
        Ok(true)
    }

    fn instances(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        TABLES as usize
    }

    fn memories(&self) -> usize {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_are_limited_together_and_not_each() {
        let mut limits = Limits::new(100);

        assert!(limits.memory_growing(0, 60, None).unwrap());
        assert!(limits.memory_growing(0, 60, None).is_err());
        assert_eq!(limits.reached, Some(Stop::Memory { wanted: 120 }));
        assert_eq!(limits.peak(), 60);
    }

    #[test]
    fn a_module_past_its_own_maximum_is_told_minus_one() {
        let mut limits = Limits::new(1000);

        assert!(!limits.memory_growing(60, 120, Some(100)).unwrap());
        assert_eq!(limits.reached, None);
    }
}
