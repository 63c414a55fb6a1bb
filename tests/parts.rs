//! Inputs that are too large for a device: run in parts, they come to the same bits.

use crate::common::exact::{EXACT_NORMS, Growth, exact_block};
use crate::common::seeded::small_integers;
use crate::common::{Outcome, any_gpu};
use wgpu_bottleneck::error::{Error, GpuError, ShapeError};
use wgpu_bottleneck::gpu::adapters;
use wgpu_bottleneck::network::StrideIn;
use wgpu_bottleneck::tensor::{Tolerance, compare};
use wgpu_bottleneck::wgpu::{self, BufferUsages};
use wgpu_bottleneck::{
    Block, BlockChain, Bottleneck, Gpu, HostTensor, LoadOptions, Shape, record,
    record_micro_batches, required,
};

/// A device whose bindings are no larger than this.
fn small_device(binding_bytes: u64) -> Result<Gpu, Box<dyn std::error::Error>> {
    let adapter = adapters()?
        .into_iter()
        .next()
        .ok_or("no adapter: run the tests through scripts/with-gpu")?;
    let (required_features, limits) = required(&adapter);
    let required_limits = wgpu::Limits { max_storage_buffer_binding_size: binding_bytes, ..limits };
    let descriptor =
        wgpu::DeviceDescriptor { required_features, required_limits, ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))?;
    Ok(Gpu::from_wgpu(device, queue))
}

/// 32 KiB: 8192 values of a tensor.
const LIMIT: u64 = 32 << 10;

fn blocks(specs: &[Bottleneck]) -> Result<Vec<Block>, Error> {
    let growth = Growth::for_chain(specs.len());
    specs
        .iter()
        .enumerate()
        .map(|(at, spec)| exact_block(spec, true, growth, at as u64 + 7))
        .collect()
}

/// Blocks, their input, and how many parts it takes.
type Chain = (Vec<Bottleneck>, [usize; 4], usize);

fn chains() -> Result<Vec<Chain>, Error> {
    let plain = || Bottleneck::torchvision(16, 4).norm_layer(EXACT_NORMS[0]);
    Ok(vec![
        // 16 channels: 512 pixels are the most.
        (vec![plain().build()?], [1, 16, 16, 32], 1),
        (vec![plain().build()?], [1, 16, 17, 32], 2),
        (vec![plain().build()?], [2, 16, 16, 32], 2),
        (vec![plain().build()?], [5, 16, 8, 31], 3),
        (vec![plain().build()?], [1, 16, 150, 9], 3),
        (vec![plain().dilation(3).build()?], [2, 16, 61, 13], 4),
        (
            vec![plain().groups(2).base_width(64).stride(2).downsample(true).build()?],
            [1, 16, 75, 11],
            2,
        ),
        (vec![plain().stride(3).downsample(true).build()?], [1, 16, 40, 17], 2),
        (
            vec![plain().stride(2).stride_in(StrideIn::Conv1).downsample(true).build()?],
            [1, 16, 43, 14],
            2,
        ),
        (
            vec![
                plain().stride(2).downsample(true).build()?,
                plain().dilation(2).build()?,
                plain().build()?,
            ],
            [1, 16, 96, 12],
            3,
        ),
    ])
}

#[test]
fn parts_come_to_the_bits_of_the_whole() -> Outcome {
    let (small, large) = (small_device(LIMIT)?, any_gpu());
    for (specs, dims, runs) in chains()? {
        let [n, c, h, w] = dims;
        let shape = Shape::new(n, c, h, w)?;
        let (blocks, input) = (blocks(&specs)?, small_integers(shape, 3));
        let options = LoadOptions::default();
        let mut whole = BlockChain::load(&large, &blocks, shape, &options)?;
        let mut parts = BlockChain::load(&small, &blocks, shape, &options)?;
        assert_eq!((whole.runs(), parts.runs()), (1, runs), "{dims:?}");
        assert_eq!(
            record_micro_batches(&specs, shape, small.capabilities(), &options)?.1,
            runs,
            "{dims:?}"
        );
        let (reference, bound) = whole.reference_with_bound(&input)?;
        assert!(bound.is_exact(), "{dims:?}");
        assert_eq!(parts.reference(&input)?, reference, "{dims:?}");
        let matches = |found: &HostTensor| {
            let comparison = compare(&reference, found, Tolerance::EXACT);
            assert!(comparison.passed(), "{dims:?}: {comparison}");
        };
        for model in [&mut whole, &mut parts] {
            matches(&model.run(&input)?);
            matches(&pollster::block_on(model.run_async(&input))?);
            // An output that is there already, with something else in it, and another input in
            // between.
            let mut kept = HostTensor::from_fn(model.output_shape(), |_| f32::NAN);
            model.run_into(&input, &mut kept)?;
            matches(&kept);
            model.run_into(&small_integers(shape, 4), &mut kept)?;
            assert_ne!(kept, reference, "{dims:?}");
            pollster::block_on(model.run_into_async(&input, &mut kept))?;
            matches(&kept);
        }
    }
    Ok(())
}

#[test]
fn what_cannot_be_run_in_parts_is_refused() -> Outcome {
    let small = small_device(LIMIT)?;
    let spec = Bottleneck::torchvision(16, 4).build()?;
    let (blocks, options) = (blocks(&[spec])?, LoadOptions::default());
    let shape = Shape::new(1, 16, 17, 32)?;
    let mut model = BlockChain::load(&small, &blocks, shape, &options)?;

    let usage = BufferUsages::STORAGE;
    let buffer = || {
        small.device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: LIMIT,
            usage,
            mapped_at_creation: false,
        })
    };
    let bound = model.bind(&buffer(), &buffer()).err().ok_or("bound")?;
    assert!(matches!(&bound, Error::Gpu(GpuError::Buffer { buffer: "input", .. })), "{bound}");
    let part = HostTensor::from_fn(model.executor().recording().plan.tensors[0].shape, |_| 0.0);
    let wrong = model.run(&part).err().ok_or("ran")?;
    assert!(matches!(wrong, Error::Shape(ShapeError::Mismatch { .. })), "{wrong}");
    let input = HostTensor::zeros(shape);
    for model in [&mut model, &mut BlockChain::load(&any_gpu(), &blocks, shape, &options)?] {
        let wrong = model.run_into(&input, &mut part.clone()).err().ok_or("ran")?;
        assert!(
            matches!(
                &wrong,
                Error::Shape(ShapeError::Mismatch { tensor, .. }) if tensor == "output"
            ),
            "{wrong}"
        );
    }

    // A line is larger than a binding; a line and its neighbours are; nothing but the weights is.
    for (dims, what) in [([1, 16, 1, 600], "tensor"), ([1, 16, 40, 200], "tensor")] {
        let [n, c, h, w] = dims;
        let refused = BlockChain::load(&small, &blocks, Shape::new(n, c, h, w)?, &options)
            .err()
            .ok_or("loaded")?;
        let Error::Gpu(GpuError::TooLarge { what: named, limit: LIMIT, .. }) = &refused else {
            return Err(refused.into());
        };
        assert!(named.starts_with(what), "{refused}");
    }
    let wide = Bottleneck::torchvision(256, 64).build()?;
    let refused =
        record_micro_batches(&[wide], Shape::new(9, 256, 2, 2)?, small.capabilities(), &options)
            .err()
            .ok_or("recorded")?;
    assert!(
        matches!(
            &refused,
            Error::Gpu(GpuError::TooLarge { what, .. }) if what.starts_with("weights")
        ),
        "{refused}"
    );
    // What says what a device runs at once says so still.
    let at_once = record(&[spec], shape, small.capabilities(), &options).err().ok_or("recorded")?;
    assert!(matches!(at_once, Error::Gpu(GpuError::TooLarge { .. })), "{at_once}");
    Ok(())
}
