//! What the instances of one step may hold, all of them together.

use wasmtime::ResourceLimiter;

/// All linear memories of a step. A Python guest begins at 20 MiB; the built-in ones stay under 2 MiB.
pub(crate) const MAX_MEMORY_BYTES: usize = 64 << 20;
/// The largest guest that was tried, JavaScript, has 4.
pub(crate) const MAX_MEMORIES: usize = 8;
/// Core instances: Python guests come apart into some twenty.
pub(crate) const MAX_INSTANCES: usize = 64;
/// Tables and their elements, 8 bytes each: an interpreter's function table has some 10,000.
pub(crate) const MAX_TABLES: usize = 16;
pub(crate) const MAX_TABLE_ELEMENTS: usize = 64 << 10;

/// Wasmtime's own limits look at each memory alone, so eight memories would have eight times the limit.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    memory: Total,
    table: Total,
}

impl Limits {
    /// Whether a guest was ever denied what it asked for: the likely reason of the trap that came after.
    pub(crate) fn refused(&self) -> bool {
        self.memory.refused || self.table.refused
    }
}

#[derive(Debug, Default)]
struct Total {
    held: usize,
    last: usize,
    refused: bool,
}

impl Total {
    fn grow(&mut self, current: usize, desired: usize, most: usize) -> bool {
        let more = desired.saturating_sub(current);
        let fits = self.held.checked_add(more).is_some_and(|sum| sum <= most);
        if fits {
            self.held += more;
            self.last = more;
        } else {
            self.refused = true;
        }
        fits
    }

    /// The growth allowed last did not come about.
    fn take_back(&mut self) {
        self.held -= std::mem::take(&mut self.last);
        self.refused = true;
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.memory.grow(current, desired, MAX_MEMORY_BYTES))
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory.take_back();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.table.grow(current, desired, MAX_TABLE_ELEMENTS))
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.table.take_back();
        Ok(())
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_count_together() {
        let mut limits = Limits::default();
        assert!(limits.memory_growing(0, 40 << 20, None).unwrap());
        assert!(!limits.memory_growing(0, 40 << 20, None).unwrap());
        assert!(limits.refused());
        assert!(limits.memory_growing(40 << 20, MAX_MEMORY_BYTES, None).unwrap());
        assert!(!limits.memory_growing(0, 1, None).unwrap());
        assert!(!limits.memory_growing(0, usize::MAX, None).unwrap());
    }

    #[test]
    fn a_growth_that_failed_is_not_held() {
        let mut limits = Limits::default();
        assert!(limits.table_growing(0, MAX_TABLE_ELEMENTS, None).unwrap());
        limits.table_grow_failed(wasmtime::Error::msg("no memory")).unwrap();
        assert!(limits.table_growing(0, MAX_TABLE_ELEMENTS, None).unwrap());
    }
}
