// bench/empty: nothing, for what a dispatch costs that waits for no other.

@compute @workgroup_size(1, 1, 1)
fn main() {
}
