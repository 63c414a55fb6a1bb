//! The target `training_checkpoint`.
#![cfg_attr(fuzzing, no_main)]
wgpu_bottleneck_fuzz::fuzz_target!("training_checkpoint");
