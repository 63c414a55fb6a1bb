//! `Params` and grids of the two preprocessing kernels.

use bytemuck::bytes_of;

use super::kernels::LANES;
use super::passes::Passes;
use super::strips::Strip;
use crate::error::GpuError;
use crate::image::Geometry;
use crate::kernel::{Capabilities, host_struct};

host_struct! {
    /// Mirrors `Params` of `shaders/picture/resize_first.wgsl`.
    FirstParams {
        pixels, row_groups, width, stride, tap_at, in_width, in_height, left, top, skip, last_word,
        out_at
    }
}

host_struct! {
    /// Mirrors `Params` of `shaders/picture/resize_last.wgsl`.
    LastParams {
        pixels, row_groups, width, stride, kept_width, kept_height, left, top, src_width,
        last_pixel, out_at
    }
}

/// The bytes of `Params` and the number of workgroups.
#[derive(Debug)]
pub(super) struct Pass {
    pub params: Vec<u8>,
    pub workgroups: [u32; 3],
}

impl Passes<'_> {
    /// The first pass over a strip. Its output must fit one binding.
    pub fn first(&self, strip: &Strip<'_>, capabilities: &Capabilities) -> Result<Pass, GpuError> {
        let [width, _] = self.middle();
        let pixels = u64::from(width) * u64::from(strip.made);
        let workgroups = grid("resize_first", pixels, capabilities)?;
        let (stride, tap_at, top) = if self.geometry.columns_first {
            // The taps count from a row that may not be in this strip.
            let origin = strip.top.wrapping_sub(strip.first_row);
            (
                self.down.stride,
                strip.made_at * self.down.stride,
                origin.wrapping_add(self.down.first),
            )
        } else {
            (self.across.stride, 0, strip.top)
        };
        let params = FirstParams {
            pixels: pixels as u32,
            row_groups: workgroups[0],
            width,
            stride,
            tap_at,
            in_width: self.geometry.columns.input,
            in_height: strip.top + strip.rows,
            left: self.across.first,
            top,
            skip: strip.skip,
            last_word: strip.last_word,
            out_at: strip.made_at * width,
        };
        Ok(Pass { params: bytes_of(&params).to_vec(), workgroups })
    }

    /// The second pass, into an image that begins `out_at` pixels after the start of its binding.
    pub fn last(&self, out_at: u32, capabilities: &Capabilities) -> Result<Pass, GpuError> {
        let Geometry { columns, rows, columns_first } = self.geometry;
        let pixels = u64::from(columns.crop) * u64::from(rows.crop);
        let workgroups = grid("resize_last", pixels, capabilities)?;
        let [src_width, src_height] = self.middle();
        let params = LastParams {
            pixels: pixels as u32,
            row_groups: workgroups[0],
            width: columns.crop,
            stride: if *columns_first { self.across.stride } else { self.down.stride },
            kept_width: columns.kept,
            kept_height: rows.kept,
            left: columns.pad,
            top: rows.pad,
            src_width,
            last_pixel: src_width * src_height - 1,
            out_at,
        };
        Ok(Pass { params: bytes_of(&params).to_vec(), workgroups })
    }
}

/// A grid with as many workgroups as possible along x, and the rest along y.
fn grid(kernel: &str, pixels: u64, capabilities: &Capabilities) -> Result<[u32; 3], GpuError> {
    let (groups, limit) = (pixels.div_ceil(LANES.into()), capabilities.max_workgroups);
    let x = groups.min(limit.into());
    let y = groups.div_ceil(x.max(1));
    if y > u64::from(limit) {
        return Err(GpuError::TooManyWorkgroups {
            kernel: kernel.to_owned(),
            workgroups: [x, y, 1],
            limit,
        });
    }
    Ok([x as u32, y as u32, 1])
}

#[cfg(test)]
mod tests {
    use super::super::kernels::Kernel;
    use super::*;
    use crate::kernel::HostStruct;
    use crate::shader::{Extensions, inspect};

    #[test]
    fn host_structs_are_laid_out_like_the_shaders() -> Result<(), String> {
        for kernel in Kernel::all() {
            let source = kernel.text().map_err(|error| error.to_string())?;
            let (_, reflection) = inspect(&source, Extensions::default())?;
            let last = matches!(kernel, Kernel::Last { .. });
            let (members, bytes) = if last { LastParams::layout() } else { FirstParams::layout() };
            let wgsl: Vec<_> =
                reflection.members.iter().map(|m| (m.name.as_str(), m.offset as usize)).collect();
            assert_eq!((members, bytes as u32), (&wgsl[..], reflection.params_bytes), "{kernel:?}");
            assert_eq!(reflection.workgroup_size, [LANES, 1, 1]);
            // The smallest limit of all backends (downlevel GL).
            assert!(reflection.storage.len() <= 4, "{kernel:?}");
        }
        Ok(())
    }

    #[test]
    fn a_grid_goes_on_in_the_next_dimension() -> Result<(), GpuError> {
        let weak = Capabilities { max_workgroups: 10, ..Capabilities::CORE };
        assert_eq!(grid("test", 64 * 10 + 1, &weak)?, [10, 2, 1]);
        assert!(matches!(
            grid("test", 64 * 100 + 1, &weak),
            Err(GpuError::TooManyWorkgroups { .. })
        ));
        Ok(())
    }
}
