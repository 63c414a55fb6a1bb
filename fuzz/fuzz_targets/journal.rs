//! The target `journal`.
#![cfg_attr(fuzzing, no_main)]
wgpu_bottleneck_fuzz::fuzz_target!("journal");
