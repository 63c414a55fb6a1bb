//! The recordings of a [`Bound`](super::Bound) whose work was not yet proved to have run.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Gpu;
use super::proof::{Expected, NUMBER_BYTES, Path, Proof};
use super::readback::Readback;
use crate::error::Result;

/// Recordings whose words share buffers.
const OF_A_BLOCK: u64 = 16;

/// Blocks that are remembered: the oldest recordings beyond them are not checked.
const MOST_BLOCKS: usize = 16;

/// The numbers of recordings that the caller submits.
#[derive(Debug)]
pub(super) struct Unverified {
    /// Sections of copies of a recording, at most.
    copies: usize,
    /// Oldest first. A word serves one recording only, until that recording was verified: the
    /// caller may record many before it submits them.
    blocks: Mutex<VecDeque<Block>>,
}

#[derive(Debug, Clone)]
struct Block {
    proof: Arc<Proof>,
    /// Recordings that have begun.
    begun: u64,
    /// Those that are complete and not verified.
    open: Vec<Expected>,
}

impl Unverified {
    /// For recordings with at most this many sections of copies.
    pub fn new(copies: usize) -> Self {
        Self { copies, blocks: Mutex::default() }
    }

    /// Starts a recording, with a number that the next submit may upload.
    pub fn begin(&self, gpu: &Gpu) -> Result<Path> {
        let mut blocks = self.blocks();
        let is_full = |block: &Block| block.begun == OF_A_BLOCK || block.proof.is_used_up();
        if blocks.back().is_none_or(is_full) {
            let proof = gpu.proof(self.copies, OF_A_BLOCK)?;
            blocks.push_back(Block { proof, begun: 0, open: Vec::new() });
            if blocks.len() > MOST_BLOCKS {
                blocks.pop_front();
            }
        }
        let Some(block) = blocks.back_mut() else { unreachable!("there is one") };
        block.begun += 1;
        let (inner, run) = (&gpu.inner, block.begun - 1);
        let path = block.proof.path(run);
        if path.must_be_written() {
            let write = || path.write(&inner.queue);
            inner.monitor.guarded(&inner.device, "recording", write)?;
        }
        Ok(path)
    }

    /// Remembers a recording that is complete.
    pub fn ended(&self, path: &Path) {
        let mut blocks = self.blocks();
        if let Some(block) = blocks.iter_mut().find(|block| path.is_in(&block.proof)) {
            block.open.push(path.expected());
        }
    }

    /// Waits for all recordings, checks that they ran, and forgets them.
    pub fn verify(&self, gpu: &Gpu) -> Result<()> {
        let blocks = self.blocks().clone();
        let missing = Self::read(gpu, &blocks)?.wait(|words| missing(&blocks, words))?;
        self.conclude(gpu, &blocks, missing)
    }

    /// [`Unverified::verify`] for async callers.
    pub async fn verify_async(&self, gpu: &Gpu) -> Result<()> {
        let blocks = self.blocks().clone();
        let readback = Self::read(gpu, &blocks)?;
        let missing = readback.wait_async(|words| missing(&blocks, words)).await?;
        self.conclude(gpu, &blocks, missing)
    }

    /// Reads the words of all blocks.
    fn read(gpu: &Gpu, blocks: &VecDeque<Block>) -> Result<Readback> {
        let buffers = || blocks.iter().flat_map(|block| &block.proof.words);
        let bytes = buffers().map(wgpu::Buffer::size).sum();
        gpu.submit_and_read("verifying", bytes, |encoder, staging| {
            let mut at = 0;
            for buffer in buffers() {
                encoder.copy_buffer_to_buffer(buffer, 0, staging, at, buffer.size());
                at += buffer.size();
            }
        })
    }

    /// Forgets the recordings that ran. If any did not, the device counts as lost.
    fn conclude(&self, gpu: &Gpu, verified: &VecDeque<Block>, missing: usize) -> Result<()> {
        let of: usize = verified.iter().map(|block| block.open.len()).sum();
        if missing > 0 {
            let reason = format!("{missing} of {of} recordings were not submitted, or did not run");
            let inner = &gpu.inner;
            return Err(inner.monitor.lost(&inner.device, reason).into());
        }
        let mut blocks = self.blocks();
        for before in verified {
            let same = |block: &&mut Block| Arc::ptr_eq(&block.proof, &before.proof);
            if let Some(block) = blocks.iter_mut().find(same) {
                let is_open = |open: &Expected| {
                    before.open.iter().all(|verified| verified.number != open.number)
                };
                block.open.retain(is_open);
            }
        }
        let last = blocks.len().saturating_sub(1);
        let mut at = 0;
        blocks.retain(|block| {
            at += 1;
            !block.open.is_empty() || at > last
        });
        // All that began in it has run, so its words are free.
        if let (Some(block), Some(before)) = (blocks.back_mut(), verified.back())
            && Arc::ptr_eq(&block.proof, &before.proof)
            && block.open.is_empty()
            && block.begun == before.open.len() as u64
        {
            block.begun = 0;
        }
        Ok(())
    }

    fn blocks(&self) -> MutexGuard<'_, VecDeque<Block>> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many recordings are not found in the words of the blocks.
fn missing(blocks: &VecDeque<Block>, words: &[u8]) -> usize {
    let (mut start, mut missing) = (0, 0);
    for block in blocks {
        let bytes = block.proof.words[0].size() as usize;
        let ran = |expected: &&Expected| {
            let at = start + expected.buffer * bytes + expected.offset as usize;
            expected.is_in(&words[at..at + NUMBER_BYTES as usize])
        };
        missing += block.open.len() - block.open.iter().filter(ran).count();
        start += 2 * bytes;
    }
    missing
}
