//! The memory of a component: taken from one end, and gone with the instance when the step is over.
//!
//! A step lives for microseconds in memory of its own, so there is little to gain from reuse and much from touching few
//! pages: each one has to be wiped for the step after. The room between the program's data and the end of its first
//! memory is used before any more is asked for, because a memory that grows costs the host two changes of page
//! protection, which stop every other core of the daemon for a moment. `kv`'s own build gives its providers a first
//! memory that they do not outgrow.

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32::{memory_grow, memory_size};
use core::cell::Cell;
use core::ptr::{addr_of, null_mut};

#[global_allocator]
static MEMORY: Bump = Bump { next: Cell::new(0) };

/// The first address that is free; 0 before the first allocation.
struct Bump {
    next: Cell<usize>,
}

// SAFETY: the target `wasm32-unknown-unknown` has no threads, and the host has turned the feature off.
unsafe impl Sync for Bump {}

const PAGE: usize = 64 << 10;
/// As many pages as are asked for at least, so that a body of a megabyte does not ask sixteen times.
const PAGES_AT_ONCE: usize = 16;

impl Bump {
    /// Moves the end to `end`, with more memory where it takes that.
    fn reach(&self, end: usize) -> bool {
        let held = memory_size(0) * PAGE;
        if end > held {
            let missing = (end - held).div_ceil(PAGE);
            let grown =
                memory_grow(0, missing.max(PAGES_AT_ONCE)) != usize::MAX || memory_grow(0, missing) != usize::MAX;
            if !grown {
                return false;
            }
        }
        self.next.set(end);
        true
    }

    fn next(&self) -> usize {
        unsafe extern "C" {
            /// Where the linker says that data and stack end.
            static __heap_base: u8;
        }
        match self.next.get() {
            0 => addr_of!(__heap_base) as usize,
            next => next,
        }
    }

    fn is_last(&self, block: *mut u8, size: usize) -> bool {
        block as usize + size == self.next()
    }
}

// SAFETY: a block begins at or after the end of every block before it, and is inside of the memory, since `reach` said
// so before the address is given out. The end moves back only to the beginning of the last block, when that is freed.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let block = self.next().checked_next_multiple_of(layout.align());
        match block.and_then(|block| Some((block, block.checked_add(layout.size())?))) {
            Some((block, end)) if self.reach(end) => block as *mut u8,
            _ => null_mut(),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if self.is_last(block, layout.size()) {
            self.next.set(block as usize);
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // A text or list that is being written is nearly always the last block: it grows where it is.
        if self.is_last(block, layout.size()) {
            return match (block as usize).checked_add(size) {
                Some(end) if self.reach(end) => block,
                _ => null_mut(),
            };
        }
        if size <= layout.size() {
            return block;
        }
        // SAFETY: the caller has promised that `size`, rounded up to the alignment, is a size that a layout may have;
        // the two blocks do not overlap, and both have at least the old size.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !moved.is_null() {
                core::ptr::copy_nonoverlapping(block, moved, layout.size());
            }
            moved
        }
    }
}
