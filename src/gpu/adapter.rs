//! Adapters: listing and choosing them, and the features and limits to request from a device.

use std::borrow::Cow;
use std::fmt;

use wgpu::{
    Adapter, AdapterInfo, Backends, CooperativeScalarType, Features, Instance, InstanceDescriptor,
    Limits,
};

use super::adapter_info::{describe, is_software};
use super::contain::contain_async;
use super::ranking::{comes_before_gl, rank};
use crate::error::GpuError;

/// Which adapter to use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AdapterChoice {
    /// As wgpu's environment variables specify (`WGPU_BACKEND`, `WGPU_ADAPTER_NAME`,
    /// `WGPU_POWER_PREF`), otherwise the best: hardware before software, discrete before
    /// integrated, the platform's native API before OpenGL. OpenGL is initialised only if one of
    /// its adapters could be the best.
    #[default]
    Best,
    /// The first whose name, driver or backend contains this text, ignoring case.
    Named(String),
    /// By index into [`adapters`].
    Index(usize),
}

impl AdapterChoice {
    /// Parses a number as an index, anything else as part of a name.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Named(text.to_owned()), Self::Index)
    }

    /// The index of the chosen adapter in this list, which must be sorted like [`adapters`]. `None`
    /// if there is no such adapter, or if `WGPU_ADAPTER_NAME` is needed and is not UTF-8.
    #[must_use]
    pub fn pick(&self, adapters: &[AdapterInfo]) -> Option<usize> {
        match self.or_from_env().ok()? {
            Self::Best => (!adapters.is_empty()).then_some(0),
            Self::Index(index) => (index < adapters.len()).then_some(index),
            Self::Named(name) => {
                let name = name.to_lowercase();
                adapters.iter().position(|info| describe(info).to_lowercase().contains(&name))
            }
        }
    }

    /// The adapter from `WGPU_ADAPTER_NAME` if this choice is [`Best`](Self::Best). The variable is
    /// not read for other choices.
    fn or_from_env(&self) -> Result<Self, GpuError> {
        self.or_named(|| variable("WGPU_ADAPTER_NAME", ADAPTER_NAME))
    }

    /// The adapter of this name if this choice is [`Best`](Self::Best).
    fn or_named(
        &self,
        name: impl FnOnce() -> Result<Option<String>, GpuError>,
    ) -> Result<Self, GpuError> {
        match self {
            Self::Best => Ok(name()?.map_or(Self::Best, Self::Named)),
            Self::Index(_) | Self::Named(_) => Ok(self.clone()),
        }
    }
}

impl fmt::Display for AdapterChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Best => f.write_str("any adapter"),
            Self::Named(name) => write!(f, "adapter {name:?}"),
            Self::Index(index) => write!(f, "adapter index {index}"),
        }
    }
}

/// Every adapter of the backends that `WGPU_BACKEND` allows, best first.
///
/// # Errors
/// [`GpuError::Environment`] if one of wgpu's variables has an invalid value, or is not UTF-8.
pub fn adapters() -> Result<Vec<Adapter>, GpuError> {
    pollster::block_on(adapters_async())
}

/// [`adapters`] for async callers.
///
/// # Errors
/// As [`adapters`].
pub async fn adapters_async() -> Result<Vec<Adapter>, GpuError> {
    check_variables()?;
    let mut adapters = enumerate(backends_from_env()?).await?;
    sort(&mut adapters, is_low_power()?);
    Ok(adapters)
}

/// The adapters of these backends, which it initialises.
async fn enumerate(backends: Backends) -> Result<Vec<Adapter>, GpuError> {
    if backends.is_empty() {
        return Ok(Vec::new());
    }
    let enumeration = async {
        let descriptor = InstanceDescriptor {
            backends,
            ..InstanceDescriptor::new_without_display_handle_from_env()
        };
        Instance::new(descriptor).enumerate_adapters(backends).await
    };
    let doing = "looking for adapters";
    let found = contain_async(doing, enumeration).await;
    found.map_err(|reason| GpuError::Device { doing, reason })
}

/// Best first. Stable: adapters of equal rank keep the system's order.
fn sort(adapters: &mut [Adapter], low_power: bool) {
    adapters.sort_by_key(|adapter| rank(&adapter.get_info(), low_power));
}

/// The chosen adapter. OpenGL is initialised only if one of its adapters could be chosen.
///
/// # Errors
/// [`GpuError::NoAdapter`], which lists the available adapters; [`GpuError::Environment`].
pub(super) async fn choose(choice: &AdapterChoice) -> Result<Adapter, GpuError> {
    check_variables()?;
    let (backends, low_power) = (backends_from_env()?, is_low_power()?);
    let wanted = choice.or_from_env()?;
    let infos = |adapters: &[Adapter]| -> Vec<AdapterInfo> {
        adapters.iter().map(Adapter::get_info).collect()
    };
    let mut adapters = enumerate(backends - Backends::GL).await?;
    sort(&mut adapters, low_power);
    let mut found = choice.pick(&infos(&adapters));
    if !found.is_some_and(|index| comes_before_gl(&adapters[index].get_info(), low_power)) {
        adapters.extend(enumerate(backends & Backends::GL).await?);
        sort(&mut adapters, low_power);
        found = choice.pick(&infos(&adapters));
    }
    let present = infos(&adapters).iter().map(describe).collect();
    let of = variable("WGPU_BACKEND", BACKENDS)?;
    let of = of.map_or_else(String::new, |names| format!(" of WGPU_BACKEND={}", shown(&names)));
    let found = found.and_then(|index| adapters.into_iter().nth(index));
    found.ok_or_else(|| GpuError::NoAdapter { wanted: format!("{wanted}{of}"), present })
}

/// The features and limits with which a device runs this crate's kernels well: subgroup operations,
/// f16 and timestamps if the adapter has them, also 64-bit integers on software drivers, the
/// adapter's own limits for buffers and compute, and WebGPU's downlevel defaults (or the adapter's,
/// if lower) for all others. The crate also works with less, down to no features and WebGPU's core
/// limits.
///
/// For apps that create their own device; merge the result with the app's own requirements.
#[must_use]
pub fn required(adapter: &Adapter) -> (Features, Limits) {
    let own = adapter.limits();
    let limits = Limits {
        max_buffer_size: own.max_buffer_size,
        max_storage_buffer_binding_size: own.max_storage_buffer_binding_size,
        max_texture_dimension_2d: own.max_texture_dimension_2d,
        max_storage_buffers_per_shader_stage: own.max_storage_buffers_per_shader_stage,
        max_compute_workgroup_storage_size: own.max_compute_workgroup_storage_size,
        max_compute_invocations_per_workgroup: own.max_compute_invocations_per_workgroup,
        max_compute_workgroup_size_x: own.max_compute_workgroup_size_x,
        max_compute_workgroup_size_y: own.max_compute_workgroup_size_y,
        max_compute_workgroup_size_z: own.max_compute_workgroup_size_z,
        max_compute_workgroups_per_dimension: own.max_compute_workgroups_per_dimension,
        ..Limits::downlevel_defaults().or_worse_values_from(&own)
    };
    let timestamps = Features::TIMESTAMP_QUERY | Features::TIMESTAMP_QUERY_INSIDE_PASSES;
    let mut useful =
        Features::SUBGROUP | Features::SHADER_F16 | Features::PIPELINE_CACHE | timestamps;
    // Words of 64 bits are for software drivers.
    useful.set(Features::SHADER_INT64, is_software(&adapter.get_info()));
    (adapter.features() & useful, limits)
}

/// Whether an adapter multiplies 8x8 and 16x16 matrices of f16 with sums in f32.
#[must_use]
pub fn matrix_sides(adapter: &Adapter) -> [bool; 2] {
    let all = adapter.cooperative_matrix_properties();
    let has = |side: u32| {
        all.iter().any(|matrix| {
            [matrix.m_size, matrix.n_size, matrix.k_size] == [side; 3]
                && matrix.ab_type == CooperativeScalarType::F16
                && matrix.cr_type == CooperativeScalarType::F32
        })
    };
    let offered = adapter.features().contains(Features::EXPERIMENTAL_COOPERATIVE_MATRIX);
    [8, 16].map(|side| offered && has(side))
}

/// The valid values of `WGPU_BACKEND`.
const BACKENDS: &str = "vulkan, metal, dx12 or gl, joined by commas";

/// The valid values of `WGPU_ADAPTER_NAME`.
const ADAPTER_NAME: &str = "a part of an adapter's name, in UTF-8";

/// The other variables that wgpu reads. It ignores a value that is not UTF-8.
const OTHER_VARIABLES: [&str; 17] = [
    "WGPU_ALLOW_UNDERLYING_NONCOMPLIANT_ADAPTER",
    "WGPU_DEBUG",
    "WGPU_DISCARD_HAL_LABELS",
    "WGPU_DX12_AGILITY_SDK_PATH",
    "WGPU_DX12_AGILITY_SDK_REQUIRE",
    "WGPU_DX12_AGILITY_SDK_VERSION",
    "WGPU_DX12_COMPILER",
    "WGPU_DX12_PRESENTATION_SYSTEM",
    "WGPU_DX12_USE_FRAME_LATENCY_WAITABLE_OBJECT",
    "WGPU_GLES_MINOR_VERSION",
    "WGPU_GL_DEBUG_FNS",
    "WGPU_GL_FENCE_BEHAVIOR",
    "WGPU_GPU_BASED_VALIDATION",
    "WGPU_NOOP_BACKEND",
    "WGPU_STRICT_WEBGPU_COMPLIANCE",
    "WGPU_VALIDATION",
    "WGPU_VALIDATION_INDIRECT_CALL",
];

/// Refuses variables of wgpu that are not UTF-8.
fn check_variables() -> Result<(), GpuError> {
    variable("WGPU_ADAPTER_NAME", ADAPTER_NAME)?;
    OTHER_VARIABLES.iter().try_for_each(|name| variable(name, "text in UTF-8").map(|_| ()))
}

/// The value of a variable. As in wgpu, an empty variable counts as unset.
fn variable(name: &'static str, expected: &'static str) -> Result<Option<String>, GpuError> {
    match std::env::var_os(name).filter(|value| !value.is_empty()).map(|it| it.into_string()) {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some(value)),
        Some(Err(value)) => {
            let value = value.as_encoded_bytes().escape_ascii().to_string();
            Err(GpuError::Environment { variable: name, value, expected })
        }
    }
}

/// A value for an error message: one line, no escape sequences.
fn shown(value: &str) -> Cow<'_, str> {
    if value.contains(char::is_control) {
        value.escape_debug().to_string().into()
    } else {
        value.into()
    }
}

/// `WGPU_BACKEND`: names joined by commas. Unlike wgpu, this rejects unknown names, so that a typo
/// does not select another API.
fn backends_from_env() -> Result<Backends, GpuError> {
    let name = "WGPU_BACKEND";
    let Some(value) = variable(name, BACKENDS)? else { return Ok(Backends::all()) };
    value.split(',').try_fold(Backends::empty(), |backends, part| {
        match Backends::from_comma_list(part.trim()) {
            found if !found.is_empty() => Ok(backends | found),
            _ => Err(invalid(name, &value, BACKENDS)),
        }
    })
}

/// Whether `WGPU_POWER_PREF` is `low`, not `high` or `none`.
fn is_low_power() -> Result<bool, GpuError> {
    let (name, expected) = ("WGPU_POWER_PREF", "low, high or none");
    let value = variable(name, expected)?.unwrap_or_default();
    match value.to_lowercase().as_str() {
        "low" => Ok(true),
        "" | "high" | "none" => Ok(false),
        _ => Err(invalid(name, &value, expected)),
    }
}

fn invalid(variable: &'static str, value: &str, expected: &'static str) -> GpuError {
    GpuError::Environment { variable, value: shown(value).into_owned(), expected }
}

#[cfg(test)]
mod tests {
    use wgpu::DeviceType;

    use super::*;

    #[test]
    fn adapters_are_picked_by_place_and_by_name() {
        let info = |name: &str, kind, backend| AdapterInfo {
            name: name.to_owned(),
            ..AdapterInfo::new(kind, backend)
        };
        let cpu = info("llvmpipe (LLVM 15)", DeviceType::Cpu, wgpu::Backend::Vulkan);
        let gl = info("llvmpipe (LLVM 15)", DeviceType::Other, wgpu::Backend::Gl);
        let discrete = info("A", DeviceType::DiscreteGpu, wgpu::Backend::Vulkan);
        assert_eq!(AdapterChoice::parse("1"), AdapterChoice::Index(1));
        let all = [discrete, cpu, gl];
        let picked = |choice: AdapterChoice| choice.pick(&all);
        assert_eq!(picked(AdapterChoice::Named("LLVM".to_owned())), Some(1));
        assert_eq!(picked(AdapterChoice::Named("(gl,".to_owned())), Some(2));
        assert_eq!(
            (picked(AdapterChoice::Index(2)), picked(AdapterChoice::Index(3))),
            (Some(2), None)
        );
        assert_eq!(AdapterChoice::parse("llvm"), AdapterChoice::Named("llvm".to_owned()));
    }

    #[test]
    fn only_the_best_adapter_depends_on_the_variable() {
        let named = AdapterChoice::Named("A".to_owned());
        for choice in [AdapterChoice::Index(0), named.clone()] {
            let chosen = choice.or_named(|| Err(invalid("WGPU_ADAPTER_NAME", "?", ADAPTER_NAME)));
            assert_eq!(chosen.ok(), Some(choice));
        }
        let best = AdapterChoice::Best;
        assert!(best.or_named(|| Err(invalid("WGPU_ADAPTER_NAME", "?", ADAPTER_NAME))).is_err());
        assert_eq!(best.or_named(|| Ok(None)).ok(), Some(AdapterChoice::Best));
        assert_eq!(best.or_named(|| Ok(Some("A".to_owned()))).ok(), Some(named));
    }
}
