//! Kernels as SPIR-V, as the library has it written: without bounds checks and loop guards.

use std::collections::BTreeMap;
use std::path::Path;

use wgpu_bottleneck::kernel::{Access, Family, Kernel, Tile, all_specialisations};
use wgpu_bottleneck::op::Epilogue;
use wgpu_bottleneck::shader::{Extensions, Patch, Target, inspect, write};
use wgpu_bottleneck::tensor::DType;

use crate::Outcome;

/// Writes NAME.spv.
fn one(out: &Path, kernel: &Kernel, patches: &[Patch]) -> Outcome {
    let source = kernel.source_with(patches)?;
    let (shader, _) = inspect(&source, kernel.extensions())?;
    std::fs::write(out.join(kernel.name() + ".spv"), write(&shader, Target::SpirV)?.bytes)?;
    Ok(())
}

/// The kernels with these names; without names, all.
pub fn spirv(out: &Path, names: &[&str], patches: &[Patch]) -> Outcome {
    std::fs::create_dir_all(out)?;
    let mut by_name: BTreeMap<String, Kernel> =
        all_specialisations().into_iter().map(|kernel| (kernel.name(), kernel)).collect();
    if names.is_empty() {
        return by_name.values().try_for_each(|kernel| one(out, kernel, patches));
    }
    for name in names {
        let kernel = by_name.remove(*name).ok_or_else(|| format!("no kernel {name}"))?;
        one(out, &kernel, patches)?;
    }
    Ok(())
}

/// The names of all kernels.
pub fn names() -> Outcome {
    all_specialisations().iter().for_each(|kernel| println!("{}", kernel.name()));
    Ok(())
}

/// Of each family, tile and element type, the name of the kernel with the largest epilogue: as it
/// is, and strided. Others need no more registers. Without kernels for software drivers.
pub fn richest() -> Outcome {
    let mut chosen: BTreeMap<String, (u32, String)> = BTreeMap::new();
    for kernel in all_specialisations() {
        if kernel.access == Access::Texture || kernel.family.uses_subgroups() {
            continue;
        }
        let Epilogue { bias, residual, relu } = kernel.epilogue;
        let size = u32::from(bias) + 2 * u32::from(residual) + u32::from(relu);
        let plain = Kernel { epilogue: Epilogue::default(), ..kernel };
        let best = chosen.entry(plain.name()).or_default();
        if best.1.is_empty() || size > best.0 {
            *best = (size, kernel.name());
        }
    }
    chosen.values().for_each(|(_, name)| println!("{name}"));
    Ok(())
}

/// Staged kernels with these tiles, as WGSL and SPIR-V.
pub fn tiles(out: &Path, tiles: &[&str]) -> Outcome {
    std::fs::create_dir_all(out)?;
    for text in tiles {
        let numbers: Vec<u32> = text
            .split(|c: char| !c.is_ascii_digit())
            .filter(|digits| !digits.is_empty())
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        let (tile, matrix_side) = match numbers[..] {
            [x, y, rows, cols] => (Tile::new(x, y, rows, cols), 0),
            [x, y, rows, cols, side] => (Tile::new(x, y, rows, cols), side),
            _ => return Err(format!("{text}: not a tile such as l16s16r8c1").into()),
        };
        let (families, dtypes) = if matrix_side > 0 {
            ([Family::Conv1x1Matrix, Family::Conv3x3Matrix], &[DType::F16][..])
        } else {
            ([Family::Conv1x1Staged, Family::Conv3x3Staged], &[DType::F32, DType::F16][..])
        };
        for family in families {
            for &dtype in dtypes {
                let kernel = staged(family, tile, dtype, matrix_side);
                one(out, &kernel, &[])?;
                std::fs::write(out.join(kernel.name() + ".wgsl"), kernel.source()?)?;
                println!("{}", kernel.name());
            }
        }
    }
    Ok(())
}

/// With the epilogue of most layers.
fn staged(family: Family, tile: Tile, dtype: DType, matrix_side: u32) -> Kernel {
    Kernel {
        family,
        tile,
        epilogue: Epilogue { bias: true, residual: false, relu: true },
        strided: false,
        access: Access::Vectors,
        dtype,
        output_dtype: dtype,
        winograd: None,
        transforms_weights_each_run: false,
        matrix_side,
        k_slices: 1,
    }
}

/// The staged kernels of all tiles with the epilogue of most layers, as WGSL.
pub fn wgsl(out: &Path) -> Outcome {
    std::fs::create_dir_all(out)?;
    for kernel in all_specialisations() {
        let of_most = staged(kernel.family, kernel.tile, kernel.dtype, kernel.matrix_side);
        let families = [
            Family::Conv1x1Staged,
            Family::Conv3x3Staged,
            Family::Conv1x1Matrix,
            Family::Conv3x3Matrix,
        ];
        if families.contains(&kernel.family) && kernel == of_most {
            std::fs::write(out.join(kernel.name() + ".wgsl"), kernel.source()?)?;
        }
    }
    Ok(())
}

/// A text as SPIR-V.
pub fn compile(from: &Path, to: &Path, names: &[&str]) -> Outcome {
    let mut extensions = Extensions::default();
    for name in names {
        match name.split_once('=') {
            None if *name == "f16" => extensions.f16 = true,
            None if *name == "subgroups" => extensions.subgroups = true,
            Some(("matrices", side)) => extensions.matrix_side = side.parse()?,
            _ => return Err(format!("unknown extension {name}").into()),
        }
    }
    let (shader, _) = inspect(&std::fs::read_to_string(from)?, extensions)?;
    std::fs::write(to, write(&shader, Target::SpirV)?.bytes)?;
    Ok(())
}
