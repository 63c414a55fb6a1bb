//! Networks with the seeded weights of tests/golden/network.py, which says how they come about.

use super::dict::DictBuilder;
use wgpu_bottleneck::{NetworkWeights, ResNet, StateDict};

/// The values of network.py's `uniform`.
pub fn uniform(name: &str, count: usize) -> impl Iterator<Item = f32> {
    let start = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (1..=count as u64).map(move |index| {
        let z = start.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 24) as f32
    })
}

/// The values of network.py's `tensor`.
fn weight(name: &str, dims: &[usize]) -> Vec<f32> {
    let values = uniform(name, dims.iter().product());
    let part = name.rsplit('.').next().unwrap_or_default();
    match part {
        _ if dims.len() > 1 => {
            let scale = (24.0 / dims[1..].iter().product::<usize>() as f64).sqrt() as f32;
            values.map(|value| (value - 0.5) * scale).collect()
        }
        "weight" if name.contains(".bn3") => values.map(|value| value * 0.25 + 0.125).collect(),
        "weight" | "running_var" => values.map(|value| value + 0.5).collect(),
        _ => values.map(|value| (value - 0.5) * 0.5).collect(),
    }
}

/// A network's weights, and how many bytes their file has.
pub fn weights(spec: &ResNet) -> Result<(NetworkWeights, u64), Box<dyn std::error::Error>> {
    let bytes = file(spec);
    let length = bytes.len() as u64;
    Ok((NetworkWeights::matching(StateDict::from_bytes(bytes)?, spec, None)?, length))
}

/// The safetensors file of a network.
pub fn file(spec: &ResNet) -> Vec<u8> {
    let mut dict = DictBuilder::default();
    for (key, dims) in spec.state_dict_shapes() {
        if !key.ends_with("num_batches_tracked") {
            dict.f32(&key, &dims, &weight(&key, &dims));
        }
    }
    dict.bytes()
}
