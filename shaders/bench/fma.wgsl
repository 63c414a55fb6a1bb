// bench/fma: multiply-adds and nothing else, for a device's peak rate. Each invocation has CHAINS
// sums that do not wait for one another, enough to cover a pipeline's depth, few enough to stay in
// registers. FUSED asks for one instruction; drivers that have none are faster where they may round
// twice. HALF makes each sum two of f16, which is how GPUs double their rate. The sums converge to
// 2, and are written, so that none can be left out.

// Mirrored by FmaParams in src/gpu/ceilings/kernels.rs; a test compares names and offsets.
struct Params {
    invocations: u32,
    rounds: u32,        // of UNROLL multiply-adds in each chain
    multiplier: u32,    // the bits of an f32 that no compiler can know: 0.5
    addend: u32,        // likewise: 1
}

//#if HALF
alias Sum = vec2<f16>;

fn sum_of(value: f32) -> Sum {
    return vec2(f16(value));
}

fn value_of(sum: Sum) -> f32 {
    return f32(max(sum.x, sum.y));
}
//#else
alias Sum = f32;

fn sum_of(value: f32) -> Sum {
    return value;
}

fn value_of(sum: Sum) -> f32 {
    return sum;
}
//#end

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> dst: array<f32>;

@compute @workgroup_size(${LANES}, 1, 1)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= params.invocations {
        return;
    }
    let multiplier = sum_of(bitcast<f32>(params.multiplier));
    let addend = sum_of(bitcast<f32>(params.addend));
//#repeat c CHAINS
    var sum${c} = sum_of(f32(id.x % 8u + ${c}u));
//#end
    for (var round = 0u; round < params.rounds; round += 1u) {
//#repeat u UNROLL
//#repeat c CHAINS
//#if FUSED
        sum${c} = fma(sum${c}, multiplier, addend);
//#else
        sum${c} = sum${c} * multiplier + addend;
//#end
//#end
//#end
    }
    var largest = sum0;
//#repeat c CHAINS
    largest = max(largest, sum${c});
//#end
    dst[id.x] = value_of(largest);
}
