//! The target `image_qoi`.
#![cfg_attr(fuzzing, no_main)]
wgpu_bottleneck_fuzz::fuzz_target!("image_qoi");
