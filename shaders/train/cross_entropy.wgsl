// cross_entropy: of each image the cross entropy of its scores and its target, and how many classes
// come before the target.
//
// For: the loss of a classifier. An invocation is an image.
// Fast because: scores are few beside pixels.
// Loses when: there are thousands of classes and few images, so that lanes idle.
//#include shared/loss_params
//#include shared/channels
@group(0) @binding(1) var<storage, read> scores: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> targets: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<f32>>;
//#include shared/log_sum

@compute @workgroup_size(${LANES}, 1, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let item = (group.y * params.row_groups + group.x) * ${LANES}u + local.x;
    if item >= params.items {
        return;
    }
    let base = item * params.class_vec4;
    let target_class = min(u32(targets[item].x), params.classes - 1u);
    let target_score = scores[base + target_class / 4u][target_class % 4u];
    let largest = largest_score(base);
    let whole = log_sum(base, largest);
    var above = vec4<u32>(0u);
    var spread = vec4<f32>(0.0);
    for (var column = 0u; column < params.class_vec4; column += 1u) {
        let next = scores[base + column];
        let keep = channels_of(column, params.class_vec4, params.classes);
        let class_number = vec4<u32>(column * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
        // Of equals the first comes first.
        let before = (next > vec4<f32>(target_score))
            | ((next == vec4<f32>(target_score)) & (class_number < vec4<u32>(target_class)));
        above += select(vec4<u32>(0u), vec4<u32>(1u), before & keep);
        spread += select(vec4<f32>(0.0), vec4<f32>(whole) - next, keep);
    }
    var loss = whole - target_score;
    let smoothing = bitcast<f32>(params.smoothing);
    if smoothing != 0.0 {
        let all = (spread.x + spread.y) + (spread.z + spread.w);
        loss = (1.0 - smoothing) * loss + smoothing * (all / f32(params.classes));
    }
    let rank = f32(above.x + above.y + above.z + above.w);
    dst[item] = vec4<f32>(loss, rank, 0.0, 0.0);
}
