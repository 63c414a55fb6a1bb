//! Proof of execution: each run carries a fresh number, which its own GPU work must bring back
//! with the results. A driver, or wgpu, may report work as finished that never ran: wgpu's Metal
//! backend, for example, counts a failed command buffer as finished (gfx-rs/wgpu#9545). The
//! results of an earlier run would then be taken for those of the later one.
//!
//! The host writes the number into a word of a buffer, and the work copies it behind the results.
//! Where a submit runs as a whole or the device is lost, this is enough. On Metal, one failed
//! command buffer does not stop the next, and wgpu makes several of one encoder: one for each
//! compute pass, and one for the copies between two. There the last dispatch of every pass counts
//! the number up, and copies are followed by one that moves the number to another word. A command
//! buffer that did not run then changes the number that comes back.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use wgpu::{Backend, BindGroup, Buffer, CommandEncoder, ComputePass, Queue};

use super::pipeline::Pipeline;

/// Bytes of a number.
pub(super) const NUMBER_BYTES: u64 = 8;

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

/// A number that no earlier run in this process had, nor memory that was never written. Numbers are
/// so far apart that counting them up never leads to another.
fn new_number() -> u64 {
    static FIRST: OnceLock<u64> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let first = *FIRST.get_or_init(|| RandomState::new().hash_one(0));
    // The golden ratio of 2^64 (Knuth, "The Art of Computer Programming", 6.4).
    first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// The buffers that hold the numbers of runs. A copy needs two buffers, so consecutive words of a
/// run lie in the two in turn.
#[derive(Debug)]
pub(super) struct Proof {
    /// The words with even indices lie in the first, the others in the second.
    pub words: [Buffer; 2],
    /// Words of a run.
    pub length: u64,
    /// If every command buffer must change the number.
    pub every: Option<Every>,
}

/// The kernel that counts, and its bind group for each word.
#[derive(Debug)]
pub(super) struct Every {
    pub pipeline: Arc<Pipeline>,
    pub groups: Vec<BindGroup>,
}

impl Proof {
    /// Writes a fresh number for the run with this index before the next submit: call it inside
    /// [`Monitor::guarded`](super::monitor::Monitor::guarded).
    pub fn begin(self: &Arc<Self>, queue: &Queue, run: u64) -> Path {
        let path = Path { proof: self.clone(), number: new_number(), run, at: 0, passes: 0 };
        queue.write_buffer(&path.word(), path.offset(), &path.number.to_le_bytes());
        path
    }
}

/// The number of one run, on its way through the run's command buffers.
#[derive(Debug)]
pub(super) struct Path {
    proof: Arc<Proof>,
    number: u64,
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

    /// Encodes the end of a compute pass.
    pub fn computed(&mut self, pass: &mut ComputePass<'_>) {
        if let Some(Every { pipeline, groups }) = &self.proof.every {
            pass.set_pipeline(&pipeline.pipeline);
            pass.set_bind_group(0, &groups[self.index() as usize], &[]);
            pass.dispatch_workgroups(1, 1, 1);
            self.passes += 1;
        }
    }

    /// Encodes the end of copies that a pass or the end of the command buffer follows.
    pub fn copied(&mut self, encoder: &mut CommandEncoder) {
        if self.proof.every.is_some() {
            self.advance(encoder);
        }
    }

    /// Encodes the end of a recording that reads nothing back: its number stays in its word.
    pub fn end(&mut self, encoder: &mut CommandEncoder) {
        if self.proof.every.is_none() {
            self.advance(encoder);
        }
    }

    /// Encodes the end of a submit: copies the number behind the results in a staging buffer.
    pub fn bring_back(&self, encoder: &mut CommandEncoder, staging: &Buffer, behind: u64) {
        let (word, offset) = (self.word(), self.offset());
        encoder.copy_buffer_to_buffer(&word, offset, staging, behind, NUMBER_BYTES);
    }

    /// The number if all that was encoded so far runs.
    pub fn expected(&self) -> Expected {
        let (high, low) = (self.number & !u64::from(u32::MAX), self.number as u32);
        let number = high | u64::from(low.wrapping_add(self.passes));
        Expected { buffer: (self.index() % 2) as usize, offset: self.offset(), number }
    }

    fn advance(&mut self, encoder: &mut CommandEncoder) {
        let (from, source) = (self.word(), self.offset());
        self.at += 1;
        let (to, target) = (self.word(), self.offset());
        encoder.copy_buffer_to_buffer(&from, source, &to, target, NUMBER_BYTES);
    }

    fn index(&self) -> u64 {
        self.run * self.proof.length + self.at
    }

    fn word(&self) -> Buffer {
        self.proof.words[(self.index() % 2) as usize].clone()
    }

    fn offset(&self) -> u64 {
        self.index() * STRIDE
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
        let (first, second) = (new_number(), new_number());
        assert!(first.abs_diff(second) > 1 << 33);
    }
}
