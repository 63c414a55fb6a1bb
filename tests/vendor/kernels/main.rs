//! What the compilers of GPU vendors are given: kernels in SPIR-V and HLSL, and the kernels that
//! the rule picks for a device.
//!
//! ```text
//! vendor_kernels picks [--info FILE]     the picks for four networks, on the Vulkan device that is
//!                                        found, or on the one that FILE describes
//! vendor_kernels layers                  the picks for 54 layers, on four kinds of devices
//! vendor_kernels spirv OUT NAME...       kernels by their names
//! vendor_kernels tiles OUT TILE...       staged and matrix kernels with other tiles: l16s16r8c1,
//!                                        or l64s4r4c4m16 for matrices of 16 x 16
//! vendor_kernels names                   the names of all kernels
//! vendor_kernels richest                 the names of each tile's kernel with the largest epilogue
//! vendor_kernels wgsl OUT                the staged kernels that `variants.py` rewrites
//! vendor_kernels compile IN.wgsl OUT.spv [f16] [subgroups] [matrices=SIDE]
//! vendor_kernels hlsl OUT MODEL          every kernel for a shader model: 5_1, 6_0, 6_2 or 6_6
//! ```
//!
//! `spirv` and `hlsl` take `--patch FILE FIND REPLACE` first, an edit of a file of `shaders/`. All
//! lists are JSON lines.

mod device;
mod export;
mod hlsl;
mod picks;

use std::path::Path;
use std::process::ExitCode;

use wgpu_bottleneck::shader::Patch;

/// Any error, as a message.
pub type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vendor_kernels: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Outcome {
    if let ["--patch", file, find, replace, rest @ ..] = arguments {
        let [file, find, replace] = [file, find, replace].map(|text| &*text.to_string().leak());
        let patch = Patch::new(file, find, replace);
        patch.check()?;
        return patched(rest, &[patch]);
    }
    match arguments {
        ["picks"] => picks::of_networks(&device::found()?),
        ["picks", "--info", file] => picks::of_networks(&device::described(Path::new(file))?),
        ["layers"] => picks::of_layers(),
        ["names"] => export::names(),
        ["richest"] => export::richest(),
        ["tiles", out, tiles @ ..] => export::tiles(Path::new(out), tiles),
        ["wgsl", out] => export::wgsl(Path::new(out)),
        ["compile", from, to, extensions @ ..] => {
            export::compile(Path::new(from), Path::new(to), extensions)
        }
        _ => patched(arguments, &[]),
    }
}

/// The commands that write kernels of the catalogue.
fn patched(arguments: &[&str], patches: &[Patch]) -> Outcome {
    match arguments {
        ["spirv", out, names @ ..] => export::spirv(Path::new(out), names, patches),
        ["hlsl", out, model] => hlsl::write_all(Path::new(out), model, patches),
        _ => Err("unknown arguments; see tests/vendor/kernels/main.rs".into()),
    }
}
