// norm_apply: BatchNorm2d by its coefficients, then the residual added or not, then ReLU or not.
//
// For: every norm of a training run. An invocation has a vec4 of channels of ROWS pixels that
// follow each other. The value less the pivot comes first: it is exact, or nearly so. Fast because:
// neighbours read and write side by side, and coefficients are loaded once for ROWS pixels. Bound
// by memory.
//#include shared/norm_params
@group(0) @binding(1) var<storage, read> src: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> coefficients: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<f32>>;
//#if RESIDUAL
@group(0) @binding(4) var<storage, read> residual: array<vec4<f32>>;
//#end
//#if RELU
//#include shared/relu
//#end

@compute @workgroup_size(${LANES}, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
//#include shared/norm_rows
    let pivot = coefficients[column];
    let delta = coefficients[column + line];
    let scale = coefficients[column + 2u * line];
    let beta = coefficients[column + 3u * line];
//#repeat r ROWS
    let value${r} = ((src[at${r}] - pivot) - delta) * scale + beta;
//#if RESIDUAL
    let sum${r} = value${r} + residual[at${r}];
//#else
    let sum${r} = value${r};
//#end
//#if RELU
    dst[at${r}] = relu(sum${r});
//#else
    dst[at${r}] = sum${r};
//#end
//#end
}
