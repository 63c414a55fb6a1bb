//! Bad input to the library: every case is a typed error that names the tensor or the parameter,
//! and nothing panics.

use crate::common::dict::{DictBuilder, with_header};
use crate::common::exact::{Growth, exact_dict, options_of};
use crate::common::{Outcome, any_gpu};
use proptest::prelude::*;
use wgpu_bottleneck::error::{Error, GpuError, ShapeError, SpecError, WeightsError};
use wgpu_bottleneck::gpu::{GpuOptions, LimitsChoice};
use wgpu_bottleneck::kernel::Capabilities;
use wgpu_bottleneck::plan::KernelChoice;
use wgpu_bottleneck::wgpu::{BufferDescriptor, BufferUsages};
use wgpu_bottleneck::{
    Block, BlockChain, BlockOptions, Bottleneck, Gpu, HostTensor, LoadOptions, Norm, Shape,
    StateDict, record,
};

/// A ResNeXt-like block with a downsample: inplanes 12, planes 4, width 8, groups 2.
fn spec() -> Result<Bottleneck, SpecError> {
    Bottleneck::torchvision(12, 4).base_width(64).groups(2).stride(2).downsample(true).build()
}

fn dict() -> Result<DictBuilder, SpecError> {
    Ok(exact_dict(&spec()?, true, Growth::for_chain(1), 7))
}

fn load(dict: &DictBuilder, options: &BlockOptions) -> Result<Block, Error> {
    Block::from_state_dict(&StateDict::from_bytes(dict.bytes())?, "", options)
}

/// The error of a state dict after a change.
fn refused(
    change: impl FnOnce(&mut DictBuilder) -> &mut DictBuilder,
) -> Result<Error, Box<dyn std::error::Error>> {
    let mut dict = dict()?;
    change(&mut dict);
    Ok(load(&dict, &options_of(&spec()?)).err().ok_or("accepted")?)
}

fn refused_options(options: BlockOptions) -> Result<Error, Box<dyn std::error::Error>> {
    Ok(load(&dict()?, &options).err().ok_or("accepted")?)
}

#[test]
fn the_unchanged_block_is_accepted() -> Outcome {
    assert_eq!(load(&dict()?, &options_of(&spec()?))?.spec().width(), spec()?.width());
    Ok(())
}

#[test]
fn broken_headers_are_format_errors() -> Outcome {
    let good = dict()?.bytes();
    let tensor = r#"{"conv1.weight":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#;
    let overlap = format!(r#"{tensor},"b":{{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}}}"#);
    let beyond = r#"{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}"#;
    let huge =
        r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,8]}}"#;
    let unequal = r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#;
    let backwards = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#;
    let mut lying = good.clone();
    lying[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let cases = [
        ("empty", Vec::new(), "an empty file"),
        ("text", b"these are not the weights you are looking for".to_vec(), "a text file"),
        ("truncated header", good[..20].to_vec(), "claims"),
        ("truncated data", good[..good.len() - 1].to_vec(), "data"),
        ("trailing data", [good.clone(), vec![0; 3]].concat(), ""),
        ("lying header length", lying, "claims"),
        ("overlap", with_header(&overlap, 12), "tensor b"),
        ("beyond", with_header(beyond, 8), "tensor a"),
        ("huge", with_header(huge, 8), "tensor a"),
        ("unequal", with_header(unequal, 8), "tensor a"),
        ("backwards", with_header(backwards, 8), "tensor a"),
        ("no json", with_header("{", 0), ""),
    ];
    for (name, bytes, said) in cases {
        match StateDict::from_bytes(bytes) {
            Err(Error::Weights(WeightsError::Format { reason, .. })) => {
                assert!(reason.contains(said), "{name}: {reason}");
            }
            Err(Error::Weights(WeightsError::NotACheckpoint { what, .. })) => {
                assert!(what.contains(said), "{name}: {what}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    Ok(())
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn tensors_that_do_not_fit_are_named() -> Outcome {
    use WeightsError::{ElementType, Missing, NonFinite, Shape, Variance};
    type Change = fn(&mut DictBuilder) -> &mut DictBuilder;
    type Check = fn(&Error) -> bool;
    let changes: Vec<(&str, Change, Check)> = vec![
        (
            "conv2.weight",
            |d| d.remove("conv2.weight"),
            |e| matches!(e, Error::Weights(Missing { .. })),
        ),
        (
            "bn1.running_var",
            |d| d.remove("bn1.running_var"),
            |e| matches!(e, Error::Weights(Missing { .. })),
        ),
        ("bn2.bias", |d| d.remove("bn2.bias"), |e| matches!(e, Error::Weights(Missing { .. }))),
        (
            "bn3.weight",
            |d| d.remove("bn3.weight").remove("bn3.bias"),
            |e| matches!(e, Error::Weights(Missing { .. })),
        ),
        (
            "downsample.0.weight",
            |d| d.remove("downsample.0.weight"),
            |e| matches!(e, Error::Weights(Missing { .. })),
        ),
        (
            "downsample.1.running_mean",
            |d| d.remove("downsample.1.running_mean"),
            |e| matches!(e, Error::Weights(Missing { .. })),
        ),
        (
            "conv3.weight",
            |d| d.f32("conv3.weight", &[18, 8, 1, 1], &[0.0; 144]),
            |e| matches!(e, Error::Weights(Shape { .. })),
        ),
        (
            "conv1.weight",
            |d| d.f32("conv1.weight", &[8, 12], &[0.0; 96]),
            |e| matches!(e, Error::Weights(Shape { .. })),
        ),
        (
            "conv1.weight",
            |d| d.f32("conv1.weight", &[0, 12, 1, 1], &[]),
            |e| matches!(e, Error::Weights(Shape { .. })),
        ),
        (
            "conv2.weight",
            |d| d.f32("conv2.weight", &[8, 3, 3, 3], &[0.0; 216]),
            |e| matches!(e, Error::Weights(Shape { .. })),
        ),
        (
            "conv2.weight",
            |d| d.f32("conv2.weight", &[8, 4, 5, 5], &[0.0; 800]),
            |e| matches!(e, Error::Weights(Shape { .. })),
        ),
        // What only broadcasting would accept: a shortcut of one channel.
        (
            "downsample.0.weight",
            |d| d.f32("downsample.0.weight", &[1, 12, 1, 1], &[0.0; 12]),
            |e| matches!(e, Error::Weights(Shape { .. })),
        ),
        (
            "bn1.weight",
            |d| d.f32("bn1.weight", &[1], &[1.0]),
            |e| matches!(e, Error::Weights(Shape { .. })),
        ),
        (
            "conv1.weight",
            |d| d.raw("conv1.weight", safetensors::Dtype::I32, &[8, 12, 1, 1], vec![0; 384]),
            |e| matches!(e, Error::Weights(ElementType { .. })),
        ),
        (
            "bn2.running_mean",
            |d| d.raw("bn2.running_mean", safetensors::Dtype::F64, &[8], vec![0; 64]),
            |e| matches!(e, Error::Weights(ElementType { .. })),
        ),
        (
            "conv3.weight",
            |d| d.poke("conv3.weight", 5, f32::NAN),
            |e| matches!(e, Error::Weights(NonFinite { index: 5, .. })),
        ),
        (
            "bn3.bias",
            |d| d.poke("bn3.bias", 0, f32::INFINITY),
            |e| matches!(e, Error::Weights(NonFinite { .. })),
        ),
        (
            "bn1.running_var",
            |d| d.poke("bn1.running_var", 1, -0.5),
            |e| matches!(e, Error::Weights(Variance { index: 1, .. })),
        ),
        (
            "bn1.running_var",
            |d| d.poke("bn1.running_var", 1, f32::NAN),
            |e| matches!(e, Error::Weights(NonFinite { .. })),
        ),
        (
            "conv1.bias",
            |d| d.f32("conv1.bias", &[8], &[0.0; 8]),
            |e| matches!(e, Error::Weights(WeightsError::Unexpected { .. })),
        ),
        // timm's ResNet-D: AvgPool2d, then the convolution, then the norm.
        (
            "downsample.1.weight",
            |d| {
                d.remove("downsample.0.weight").f32(
                    "downsample.1.weight",
                    &[16, 12, 1, 1],
                    &[0.0; 192],
                )
            },
            |e| matches!(e, Error::Weights(WeightsError::Shortcut { .. })),
        ),
        (
            "downsample.0.weight",
            |d| d.f32("downsample.0.weight", &[16, 12, 3, 3], &[0.0; 1728]),
            |e| matches!(e, Error::Weights(WeightsError::Shortcut { .. })),
        ),
    ];
    for (tensor, change, expected) in changes {
        let error = refused(change).map_err(|error| format!("{tensor}: {error}"))?;
        assert!(expected(&error), "{tensor}: {error:?}");
        assert!(error.to_string().contains(tensor), "{tensor} is not named in: {error}");
    }
    Ok(())
}

#[test]
fn contradicting_options_are_named() -> Outcome {
    let fine = options_of(&spec()?);
    let cases: [(&str, BlockOptions); 8] = [
        ("stride", BlockOptions { stride: 0, ..fine }),
        ("dilation", BlockOptions { dilation: 0, ..fine }),
        ("dilation", BlockOptions { dilation: usize::MAX, ..fine }),
        ("groups", BlockOptions { groups: Some(0), ..fine }),
        ("groups", BlockOptions { groups: Some(3), ..fine }),
        ("groups", BlockOptions { groups: Some(4), ..fine }),
        ("base_width", BlockOptions { base_width: Some(16), ..fine }),
        ("eps", BlockOptions { norm: Norm::BatchNorm2d { eps: -1.0 }, ..fine }),
    ];
    for (parameter, options) in cases {
        let error = refused_options(options).map_err(|error| format!("{parameter}: {error}"))?;
        assert!(matches!(error, Error::Spec(_)), "{error:?}");
        assert!(error.to_string().contains(parameter), "{parameter} is not named in: {error}");
    }
    let identity = refused_options(BlockOptions { norm: Norm::Identity, ..fine })?;
    assert!(matches!(identity, Error::Weights(WeightsError::Unexpected { .. })), "{identity:?}");
    let squeeze = refused(|d| d.f32("se.fc1.weight", &[1, 16, 1, 1], &[0.0; 16]))?;
    assert!(squeeze.to_string().contains("se.fc1.weight"), "{squeeze}");
    Ok(())
}

#[test]
fn norms_without_statistics_or_keys_are_told_apart() -> Outcome {
    let running = |key: &str| key.contains("running_") || key.contains("num_batches");
    let batch = refused(|d| d.remove_all(running))?;
    assert!(matches!(batch, Error::Spec(SpecError::BatchStatistics { .. })), "{batch:?}");
    let none = refused(|d| d.remove_all(|key| key.contains("bn") || key.contains("downsample.1")))?;
    assert!(
        matches!(none, Error::Weights(WeightsError::Missing { .. })),
        "missing keys became Identity: {none:?}"
    );
    // affine=False everywhere is a BatchNorm2d; FrozenBatchNorm2d always has its affine parameters.
    let affine = |key: &str| {
        (key.contains("bn") || key.contains("downsample.1"))
            && (key.ends_with("weight") || key.ends_with("bias"))
    };
    let mut plain = dict()?;
    plain.remove_all(affine);
    let options = options_of(&spec()?);
    load(&plain, &options)?;
    let frozen =
        load(&plain, &BlockOptions { norm: Norm::FrozenBatchNorm2d { eps: 1e-5 }, ..options })
            .err()
            .ok_or("accepted")?;
    assert!(matches!(frozen, Error::Weights(WeightsError::Missing { .. })), "{frozen:?}");
    Ok(())
}

#[test]
fn a_downsample_is_required_where_the_shortcut_changes_shape() -> Outcome {
    let without = refused(|d| d.remove_all(|key| key.starts_with("downsample")))?;
    assert!(matches!(without, Error::Spec(SpecError::DownsampleRequired { .. })), "{without:?}");
    let prefixed = StateDict::from_bytes(dict()?.bytes())?;
    let error = Block::from_state_dict(&prefixed, "layer2.0.", &options_of(&spec()?))
        .err()
        .ok_or("accepted")?;
    assert!(error.to_string().contains("layer2.0.conv1.weight"), "{error}");
    Ok(())
}

#[test]
fn variance_zero_needs_an_eps() -> Outcome {
    let mut dict = dict()?;
    dict.poke("bn2.running_var", 0, 0.0);
    let options = options_of(&spec()?);
    let zero = load(&dict, &BlockOptions { norm: Norm::BatchNorm2d { eps: 0.0 }, ..options })
        .err()
        .ok_or("accepted")?;
    assert!(matches!(zero, Error::Weights(WeightsError::Variance { .. })), "{zero:?}");
    load(&dict, &BlockOptions { norm: Norm::BatchNorm2d { eps: 1e-5 }, ..options })?;
    Ok(())
}

#[test]
fn folding_beyond_f32_is_an_error() -> Outcome {
    let mut dict = dict()?;
    dict.poke("bn1.weight", 0, f32::MAX).poke("bn1.running_var", 0, 1e-30);
    let options = BlockOptions { norm: Norm::BatchNorm2d { eps: 0.0 }, ..options_of(&spec()?) };
    let block = load(&dict, &options)?;
    let error =
        BlockChain::load(&any_gpu(), &[block], Shape::new(1, 12, 4, 4)?, &LoadOptions::default())
            .err()
            .ok_or("accepted")?;
    assert!(matches!(error, Error::Weights(WeightsError::FoldOverflow { .. })), "{error:?}");
    Ok(())
}

#[test]
fn images_must_fit() -> Outcome {
    let mut dict = DictBuilder::default();
    dict.f32("input", &[1, 0, 4, 4], &[]).f32("flat", &[4, 4], &[0.0; 16]);
    let dict = StateDict::from_bytes(dict.bytes())?;
    assert!(matches!(dict.nchw("input"), Err(Error::Shape(ShapeError::ZeroDim { .. }))));
    assert!(matches!(dict.nchw("flat"), Err(Error::Shape(ShapeError::Rank { .. }))));
    assert!(matches!(dict.nchw("out"), Err(Error::Weights(WeightsError::Missing { .. }))));
    let specs = [spec()?];
    let wrong =
        record(&specs, Shape::new(1, 13, 4, 4)?, &Capabilities::CORE, &LoadOptions::default());
    assert!(matches!(wrong, Err(Error::Shape(ShapeError::Mismatch { .. }))), "{wrong:?}");
    let twice = record(
        &[specs[0], specs[0]],
        Shape::new(1, 12, 4, 4)?,
        &Capabilities::CORE,
        &LoadOptions::default(),
    );
    assert!(
        matches!(twice, Err(Error::Spec(SpecError::Chain { block: 1, expected: 16, found: 12 }))),
        "{twice:?}"
    );
    let none = record(&[], Shape::new(1, 12, 4, 4)?, &Capabilities::CORE, &LoadOptions::default());
    assert!(matches!(none, Err(Error::Spec(SpecError::EmptyChain))), "{none:?}");
    Ok(())
}

#[test]
fn limits_are_checked_before_anything_is_allocated() -> Outcome {
    let block = load(&dict()?, &options_of(&spec()?))?;
    let gpu = Gpu::with_options(&GpuOptions { limits: LimitsChoice::Core, ..Default::default() })?;
    let options = LoadOptions::default();
    let error = BlockChain::load(
        &gpu,
        std::slice::from_ref(&block),
        Shape::new(1, 12, 1 << 20, 1 << 20)?,
        &options,
    )
    .err()
    .ok_or("accepted")?;
    assert!(
        matches!(error, Error::Gpu(GpuError::TooLarge { limit: 134_217_728, .. })),
        "{error:?}"
    );
    let small = Capabilities { max_workgroups: 2, ..Capabilities::CORE };
    let error = record(&[*block.spec()], Shape::new(1, 12, 64, 64)?, &small, &options)
        .err()
        .ok_or("accepted")?;
    assert!(matches!(error, Error::Gpu(GpuError::TooManyWorkgroups { limit: 2, .. })), "{error:?}");
    let named =
        LoadOptions { kernels: KernelChoice::Named("winograd9".to_owned()), ..Default::default() };
    let error = record(&[*block.spec()], Shape::new(1, 12, 8, 8)?, &Capabilities::CORE, &named)
        .err()
        .ok_or("accepted")?;
    assert!(matches!(error, Error::Gpu(GpuError::NoSuchKernel { .. })), "{error:?}");
    Ok(())
}

#[test]
fn buffers_and_inputs_must_fit() -> Outcome {
    let gpu = any_gpu();
    let block = load(&dict()?, &options_of(&spec()?))?;
    let mut model =
        BlockChain::load(&gpu, &[block], Shape::new(1, 12, 5, 5)?, &LoadOptions::default())?;
    let (input, output) = (model.executor().input_bytes(), model.executor().output_bytes());
    let buffer = |size, usage| {
        gpu.device().create_buffer(&BufferDescriptor {
            label: None,
            size,
            usage,
            mapped_at_creation: false,
        })
    };
    let good = buffer(input, BufferUsages::STORAGE);
    let reasons = [
        model.bind(&good, &buffer(output - 4, BufferUsages::STORAGE)).err(),
        model.bind(&buffer(input - 4, BufferUsages::STORAGE), &good).err(),
        model.bind(&good, &buffer(output, BufferUsages::COPY_DST)).err(),
    ];
    for reason in reasons {
        assert!(matches!(reason, Some(Error::Gpu(GpuError::Buffer { .. }))), "{reason:?}");
    }
    assert!(matches!(model.bind(&good, &good).err(), Some(Error::Gpu(GpuError::SameBuffer))));
    let wrong = HostTensor::from_fn(Shape::new(1, 12, 5, 6)?, |_| 0.0);
    assert!(matches!(model.run(&wrong), Err(Error::Shape(ShapeError::Mismatch { .. }))));
    assert!(matches!(model.reference(&wrong), Err(Error::Shape(ShapeError::Mismatch { .. }))));
    Ok(())
}

/// Reads everything that a file may hold: must not panic, whatever comes of it.
fn read_all(bytes: Vec<u8>) {
    let Ok(dict) = StateDict::from_bytes(bytes) else { return };
    for key in dict.keys() {
        let _ = (dict.tensor(key), dict.nchw(key), dict.dims(key));
    }
    let options = [
        BlockOptions { stride: 2, ..Default::default() },
        BlockOptions { norm: Norm::Identity, groups: Some(2), ..Default::default() },
    ];
    for options in options {
        if let Ok(block) = Block::from_state_dict(&dict, "", &options) {
            assert!(block.spec().width() > 0);
        }
    }
}

proptest! {
    #![proptest_config(crate::common::specs::config(400))]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        read_all(bytes);
    }

    #[test]
    fn mutated_files_never_panic(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        in_header in any::<bool>(),
        cut in any::<Option<proptest::sample::Index>>(),
    ) {
        let mut bytes = dict().map_err(|error| TestCaseError::fail(error.to_string()))?.bytes();
        let header = 8 + u64::from_le_bytes(std::array::from_fn(|at| bytes[at])) as usize;
        let end = if in_header { header } else { bytes.len() };
        changes.iter().for_each(|(at, value)| bytes[at.index(end)] = *value);
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        read_all(bytes);
    }
}
