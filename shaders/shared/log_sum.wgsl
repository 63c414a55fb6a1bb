// The logarithm of the sum of the exponentials of an image's scores, from the largest down, so that
// none overflows.
fn largest_score(base: u32) -> f32 {
    var largest = vec4<f32>(scores[base].x);
    for (var column = 0u; column < params.class_vec4; column += 1u) {
        let next = scores[base + column];
        let keep = channels_of(column, params.class_vec4, params.classes);
        // A NaN need not come first: its exponential is one, whatever is taken off.
        largest = select(largest, next, keep & (next > largest));
    }
    let pair = select(largest.xy, largest.zw, largest.zw > largest.xy);
    return select(pair.x, pair.y, pair.y > pair.x);
}

fn log_sum(base: u32, largest: f32) -> f32 {
    var sum = vec4<f32>(0.0);
    for (var column = 0u; column < params.class_vec4; column += 1u) {
        let next = exp(scores[base + column] - largest);
        sum += select(vec4<f32>(0.0), next, channels_of(column, params.class_vec4, params.classes));
    }
    return largest + log((sum.x + sum.y) + (sum.z + sum.w));
}
