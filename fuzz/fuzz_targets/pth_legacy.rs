//! The target `pth_legacy`.
#![cfg_attr(fuzzing, no_main)]
wgpu_bottleneck_fuzz::fuzz_target!("pth_legacy");
