//! Compiles a kernel to a compute pipeline.

use std::borrow::Cow;

use wgpu::{
    BindGroupLayout, BindGroupLayoutDescriptor, BindGroupLayoutEntry, BindingType,
    BufferBindingType, ComputePipeline, ComputePipelineDescriptor, Device, ErrorFilter,
    PipelineCache, PipelineCompilationOptions, PipelineLayoutDescriptor, ShaderModule,
    ShaderModuleDescriptor, ShaderRuntimeChecks, ShaderSource, ShaderStages, StorageTextureAccess,
    TextureSampleType, TextureViewDimension,
};

use super::texels::TEXELS;
use crate::error::GpuError;
use crate::kernel::Capabilities;
use crate::shader::{self, ENTRY_POINT, Extensions, Reflection, Validated};

/// A compiled kernel and the layout of its one bind group.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub pipeline: ComputePipeline,
    pub layout: BindGroupLayout,
}

impl Pipeline {
    /// Compiles a kernel whose source is checked; see [`checked_source`]. `before` is called just
    /// before the driver compiles.
    pub fn new(
        device: &Device,
        name: &str,
        shader: Validated,
        reflection: &Reflection,
        runtime_checks: bool,
        cache: Option<&PipelineCache>,
        before: impl FnOnce(),
    ) -> Self {
        let descriptor = ShaderModuleDescriptor {
            label: Some(name),
            source: ShaderSource::Naga(Cow::Owned(shader.module)),
        };
        let module = if runtime_checks {
            device.create_shader_module(descriptor)
        } else {
            unchecked(device, descriptor)
        };
        let entries = layout_entries(reflection);
        let layout = device.create_bind_group_layout(&BindGroupLayoutDescriptor {
            label: Some(name),
            entries: &entries,
        });
        let pipeline_layout = device.create_pipeline_layout(&PipelineLayoutDescriptor {
            label: Some(name),
            bind_group_layouts: &[Some(&layout)],
            ..Default::default()
        });
        before();
        let pipeline = device.create_compute_pipeline(&ComputePipelineDescriptor {
            label: Some(name),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(ENTRY_POINT),
            compilation_options: PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache,
        });
        Self { pipeline, layout }
    }

    /// Whether the driver has compiled it. On a lost device no error scope reports a failure.
    pub fn is_valid(&self, device: &Device) -> bool {
        let scope = device.push_error_scope(ErrorFilter::Validation);
        drop(self.pipeline.get_bind_group_layout(0));
        // On native backends the future is ready at once.
        pollster::block_on(scope.pop()).is_none()
    }
}

/// Parses a kernel's source and checks it against the limits of a device.
///
/// # Errors
/// [`GpuError::Shader`], [`GpuError::KernelLimit`].
pub(super) fn checked_source(
    name: &str,
    source: &str,
    extensions: Extensions,
    capabilities: &Capabilities,
) -> Result<(Validated, Reflection), GpuError> {
    let refused = |reason| GpuError::Shader { kernel: name.to_owned(), reason };
    let (shader, reflection) = shader::inspect(source, extensions).map_err(refused)?;
    check_limits(name, &reflection, capabilities)?;
    Ok((shader, reflection))
}

/// A module without injected bounds checks, loop guards and division guards.
fn unchecked(device: &Device, descriptor: ShaderModuleDescriptor<'_>) -> ShaderModule {
    // SAFETY: only kernels of this crate are compiled here (`shader/catalogue.rs`; patched ones are
    // compiled with runtime checks). They clamp or mask every index to tensors whose sizes `Params`
    // contains, every loop counts up to a bound that does not change, and every divisor is a size
    // or a stride.
    // What they rely on is checked before a dispatch exists:
    // - `Recording::check` (`plan/check.rs`), which every safe constructor of an executor calls:
    //   shapes and layouts of at least one value whose sizes do not overflow, strides and dilations
    //   from 1 to `Conv::MAX_STEP` (`plan/plan_check.rs`); tensors, slots and packed weights of at
    //   most `Capabilities::MAX_BINDING_BYTES`, so that their `vec4`s and words fit in 32 bits;
    //   tensors no larger than their slots; and `Params` and workgroups equal to those that the
    //   kernel itself computes from these sizes.
    // - The executor binds the tensors, scratch and weights of these sizes, and refuses smaller
    //   buffers of the caller (`gpu/bind_groups.rs`).
    // - The preprocessor of images and the measurements of a device compute their own sizes, from
    //   checked images (`gpu/preprocess/params.rs`) and constants (`gpu/ceilings`).
    // `tests/recordings.rs` and `tests/faults/recordings` test the check; the guard-band tests run
    // every kernel with the checks on and off.
    unsafe { device.create_shader_module_trusted(descriptor, ShaderRuntimeChecks::unchecked()) }
}

/// wgpu does not check workgroup memory against the limit, and storage buffers only on some
/// backends, so this does.
fn check_limits(
    kernel: &str,
    reflection: &Reflection,
    capabilities: &Capabilities,
) -> Result<(), GpuError> {
    let [x, y, z] = reflection.workgroup_size;
    let needs = [
        ("bytes of workgroup memory", reflection.workgroup_bytes, capabilities.max_workgroup_bytes),
        ("storage buffers", reflection.storage.len() as u32, capabilities.max_storage_buffers),
        ("invocations per workgroup", x * y * z, capabilities.max_invocations),
    ];
    match needs.into_iter().find(|&(_, needs, limit)| needs > limit) {
        None => Ok(()),
        Some((resource, needs, limit)) => Err(GpuError::KernelLimit {
            kernel: kernel.to_owned(),
            resource,
            needs: needs.into(),
            limit: limit.into(),
        }),
    }
}

fn layout_entries(reflection: &Reflection) -> Vec<BindGroupLayoutEntry> {
    let entry = |binding, ty| BindGroupLayoutEntry {
        binding,
        visibility: ShaderStages::COMPUTE,
        ty,
        count: None,
    };
    let buffer = |ty| BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None };
    let texture = BindingType::StorageTexture {
        access: StorageTextureAccess::ReadOnly,
        format: TEXELS,
        view_dimension: TextureViewDimension::D2,
    };
    let uniforms = reflection.uniform.iter().chain(&reflection.uniforms);
    let uniform = uniforms.map(|&binding| entry(binding, buffer(BufferBindingType::Uniform)));
    let storage = |&(binding, written): &(u32, bool)| {
        entry(binding, buffer(BufferBindingType::Storage { read_only: !written }))
    };
    let textures = reflection.textures.iter().map(|&binding| entry(binding, texture));
    let sampled = BindingType::Texture {
        sample_type: TextureSampleType::Float { filterable: false },
        view_dimension: TextureViewDimension::D2,
        multisampled: false,
    };
    let sampled = reflection.sampled.iter().map(|&binding| entry(binding, sampled));
    uniform.chain(reflection.storage.iter().map(storage)).chain(textures).chain(sampled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workgroup_memory_beyond_the_limit_is_refused() -> Result<(), String> {
        let source = "var<workgroup> tile: array<f32, 4352>;
            @compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32) { \
            tile[i] = 0.0; }";
        let (_, reflection) = shader::inspect(source, shader::Extensions::default())?;
        assert_eq!(reflection.workgroup_bytes, 17 << 10);
        let error = check_limits("test", &reflection, &Capabilities::CORE);
        let (needs, limit) = (17 << 10, 16 << 10);
        let resource = "bytes of workgroup memory";
        assert_eq!(
            error,
            Err(GpuError::KernelLimit { kernel: "test".to_owned(), resource, needs, limit })
        );
        Ok(())
    }
}
