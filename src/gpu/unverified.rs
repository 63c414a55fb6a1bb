//! The recordings of a [`Bound`](super::Bound) whose work was not yet proved to have run.

use std::collections::VecDeque;
use std::mem::take;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Gpu;
use super::proof::{Expected, NUMBER_BYTES, Path, Proof};
use super::readback::Readback;
use crate::error::{GpuError, Result};

/// Number of recordings that are remembered.
const RECORDINGS: u64 = 16;

/// The numbers of recordings that the caller submits.
#[derive(Debug)]
pub(super) struct Unverified {
    proof: Proof,
    recordings: Mutex<Recordings>,
}

#[derive(Debug, Default)]
struct Recordings {
    /// Recordings so far.
    count: u64,
    /// At most [`RECORDINGS`], oldest first.
    open: VecDeque<Expected>,
}

impl Unverified {
    /// For recordings with at most this many sections of copies.
    pub fn new(gpu: &Gpu, copies: usize) -> Result<Self> {
        let proof = gpu.proof(copies, RECORDINGS)?;
        Ok(Self { proof, recordings: Mutex::default() })
    }

    /// Starts a recording: its number is uploaded by the next submit.
    pub fn begin(&self, gpu: &Gpu) -> Path<'_> {
        let mut recordings = self.recordings();
        recordings.count += 1;
        self.proof.begin(&gpu.inner.queue, recordings.count % RECORDINGS)
    }

    /// Remembers a recording that is complete.
    pub fn ended(&self, path: &Path<'_>) {
        let open = &mut self.recordings().open;
        if open.len() as u64 == RECORDINGS {
            open.pop_front();
        }
        open.push_back(path.expected());
    }

    /// Waits for all recordings, checks that they ran, and forgets them.
    pub fn verify(&self, gpu: &Gpu) -> Result<()> {
        let (open, readback) = self.read(gpu)?;
        readback.wait(|words| self.check(&open, words))??;
        Ok(())
    }

    /// [`Unverified::verify`] for async callers.
    pub async fn verify_async(&self, gpu: &Gpu) -> Result<()> {
        let (open, readback) = self.read(gpu)?;
        readback.wait_async(|words| self.check(&open, words)).await??;
        Ok(())
    }

    /// Takes the recordings, and reads the words of all.
    fn read(&self, gpu: &Gpu) -> Result<(VecDeque<Expected>, Readback)> {
        let open = take(&mut self.recordings().open);
        let [first, second] = &self.proof.words;
        let bytes = first.size();
        let readback = gpu.submit_and_read("verifying", 2 * bytes, |encoder, staging| {
            encoder.copy_buffer_to_buffer(first, 0, staging, 0, bytes);
            encoder.copy_buffer_to_buffer(second, 0, staging, bytes, bytes);
        })?;
        Ok((open, readback))
    }

    fn check(&self, open: &VecDeque<Expected>, words: &[u8]) -> Result<(), GpuError> {
        let bytes = self.proof.words[0].size();
        let ran = |expected: &&Expected| {
            let at = expected.buffer as u64 * bytes + expected.offset;
            expected.is_in(&words[at as usize..][..NUMBER_BYTES as usize])
        };
        let missing = open.len() - open.iter().filter(ran).count();
        if missing == 0 {
            return Ok(());
        }
        let of = open.len();
        let reason = format!("{missing} of {of} recordings were not submitted, or did not run");
        Err(GpuError::Lost { reason })
    }

    fn recordings(&self) -> MutexGuard<'_, Recordings> {
        self.recordings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
