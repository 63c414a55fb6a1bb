//! Bytes copied a second: by a kernel, and by the driver.

use bytemuck::bytes_of;
use wgpu::{Buffer, BufferUsages};

use super::bench::{Bench, dispatch, wrong};
use super::kernels::{CopyParams, Kernel, VEC4S_PER_GROUP};
use crate::error::Result;

/// The last bytes of the copy, used to check it.
const MARK: [u8; 16] = *b"the end, copied.";

impl Bench<'_> {
    /// Bytes read and written a second.
    pub fn copy(&self) -> Result<f64> {
        let bytes = self.options.copy_bytes.min(self.gpu.capabilities().max_binding_bytes).max(16)
            / 16
            * 16;
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
        let [src, dst] =
            [self.gpu.buffer("source", bytes, usage)?, self.gpu.buffer("copy", bytes, usage)?];
        self.write(&src, bytes - 16, &MARK)?;
        let (vec4s, limit) = (bytes / 16, u64::from(self.gpu.capabilities().max_workgroups));
        let groups = vec4s.div_ceil(VEC4S_PER_GROUP);
        let row_groups = groups.min(limit);
        let workgroups = [row_groups as u32, groups.div_ceil(row_groups) as u32, 1];
        let params = CopyParams { vec4s: vec4s as u32, row_groups: row_groups as u32 };
        let params = self.gpu.buffer_with("params", bytes_of(&params), BufferUsages::UNIFORM)?;
        let bound = self.bind(Kernel::Copy, &[&params, &src, &dst])?;
        let kernel = self.fastest(|copies| {
            self.time(|encoder, path| dispatch(encoder, path, &bound, workgroups, copies as usize))
        })?;
        self.check_copy("copying by a kernel", &dst, bytes)?;
        let driver = self.fastest(|copies| {
            self.time(|encoder, _| {
                (0..copies).for_each(|_| encoder.copy_buffer_to_buffer(&src, 0, &dst, 0, bytes))
            })
        })?;
        self.check_copy("copying by the driver", &dst, bytes)?;
        let speed =
            |(copies, seconds): (u32, f64)| (2 * bytes * u64::from(copies)) as f64 / seconds;
        Ok(speed(kernel).max(speed(driver)))
    }

    /// Checks that the mark was copied, and clears it for the next copy.
    fn check_copy(&self, doing: &'static str, dst: &Buffer, bytes: u64) -> Result<()> {
        let end = self.gpu.buffer("end", 16, BufferUsages::COPY_SRC | BufferUsages::COPY_DST)?;
        self.time(|encoder, _| encoder.copy_buffer_to_buffer(dst, bytes - 16, &end, 0, 16))?;
        let found = self.gpu.download(&end)?;
        self.write(dst, bytes - 16, &[0; 16])?;
        if found == MARK {
            Ok(())
        } else {
            Err(wrong(doing, format!("{found:?} at the end instead of {MARK:?}")))
        }
    }
}
