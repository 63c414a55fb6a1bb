//! Self tests of memory: tensors are filled with NaN before a run, so that stale values are not
//! mistaken for results, and guard bands after each tensor, inside its binding, must stay
//! unchanged.

use wgpu::Buffer;

use super::Executor;
use super::memory::{poison, poison_word};
use super::readback::{Readback, Staging};
use crate::error::{GpuError, Result};
use crate::plan::{Location, TensorId};
use crate::tensor::HostTensor;

/// Result of a run from poisoned memory.
#[derive(Debug, Clone)]
pub struct Probe {
    /// The plan's output.
    pub output: HostTensor,
    /// The first non-zero value in the output's channel padding.
    pub padding: Option<f32>,
    /// The tensors whose guard band was overwritten.
    pub broken_guards: Vec<String>,
    /// The variables and inputs that were changed.
    pub changed: Vec<String>,
}

/// A buffer of a probe: its name, its contents before the run, and how many of these bytes
/// hold a value.
struct Probed<'a> {
    name: String,
    buffer: &'a Buffer,
    before: Vec<u8>,
    written_bytes: usize,
}

impl Executor {
    /// Fills input, output and workspace, guard bands included, with NaN: for self tests, before
    /// [`Executor::run`].
    ///
    /// # Errors
    /// As [`Executor::run`].
    pub fn poison(&mut self) -> Result<()> {
        self.make_own_buffers()?;
        let inner = &self.ready.gpu.inner;
        let buffers: Vec<&Buffer> =
            self.tensor_buffers().into_iter().map(|(_, buffer)| buffer).collect();
        inner.monitor.guarded(&inner.device, "poisoning", || {
            for (tensor, buffer) in buffers.iter().enumerate() {
                inner.queue.write_buffer(buffer, 0, &poison(tensor, buffer.size()));
            }
        })?;
        Ok(())
    }

    /// The names of the tensors whose guard band changed since [`Executor::poison`]: for self
    /// tests.
    ///
    /// # Errors
    /// As [`Executor::run`].
    pub fn broken_guards(&self) -> Result<Vec<String>> {
        let mut broken = Vec::new();
        for (tensor, (name, buffer)) in self.tensor_buffers().into_iter().enumerate() {
            let bytes = self.ready.gpu.download(buffer)?;
            let guard = &bytes[bytes.len() - self.ready.guard_bytes as usize..];
            if guard.chunks_exact(4).any(|word| word != poison_word(tensor).to_le_bytes()) {
                broken.push(name);
            }
        }
        Ok(broken)
    }

    /// Runs once with every tensor poisoned except `variables`, and checks all memory afterwards:
    /// for self tests of recordings in which every tensor has a separate slot. `variables` must
    /// contain every tensor that no step writes: the plan's input, and tensors in slots.
    ///
    /// # Errors
    /// As [`Executor::run`]; [`ShapeError::Mismatch`](crate::error::ShapeError::Mismatch) if a
    /// tensor has another shape than in the plan; [`GpuError::Recording`] if a tensor is not
    /// in the plan or shares its slot.
    pub fn probe(&mut self, variables: &[(TensorId, &HostTensor)]) -> Result<Probe> {
        self.make_own_buffers()?;
        let probed = self.probed(variables)?;
        let Some(own) = &self.own else { unreachable!("made above") };
        let bytes: usize = probed.iter().map(|probed| probed.before.len()).sum();
        let staging = Staging::new(&self.ready.gpu, bytes as u64)?;
        let inner = &self.ready.gpu.inner;
        let expected = inner.monitor.guarded(&inner.device, "probing", || {
            probed
                .iter()
                .for_each(|probed| inner.queue.write_buffer(probed.buffer, 0, &probed.before));
            let mut path = own.proof.begin(&inner.queue, 0);
            let mut commands = self.ready.command_buffers(&own.groups, &mut path, false);
            let mut copy =
                inner.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            let mut at = 0;
            for Probed { buffer, .. } in &probed {
                copy.copy_buffer_to_buffer(buffer, 0, &staging.buffer, at, buffer.size());
                at += buffer.size();
            }
            path.bring_back(&mut copy, &staging.buffer, bytes as u64);
            commands.push(copy.finish());
            inner.queue.submit(commands);
            path.expected()
        })?;
        let readback = Readback::start(&self.ready.gpu, &staging, bytes as u64, expected)?;
        let after = readback.wait(<[u8]>::to_vec)?;
        self.judge(&probed, &after)
    }

    /// Poison for every buffer, overwritten by the values of the variables.
    fn probed(&self, variables: &[(TensorId, &HostTensor)]) -> Result<Vec<Probed<'_>>> {
        let buffers = self.tensor_buffers().into_iter().enumerate();
        let poisoned = |(tensor, (name, buffer)): (usize, (String, _))| Probed {
            before: poison(tensor, wgpu::Buffer::size(buffer)),
            name,
            buffer,
            written_bytes: 0,
        };
        let mut probed: Vec<Probed<'_>> = buffers.map(poisoned).collect();
        let recording = &self.ready.recording;
        for &(id, values) in variables {
            let Some(info) = recording.plan.tensors.get(id.0) else {
                let reason = "a variable is not in the plan";
                return Err(GpuError::Recording { step: format!("tensor {}", id.0), reason }.into());
            };
            let packed = info.pack(values)?;
            let bytes = info.dtype.encode(&packed);
            let place = match recording.locations[id.0] {
                Location::Slot(slot) => slot,
                Location::Input => self.ready.slots.len(),
                Location::Output => self.ready.slots.len() + 1,
            };
            let Some(target) = probed.get_mut(place).filter(|target| target.written_bytes == 0)
            else {
                let reason = "a variable has no separate slot";
                return Err(GpuError::Recording { step: info.name.clone(), reason }.into());
            };
            target.before[..bytes.len()].copy_from_slice(&bytes);
            target.written_bytes = bytes.len();
        }
        Ok(probed)
    }

    /// Evaluates the contents of all buffers after the run.
    fn judge(&self, probed: &[Probed<'_>], after: &[u8]) -> Result<Probe> {
        let plan = &self.ready.recording.plan;
        let info = plan.tensor(plan.output);
        let guard = self.ready.guard_bytes as usize;
        let (mut broken_guards, mut changed, mut rest, mut values) =
            (Vec::new(), Vec::new(), after, Vec::new());
        for (index, Probed { name, before, written_bytes, .. }) in probed.iter().enumerate() {
            let (bytes, behind) = rest.split_at(before.len());
            rest = behind;
            if bytes[bytes.len() - guard..] != before[before.len() - guard..] {
                broken_guards.push(name.clone());
            }
            if bytes[..*written_bytes] != before[..*written_bytes] {
                changed.push(name.clone());
            }
            if index == self.ready.slots.len() + 1 {
                values = info.dtype.decode(&bytes[..info.bytes()]).into_owned();
            }
        }
        let output = info.unpack(&values)?;
        // Packing sets the padding to zero and changes nothing else.
        let packed = info.pack(&output)?;
        let mut padding = values
            .iter()
            .zip(&packed)
            .filter(|(found, packed)| found.to_bits() != packed.to_bits());
        let padding = padding.find(|(found, _)| **found != 0.0).map(|(&found, _)| found);
        Ok(Probe { output, padding, broken_guards, changed })
    }

    /// The buffers that hold tensors, by name.
    fn tensor_buffers(&self) -> Vec<(String, &Buffer)> {
        let slots = self
            .ready
            .slots
            .iter()
            .enumerate()
            .map(|(index, slot)| (format!("workspace slot {index}"), slot));
        let own = self.own.iter().flat_map(|own| [("input", &own.input), ("output", &own.output)]);
        slots.chain(own.map(|(name, buffer)| (name.to_owned(), buffer))).collect()
    }
}
