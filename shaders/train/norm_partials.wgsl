// norm_partials: mean and squared deviations of each channel over a slice of a batch's pixels: the
// first dispatch of norm_stats.
//
// For: BatchNorm2d in training mode. An invocation has COLS vec4s of channels and goes over its
// pixels twice, the second time to sum the squares of differences from the mean: the squares of the
// values themselves would lose all digits where the mean is large. Fast because: neighbours read
// side by side, columns make the runs of memory longer, and the second pass finds its pixels in a
// cache. Loses when: there are few channels, so that lanes idle.
//#include shared/norm_params
@group(0) @binding(1) var<storage, read> src: array<vec4<f32>>;
// Of each slice: its first pixel, the mean less that, and the squares: [slice][3][vec4_per_pixel].
@group(0) @binding(2) var<storage, read_write> dst: array<vec4<f32>>;

@compute @workgroup_size(${LANES}, ${SLICES}, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
//#include shared/norm_slice
    let count = f32(end - first);
//#repeat c COLS
    let pivot${c} = src[first * line + column${c}];
    var sum${c} = vec4<f32>(0.0);
//#end
    for (var pixel = first; pixel < end; pixel += 1u) {
//#repeat c COLS
        sum${c} += src[pixel * line + column${c}] - pivot${c};
//#end
    }
//#repeat c COLS
    let delta${c} = sum${c} / count;
    var squares${c} = vec4<f32>(0.0);
    var rest${c} = vec4<f32>(0.0);
//#end
    for (var pixel = first; pixel < end; pixel += 1u) {
//#repeat c COLS
        let centred${c} = (src[pixel * line + column${c}] - pivot${c}) - delta${c};
        squares${c} += centred${c} * centred${c};
        rest${c} += centred${c};
//#end
    }
    let at = slice * 3u * line;
//#repeat c COLS
    if first_column + ${c*LANES}u < line {
        dst[at + column${c}] = pivot${c};
        dst[at + line + column${c}] = delta${c};
        // What the mean was rounded by.
        dst[at + 2u * line + column${c}] = squares${c} - rest${c} * rest${c} / count;
    }
//#end
}
