//! Splits inputs that are too large for a device's bindings into micro-batches: a batch into
//! images, an image into overlapping bands of rows.
//!
//! A chain of blocks looks at neighbouring rows through its 3x3 convolutions only, so an output row
//! depends on a few input rows. A band is run as if it were an image. The rows at its ends that saw
//! zero padding where the image continues are dropped, and neighbouring bands overlap by as much.
//! All bands have the same height, so one recording serves them all.

use std::ops::Range;

use crate::error::{Error, GpuError, Result};
use crate::gpu;
use crate::network::{Bottleneck, StrideIn};
use crate::plan::Recording;
use crate::tensor::{HostTensor, Rows, Shape, memory};

/// How an input is split into runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tiling {
    /// The whole input.
    input: Shape,
    /// The whole output.
    output: Shape,
    /// The input of one run.
    micro_batch_input: Shape,
    micro_batches: Vec<MicroBatch>,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq)]
struct MicroBatch {
    /// Index of the first image.
    item: usize,
    band: Band,
}

/// A band of rows of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Band {
    /// The first input row.
    top: usize,
    /// The output row that its first input row corresponds to.
    first: usize,
    /// The output rows that are taken from it.
    rows: Range<usize>,
}

/// Records the whole input, or, if a tensor is too large for the device or a step takes too long
/// for a watchdog, the largest micro-batch that fits, and how the input is split into
/// micro-batches. Steps that take too long for every micro-batch are not split.
///
/// # Errors
/// Any error of `record` for the whole input, if no micro-batch can be recorded either.
pub(super) fn record_tiled(
    blocks: &[Bottleneck],
    input: Shape,
    watched_rate: Option<u64>,
    record: impl Fn(Shape) -> Result<Recording>,
) -> Result<(Recording, Option<Tiling>)> {
    let is_short =
        |recording: &Recording| watched_rate.is_none_or(|rate| recording.has_short_steps(rate));
    let whole = match record(input) {
        Ok(recording) if is_short(&recording) => return Ok((recording, None)),
        whole @ (Ok(_) | Err(Error::Gpu(GpuError::TooLarge { .. }))) => whole,
        Err(error) => return Err(error),
    };
    let limits: [&dyn Fn(&Recording) -> bool; 2] = [&is_short, &|_| true];
    // A whole input that fits is not split without need.
    for limit in &limits[..if whole.is_ok() { 1 } else { 2 }] {
        let fits = |micro_batch: Shape| match record(micro_batch) {
            Ok(recording) => Ok(limit(&recording)),
            Err(Error::Gpu(GpuError::TooLarge { .. })) => Ok(false),
            Err(error) => Err(error),
        };
        if let Some((micro_batch, bands)) = largest_that_fits(blocks, input, fits)? {
            return tiled(blocks, input, record(micro_batch)?, &bands);
        }
    }
    match whole {
        Ok(recording) => Ok((recording, None)),
        // Even a single image does not fit: report what is too large for it.
        Err(whole) => Err(record(Shape { n: 1, ..input }).err().unwrap_or(whole)),
    }
}

/// The largest micro-batch that fits, and the bands of rows of an image.
fn largest_that_fits(
    blocks: &[Bottleneck],
    input: Shape,
    fits: impl Fn(Shape) -> Result<bool>,
) -> Result<Option<(Shape, Vec<Band>)>> {
    if let Some(n) = largest(input.n, |n| fits(Shape { n, ..input }))? {
        return Ok(Some((Shape { n, ..input }, vec![Band::whole(blocks, input.h)])));
    }
    let bands = Heights::of(blocks, input.h).bands(|h| fits(Shape { n: 1, h, ..input }))?;
    Ok(bands.map(|(h, bands)| (Shape { n: 1, h, ..input }, bands)))
}

/// The runs of a recording of one micro-batch over the whole input.
fn tiled(
    blocks: &[Bottleneck],
    input: Shape,
    recording: Recording,
    bands: &[Band],
) -> Result<(Recording, Option<Tiling>)> {
    let micro_batch = recording.plan.tensor(recording.plan.input).shape;
    let of_part = recording.plan.tensor(recording.plan.output).shape;
    let output = Shape { n: input.n, h: Heights::of(blocks, input.h).outputs(), ..of_part };
    let count = input.n.div_ceil(micro_batch.n).saturating_mul(bands.len());
    let bytes = (count as u64).saturating_mul(size_of::<MicroBatch>() as u64);
    memory::check("the list of micro-batches", &input.dims(), bytes)?;
    let micro_batches = (0..input.n).step_by(micro_batch.n);
    let micro_batches = micro_batches
        .flat_map(|item| bands.iter().map(move |band| MicroBatch { item, band: band.clone() }))
        .collect();
    let tiling = Tiling { input, output, micro_batch_input: micro_batch, micro_batches };
    Ok((recording, Some(tiling)))
}

/// The largest number from one to `most` that satisfies a monotonic predicate (true for all smaller
/// numbers too); `None` if one does not.
fn largest(most: usize, mut holds: impl FnMut(usize) -> Result<bool>) -> Result<Option<usize>> {
    let (mut below, mut above) = (0, most + 1);
    while above - below > 1 {
        let middle = below + (above - below) / 2;
        if holds(middle)? { below = middle } else { above = middle }
    }
    Ok((below > 0).then_some(below))
}

/// Which input rows each output row of a chain of blocks depends on.
#[derive(Debug, Clone)]
struct Heights {
    /// Rows of the image.
    height: usize,
    /// Stride and dilation of each convolution that reads neighbouring rows or skips rows, in
    /// order. Output row y depends on rows y * stride - dilation to y * stride + dilation.
    convs: Vec<[usize; 2]>,
}

impl Heights {
    fn of(blocks: &[Bottleneck], height: usize) -> Self {
        let of_block = |block: &Bottleneck| match block.stride_in() {
            StrideIn::Conv1 => vec![[block.stride(), 0], [1, block.dilation()]],
            StrideIn::Conv2 => vec![[block.stride(), block.dilation()]],
        };
        Self { height, convs: blocks.iter().flat_map(of_block).collect() }
    }

    /// Rows of the output.
    fn outputs(&self) -> usize {
        self.convs.iter().fold(self.height, |height, [stride, _]| (height - 1) / stride + 1)
    }

    /// The output rows that are the same from this band as from the whole image.
    fn right(&self, band: Range<usize>) -> Range<usize> {
        let (mut height, mut right) = (self.height, band);
        for &[stride, dilation] in &self.convs {
            let outputs = (height - 1) / stride + 1;
            // Beyond the ends of the image is padding, in a band as well.
            let start =
                if right.start == 0 { 0 } else { (right.start + dilation).div_ceil(stride) };
            let end = match right.end {
                end if end == height => outputs,
                end => (end.saturating_sub(dilation)).div_ceil(stride),
            };
            (height, right) = (outputs, start..end.max(start));
        }
        right
    }

    /// Bands of a height that fits: as few as the largest such height allows, and no higher than
    /// needed for that number.
    fn bands(&self, fits: impl Fn(usize) -> Result<bool>) -> Result<Option<(usize, Vec<Band>)>> {
        // Bands begin where strides do, and the last one ends with the image, so heights differ by
        // whole strides.
        let stride =
            self.convs.iter().fold(1_usize, |product, [stride, _]| product.saturating_mul(*stride));
        let steps = (self.height - 1) / stride;
        // The fewer steps are left out, the higher the band.
        let height = |kept: usize| self.height - (steps + 1 - kept) * stride;
        let Some(most) = largest(steps, |kept| fits(height(kept)))? else { return Ok(None) };
        let Some(fewest) = self.of_height(height(most), stride).map(|bands| bands.len()) else {
            return Ok(None);
        };
        let bands = |kept: usize| self.of_height(height(kept), stride);
        let too_low =
            largest(most - 1, |kept| Ok(bands(kept).is_none_or(|bands| bands.len() > fewest)))?;
        let kept = too_low.unwrap_or(0) + 1;
        Ok(bands(kept).map(|bands| (height(kept), bands)))
    }

    /// Bands of this height over the whole image; `None` if they are too low to contribute a row
    /// beyond the overlap.
    fn of_height(&self, height: usize, stride: usize) -> Option<Vec<Band>> {
        let (last, outputs) = (self.height - height, self.outputs());
        let (mut bands, mut top, mut done) = (Vec::new(), 0, 0);
        loop {
            let right = self.right(top..top + height);
            if right.start > done || right.end <= done {
                return None;
            }
            bands.push(Band { top, first: top / stride, rows: done..right.end });
            done = right.end;
            if done == outputs {
                return Some(bands);
            }
            // The lowest position whose rows continue without a gap after these.
            let next = largest((last - top) / stride, |steps| {
                let next = top + steps * stride;
                Ok(self.right(next..next + height).start <= done)
            });
            top += next.ok()?? * stride;
        }
    }
}

impl Band {
    fn whole(blocks: &[Bottleneck], height: usize) -> Self {
        Self { top: 0, first: 0, rows: 0..Heights::of(blocks, height).outputs() }
    }
}

impl Tiling {
    /// Number of runs.
    pub fn runs(&self) -> usize {
        self.micro_batches.len()
    }

    /// The runs, for an input and an output.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`](crate::error::ShapeError::Mismatch) if either has another shape
    /// than the whole.
    pub fn row_runs<'a>(
        &'a self,
        input: &HostTensor,
        output: &HostTensor,
    ) -> Result<impl Iterator<Item = gpu::RowRun> + use<'a>> {
        input.check_shape("input", self.input)?;
        output.check_shape("output", self.output)?;
        let items = self.micro_batch_input.n;
        Ok(self.micro_batches.iter().map(move |MicroBatch { item, band }| gpu::RowRun {
            from: Rows { item: *item, items, top: band.top, count: self.micro_batch_input.h },
            first: band.rows.start - band.first,
            to: Rows { item: *item, items, top: band.rows.start, count: band.rows.len() },
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tall_image_and_large_strides_take_no_time() -> Result<()> {
        let tall = Heights { height: 1 << 20, convs: vec![[1, 1]; 2] };
        let (height, bands) = tall.bands(|height| Ok(height <= 5))?.ok_or(GpuError::SameBuffer)?;
        assert_eq!((height, bands.len()), (5, (1 << 20) - 4));
        let wide_steps = Heights { height: 99, convs: vec![[usize::MAX, 1]; 2] };
        assert_eq!(wide_steps.bands(|_| Ok(true))?, None);
        Ok(())
    }

    /// Whatever height fits, the bands give every output row once, each from a band that contains
    /// all rows it depends on.
    #[test]
    fn bands_give_every_line_once() -> Result<()> {
        let (mut tiled, mut refused) = (0, 0);
        for (height, strides, dilations, fits) in (1..40).flat_map(|height| {
            (0..81).flat_map(move |kind| {
                (1..height).map(move |fits| (height, kind % 9, kind / 9, fits))
            })
        }) {
            let convs =
                vec![[1 + strides % 3, 1 + dilations % 3], [1 + strides / 3, 1 + dilations / 3]];
            let heights = Heights { height, convs: convs.clone() };
            let Some((band, bands)) = heights.bands(|height| Ok(height <= fits))? else {
                refused += 1;
                continue;
            };
            tiled += 1;
            assert!(band <= fits && !bands.is_empty(), "{heights:?}: {band}");
            let mut done = 0;
            for Band { top, first, rows: taken } in &bands {
                assert!(
                    taken.start == done && taken.end > done && top + band <= height,
                    "{heights:?}: {bands:?}"
                );
                assert_eq!(first * convs[0][0] * convs[1][0], *top, "{heights:?}: {bands:?}");
                done = taken.end;
                for y in taken.clone() {
                    // The rows that the output row depends on, computed backwards.
                    let (mut low, mut high) = (y as isize, y as isize);
                    let heights =
                        [height as isize, (height as isize - 1) / convs[0][0] as isize + 1];
                    for (&[stride, dilation], height) in convs.iter().zip(heights).rev() {
                        low = (low * stride as isize - dilation as isize).max(0);
                        high = (high * stride as isize + dilation as isize).min(height - 1);
                    }
                    assert!(
                        low >= *top as isize && high < (top + band) as isize,
                        "{heights:?}: row {y} of {bands:?}"
                    );
                }
            }
            assert_eq!(done, heights.outputs(), "{heights:?}: {bands:?}");
        }
        assert!(tiled > 10_000 && refused > 1_000, "{tiled} {refused}");
        Ok(())
    }
}
