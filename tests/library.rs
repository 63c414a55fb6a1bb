//! Tests of the library. They are one program, so that the library is linked once and the tests
//! share devices and cores.

mod bad_input;
mod chips;
mod choice;
mod common;
mod image_pipeline;
// Compiled here so that it keeps up with the API.
#[allow(dead_code)]
#[path = "../scripts/compare-probe/main.rs"]
mod compare_probe;
mod devices;
mod exactness;
mod family;
mod goldens;
mod half;
#[cfg(feature = "images")]
mod images;
mod networks;
mod parts;
mod plan;
mod pth;
mod recordings;
mod refused;
mod rooms;
mod selftest;
mod shaders;
mod split_k;
mod style;
mod submits;
mod training;
mod tune;
mod winograd;
