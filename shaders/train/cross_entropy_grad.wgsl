// cross_entropy_grad: the gradient of the scores for the mean of the losses: softmax less the
// target, over the images.
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
    let largest = largest_score(base);
    let whole = log_sum(base, largest) - largest;
    let smoothing = bitcast<f32>(params.smoothing);
    let spread = smoothing / f32(params.classes);
    for (var column = 0u; column < params.class_vec4; column += 1u) {
        let class_number = vec4<u32>(column * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
        let aimed = select(
            vec4<f32>(0.0),
            vec4<f32>(1.0 - smoothing),
            class_number == vec4<u32>(target_class),
        );
        // The largest first: a score less a logarithm near it would lose digits of a probability
        // near one.
        let gradient = (exp((scores[base + column] - largest) - whole)
            - aimed - spread) * bitcast<f32>(params.share);
        let keep = channels_of(column, params.class_vec4, params.classes);
        dst[base + column] = select(vec4<f32>(0.0), gradient, keep);
    }
}
