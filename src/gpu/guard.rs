//! Self tests of memory: tensors filled with NaN before a run, so that nothing stale passes for a result, and guard bands
//! behind each tensor, inside its binding, that must come back untouched.

use wgpu::Buffer;

use super::Executor;
use super::memory::{poison, poison_word};
use crate::error::Result;

impl Executor {
    /// Fills input, output and workspace, guard bands included, with NaN: for self tests, before [`Executor::run`].
    ///
    /// # Errors
    /// As [`Executor::run`].
    pub fn poison(&mut self) -> Result<()> {
        self.make_own_buffers()?;
        let inner = &self.ready.gpu.inner;
        let buffers: Vec<&Buffer> = self.tensor_buffers().into_iter().map(|(_, buffer)| buffer).collect();
        inner.monitor.guarded(&inner.device, "poisoning", || {
            for (tensor, buffer) in buffers.iter().enumerate() {
                inner.queue.write_buffer(buffer, 0, &poison(tensor, buffer.size()));
            }
        })?;
        Ok(())
    }

    /// The names of the tensors whose guard band is no longer as [`Executor::poison`] left it: for self tests.
    ///
    /// # Errors
    /// As [`Executor::run`].
    pub fn broken_guards(&self) -> Result<Vec<String>> {
        let mut broken = Vec::new();
        for (tensor, (name, buffer)) in self.tensor_buffers().into_iter().enumerate() {
            let bytes = self.ready.gpu.download(buffer)?;
            let guard = &bytes[bytes.len() - self.ready.options.guard_bytes as usize..];
            if guard.chunks_exact(4).any(|word| word != poison_word(tensor).to_le_bytes()) {
                broken.push(name);
            }
        }
        Ok(broken)
    }

    /// The buffers that hold tensors, by name.
    fn tensor_buffers(&self) -> Vec<(String, &Buffer)> {
        let slots = self.ready.slots.iter().enumerate().map(|(index, slot)| (format!("workspace slot {index}"), slot));
        let own = self.own.iter().flat_map(|own| [("input", &own.input), ("output", &own.output)]);
        slots.chain(own.map(|(name, buffer)| (name.to_owned(), buffer))).collect()
    }
}
