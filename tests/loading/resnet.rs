//! torchvision's ResNet-50 as its file has it: keys and shapes, with made-up values, in each
//! format.

use safetensors::Dtype;

use crate::common::dict::DictBuilder;
use crate::common::torch::{self, ZipEntry, storage, stored, text, view};

const LAYERS: [(usize, usize); 4] = [(64, 3), (128, 4), (256, 6), (512, 3)];

/// The prefix of every block, and its stride.
pub fn blocks() -> Vec<(String, usize)> {
    let of_layer = |(layer, (_, count)): (usize, (usize, usize))| {
        (0..count).map(move |at| {
            (format!("layer{}.{at}.", layer + 1), if at == 0 && layer > 0 { 2 } else { 1 })
        })
    };
    LAYERS.into_iter().enumerate().flat_map(of_layer).collect()
}

/// The tensors of f32.
pub fn tensors() -> Vec<(String, Vec<usize>)> {
    let mut tensors = Vec::new();
    conv(&mut tensors, "conv1", "bn1", [64, 3, 7]);
    let mut inplanes = 64;
    for (layer, (planes, count)) in LAYERS.into_iter().enumerate() {
        for at in 0..count {
            let key = |name: &str| format!("layer{}.{at}.{name}", layer + 1);
            conv(&mut tensors, &key("conv1"), &key("bn1"), [planes, inplanes, 1]);
            conv(&mut tensors, &key("conv2"), &key("bn2"), [planes, planes, 3]);
            conv(&mut tensors, &key("conv3"), &key("bn3"), [4 * planes, planes, 1]);
            if at == 0 {
                conv(
                    &mut tensors,
                    &key("downsample.0"),
                    &key("downsample.1"),
                    [4 * planes, inplanes, 1],
                );
            }
            inplanes = 4 * planes;
        }
    }
    tensors
        .extend([("fc.weight".to_owned(), vec![1000, 2048]), ("fc.bias".to_owned(), vec![1000])]);
    tensors
}

/// A convolution's weight and its norm's tensors.
fn conv(
    tensors: &mut Vec<(String, Vec<usize>)>,
    conv: &str,
    norm: &str,
    [out, channels, side]: [usize; 3],
) {
    tensors.push((format!("{conv}.weight"), vec![out, channels, side, side]));
    let parts = ["weight", "bias", "running_mean", "running_var"];
    tensors.extend(parts.map(|part| (format!("{norm}.{part}"), vec![out])));
}

/// Every tensor with its bytes: the f32, all positive, as variances must be, and such that f16
/// holds them exactly; and the count of batches of each norm.
fn contents() -> Vec<(String, Dtype, Vec<usize>, Vec<u8>)> {
    let value = |at: usize| (0.25 + (at % 1021) as f32 / 1024.0).to_le_bytes();
    let mut contents = Vec::new();
    for (key, dims) in tensors() {
        let count: usize = dims.iter().product();
        let batches =
            key.strip_suffix("running_var").map(|norm| format!("{norm}num_batches_tracked"));
        contents.push((key, Dtype::F32, dims, (0..count).flat_map(value).collect()));
        contents.extend(batches.map(|key| (key, Dtype::I64, vec![], 7u64.to_le_bytes().to_vec())));
    }
    contents
}

/// f32 as f16.
fn narrowed(bytes: &[u8]) -> Vec<u8> {
    let narrow = |raw: &[u8; 4]| half::f16::from_f32(f32::from_le_bytes(*raw)).to_le_bytes();
    bytes.as_chunks().0.iter().flat_map(narrow).collect()
}

/// The file in each format, by name.
pub fn files() -> [(&'static str, Vec<u8>); 4] {
    let contents = contents();
    let (mut dict, mut halves) = (DictBuilder::default(), DictBuilder::default());
    let mut pairs = Vec::new();
    let mut old = vec![b"](".to_vec()];
    for (at, (key, dtype, dims, bytes)) in contents.iter().enumerate() {
        dict.raw(key, *dtype, dims, bytes.clone());
        if *dtype == Dtype::F32 {
            halves.raw(key, Dtype::F16, dims, narrowed(bytes));
        }
        let class = if *dtype == Dtype::F32 { "FloatStorage" } else { "LongStorage" };
        let storage = storage(class, &at.to_string(), dims.iter().product::<usize>() as i64);
        let strides = (0..dims.len()).map(|axis| dims[axis + 1..].iter().product::<usize>() as i64);
        let dims: Vec<i64> = dims.iter().map(|&dim| dim as i64).collect();
        pairs.push((key.as_str(), view(storage, 0, &dims, &strides.collect::<Vec<_>>())));
        old.push(text(&at.to_string()));
    }
    old.push(b"e".to_vec());
    let (pickle, mut rest) = (torch::pickle(&torch::dict(&pairs)), torch::pickle(&old.concat()));
    for (_, dtype, _, bytes) in &contents {
        let count = bytes.len() / (dtype.bitsize() / 8);
        rest.extend((count as u64).to_le_bytes().iter().chain(bytes));
    }
    let names: Vec<String> = (0..contents.len()).map(|at| format!("a/data/{at}")).collect();
    let mut entries: Vec<ZipEntry<'_>> = vec![stored("a/data.pkl", &pickle)];
    entries.extend(names.iter().zip(&contents).map(|(name, (_, _, _, bytes))| stored(name, bytes)));
    [
        ("resnet50.safetensors", dict.bytes()),
        ("resnet50_half.safetensors", halves.bytes()),
        ("resnet50.pth", torch::zip(&entries)),
        ("resnet50_legacy.pth", torch::legacy(1001, &pickle, &rest)),
    ]
}
