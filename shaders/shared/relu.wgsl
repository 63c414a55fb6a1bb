// max(x, 0) that keeps NaN, as PyTorch's ReLU does. WGSL leaves max() and clamp() of NaN open and
// drivers return 0; the bit test was seen to keep it on Vulkan and on GL alike.
fn relu(x: vec4<f32>) -> vec4<f32> {
    let is_nan = (bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
    return select(max(x, vec4<f32>(0.0)), x, is_nan);
}
