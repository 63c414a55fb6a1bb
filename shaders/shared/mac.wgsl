// acc + m * x with four fused multiply-adds; m * x + acc would be one instruction more on most
// GPUs.
fn mac(m: mat4x4<f32>, x: vec4<f32>, acc: vec4<f32>) -> vec4<f32> {
    return fma(m[3], vec4<f32>(x.w), fma(m[2], vec4<f32>(x.z),
        fma(m[1], vec4<f32>(x.y), fma(m[0], vec4<f32>(x.x), acc))));
}
