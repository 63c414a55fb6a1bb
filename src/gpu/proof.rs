//! Proof of execution: each run carries a fresh number, which its own GPU work must bring back
//! with the results. A driver, or wgpu, may report work as finished that never ran: wgpu's Metal
//! backend, for example, counts a failed command buffer as finished (gfx-rs/wgpu#9545). The
//! results of an earlier run would then be taken for those of the later one.
//!
//! The numbers of the next runs lie in a buffer, and the work of a run copies its number behind its
//! results. Where a submit runs as a whole or the device is lost, this is enough. On Metal, a
//! failed command buffer does not stop the next, and wgpu makes several of one encoder: one for
//! each compute pass, and one for the copies between two. There the host writes the number into a
//! word, the last dispatch of every pass counts it up, and copies are followed by one that moves it
//! to another word. A command buffer that did not run then changes the number that comes back.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use wgpu::{Backend, BindGroup, Buffer, CommandEncoder, ComputePass, Queue};

use super::pipeline::Pipeline;

/// Bytes of a number.
pub(super) const NUMBER_BYTES: u64 = 8;

/// The sizes of the buffers with numbers are multiples of a page. wgpu puts small buffers next to
/// each other in one allocation, and a smaller one would move the tensors behind it off their
/// pages: on two cores with Mesa's software driver, a training step then took 5 % longer
/// (benches/NOTES.md).
pub(super) const PAGE: u64 = 4096;

/// The reason of the loss if the number is missing.
pub(super) const DID_NOT_RUN: &str = "the GPU reported work as finished that it did not run";

/// Set to `1`, it lets every command buffer change the number, on each backend.
const EVERY: &str = "BOTTLENECK_PROVE_EVERY_COMMAND_BUFFER";

/// The distance of two words: WebGPU's limit for the alignment of a binding.
pub(super) const STRIDE: u64 = 256;

/// Whether one failed command buffer of a submit lets the others run, so that each must change the
/// number.
pub(super) fn proves_every(backend: Backend) -> bool {
    backend == Backend::Metal || std::env::var_os(EVERY).is_some_and(|value| value == "1")
}

/// Numbers of a table, which fill a page.
const TABLE: u64 = 512;

/// Numbers that no earlier run in this process had, nor memory that was never written. They are so
/// far apart that counting them up never leads to another.
fn new_numbers(count: u64) -> impl Iterator<Item = u64> {
    static FIRST: OnceLock<u64> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let first = *FIRST.get_or_init(|| RandomState::new().hash_one(0));
    let next = NEXT.fetch_add(count, Ordering::Relaxed);
    // The golden ratio of 2^64 (Knuth, "The Art of Computer Programming", 6.4).
    let number = move |index: u64| first.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    (next..next + count).map(number)
}

/// The numbers of the next runs, on the host and in a buffer. Each is used once.
#[derive(Debug)]
pub(super) struct Table {
    buffer: Buffer,
    unused: Mutex<VecDeque<u64>>,
}

impl Table {
    /// New numbers, which `upload` writes into a buffer.
    pub fn new<E>(upload: impl FnOnce(&[u8]) -> Result<Buffer, E>) -> Result<Self, E> {
        let numbers: VecDeque<u64> = new_numbers(TABLE).collect();
        Ok(Self { buffer: upload(&bytes(&numbers))?, unused: Mutex::new(numbers) })
    }

    /// Replaces the numbers if all are used, before the next submit. Every run that has one must
    /// have been submitted.
    fn refill(&self, queue: &Queue) {
        let mut unused = self.unused();
        if unused.is_empty() {
            *unused = new_numbers(TABLE).collect();
            queue.write_buffer(&self.buffer, 0, &bytes(&unused));
        }
    }

    /// The next number, and its offset in the buffer.
    fn take(&self) -> (u64, u64) {
        let mut unused = self.unused();
        let index = TABLE - unused.len() as u64;
        let Some(number) = unused.pop_front() else { unreachable!("the callers refill it") };
        (number, index * NUMBER_BYTES)
    }

    fn unused(&self) -> MutexGuard<'_, VecDeque<u64>> {
        self.unused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bytes(numbers: &VecDeque<u64>) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// The buffers that hold the numbers of runs. A copy needs two buffers, so consecutive words of a
/// run lie in the two in turn.
#[derive(Debug)]
pub(super) struct Proof {
    /// The words with even indices lie in the first, the others in the second.
    pub words: [Buffer; 2],
    /// Words of a run.
    pub length: u64,
    pub numbers: Numbers,
}

/// How the number of a run reaches the device.
#[derive(Debug)]
pub(super) enum Numbers {
    /// It lies in a table.
    Uploaded(Table),
    /// The host writes it into the first word, and every command buffer changes it.
    Counted(Every),
}

/// The kernel that counts, and its bind group for each word.
#[derive(Debug)]
pub(super) struct Every {
    pub pipeline: Arc<Pipeline>,
    pub groups: Vec<BindGroup>,
}

impl Proof {
    /// Whether [`Proof::path`] has no number left.
    pub fn is_used_up(&self) -> bool {
        matches!(&self.numbers, Numbers::Uploaded(table) if table.unused().is_empty())
    }

    /// A fresh number for the run with this index, if there is one. It must be
    /// [written](Path::write) before the next submit.
    pub fn path(self: &Arc<Self>, run: u64) -> Path {
        let (number, in_table) = match &self.numbers {
            Numbers::Uploaded(table) => {
                let (number, offset) = table.take();
                (number, Some(offset))
            }
            Numbers::Counted(_) => (new_numbers(1).next().unwrap_or_default(), None),
        };
        Path { proof: self.clone(), number, in_table, run, at: 0, passes: 0 }
    }

    /// A fresh number for the run with this index, written. All earlier runs must have been
    /// submitted. Call it inside [`Monitor::guarded`](super::monitor::Monitor::guarded).
    pub fn begin(self: &Arc<Self>, queue: &Queue, run: u64) -> Path {
        if let Numbers::Uploaded(table) = &self.numbers {
            table.refill(queue);
        }
        let path = self.path(run);
        path.write(queue);
        path
    }
}

/// The number of one run, on its way through the run's command buffers.
#[derive(Debug)]
pub(super) struct Path {
    proof: Arc<Proof>,
    number: u64,
    /// The offset in the table, until it is copied into its first word.
    in_table: Option<u64>,
    run: u64,
    /// The index of its word.
    at: u64,
    /// Passes that have counted it up.
    passes: u32,
}

impl Path {
    /// Whether its words are in these buffers.
    pub fn is_in(&self, proof: &Arc<Proof>) -> bool {
        Arc::ptr_eq(&self.proof, proof)
    }

    /// Whether [`Path::write`] calls wgpu. Each call costs a recording several microseconds.
    pub fn must_be_written(&self) -> bool {
        self.in_table.is_none()
    }

    /// Writes the number before the next submit, unless it is in a table.
    pub fn write(&self, queue: &Queue) {
        if self.must_be_written() {
            let (word, offset) = self.place();
            queue.write_buffer(word, offset, &self.number.to_le_bytes());
        }
    }

    /// Encodes the end of a compute pass.
    pub fn computed(&mut self, pass: &mut ComputePass<'_>) {
        if let Numbers::Counted(Every { pipeline, groups }) = &self.proof.numbers {
            pass.set_pipeline(&pipeline.pipeline);
            pass.set_bind_group(0, &groups[self.index(self.at) as usize], &[]);
            pass.dispatch_workgroups(1, 1, 1);
            self.passes += 1;
        }
    }

    /// Encodes the end of copies that a pass or the end of the command buffer follows.
    pub fn copied(&mut self, encoder: &mut CommandEncoder) {
        if let Numbers::Counted(_) = self.proof.numbers {
            self.advance(encoder);
        }
    }

    /// Encodes the end of a recording that reads nothing back: its number stays in its word.
    pub fn end(&mut self, encoder: &mut CommandEncoder) {
        if let Numbers::Uploaded(_) = self.proof.numbers {
            self.advance(encoder);
        }
    }

    /// Encodes the end of a submit: copies the number behind the results in a staging buffer.
    pub fn bring_back(&self, encoder: &mut CommandEncoder, staging: &Buffer, behind: u64) {
        let (from, offset) = self.place();
        encoder.copy_buffer_to_buffer(from, offset, staging, behind, NUMBER_BYTES);
    }

    /// The number if all that was encoded so far runs.
    pub fn expected(&self) -> Expected {
        let (high, low) = (self.number & !u64::from(u32::MAX), self.number as u32);
        let number = high | u64::from(low.wrapping_add(self.passes));
        let index = self.index(self.at);
        Expected { buffer: (index % 2) as usize, offset: index * STRIDE, number }
    }

    /// Copies the number to its next word.
    fn advance(&mut self, encoder: &mut CommandEncoder) {
        let from = self.place();
        let at = if self.in_table.is_some() { self.at } else { self.at + 1 };
        let to = self.word(at);
        encoder.copy_buffer_to_buffer(from.0, from.1, to.0, to.1, NUMBER_BYTES);
        (self.in_table, self.at) = (None, at);
    }

    /// The buffer and the offset of the number.
    fn place(&self) -> (&Buffer, u64) {
        match (&self.proof.numbers, self.in_table) {
            (Numbers::Uploaded(table), Some(offset)) => (&table.buffer, offset),
            _ => self.word(self.at),
        }
    }

    fn word(&self, at: u64) -> (&Buffer, u64) {
        let index = self.index(at);
        (&self.proof.words[(index % 2) as usize], index * STRIDE)
    }

    fn index(&self, at: u64) -> u64 {
        self.run * self.proof.length + at
    }
}

/// The number that a run leaves if all of it runs, and where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    /// The index of the buffer in [`Proof::words`].
    pub buffer: usize,
    /// The offset in that buffer.
    pub offset: u64,
    pub number: u64,
}

impl Expected {
    /// Whether these bytes hold the number.
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        bytes == self.number.to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_fresh() {
        let numbers: Vec<u64> = new_numbers(2).chain(new_numbers(2)).collect();
        for (index, first) in numbers.iter().enumerate() {
            assert!(numbers[..index].iter().all(|other| first.abs_diff(*other) > 1 << 33));
        }
    }
}
