// weight_grad_subgroup: weight_grad of dense convolutions with the image loaded by the lanes in
// turn and handed round by subgroupBroadcast.
//
// For: devices whose subgroups all have LANES lanes; a workgroup is one subgroup. Software drivers
// above all, where a load costs as much per lane as several multiply-adds and a broadcast next to
// nothing. Fast because: four pixels at a time are a 4x4 matrix of gradients for each column, which
// each input channel's four values are multiplied by; a lane loads one of the 4 x ROWS vec4s of the
// image in LANES, and its own COLS columns of the gradient. Loses when: subgroups are as wide as a
// GPU's, or there are few input channels.
//#include shared/conv_grad_params
//#include shared/channels
//#include shared/mac
//#include shared/words
@group(0) @binding(1) var<storage, read> src: array<Word>;
// TEXTURE: a texture of lines of as many pixels as `fold` says in powers of two.
//#if TEXTURE
@group(0) @binding(2) var gradient: texture_storage_2d<rgba32float, read>;
//#else
@group(0) @binding(2) var<storage, read> gradient: array<vec4<f32>>;
//#end
// [slice][weights as the forward kernels have them]
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<f32>>;

fn gradient_at(pixel: u32, column: u32) -> vec4<f32> {
//#if TEXTURE
    let line = pixel >> params.fold;
    return textureLoad(
        gradient,
        vec2<u32>((pixel - (line << params.fold)) * params.out_vec4 + column, line),
    );
//#else
    return gradient[pixel * params.out_vec4 + column];
//#end
}

@compute @workgroup_size(${LANES}, 1, 1)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    // Taps in turn: they read nearly the same pixels.
    let taps = params.side * params.side;
    let tap = group.x % taps;
    let first_row = group.x / taps * ${ROWS}u;
    let slice = group.z;
    let tap_y = tap / params.side * params.dilation;
    let tap_x = tap % params.side * params.dilation;
    let first_column = group.y * ${LANES*COLS}u + lane;
//#repeat c COLS
    let column${c} = min(first_column + ${c*LANES}u, params.out_vec4 - 1u);
//#end
//#repeat h HANDS
    let quad${h} = min(first_row + ${h*LANES/4}u + lane / 4u, params.in_vec4 - 1u);
//#end
//#repeat q ROWS
//#repeat k 4
//#repeat c COLS
    var acc${q}_${k}_${c} = vec4<f32>(0.0);
//#end
//#end
//#end
    let end = min((slice + 1u) * params.chunk, params.pixels);
    // The pixel whose part of the image this lane loads.
    var pixel = slice * params.chunk + lane % 4u;
    var x = pixel % params.out_width;
    var y = pixel / params.out_width % params.out_height;
    var item = pixel / params.out_width / params.out_height;
    for (var base = slice * params.chunk; base < end; base += 4u) {
        let in_y = y * params.stride + tap_y - params.padding;
        let in_x = x * params.stride + tap_x - params.padding;
        // Before the image is beyond its end.
        let inside = pixel < end && in_y < params.in_height && in_x < params.in_width;
        let source = select(
            0u,
            ((item * params.in_height + in_y) * params.in_width + in_x) * params.in_vec4,
            inside,
        );
//#repeat h HANDS
        let v${h} = select(vec4<f32>(0.0), unpack(src[source + quad${h}]), inside);
//#end
//#repeat p 4
        let at${p} = min(base + ${p}u, end - 1u);
        let live${p} = base + ${p}u < end;
//#end
//#repeat c COLS
        let m${c} = mat4x4<f32>(
//#repeat p 4
            select(vec4<f32>(0.0), gradient_at(at${p}, column${c}), live${p}),
//#end
        );
//#end
//#repeat q ROWS
//#repeat p 4
        let b${q}_${p} = subgroupBroadcast(v${q*4/LANES}, ${q*4%LANES+p}u);
//#end
//#repeat k 4
        let x${q}_${k} = vec4<f32>(b${q}_0[${k}], b${q}_1[${k}], b${q}_2[${k}], b${q}_3[${k}]);
//#repeat c COLS
        acc${q}_${k}_${c} = mac(m${c}, x${q}_${k}, acc${q}_${k}_${c});
//#end
//#end
//#end
        pixel += 4u;
        x += 4u;
        while x >= params.out_width {
            x -= params.out_width;
            y += 1u;
            if y == params.out_height {
                y = 0u;
                item += 1u;
            }
        }
    }
//#repeat c COLS
    let outputs${c} = channels_of(column${c}, params.out_run_vec4, params.out_run_channels);
//#end
//#repeat q ROWS
    if first_row + ${q}u < params.in_vec4 {
        let inputs = channels_of(first_row + ${q}u, params.in_run_vec4, params.in_run_channels);
        let row = slice * params.vec4s + (tap * params.in_vec4 + first_row + ${q}u)
            * params.out_vec4 * 4u;
//#repeat c COLS
        if first_column + ${c*LANES}u < params.out_vec4 {
//#repeat k 4
            let out${k} = outputs${c} & vec4<bool>(inputs[${k}]);
            dst[row + column${c} * 4u + ${k}u] = select(vec4<f32>(0.0), acc${q}_${k}_${c}, out${k});
//#end
        }
//#end
    }
//#end
}
