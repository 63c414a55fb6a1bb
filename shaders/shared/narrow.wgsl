// Rounded to half precision. A number that is too large for it becomes NaN and not infinity: ReLU
// makes 0 of one infinity, a NaN stays one to the end, so that no overflow passes for a result. An
// infinity stays one. 65520 is the least that rounds to no f16. Sizes below it wrap to numbers
// above all others, so that one comparison finds both ends.
fn narrow(value: vec4<f32>) -> vec4<f16> {
    let bits = bitcast<vec4<u32>>(value);
    let size = bits & vec4<u32>(0x7fffffffu);
    let too_large = size - vec4<u32>(0x477ff000u) < vec4<u32>(0x7f800000u - 0x477ff000u);
    return vec4<f16>(bitcast<vec4<f32>>(select(bits, vec4<u32>(0x7fc00000u), too_large)));
}
