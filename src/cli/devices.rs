//! `bottleneck devices`: the adapters, and the limits and features that the kernels depend on.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use wgpu_bottleneck::gpu::{
    adapters, default_pipelines_path, describe, hidden_adapters, is_software, matrix_sides,
    refused_kernels, required, subgroup_size,
};
use wgpu_bottleneck::kernel;
use wgpu_bottleneck::wgpu::{Adapter, AdapterInfo, DeviceType, Features};

use super::error::CliError;
use super::output::{self, Table};

/// `bottleneck devices`.
#[derive(Debug, Args)]
pub struct DevicesArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// The features that kernels may use, by wgpu's names, and what each is for.
const FEATURES: [(&str, Features, &str); 6] = [
    ("SHADER_F16", Features::SHADER_F16, "half precision: `--precision`"),
    ("SUBGROUP", Features::SUBGROUP, "kernels that exchange values within a subgroup"),
    ("SHADER_INT64", Features::SHADER_INT64, "64-bit loads and stores, on software drivers"),
    ("TIMESTAMP_QUERY", Features::TIMESTAMP_QUERY, "GPU times in `bench`"),
    (
        "TIMESTAMP_QUERY_INSIDE_PASSES",
        Features::TIMESTAMP_QUERY_INSIDE_PASSES,
        "the same without a pass per dispatch",
    ),
    (
        "EXPERIMENTAL_COOPERATIVE_MATRIX",
        Features::EXPERIMENTAL_COOPERATIVE_MATRIX,
        "half-precision kernels on matrix units",
    ),
];

/// Whether a feature of an adapter is offered and used.
struct Use {
    offered: bool,
    /// Why no kernel uses it; `None` if some do.
    why_off: Option<String>,
}

impl Use {
    fn of(feature: Features, adapter: &Adapter) -> Self {
        let offered = adapter.features().contains(feature);
        let why_off = match offered {
            false => Some("the adapter does not offer it".to_owned()),
            true if feature == Features::SHADER_INT64 && !is_software(&adapter.get_info()) => {
                Some("offered, but only kernels for software drivers use it".to_owned())
            }
            // Not in `required`, because wgpu calls it experimental; the program requests it
            // separately.
            true if feature == Features::EXPERIMENTAL_COOPERATIVE_MATRIX => {
                no_matrix_kernel(adapter)
            }
            true if !required(adapter).0.contains(feature) => {
                Some("offered, but this version does not use it".to_owned())
            }
            true if feature == Features::SUBGROUP => no_subgroup_kernel(&adapter.get_info()),
            true => None,
        };
        Self { offered, why_off }
    }

    fn used(&self) -> bool {
        self.why_off.is_none()
    }
}

/// Why no kernel for matrix units fits this adapter, if none does.
fn no_matrix_kernel(adapter: &Adapter) -> Option<String> {
    if !adapter.features().contains(Features::SHADER_F16 | Features::SUBGROUP) {
        return Some("offered, but the kernels need SHADER_F16 and SUBGROUP too".to_owned());
    }
    let info = adapter.get_info();
    let sides = [8, 16].into_iter().zip(matrix_sides(adapter));
    let offered: Vec<u32> = sides.filter_map(|(side, offered)| offered.then_some(side)).collect();
    let lanes = subgroup_size(&info);
    let fits = kernel::all_specialisations().iter().any(|kernel| {
        offered.contains(&kernel.matrix_side) && lanes == Some(kernel.tile.workgroup_x)
    });
    (!fits).then(|| {
        let (least, most) = (info.subgroup_min_size, info.subgroup_max_size);
        format!(
            "offered, but no kernel fits f16 matrices of side {offered:?} and subgroups of \
            {least} to {most} lanes"
        )
    })
}

/// Why no kernel for subgroups fits this adapter, if none does.
fn no_subgroup_kernel(info: &AdapterInfo) -> Option<String> {
    let kernels = kernel::all_specialisations();
    let mut lanes: Vec<u32> = kernels
        .iter()
        .filter(|kernel| kernel.family.uses_subgroups())
        .map(|kernel| kernel.tile.workgroup_x)
        .collect();
    lanes.sort_unstable();
    lanes.dedup();
    let (least, most) = (info.subgroup_min_size, info.subgroup_max_size);
    let fits = subgroup_size(info).is_some_and(|size| lanes.contains(&size));
    let found = if least == most { least.to_string() } else { format!("{least} to {most}") };
    (!fits).then(|| {
        format!("offered, but the kernels need subgroups of {lanes:?} lanes; these have {found}")
    })
}

/// Runs the command.
pub fn run(args: &DevicesArgs) -> Result<(), CliError> {
    let adapters = adapters()?;
    if adapters.is_empty() {
        output::progress(
            "no adapter found: is a driver installed, and does WGPU_BACKEND allow it?",
        );
    }
    if args.json {
        let all = adapters.iter().enumerate().map(|(index, adapter)| as_json(index, adapter));
        return output::json(&all.collect());
    }
    for (index, adapter) in adapters.iter().enumerate() {
        output::print(&as_text(index, adapter))?;
    }
    output::progress(&hidden_adapters());
    Ok(())
}

/// The kernels that the driver of an adapter does not compile, and the file that lists them.
fn refused(info: &AdapterInfo) -> Option<(Vec<String>, PathBuf)> {
    let found = refused_kernels(&default_pipelines_path(info, false)?);
    Some(found).filter(|(names, _)| !names.is_empty())
}

/// The limits that the kernels depend on, by name, with their unit.
fn limits(adapter: &Adapter) -> [(&'static str, u64, &'static str); 5] {
    let limits = adapter.limits();
    let binding = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
    [
        ("binding_bytes", binding, "bytes per storage binding"),
        (
            "workgroup_bytes",
            limits.max_compute_workgroup_storage_size.into(),
            "bytes of workgroup memory",
        ),
        (
            "invocations",
            limits.max_compute_invocations_per_workgroup.into(),
            "invocations per workgroup",
        ),
        (
            "workgroups",
            limits.max_compute_workgroups_per_dimension.into(),
            "workgroups per dimension",
        ),
        (
            "storage_buffers",
            limits.max_storage_buffers_per_shader_stage.into(),
            "storage buffers per kernel",
        ),
    ]
}

/// The kind of a device, in words.
pub fn kind(info: &AdapterInfo) -> &'static str {
    match info.device_type {
        _ if is_software(info) => "software, computes on the CPU",
        DeviceType::DiscreteGpu => "discrete GPU",
        DeviceType::IntegratedGpu => "integrated GPU",
        DeviceType::VirtualGpu => "virtual GPU",
        DeviceType::Cpu | DeviceType::Other => "of unknown kind",
    }
}

/// The driver's name and version.
pub fn driver(info: &AdapterInfo) -> String {
    format!("{} {}", info.driver, info.driver_info).trim().to_owned()
}

fn as_text(index: usize, adapter: &Adapter) -> String {
    let mut text = format!("{index}: {}\n", describe(&adapter.get_info()));
    for (_, value, unit) in limits(adapter) {
        text.push_str(&format!("   {value:>12} {unit}\n"));
    }
    let mut table = Table::new(&["feature", "offered", "used", "why not", "for"]);
    let yes = |yes: bool| if yes { "yes" } else { "no" };
    for (name, feature, purpose) in FEATURES {
        let state = Use::of(feature, adapter);
        let (offered, used) = (yes(state.offered), yes(state.used()));
        table.row(
            [name, offered, used, state.why_off.as_deref().unwrap_or(""), purpose].map(Into::into),
        );
    }
    text += &table.render();
    if let Some((names, file)) = refused(&adapter.get_info()) {
        text += &format!(
            "   the driver does not compile: {} (left out if there are others; delete {} to try \
            again)\n",
            names.join(", "),
            file.display()
        );
    }
    text
}

fn as_json(index: usize, adapter: &Adapter) -> Value {
    let info = adapter.get_info();
    let limits: serde_json::Map<String, Value> = limits(adapter)
        .into_iter()
        .map(|(name, value, _)| (name.to_owned(), value.into()))
        .collect();
    let features: serde_json::Map<String, Value> = FEATURES
        .into_iter()
        .map(|(name, feature, purpose)| {
            let state = Use::of(feature, adapter);
            let used = state.used();
            (
                name.to_owned(),
                json!({
                    "offered": state.offered,
                    "used": used,
                    "why_off": state.why_off,
                    "for": purpose,
                }),
            )
        })
        .collect();
    json!({
        "index": index,
        "name": info.name,
        "backend": info.backend.to_str(),
        "kind": kind(&info),
        "software": is_software(&info),
        "driver": driver(&info),
        "subgroup_sizes": [info.subgroup_min_size, info.subgroup_max_size],
        "vendor": info.vendor,
        "device": info.device,
        "refused_kernels": refused(&info).unwrap_or_default().0,
        "limits": limits,
        "features": features,
    })
}
