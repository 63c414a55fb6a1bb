// bench/dependent: counts its dispatches, each of which must see what the one before it wrote: for
// what a barrier costs.

@group(0) @binding(0) var<storage, read_write> count: array<u32, 1>;

@compute @workgroup_size(1, 1, 1)
fn main() {
    count[0] += 1u;
}
