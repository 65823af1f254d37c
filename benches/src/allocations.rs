//! The system's allocator, counting what the current thread asks of it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<u64> = const { Cell::new(0) };
    /// What the thread is at, while it is traced.
    static TRACED: Cell<Option<&'static str>> = const { Cell::new(None) };
    static PLACES: RefCell<BTreeMap<String, u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// Functions of the engine that a trace names, innermost first.
const FRAMES: usize = 4;

/// From now on, this thread's allocations are taken down with where they come from, under `name`; `None`: no more.
pub fn trace(name: Option<&'static str>) {
    TRACED.set(name);
}

/// The places where traced allocations came from, most frequent first.
pub fn places() -> Vec<(u64, String)> {
    let mut places: Vec<_> = PLACES.take().into_iter().map(|(place, count)| (count, place)).collect();
    places.sort_unstable_by(|a, b| b.cmp(a));
    places
}

#[cold]
fn take_down(name: &'static str) {
    // What follows allocates.
    TRACED.set(None);
    let before = so_far();
    let trace = Backtrace::force_capture().to_string();
    let ours = trace.lines().filter(|line| line.contains("sfu_core") || line.contains("str0m"));
    let names = ours.filter_map(|line| line.split_once(": ")).map(|(_, name)| name.trim());
    let place = names.take(FRAMES).fold(name.to_owned(), |place, name| place + " < " + name);
    PLACES.with_borrow_mut(|places| *places.entry(place).or_default() += 1);
    COUNT.set(before.0);
    BYTES.set(before.1);
    TRACED.set(Some(name));
}

/// Allocations of this thread so far, and their bytes. Growing a block counts as one.
pub fn so_far() -> (u64, u64) {
    (COUNT.get(), BYTES.get())
}

/// See the module.
pub struct Counting;

fn count(bytes: usize) {
    // A thread that ends may allocate when its locals are gone already.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
    let _ = BYTES.try_with(|sum| sum.set(sum.get() + bytes as u64));
    if let Ok(Some(name)) = TRACED.try_with(Cell::get) {
        take_down(name);
    }
}

#[expect(
    unsafe_code,
    reason = "an allocator is an unsafe trait; everything is handed through to the system's unchanged"
)]
// SAFETY: each method passes its arguments to `System` and returns what that returns; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise is `System`'s precondition.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: as in `dealloc`; the caller promises that `size` is valid.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_this_thread_only() {
        let before = so_far();
        let block = std::hint::black_box(vec![0u8; 1000]);
        let (count, bytes) = so_far();
        assert!(count > before.0 && bytes >= before.1 + 1000);
        std::thread::spawn(|| drop(std::hint::black_box(vec![0u8; 1 << 20]))).join().expect("thread");
        assert!(so_far().1 < bytes + (1 << 20));
        drop(block);
    }
}
