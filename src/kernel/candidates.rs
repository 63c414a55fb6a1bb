//! The candidates: kernels that can run a step.

use std::collections::HashSet;

use super::candidate_tiles::tiles;
use super::matrix::{GROUPED_MATRIX_TILES, MATRIX_SPLITS, MATRIX_TILES, MatrixTile};
use super::{Access, Capabilities, Family, Kernel, Method, Problem, Tile, Winograd, split_k};
use crate::op::{Epilogue, Op, TrainOp};
use crate::tensor::DType;

/// Winograd tiles, with weights transformed by the host or by a dispatch.
const WINOGRADS: [(Option<Winograd>, bool); 4] = [
    (Some(Winograd::F2x2), false),
    (Some(Winograd::F4x4), false),
    (Some(Winograd::F2x2), true),
    (Some(Winograd::F4x4), true),
];

/// The kernels of a family without an epilogue: its tiles, for each way of memory access, element
/// type, Winograd tile and number of slices of K.
fn variants(family: Family) -> impl Iterator<Item = Kernel> {
    let winograds: &[(Option<Winograd>, bool)] =
        if family.is_winograd() { &WINOGRADS } else { &[(None, false)] };
    let of_access = move |&access: &Access| {
        let kernel = move |(&(dtype, output_dtype), &tile): (&(DType, DType), &Tile)| {
            let of_winograd = move |&(winograd, changing): &(Option<Winograd>, bool)| Kernel {
                family,
                tile,
                epilogue: Epilogue::default(),
                strided: false,
                access,
                dtype,
                output_dtype,
                winograd,
                transforms_weights_each_run: changing,
                matrix_side: 0,
                k_slices: 1,
            };
            winograds.iter().map(of_winograd)
        };
        let dtypes = family.dtypes(access).iter();
        dtypes
            .flat_map(move |dtype| tiles(family, access).iter().map(move |tile| (dtype, tile)))
            .flat_map(kernel)
    };
    let with_splits = |kernel: Kernel| {
        let staged = kernel.family.method() == Method::Staged;
        let splits = split_k::SPLITS.iter().filter(move |(tile, _)| staged && *tile == kernel.tile);
        std::iter::once(kernel)
            .chain(splits.map(move |&(_, k_slices)| Kernel { k_slices, ..kernel }))
    };
    family
        .accesses()
        .iter()
        .flat_map(of_access)
        .flat_map(with_splits)
        .chain(matrix_variants(family))
}

/// The same for kernels on matrix units.
fn matrix_variants(family: Family) -> impl Iterator<Item = Kernel> {
    let (tiles, splits): (&[MatrixTile], &[(MatrixTile, u32)]) = match family {
        Family::Conv3x3GroupedMatrix => (&GROUPED_MATRIX_TILES, &[]),
        _ if family.method() == Method::Matrix => (&MATRIX_TILES, &MATRIX_SPLITS),
        _ => (&[], &[]),
    };
    let forms = move || tiles.iter().map(|&tile| (tile, 1)).chain(splits.iter().copied());
    let dtypes = family.dtypes(Access::Vectors).iter();
    dtypes.flat_map(move |dtypes| forms().map(move |form| (dtypes, form))).map(
        move |(&(dtype, output_dtype), (MatrixTile { side, tile }, k_slices))| Kernel {
            family,
            tile,
            epilogue: Epilogue::default(),
            strided: false,
            access: Access::Vectors,
            dtype,
            output_dtype,
            winograd: None,
            transforms_weights_each_run: false,
            matrix_side: side,
            k_slices,
        },
    )
}

/// Every kernel that can run the problem on a device with these capabilities: none if its shapes
/// and layouts do not fit each other and the operation.
#[must_use]
pub fn candidates(problem: &Problem, capabilities: &Capabilities) -> Vec<Kernel> {
    if !problem.is_consistent() {
        return Vec::new();
    }
    let (epilogue, strided) = match problem.op {
        Op::Conv { conv, epilogue } => (epilogue, conv.stride != 1),
        Op::JoinedConv { relu, .. } => (Epilogue { bias: true, residual: false, relu }, false),
        Op::BatchNorm { relu, .. } | Op::Add { relu, .. } => {
            (Epilogue { relu, ..Epilogue::default() }, false)
        }
        Op::MaxPool { .. } | Op::GlobalAvgPool { .. } | Op::Convert { .. } => {
            (Epilogue::default(), false)
        }
        Op::Train(TrainOp::NormApply { relu, residual, .. }) => {
            (Epilogue { bias: false, residual, relu }, false)
        }
        Op::Train(TrainOp::NormGradSums { relu, .. } | TrainOp::NormGrad { relu, .. }) => {
            (Epilogue { relu, ..Epilogue::default() }, false)
        }
        Op::Train(_) => (Epilogue::default(), false),
    };
    let refused: &[String] = capabilities.refused;
    if !refused.is_empty() {
        // Kernels that the driver did not compile before are only tried if there is no other.
        let anything = Capabilities { refused: &[], ..*capabilities };
        let all = candidates(problem, &anything);
        let others: Vec<Kernel> =
            all.iter().copied().filter(|kernel| !kernel.is_refused(refused)).collect();
        return if others.is_empty() { all } else { others };
    }
    let of_family = |&family: &Family| {
        let strided = strided && family.has_strided_form();
        variants(family).map(move |kernel| Kernel { epilogue, strided, ..kernel })
    };
    let every = Family::of(&problem.op).iter().flat_map(of_family);
    let dtypes = (problem.dtype, problem.output_dtype);
    let every = every.filter(|kernel| (kernel.dtype, kernel.output_dtype) == dtypes);
    every
        .filter(|kernel| {
            kernel.suits(problem, capabilities) && kernel.runs_on(capabilities).is_ok()
        })
        .collect()
}

/// Every specialisation that can ever be built, family by family, for validation by tests. A
/// candidate with several dispatches contributes each of them.
#[must_use]
pub fn all_specialisations() -> Vec<Kernel> {
    let mut seen = HashSet::new();
    let dispatches = all_candidates()
        .into_iter()
        .chain(training_candidates())
        .flat_map(|kernel| kernel.dispatches());
    let mut all: Vec<Kernel> = dispatches.filter(|&kernel| seen.insert(kernel)).collect();
    all.sort_by_key(|kernel| kernel.family as usize);
    all
}

/// Every possible candidate for a step of inference.
#[must_use]
pub fn all_candidates() -> Vec<Kernel> {
    let flags = [false, true];
    let mut all = Vec::new();
    for family in
        Family::ALL.into_iter().filter(|family| !family.is_auxiliary() && !family.is_training())
    {
        for kernel in variants(family).filter(|kernel| !kernel.transforms_weights_each_run) {
            for (strided, bias, residual, relu) in (0..16).map(|bits| {
                (flags[bits >> 3], flags[bits >> 2 & 1], flags[bits >> 1 & 1], flags[bits & 1])
            }) {
                let possible = match family {
                    Family::Conv1x1Joined
                    | Family::Conv1x1JoinedStaged
                    | Family::Conv1x1JoinedSubgroup
                    | Family::Conv1x1JoinedMatrix => bias && !residual,
                    Family::BatchNormRelu | Family::ResidualAdd => !bias && !residual,
                    Family::MaxPool | Family::GlobalAvgPool | Family::Convert => {
                        !bias && !residual && !relu
                    }
                    Family::Conv7x7 | Family::Conv7x7Subgroup => !residual,
                    _ => true,
                };
                // Such a step has nothing but its sums.
                let widens = kernel.dtype == DType::F16 && kernel.output_dtype == DType::F32;
                let possible = possible && !(widens && (bias || residual || relu));
                if possible && (!strided || family.has_strided_form()) {
                    all.push(Kernel {
                        epilogue: Epilogue { bias, residual, relu },
                        strided,
                        ..kernel
                    });
                }
            }
        }
    }
    all
}

/// Every possible candidate for a step that occurs in training only.
#[must_use]
pub fn training_candidates() -> Vec<Kernel> {
    let mut all = Vec::new();
    let trains =
        |family: &Family| (family.is_training() || family.is_winograd()) && !family.is_auxiliary();
    for family in Family::ALL.into_iter().filter(trains) {
        let convolves = family.is_winograd();
        let relus = matches!(family, Family::NormApply | Family::NormGradSums | Family::NormGrad)
            || convolves;
        let epilogues = [(false, false), (false, true), (true, false), (true, true)]
            .into_iter()
            .filter(|&(residual, relu)| {
                (!residual || convolves || family == Family::NormApply) && (!relu || relus)
            })
            .map(|(residual, relu)| Epilogue { bias: false, residual, relu });
        for kernel in
            variants(family).filter(|kernel| kernel.transforms_weights_each_run == convolves)
        {
            all.extend(epilogues.clone().map(|epilogue| Kernel { epilogue, ..kernel }));
        }
    }
    all
}
