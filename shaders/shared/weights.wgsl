// [k4][column][4]: for each four input channels of a tap (a quad of K) and each vec4 of output
// channels four vec4s, one per input channel. Then the bias, a vec4 per column, as if it were one
// quad more; HALF: in single precision, with a separate binding. TEXTURE: a texture of the same
// lines, for software drivers that gather texels without a loop over the lanes.
//#if TEXTURE
@group(0) @binding(2) var weights: texture_storage_2d<rgba32float, read>;

fn weight(k4: u32, at: u32) -> vec4<f32> {
    return textureLoad(weights, vec2<u32>(at, k4));
}
//#else
@group(0) @binding(2) var<storage, read> weights: array<Word>;

fn weight(k4: u32, at: u32) -> vec4<f32> {
    return unpack(weights[k4 * params.out_vec4 * 4u + at]);
}
//#end
//#if BIAS
//#if HALF
@group(0) @binding(${BIAS_BINDING}) var<storage, read> biases: array<vec4<f32>>;

fn bias(k4: u32, column: u32) -> vec4<f32> {
    return biases[column];
}
//#else

fn bias(k4: u32, column: u32) -> vec4<f32> {
    return weight(k4, column);
}
//#end
//#end
