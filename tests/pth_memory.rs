//! How much memory a `.pth` file takes: its own size and little more, also where it is hostile. One
//! test, as the allocator counts for the whole program.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use common::Outcome;
use common::torch::{self, dict, storage, stored, text, view};
use wgpu_bottleneck::StateDict;

/// The system's allocator, with a count of what is held and of the most that was.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: both calls go to the system's allocator with the arguments they came with; the counts
// touch no memory of theirs. `realloc` and `alloc_zeroed` are the trait's own, made of these two.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Relaxed) + layout.size();
        MOST.fetch_max(held, Relaxed);
        // SAFETY: the caller keeps `alloc`'s contract, which is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the pointer came from `alloc` above, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that reading takes beyond the file's own.
fn beyond(bytes: Vec<u8>) -> (usize, bool) {
    let before = HELD.load(Relaxed);
    MOST.store(before, Relaxed);
    let read = StateDict::from_bytes(bytes).is_ok();
    (MOST.load(Relaxed) - before, read)
}

#[test]
fn a_file_takes_its_size_and_half_of_it_at_most() -> Outcome {
    const FLOATS: i64 = 4 << 20;
    let data = vec![0; 4 * FLOATS as usize];
    let weight =
        |strides| view(storage("FloatStorage", "0", FLOATS), 0, &[1024, FLOATS / 1024], strides);
    let both = [("a", weight(&[FLOATS / 1024, 1])), ("b", weight(&[1, 1024]))];
    let pickle = torch::pickle(&dict(&both));
    let keys = torch::pickle(&[b"](".as_slice(), &text("0"), b"e"].concat());
    let old = [keys.as_slice(), &(FLOATS as u64).to_le_bytes(), &data].concat();
    for bytes in [torch::archive(&pickle, &data), torch::legacy(1001, &pickle, &old)] {
        let (taken, read) = beyond(bytes);
        assert!(read && taken < 1 << 20, "{taken} bytes, read: {read}");
    }

    let names: Vec<String> = (0..60_000).map(|at| format!("a/data/{at}")).collect();
    let records = torch::zip(&names.iter().map(|name| stored(name, b"")).collect::<Vec<_>>());
    let flood = |unit: &[u8]| torch::archive(&unit.repeat(64_000_000 / unit.len()), &[]);
    let hostile = [
        ("lists", flood(b"]")),
        ("dicts in the memo", flood(b"}\x94")),
        ("marks and lists", flood(b"(l")),
        ("names", flood(b"cx\ny\n")),
        ("sets of one", flood(b"}(NNu")),
        ("records", records),
    ];
    for (name, bytes) in hostile {
        let file = bytes.len();
        let (taken, read) = beyond(bytes);
        println!("{name}: {file} bytes, {taken} beyond");
        assert!(!read, "{name}");
        assert!(
            taken < file / 2 + (32 << 20),
            "{name}: {taken} bytes beyond the {file} of the file"
        );
    }
    Ok(())
}
