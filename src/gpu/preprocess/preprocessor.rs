//! [`Preprocessor`]: records the passes of images into an encoder.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};

use wgpu::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, BindingResource, Buffer, BufferBinding,
    BufferUsages, CommandBuffer, CommandEncoder, ComputePassDescriptor,
};

use super::kernels::Kernel;
use super::params::Pass;
use super::passes::Passes;
use super::source::Source;
use super::target::Target;
use crate::error::{GpuError, Result};
use crate::gpu::Gpu;
use crate::gpu::pipeline::Pipeline;
use crate::gpu::proof::Path;
use crate::image::{Axis, Channels, Geometry, Preprocess, Taps};
use crate::kernel::check_iterations;
use crate::shader::Extensions;
use crate::tensor::{ChannelLayout, DType, HostTensor};

/// Maximum bytes of weight tables that are cached for later images of the same size. The table for
/// an image of a few megapixels has some ten kilobytes.
const MAX_KEPT_TABLES: u64 = 16 << 20;

/// A table of weights on the device.
#[derive(Debug)]
struct Table {
    taps: Taps,
    buffer: Buffer,
}

/// Converts images to a network's input, on one device and with one configuration. Images may
/// differ in size; the weight tables of a size are cached for later images of that size.
///
/// ```no_run
/// use wgpu_bottleneck::{Gpu, Image, Preprocess, Preprocessor};
///
/// let gpu = Gpu::new()?;
/// let preprocessor = Preprocessor::new(&gpu, &Preprocess::imagenet_v2())?;
/// let images = [Image::open("cat.jpg")?, Image::open("dog.png")?];
/// let sources: Vec<_> = images.iter().map(Into::into).collect();
/// let input = preprocessor.input(images.len())?;
/// gpu.queue().submit([preprocessor.fill(&sources, &input)?]);
/// // `input` is NHWC, [2, 224, 224, 4] with a channel of padding, as `BlockChain::bind` requires.
/// # Ok::<(), wgpu_bottleneck::Error>(())
/// ```
#[derive(Debug)]
pub struct Preprocessor {
    gpu: Gpu,
    preprocess: Preprocess,
    /// Maximum bytes of a strip of an image.
    strip_bytes: u64,
    /// Compiled on first use.
    pipelines: Mutex<HashMap<Kernel, Arc<Pipeline>>>,
    /// The normalised values for the 256 values of a byte.
    levels: Buffer,
    tables: Mutex<HashMap<Axis, Arc<Table>>>,
    /// The output of the first pass and input of the second. All images may share one buffer,
    /// whatever the order in which encoders are submitted: it is written and read within one call.
    middle: Mutex<Option<Buffer>>,
}

impl Preprocessor {
    /// Creates a preprocessor for a device and a configuration.
    ///
    /// # Errors
    /// [`ImageError::Setting`](crate::error::ImageError::Setting) if the configuration is
    /// invalid; [`GpuError::OutOfMemory`], or any error of the device.
    pub fn new(gpu: &Gpu, preprocess: &Preprocess) -> Result<Self> {
        preprocess.check()?;
        let levels = gpu.buffer_with(
            "levels",
            bytemuck::cast_slice(&preprocess.levels()),
            BufferUsages::STORAGE,
        )?;
        let strip_bytes = gpu.capabilities().max_binding_bytes;
        let (gpu, preprocess) = (gpu.clone(), *preprocess);
        let (pipelines, tables, middle) = Default::default();
        Ok(Self { gpu, preprocess, strip_bytes, pipelines, levels, tables, middle })
    }

    /// Binds images in strips of at most this many bytes, instead of as many as the device can
    /// bind.
    #[must_use]
    pub fn with_strip_bytes(mut self, bytes: u64) -> Self {
        self.strip_bytes = bytes.min(self.gpu.capabilities().max_binding_bytes);
        self
    }

    /// The configuration.
    #[must_use]
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// The device.
    #[must_use]
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Name and WGSL of every kernel that a preprocessor may use: for tests and inspection.
    ///
    /// # Errors
    /// [`GpuError::Shader`], which would be a bug in this crate.
    pub fn kernels() -> Result<Vec<(String, String)>> {
        Kernel::all().map(|kernel| Ok((kernel.name(), kernel.text()?))).collect()
    }

    /// A zeroed buffer for this many images, as [`record`](Self::record) and [`fill`](Self::fill)
    /// write and a network with this input reads. Its usage is `STORAGE`, `COPY_SRC` and
    /// `COPY_DST`.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`], [`GpuError::OutOfMemory`]; [`ShapeError`](crate::error::ShapeError)
    /// if `images` is zero.
    pub fn input(&self, images: usize) -> Result<Buffer> {
        let bytes = self.input_bytes(images)?;
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
        Ok(self.gpu.buffer("input", bytes, usage)?)
    }

    /// Bytes of the input for this many images.
    fn input_bytes(&self, images: usize) -> Result<u64> {
        let layout = ChannelLayout::dense(self.preprocess.channels.count());
        Ok(layout.bytes(self.preprocess.shape(images)?, DType::F32) as u64)
    }

    /// Records the preprocessing of one image into image number `image` of `input`, a buffer with
    /// usage `STORAGE` that holds consecutive NHWC images of four f32 per pixel. The other images
    /// in it do not change. The next submit to the queue uploads an image in host memory.
    ///
    /// # Errors
    /// [`ImageError`](crate::error::ImageError) if the image is empty, too large or does not
    /// match the number of its bytes; [`GpuError::Buffer`] or [`GpuError::ViewFormat`] if a buffer
    /// or texture cannot be used; [`GpuError::TooLarge`] if a row exceeds the device's largest
    /// binding; [`GpuError::OutOfMemory`], [`GpuError::Lost`], or any error of the device.
    pub fn record<'a>(
        &self,
        encoder: &mut CommandEncoder,
        source: impl Into<Source<'a>>,
        input: &Buffer,
        image: usize,
    ) -> Result<()> {
        self.encode(encoder, source.into(), input, image, None)
    }

    /// [`Preprocessor::record`] with a pass that counts the number of its run up.
    fn encode(
        &self,
        encoder: &mut CommandEncoder,
        source: Source<'_>,
        input: &Buffer,
        image: usize,
        path: Option<&mut Path>,
    ) -> Result<()> {
        source.check()?;
        let [width, height] = source.size();
        let geometry = Geometry::new(&self.preprocess, width, height)?;
        check_separate(source, input)?;
        let target = Target::new(&self.gpu, input, image, self.input_bytes(1)?)?;
        let (across, down) = (self.table(geometry.columns)?, self.table(geometry.rows)?);
        let passes = Passes { geometry: &geometry, across: &across.taps, down: &down.taps };
        let [middle_width, middle_height] = passes.middle();
        let middle = self.middle(u64::from(middle_width) * u64::from(middle_height) * 4)?;
        let strips = source.strips(&self.gpu, &passes, self.strip_bytes)?;
        let columns_first = geometry.columns_first;
        let first = self.pipeline(Kernel::First {
            pixels: source.pixels(),
            down: columns_first,
            gray: self.preprocess.channels == Channels::Gray,
        })?;
        let last = self
            .pipeline(Kernel::Last { down: !columns_first, channels: self.preprocess.channels })?;
        let (first_taps, last_taps) =
            if columns_first { (&down, &across) } else { (&across, &down) };

        let capabilities = self.gpu.capabilities();
        let launches = strips.iter().map(|strip| passes.first(strip, capabilities));
        let launches = launches.chain([passes.last(target.out_at, capabilities)]);
        let launches: Vec<Pass> = launches.collect::<Result<_, GpuError>>()?;
        let (uniforms, locations) = self.uniforms(&launches)?;
        let params =
            |launch: usize| place(&uniforms, locations[launch], launches[launch].params.len());

        let inner = &self.gpu.inner;
        inner.monitor.guarded(&inner.device, "recording an image", || {
            let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor::default());
            let mut dispatch =
                |pipeline: &Pipeline, resources: Vec<BindingResource<'_>>, launch: &Pass| {
                    let group = self.bind(pipeline, resources);
                    let [x, y, z] = launch.workgroups;
                    pass.set_pipeline(&pipeline.pipeline);
                    pass.set_bind_group(0, &group, &[]);
                    pass.dispatch_workgroups(x, y, z);
                };
            for (at, strip) in strips.iter().enumerate() {
                let (taps, middle) =
                    (first_taps.buffer.as_entire_binding(), middle.as_entire_binding());
                dispatch(
                    &first,
                    vec![params(at), strip.bound.resource(), taps, middle],
                    &launches[at],
                );
            }
            let (taps, middle) = (last_taps.buffer.as_entire_binding(), middle.as_entire_binding());
            let (levels, image) = (self.levels.as_entire_binding(), target.resource(input));
            let at = strips.len();
            dispatch(&last, vec![params(at), middle, taps, levels, image], &launches[at]);
            if let Some(path) = path {
                path.computed(&mut pass);
            }
        })?;
        Ok(())
    }

    /// A command buffer that preprocesses the sources into images 0, 1, 2, ... of `input`.
    ///
    /// # Errors
    /// As [`Preprocessor::record`].
    pub fn fill(&self, sources: &[Source<'_>], input: &Buffer) -> Result<CommandBuffer> {
        let inner = &self.gpu.inner;
        let mut encoder = self.gpu.encoder("images")?;
        for (image, source) in sources.iter().enumerate() {
            self.record(&mut encoder, *source, input, image)?;
        }
        Ok(inner.monitor.guarded(&inner.device, "recording images", || encoder.finish())?)
    }

    /// Encodes the preprocessing of the sources into images 0, 1, 2, ... of `input`, with passes
    /// that count the number of their run up.
    pub(in crate::gpu) fn encode_all(
        &self,
        encoder: &mut CommandEncoder,
        sources: &[Source<'_>],
        input: &Buffer,
        path: &mut Path,
    ) -> Result<()> {
        let mut images = sources.iter().enumerate();
        images.try_for_each(|(image, source)| {
            self.encode(encoder, *source, input, image, Some(&mut *path))
        })
    }

    /// The images as an NCHW tensor in host memory: preprocessed on the GPU, and read back. For
    /// networks on the same device, [`fill`](Self::fill) avoids the transfer to the host and back.
    ///
    /// # Errors
    /// As [`Preprocessor::record`].
    pub fn run(&self, sources: &[Source<'_>]) -> Result<HostTensor> {
        let shape = self.preprocess.shape(sources.len())?;
        let input = self.input(sources.len())?;
        let proof = self.gpu.proof(1, 1)?;
        let bytes = input.size();
        let readback =
            self.gpu.submit_proven("running", bytes, &proof, |encoder, staging, path| {
                self.encode_all(encoder, sources, &input, path)?;
                encoder.copy_buffer_to_buffer(&input, 0, staging, 0, bytes);
                Ok(())
            })?;
        let values: Vec<f32> = readback.wait(bytemuck::pod_collect_to_vec)?;
        Ok(HostTensor::from_nhwc(shape, ChannelLayout::dense(shape.c), &values)?)
    }

    /// The compiled kernel; compiled on first use, then cached.
    fn pipeline(&self, kernel: Kernel) -> Result<Arc<Pipeline>> {
        let mut pipelines = self.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipeline) = pipelines.get(&kernel) {
            return Ok(pipeline.clone());
        }
        let pipeline = self.gpu.compile(&kernel.name(), &kernel.text()?, Extensions::default())?;
        let pipeline = Arc::new(pipeline);
        pipelines.insert(kernel, pipeline.clone());
        Ok(pipeline)
    }

    /// The weight table of an axis; created on first use, then cached up to a maximum size.
    fn table(&self, axis: Axis) -> Result<Arc<Table>> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = tables.get(&axis) {
            return Ok(table.clone());
        }
        let taps = Taps::new(self.preprocess.filter, &axis)?;
        check_iterations("resize", u64::from(taps.stride), self.gpu.capabilities())?;
        let buffer = self.gpu.buffer_with(
            "taps",
            bytemuck::cast_slice(&taps.words),
            BufferUsages::STORAGE,
        )?;
        if tables.values().map(|table| table.buffer.size()).sum::<u64>() + buffer.size()
            > MAX_KEPT_TABLES
        {
            tables.clear();
        }
        let table = Arc::new(Table { taps, buffer });
        tables.insert(axis, table.clone());
        Ok(table)
    }

    /// A buffer of at least this many bytes between the passes: that of the previous image, or a
    /// larger one.
    fn middle(&self, bytes: u64) -> Result<Buffer> {
        let mut kept = self.middle.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.as_ref().filter(|buffer| buffer.size() >= bytes) {
            Some(buffer) => Ok(buffer.clone()),
            None => Ok(kept
                .insert(self.gpu.buffer("rows of an image", bytes, BufferUsages::STORAGE)?)
                .clone()),
        }
    }

    /// A buffer of `Params`, and the offset of each. A new one for each image, as an encoder may
    /// hold several.
    fn uniforms(&self, launches: &[Pass]) -> Result<(Buffer, Vec<u64>)> {
        let align =
            u64::from(self.gpu.inner.device.limits().min_uniform_buffer_offset_alignment).max(16);
        let (mut bytes, mut locations) = (Vec::new(), Vec::new());
        for launch in launches {
            bytes.resize((bytes.len() as u64).next_multiple_of(align) as usize, 0);
            locations.push(bytes.len() as u64);
            bytes.extend_from_slice(&launch.params);
        }
        Ok((self.gpu.buffer_with("params", &bytes, BufferUsages::UNIFORM)?, locations))
    }

    /// Binds resources to the bindings 0, 1, 2, ...
    fn bind(&self, pipeline: &Pipeline, resources: Vec<BindingResource<'_>>) -> BindGroup {
        let entry = |(binding, resource)| BindGroupEntry { binding, resource };
        let entries: Vec<_> = (0..).zip(resources).map(entry).collect();
        self.gpu.inner.device.create_bind_group(&BindGroupDescriptor {
            label: Some("image"),
            layout: &pipeline.layout,
            entries: &entries,
        })
    }
}

/// Refuses an image in the buffer that is written.
fn check_separate(source: Source<'_>, input: &Buffer) -> Result<(), GpuError> {
    if matches!(source, Source::Rgba8 { buffer, .. } if buffer == input) {
        let reason = "the same as the input that is written: use a separate buffer for the image";
        return Err(GpuError::Buffer { buffer: "image", reason: reason.to_owned() });
    }
    Ok(())
}

/// The `Params` of one launch.
fn place(uniforms: &Buffer, offset: u64, bytes: usize) -> BindingResource<'_> {
    let size = NonZeroU64::new(bytes as u64);
    BindingResource::Buffer(BufferBinding { buffer: uniforms, offset, size })
}
