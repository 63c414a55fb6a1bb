//! The block or the network of a plan, as text and as JSON.

use serde_json::{Value, json};
use wgpu_bottleneck::network::StemKind;
use wgpu_bottleneck::op::PoolWindows;
use wgpu_bottleneck::{Bottleneck, NetworkWeights, Norm, StrideIn};

use super::super::block_or_network::BlockOrNetwork;

/// The subject in one or more lines.
pub fn text(subject: &BlockOrNetwork) -> String {
    match subject {
        BlockOrNetwork::Block(block) => block_text(block.spec()),
        BlockOrNetwork::Network(network) => network_text(network),
    }
}

/// The name and value of the subject's member in the JSON.
pub fn json(subject: &BlockOrNetwork) -> (&'static str, Value) {
    match subject {
        BlockOrNetwork::Block(block) => ("block", block_json(block.spec())),
        BlockOrNetwork::Network(network) => ("network", network_json(network)),
    }
}

fn norm_text(norm: Norm) -> String {
    let eps = norm.eps().map_or(String::new(), |eps| format!(" eps {eps:e}"));
    format!("{}{eps}", norm.name())
}

/// The block in one line, in PyTorch's terms.
fn block_text(block: &Bottleneck) -> String {
    format!(
        "Bottleneck: inplanes {}, planes {}, width {}, stride {}, groups {}, base_width {}, \
        dilation {}, {}, {}",
        block.inplanes(),
        block.planes(),
        block.width(),
        block.stride(),
        block.groups(),
        block.base_width(),
        block.dilation(),
        norm_text(block.norm()),
        if block.has_downsample() { "downsample" } else { "no downsample" }
    )
}

fn block_json(block: &Bottleneck) -> Value {
    json!({
        "inplanes": block.inplanes(),
        "planes": block.planes(),
        "width": block.width(),
        "outplanes": block.outplanes(),
        "stride": block.stride(),
        "groups": block.groups(),
        "base_width": block.base_width(),
        "dilation": block.dilation(),
        "downsample": block.has_downsample(),
        "norm": block.norm().name(),
        "eps": block.norm().eps(),
    })
}

/// The network, its settings that shapes do not show, and their source.
fn network_text(network: &NetworkWeights) -> String {
    let (spec, source) = (network.spec(), network.config().options_source());
    let source =
        if source.is_empty() { String::new() } else { format!(" (settings from {source})") };
    format!(
        "{spec}\n{}, stride in {}, max pool {}, dilations {:?}, multi_grid {:?}{source}",
        norm_text(spec.norm()),
        stride_in(spec.stride_in()),
        max_pool(spec.stem().pool),
        spec.dilations(),
        spec.multi_grid(),
    )
}

/// The name of a stem's kind.
fn stem(kind: StemKind) -> &'static str {
    if kind == StemKind::Cifar { "cifar" } else { "imagenet" }
}

fn network_json(network: &NetworkWeights) -> Value {
    let (spec, source) = (network.spec(), network.config().options_source());
    json!({
        "name": spec.to_string(),
        "blocks": spec.kind().to_string(),
        "depths": spec.depths(),
        "planes": spec.planes(),
        "groups": spec.groups(),
        "width_per_group": spec.width_per_group(),
        "in_channels": spec.stem().in_channels,
        "stem": stem(spec.stem().kind),
        "stem_planes": spec.stem().planes,
        "classes": spec.classes(),
        "output_stride": spec.output_stride(),
        "replace_stride_with_dilation": spec.replaced_strides(),
        "multi_grid": spec.multi_grid(),
        "stride_in": stride_in(spec.stride_in()),
        "max_pool": max_pool(spec.stem().pool),
        "norm": spec.norm().name(),
        "eps": spec.norm().eps(),
        "settings_from": (!source.is_empty()).then_some(source),
    })
}

/// The value of --stride-in.
fn stride_in(stride_in: StrideIn) -> &'static str {
    match stride_in {
        StrideIn::Conv2 => "3x3",
        StrideIn::Conv1 => "1x1",
    }
}

/// The value of --max-pool.
fn max_pool(windows: PoolWindows) -> &'static str {
    match windows {
        PoolWindows::Padded => "padded",
        PoolWindows::CeilMode => "ceil",
    }
}
