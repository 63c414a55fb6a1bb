//! Sets `fuzz_targets`, for which the program has functions that only its targets call.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cfg=fuzz_targets");
}
