//! The target `image_gif`.
#![cfg_attr(fuzzing, no_main)]
wgpu_bottleneck_fuzz::fuzz_target!("image_gif");
