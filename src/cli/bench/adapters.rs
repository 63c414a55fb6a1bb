//! The devices to measure: one, or several side by side.

use wgpu_bottleneck::error::GpuError;
use wgpu_bottleneck::gpu::{AdapterChoice, adapters, describe};
use wgpu_bottleneck::wgpu::{AdapterInfo, Backend};
use wgpu_bottleneck::{Gpu, GpuOptions};

use super::super::error::CliError;
use super::args::BenchArgs;

/// The value of `--adapter` that selects all adapters.
const ALL: &str = "all";

/// Whether several devices are requested, however many there are.
pub fn several(args: &BenchArgs) -> bool {
    args.engine.adapter.adapter.as_deref() == Some(ALL) || args.backend.len() > 1
}

/// The requested devices, at least one.
pub fn gpus(args: &BenchArgs) -> Result<Vec<Gpu>, CliError> {
    let wanted = args.engine.adapter.adapter.as_deref();
    if wanted != Some(ALL) && args.backend.is_empty() {
        return Ok(vec![args.engine.adapter.gpu()?]);
    }
    let infos: Vec<AdapterInfo> = adapters()?.iter().map(|adapter| adapter.get_info()).collect();
    let choice =
        wanted.filter(|&wanted| wanted != ALL).map_or(AdapterChoice::Best, AdapterChoice::parse);
    let one_each = wanted != Some(ALL);
    let backends = if args.backend.is_empty() {
        vec![None]
    } else {
        args.backend.iter().map(|&it| Some(it)).collect()
    };
    let mut indices: Vec<usize> = Vec::new();
    for backend in backends {
        let of_backend = |info: &AdapterInfo| {
            backend.is_none_or(|backend| info.backend == Backend::from(backend))
        };
        let allowed: Vec<usize> =
            (0..infos.len()).filter(|&index| of_backend(&infos[index])).collect();
        let found =
            if one_each { pick(&choice, &infos, &allowed).into_iter().collect() } else { allowed };
        if found.is_empty() {
            let of = backend.map_or_else(String::new, |backend| {
                format!(" of backend {}", Backend::from(backend).to_str())
            });
            let present = infos.iter().map(describe).collect();
            return Err(GpuError::NoAdapter { wanted: format!("{choice}{of}"), present }.into());
        }
        indices.extend(found);
    }
    let mut seen = std::collections::HashSet::new();
    indices.retain(|&index| seen.insert(index));
    let gpu = |index| {
        Gpu::with_options(&GpuOptions {
            adapter: AdapterChoice::Index(index),
            matrices: true,
            ..Default::default()
        })
    };
    Ok(indices.into_iter().map(gpu).collect::<Result<_, _>>()?)
}

/// The chosen adapter among the allowed ones. An index counts all adapters.
fn pick(choice: &AdapterChoice, infos: &[AdapterInfo], allowed: &[usize]) -> Option<usize> {
    if let AdapterChoice::Index(index) = choice {
        return allowed.iter().copied().find(|allowed| allowed == index);
    }
    let among: Vec<AdapterInfo> = allowed.iter().map(|&index| infos[index].clone()).collect();
    choice.pick(&among).and_then(|at| allowed.get(at).copied())
}
