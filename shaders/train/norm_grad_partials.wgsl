// norm_grad_partials: the sums that the gradients of gamma and beta are, over a slice of a batch's
// pixels: the first dispatch of norm_grad_sums.
//
// For: the backward pass of a norm and the ReLU after it. An invocation has COLS vec4s of
// channels. Whether ReLU let a value through is seen from the norm's output, which is computed
// again rather than read. Fast because: neighbours read side by side, and columns make the runs of
// memory longer. Loses when: there are few channels, so that lanes idle.
//#include shared/norm_params
@group(0) @binding(1) var<storage, read> src: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> coefficients: array<vec4<f32>>;
// Of each slice: the sum of the gradients, and that of the gradients times the values less their
// mean: [slice][2][vec4_per_pixel].
@group(0) @binding(4) var<storage, read_write> dst: array<vec4<f32>>;

@compute @workgroup_size(${LANES}, ${SLICES}, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
//#include shared/norm_slice
//#repeat c COLS
    let pivot${c} = coefficients[column${c}];
    let delta${c} = coefficients[column${c} + line];
//#if RELU
    let scale${c} = coefficients[column${c} + 2u * line];
    let beta${c} = coefficients[column${c} + 3u * line];
//#end
    var sum${c} = vec4<f32>(0.0);
    var centred_sum${c} = vec4<f32>(0.0);
//#end
    for (var pixel = first; pixel < end; pixel += 1u) {
//#repeat c COLS
        let centred${c} = (src[pixel * line + column${c}] - pivot${c}) - delta${c};
//#if RELU
        let is_zero${c} = centred${c} * scale${c} + beta${c} <= vec4<f32>(0.0);
        let g${c} = select(gradient[pixel * line + column${c}], vec4<f32>(0.0), is_zero${c});
//#else
        let g${c} = gradient[pixel * line + column${c}];
//#end
        sum${c} += g${c};
        centred_sum${c} += g${c} * centred${c};
//#end
    }
    let at = slice * 2u * line;
//#repeat c COLS
    if first_column + ${c*LANES}u < line {
        dst[at + column${c}] = sum${c};
        dst[at + line + column${c}] = centred_sum${c};
    }
//#end
}
