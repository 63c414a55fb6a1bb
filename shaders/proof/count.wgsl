// proof/count: counts that the compute pass that ends with it ran, for src/gpu/proof.rs.

// The number of the run: the low word first.
@group(0) @binding(0) var<storage, read_write> number: vec2<u32>;

@compute @workgroup_size(1, 1, 1)
fn main() {
    number.x += 1u;
}
