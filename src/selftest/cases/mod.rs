//! The table of cases: edge shapes, derived from the tile of the kernel under test.
//!
//! With R rows (output pixels) and C columns (`vec4`s of output channels) per workgroup, every
//! kernel is tested with: one pixel; one row or channel less than its tile, whole tiles, one more,
//! and several tiles in both directions; sums that are not a multiple of any step of K; channels
//! that are not a multiple of four; where applicable, strides, dilations, an image smaller than the
//! dilation, and odd groups; and a grid that extends into its next dimension. The case that finds
//! most faults comes first.

mod gradients;
mod inference;
mod norms;
mod sizes;
mod steps;

use super::case::Case;
use crate::kernel::Kernel;
use crate::op::Epilogue;
use inference::Kind;

/// Every case of a kernel; empty for a family with an operation in no table, which a test excludes.
#[must_use]
pub fn cases(kernel: Kernel) -> Vec<Case> {
    match kernel.family {
        _ if kernel.transforms_weights_each_run => {
            gradients::with_changing_weights(kernel, inference::cases(kernel))
        }
        family if family.is_training() => [gradients::cases, norms::cases, steps::cases]
            .into_iter()
            .flat_map(|cases| cases(kernel))
            .collect(),
        _ => inference::cases(kernel),
    }
}

/// Whether a plan can contain the specialisation; a test compares this with the plans of blocks and
/// of networks.
#[must_use]
pub fn is_in_plans(kernel: &Kernel) -> bool {
    let Epilogue { bias, residual, relu } = kernel.epilogue;
    match Kind::of(kernel.family) {
        // Where nothing is folded there is no bias, and ReLU only where there is no norm. A bias
        // alone is the last layer's and a BasicBlock's shortcut's; only the last convolution of a
        // block has a residual, and it has no stride. In training, a convolution by mirrored
        // weights adds another gradient.
        Some(Kind::Conv1x1) => {
            if bias {
                !residual || relu && !kernel.strided
            } else {
                !residual || !relu && !kernel.strided
            }
        }
        Some(Kind::Conv3x3) => {
            if bias {
                relu
            } else {
                !residual || !relu
            }
        }
        Some(Kind::Grouped | Kind::Stem) => !residual && (!bias || relu),
        Some(Kind::Joined) => relu,
        Some(Kind::Norm | Kind::Add | Kind::MaxPool | Kind::AvgPool | Kind::Convert) => true,
        // ReLU follows what is added to a norm.
        None => !residual || relu,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::sizes::Size;
    use super::*;
    use crate::error::Result;
    use crate::kernel::{all_candidates, training_candidates};
    use crate::op::{Conv, Op};
    use crate::tensor::Shape;

    #[test]
    fn every_kernel_has_cases_and_f32_is_exact_for_each() -> Result<()> {
        let mut seen = HashSet::new();
        for kernel in all_candidates().into_iter().chain(training_candidates()) {
            let cases = cases(kernel);
            assert!(cases.len() > 3, "{}: {} cases", kernel.name(), cases.len());
            for case in cases.into_iter().filter(|case| seen.insert(case.clone())) {
                case.problem()?;
                if kernel.tile.rows_per_thread * kernel.tile.workgroup_y <= 8 {
                    case.expected()?;
                }
            }
        }
        Ok(())
    }

    #[test]
    fn a_strided_image_gives_the_output_that_it_is_for() -> Result<()> {
        for (stride, h, w) in (0..48).map(|i| (1 + i / 16, 1 + i / 4 % 4, 1 + i % 4)) {
            let size = Size::new("any", [2, h, w], [5, 6]).taps(stride, 1);
            for conv in [Conv::conv1x1(5, 6, stride), Conv::conv3x3(5, 6, stride, 1, 1)] {
                let op = Op::Conv { conv, epilogue: Epilogue::default() };
                assert_eq!(
                    op.output_shape(&[size.item()])?,
                    Shape { n: 2, c: 6, h, w },
                    "{conv:?}"
                );
            }
        }
        Ok(())
    }
}
