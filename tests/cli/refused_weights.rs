//! Weights and parameters that must be refused: exit code 2, the name of the tensor or the
//! parameter, no output.

use safetensors::Dtype;

use super::program::{Folder, complaint, input, weights};
use crate::common::Outcome;
use crate::common::dict::DictBuilder;

/// A change to good weights, more arguments, and what must be said.
struct Wrong(
    &'static str,
    fn(&mut DictBuilder) -> &mut DictBuilder,
    &'static [&'static str],
    &'static [&'static str],
);

/// A tensor of zeros instead of the one that is there.
fn zeros<'a>(dict: &'a mut DictBuilder, key: &str, dims: &[usize]) -> &'a mut DictBuilder {
    dict.f32(key, dims, &vec![0.0; dims.iter().product()])
}

/// No tensor whose key contains this.
fn without<'a>(dict: &'a mut DictBuilder, part: &str) -> &'a mut DictBuilder {
    dict.remove_all(|key| key.contains(part))
}

const MISSING: &[Wrong] = &[
    Wrong("convolution", |w| w.remove("conv2.weight"), &[], &["conv2.weight", "missing"]),
    Wrong("statistics", |w| w.remove("bn2.running_var"), &[], &["bn2.running_var", "missing"]),
    Wrong("gamma", |w| w.remove("bn3.weight"), &[], &["bn3.weight", "missing"]),
    Wrong("beta", |w| w.remove("downsample.1.bias"), &[], &["downsample.1.bias", "missing"]),
    Wrong(
        "all norms",
        |w| without(without(w, "bn"), "downsample.1"),
        &[],
        &["1.running_mean", "missing"],
    ),
    Wrong(
        "half a downsample",
        |w| w.remove("downsample.0.weight"),
        &[],
        &["downsample.0.weight", "missing"],
    ),
    Wrong("downsample", |w| without(w, "downsample"), &[], &["downsample is required", "stride 2"]),
    Wrong(
        "downsample",
        |w| without(w, "downsample"),
        &["--stride", "1"],
        &["downsample is required", "inplanes 8"],
    ),
    Wrong("prefix", |w| w, &["--prefix", "layer2.0."], &["layer2.0.conv1.weight", "missing"]),
    Wrong(
        "all statistics",
        |w| without(without(w, "running"), "tracked"),
        &[],
        &["track_running_stats=False"],
    ),
];

const MISSHAPEN: &[Wrong] = &[
    Wrong(
        "3x3",
        |w| zeros(w, "conv1.weight", &[4, 8, 3, 3]),
        &[],
        &["conv1.weight", "[4, 8, 3, 3]"],
    ),
    Wrong(
        "5x5",
        |w| zeros(w, "conv2.weight", &[4, 2, 5, 5]),
        &[],
        &["conv2.weight", "[4, 2, 5, 5]"],
    ),
    Wrong("flat", |w| zeros(w, "conv3.weight", &[64]), &[], &["conv3.weight", "[64]"]),
    Wrong(
        "width",
        |w| zeros(w, "conv3.weight", &[16, 5, 1, 1]),
        &[],
        &["conv3.weight", "[16, 5, 1, 1]"],
    ),
    Wrong(
        "planes",
        |w| zeros(w, "conv3.weight", &[14, 4, 1, 1]),
        &[],
        &["conv3.weight", "[14, 4, 1, 1]"],
    ),
    Wrong(
        "groups",
        |w| zeros(w, "conv2.weight", &[4, 3, 3, 3]),
        &[],
        &["conv2.weight", "[4, 3, 3, 3]"],
    ),
    Wrong("norm", |w| zeros(w, "bn1.bias", &[5]), &[], &["bn1.bias", "[5]"]),
    Wrong("scalar norm", |w| zeros(w, "bn1.weight", &[1]), &[], &["bn1.weight", "[1]"]),
    Wrong(
        "downsample",
        |w| zeros(w, "downsample.0.weight", &[12, 8, 1, 1]),
        &[],
        &["downsample.0.weight", "[12, 8, 1, 1]"],
    ),
    Wrong(
        "3x3 downsample",
        |w| zeros(w, "downsample.0.weight", &[16, 8, 3, 3]),
        &[],
        &["downsample.0.weight", "not 1x1"],
    ),
    Wrong(
        "no output",
        |w| zeros(w, "conv1.weight", &[0, 8, 1, 1]),
        &[],
        &["conv1.weight", "[0, 8, 1, 1]"],
    ),
    Wrong(
        "no groups",
        |w| zeros(w, "conv2.weight", &[4, 0, 3, 3]),
        &[],
        &["conv2.weight", "[4, 0, 3, 3]"],
    ),
    Wrong(
        "no planes",
        |w| zeros(w, "conv3.weight", &[0, 4, 1, 1]),
        &[],
        &["conv3.weight", "[0, 4, 1, 1]"],
    ),
    Wrong("no norm", |w| zeros(w, "bn1.weight", &[0]), &[], &["bn1.weight", "[0]"]),
    Wrong(
        "huge but empty",
        |w| w.f32("conv1.weight", &[0, 1 << 60, 1, 1], &[]),
        &[],
        &["conv1.weight", "1152921504606846976"],
    ),
    Wrong("a bias", |w| zeros(w, "conv1.bias", &[4]), &[], &["conv1.bias", "no bias"]),
    Wrong(
        "a pooled shortcut",
        |w| {
            zeros(
                zeros(without(w, "downsample"), "downsample.1.weight", &[16, 8, 1, 1]),
                "downsample.2.weight",
                &[16],
            )
        },
        &[],
        &["downsample.1.weight", "pooled"],
    ),
];

const VALUES: &[Wrong] = &[
    Wrong(
        "integers",
        |w| w.raw("conv1.weight", Dtype::I32, &[4, 8, 1, 1], vec![0; 128]),
        &[],
        &["conv1.weight", "I32"],
    ),
    Wrong(
        "doubles",
        |w| w.raw("bn1.running_mean", Dtype::F64, &[4], vec![0; 32]),
        &[],
        &["bn1.running_mean", "F64"],
    ),
    Wrong(
        "negative variance",
        |w| w.poke("bn2.running_var", 3, -0.5),
        &[],
        &["bn2.running_var", "-0.5", "index 3"],
    ),
    Wrong(
        "zero variance",
        |w| w.poke("bn2.running_var", 1, 0.0),
        &["--eps", "0"],
        &["bn2.running_var", "index 1", "eps 0"],
    ),
    Wrong("NaN", |w| w.poke("conv3.weight", 7, f32::NAN), &[], &["conv3.weight", "NaN", "index 7"]),
    Wrong("infinity", |w| w.poke("conv1.weight", 0, f32::INFINITY), &[], &["conv1.weight", "inf"]),
    Wrong(
        "NaN variance",
        |w| w.poke("bn1.running_var", 0, f32::NAN),
        &[],
        &["bn1.running_var", "NaN"],
    ),
    Wrong(
        "infinite mean",
        |w| w.poke("bn1.running_mean", 2, f32::NEG_INFINITY),
        &[],
        &["bn1.running_mean", "-inf"],
    ),
    Wrong(
        "folding overflows",
        |w| w.poke("bn1.weight", 0, f32::MAX).poke("bn1.running_var", 0, 0.0),
        &[],
        &["conv1.weight", "beyond the range of f32"],
    ),
];

/// Arguments in addition to `--stride 2` (which they may overrule) that contradict good weights, or
/// themselves.
const ARGUMENTS: &[(&[&str], &[&str])] = &[
    (&["--norm", "identity"], &["bn1.weight", "Identity"]),
    (&["--norm", "group"], &["norm_layer group"]),
    (&["--norm", "LayerNorm"], &["norm_layer LayerNorm"]),
    (&["--stride", "0"], &["stride must be at least 1"]),
    (&["--stride", "-1"], &["--stride", "-1"]),
    (&["--stride", "18446744073709551615"], &["stride = 18446744073709551615"]),
    (&["--stride", "99999999999999999999"], &["--stride"]),
    (&["--dilation", "0"], &["dilation must be at least 1"]),
    (&["--dilation", "4294967295"], &["dilation = 4294967295"]),
    (&["--rate", "0"], &["rate must be at least 1"]),
    (&["--rate", "2", "--dilation", "2"], &["--rate", "--dilation"]),
    (&["--rate", "2", "--groups", "2"], &["--rate", "--groups"]),
    (&["--rate", "2"], &["groups = 1", "conv2.weight"]),
    (&["--groups", "0"], &["groups must be at least 1"]),
    (&["--groups", "3"], &["width", "3 groups"]),
    (&["--groups", "4"], &["groups = 4", "conv2.weight"]),
    (&["--groups", "18446744073709551615"], &["18446744073709551615 groups"]),
    (&["--base-width", "0"], &["base_width must be at least 1"]),
    (&["--base-width", "15"], &["width", "= 0"]),
    (&["--base-width", "64"], &["base_width = 64", "conv2.weight"]),
    (&["--base-width", "18446744073709551615"], &["base_width = 18446744073709551615"]),
    (&["--eps", "-1e-5"], &["eps", "-0.00001"]),
    (&["--eps", "nan"], &["eps", "NaN"]),
    (&["--eps", "small"], &["--eps", "small"]),
    (&["--adapter", "no such adapter"], &["no such adapter", "present"]),
    (&["--adapter", "99"], &["index 99"]),
    (&["--adapter", ""], &["--adapter"]),
    (&["--plan", "fast"], &["--plan", "fast"]),
    (&["--kernel", "winograd9"], &["winograd9", "candidates"]),
    (&["--padding", "1"], &["--padding"]),
];

/// Runs the block with these weights and arguments; what is wrong with its refusal, if anything is.
fn refusal(
    dict: &DictBuilder,
    args: &[&str],
    says: &[&str],
) -> Result<Option<String>, Box<dyn std::error::Error>> {
    let folder = Folder::with(&dict.bytes(), &input().bytes())?;
    let stride: &[&str] = if args.contains(&"--stride") { &[] } else { &["--stride", "2"] };
    let output = folder.block(&[stride, args].concat())?;
    assert_eq!(folder.files()?, ["in", "w"], "{args:?} {says:?}");
    Ok(complaint(&output, 2, says))
}

fn refuse_all(wrong: &[Wrong]) -> Outcome {
    let mut complaints = Vec::new();
    for Wrong(name, change, args, says) in wrong {
        let mut dict = weights();
        change(&mut dict);
        complaints
            .extend(refusal(&dict, args, says)?.map(|complaint| format!("{name}: {complaint}")));
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n\n"));
    Ok(())
}

#[test]
fn missing_tensors_are_named() -> Outcome {
    refuse_all(MISSING)
}

#[test]
fn misshapen_tensors_are_named() -> Outcome {
    refuse_all(MISSHAPEN)
}

#[test]
fn impossible_values_are_named() -> Outcome {
    refuse_all(VALUES)
}

#[test]
fn wrong_arguments_are_named() -> Outcome {
    let mut complaints = Vec::new();
    for (args, says) in ARGUMENTS {
        complaints.extend(
            refusal(&weights(), args, says)?.map(|complaint| format!("{args:?}: {complaint}")),
        );
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n\n"));
    Ok(())
}
