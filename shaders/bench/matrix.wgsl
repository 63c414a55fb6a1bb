// bench/matrix: multiply-adds of matrices and nothing else, for the peak rate of a device's matrix
// units (cooperative matrices): halves, summed up in single precision, as the kernels of plans do.
// Each of SUBGROUPS subgroups has CHAINS sums that do not wait for one another. They begin with
// different numbers, so that none can stand for another, and are written, so that none can be left
// out.

// Mirrored by MatrixParams in src/gpu/ceilings/kernels.rs; a test compares names and offsets.
struct Params {
    rounds: u32,        // of UNROLL multiply-adds in each chain
    factor: u32,        // the bits of an f32 that no compiler can know: 1
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> dst: array<f32>;

const VALUES = ${SIDE_OF_MATRIX*SIDE_OF_MATRIX}u;
// Arrays of single values, as Metal wants pointers to what a matrix is made of.
var<workgroup> factors: array<f16, VALUES>;
// Each chain's begin 16 bytes after the previous one's: Vulkan wants no less of what a matrix is
// loaded from.
var<workgroup> starts: array<f32, VALUES + ${4*CHAINS}u>;
var<workgroup> sums: array<f32, ${SUBGROUPS}u * VALUES>;

@compute @workgroup_size(${LANES*SUBGROUPS}, 1, 1)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    for (var at = local.x; at < VALUES; at += ${LANES*SUBGROUPS}u) {
        factors[at] = f16(bitcast<f32>(params.factor) * (f32(at % 3u) - 1.0));
    }
    for (var at = local.x; at < VALUES + ${4*CHAINS}u; at += ${LANES*SUBGROUPS}u) {
        starts[at] = f32(at);
    }
    workgroupBarrier();
    let side = ${SIDE_OF_MATRIX}u;
    let first = 0u;
    let a = coopLoadT<coop_mat${SIDE_OF_MATRIX}x${SIDE_OF_MATRIX}<f16, A>>(&factors[first], side);
    let b = coopLoadT<coop_mat${SIDE_OF_MATRIX}x${SIDE_OF_MATRIX}<f16, B>>(&factors[first], side);
//#repeat c CHAINS
    let start${c} = ${4*c}u;
    var sum${c} =
        coopLoadT<coop_mat${SIDE_OF_MATRIX}x${SIDE_OF_MATRIX}<f32, C>>(&starts[start${c}], side);
//#end
    for (var round = 0u; round < params.rounds; round += 1u) {
//#repeat u UNROLL
//#repeat c CHAINS
        sum${c} = coopMultiplyAdd(a, b, sum${c});
//#end
//#end
    }
    let own = subgroup * VALUES;
    let own_dst = (group.x * ${SUBGROUPS}u + subgroup) * VALUES;
//#repeat c CHAINS
    coopStoreT(sum${c}, &sums[own], side);
    workgroupBarrier();
    for (var at = lane; at < VALUES; at += ${LANES}u) {
        dst[own_dst + at] = select(dst[own_dst + at], 0.0, ${c}u == 0u) + sums[own + at];
    }
    workgroupBarrier();
//#end
}
