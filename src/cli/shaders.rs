//! `bottleneck shaders`: every kernel as a file of another language, and an index that describes
//! how to launch each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use wgpu_bottleneck::error::GpuError;
use wgpu_bottleneck::kernel::{Access, Binding, Kernel, Winograd, all_specialisations};
use wgpu_bottleneck::shader::{Reflection, Target, Written, inspect, write};

use super::error::CliError;
use super::files::OutputFolder;
use super::output::{self, count};

/// A language to write kernels in.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum TargetArg {
    /// WGSL for browsers, comments kept: NAME.wgsl
    Wgsl,
    /// SPIR-V 1.3, for Vulkan: NAME.spv
    Spirv,
    /// Metal Shading Language 2.0: NAME.metal
    Msl,
    /// HLSL, shader model 6.0: NAME.hlsl
    Hlsl,
    /// GLSL ES 3.10: NAME.comp
    Glsl,
}

impl From<TargetArg> for Target {
    fn from(target: TargetArg) -> Self {
        match target {
            TargetArg::Wgsl => Self::Wgsl,
            TargetArg::Spirv => Self::SpirV,
            TargetArg::Msl => Self::Msl,
            TargetArg::Hlsl => Self::Hlsl,
            TargetArg::Glsl => Self::Glsl,
        }
    }
}

/// `bottleneck shaders`.
#[derive(Debug, Args)]
#[command(
    after_help = "index-TARGET.json, next to the kernels, describes how to launch each: entry \
    point, workgroup size, bindings and their locations, members of Params. It lists the kernels \
    of this call. `skipped` lists the kernels that the language cannot express, each with the \
    reason; stderr reports their number.\n\
    naga has validated every kernel. As in the library, they have no bounds checks and no loop \
    guards, so Params and buffers must be correct."
)]
pub struct ShadersArgs {
    /// The language.
    #[arg(long, value_enum, value_name = "TARGET")]
    pub target: TargetArg,
    /// The output folder; created if its parent exists. Files of the same names are overwritten,
    /// others are kept. Each file is written atomically, and none appears before all are written.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Write only the kernels whose name contains this.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub kernel: Option<String>,
}

/// Runs the command.
pub fn run(args: &ShadersArgs) -> Result<(), CliError> {
    let folder = OutputFolder::check(&args.out)?;
    let target = Target::from(args.target);
    let mut export = Export::new(target);
    for kernel in chosen(args.kernel.as_deref())? {
        export.add(kernel)?;
    }
    folder.write(&export.files()?, &[])?;
    for (reason, kernels) in export.skipped_by_reason() {
        let skipped = count(kernels.len(), "kernel", "kernels");
        let names = format!("{}{}", kernels[0], if kernels.len() > 1 { ", ..." } else { "" });
        output::progress(&format!(
            "skipped {skipped} for {}: {reason} ({names})",
            target.language()
        ));
    }
    output::print(&format!("{}\n", export.summary(&args.out)))
}

/// The kernels whose name contains `part`; without it, all.
fn chosen(part: Option<&str>) -> Result<Vec<Kernel>, CliError> {
    let mut all = all_specialisations();
    let Some(part) = part else { return Ok(all) };
    let matches: Vec<Kernel> =
        all.iter().copied().filter(|kernel| kernel.name().contains(part)).collect();
    if !matches.is_empty() {
        return Ok(matches);
    }
    let count = all.len();
    // Specialisations come family by family.
    all.dedup_by_key(|kernel| kernel.family);
    Err(CliError::NoKernel {
        name: part.to_owned(),
        some: all.iter().map(Kernel::name).collect(),
        all: count,
    })
}

/// The kernels in one language.
struct Export {
    target: Target,
    /// Names and contents.
    kernels: Vec<(String, Vec<u8>)>,
    /// Their entries in the index.
    entries: Vec<Value>,
    /// Kernels that the language cannot express, and why.
    skipped: Vec<(String, String)>,
}

impl Export {
    fn new(target: Target) -> Self {
        Self { target, kernels: Vec::new(), entries: Vec::new(), skipped: Vec::new() }
    }

    /// Writes a kernel. Source that naga rejects is a bug in this crate; a kernel that the writer
    /// rejects is recorded as skipped.
    fn add(&mut self, kernel: Kernel) -> Result<(), CliError> {
        let name = kernel.name();
        let refused = |reason| GpuError::Shader { kernel: name.clone(), reason };
        let source = kernel.source().map_err(|error| refused(error.to_string()))?;
        let (shader, reflection) = inspect(&source, kernel.extensions()).map_err(refused)?;
        match write(&shader, self.target) {
            Ok(written) => {
                let file = format!("{name}.{}", self.target.extension());
                self.entries.push(entry(&kernel, &file, &reflection, &written));
                self.kernels.push((file, written.bytes));
            }
            Err(reason) => self.skipped.push((name, reason)),
        }
        Ok(())
    }

    /// One index per language, so that languages can share a folder.
    fn index_name(&self) -> String {
        format!("index-{}.json", self.target.name())
    }

    /// The kernels, then the index, so that every file in the index exists.
    fn files(&self) -> Result<Vec<(String, Vec<u8>)>, CliError> {
        if let ([], [(kernel, reason), rest @ ..]) = (&self.kernels[..], &self.skipped[..]) {
            let (kernel, reason) = (kernel.clone(), reason.clone());
            return Err(CliError::NotExpressible {
                kernel,
                more: rest.len(),
                target: self.target.language(),
                reason,
            });
        }
        let index = (self.index_name(), format!("{:#}\n", self.index()).into_bytes());
        Ok(self.kernels.iter().cloned().chain([index]).collect())
    }

    fn index(&self) -> Value {
        let skipped =
            self.skipped.iter().map(|(name, reason)| json!({ "name": name, "reason": reason }));
        json!({
            "generator": concat!("wgpu-bottleneck ", env!("CARGO_PKG_VERSION")),
            "target": self.target.name(),
            "language": self.target.language(),
            "kernels": self.entries,
            "skipped": skipped.collect::<Value>(),
        })
    }

    /// The names of the skipped kernels by reason, for one line per reason.
    fn skipped_by_reason(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (kernel, reason) in &self.skipped {
            reasons.entry(reason).or_default().push(kernel);
        }
        reasons
    }

    /// A line about what was written, and how many kernels were skipped.
    fn summary(&self, folder: &Path) -> String {
        let kernels = count(self.kernels.len(), "kernel", "kernels");
        let (language, index, folder) =
            (self.target.language(), self.index_name(), folder.display());
        let skipped = match self.skipped.len() {
            0 => String::new(),
            skipped => format!("; {skipped} skipped, listed in {index}"),
        };
        format!("{kernels} as {language}, and {index} in {folder}{skipped}")
    }
}

/// The description of how to launch a kernel.
fn entry(kernel: &Kernel, file: &str, reflection: &Reflection, written: &Written) -> Value {
    let (tile, epilogue) = (kernel.tile, kernel.epilogue);
    // Every member is a u32, as the host's struct is; a test holds the two against each other.
    let members = reflection
        .members
        .iter()
        .map(|m| json!({ "name": m.name, "type": "u32", "offset": m.offset }));
    json!({
        "name": kernel.name(),
        "file": file,
        "family": kernel.family.name(),
        "tile": {
            "lanes": tile.workgroup_x,
            "slices": tile.workgroup_y,
            "rows": tile.rows_per_thread,
            "cols": tile.cols_per_thread,
        },
        "strided": kernel.strided,
        "winograd": kernel.winograd.map(Winograd::name),
        "fresh": kernel.transforms_weights_each_run,
        "k_slices": kernel.k_slices,
        "access": kernel.access.name(),
        "element": kernel.dtype.name(),
        "output_element": kernel.output_dtype.name(),
        "epilogue": { "bias": epilogue.bias, "residual": epilogue.residual, "relu": epilogue.relu },
        "subgroup_size": kernel.family.uses_subgroups().then_some(tile.workgroup_x),
        "entry_point": written.entry_point,
        "workgroup_size": reflection.workgroup_size,
        "workgroup_bytes": reflection.workgroup_bytes,
        "bindings": bindings(kernel, written),
        // Metal's alone: declared, never read.
        "buffer_sizes": written.buffer_sizes,
        "params": { "bytes": reflection.params_bytes, "members": members.collect::<Value>() },
    })
}

/// The bindings: number, role and location in the language.
fn bindings(kernel: &Kernel, written: &Written) -> Value {
    let slot = |number: u32| {
        written.slots.iter().find(|(binding, _)| *binding == number).map(|(_, slot)| slot)
    };
    let binding = |(number, binding): (u32, Binding)| {
        let from_texture = kernel.access == Access::Texture && !kernel.family.is_transform();
        let kind = match binding {
            Binding::Params | Binding::UniformInput(_) => "uniform",
            Binding::Weights if from_texture => "read-only storage texture",
            Binding::CopiedInput(_) | Binding::CopiedScratch(_) => "read-only storage texture",
            _ if binding == kernel.written() => "storage",
            _ => "read-only storage",
        };
        let (role, index) = match binding {
            Binding::Params => ("params", None),
            Binding::Input(index) | Binding::UniformInput(index) | Binding::CopiedInput(index) => {
                ("input", Some(("input", index)))
            }
            Binding::Weights => ("weights", None),
            Binding::Bias => ("bias", None),
            Binding::Output => ("output", None),
            // Between the dispatches of one step: 0 is what the first writes, 1 what the second
            // does.
            Binding::Scratch(index) | Binding::CopiedScratch(index) => {
                ("scratch", Some(("scratch", index)))
            }
        };
        let mut value =
            json!({ "binding": number, "role": role, "kind": kind, "slot": slot(number) });
        if let Some((name, index)) = index {
            value[name] = index.into();
        }
        value
    };
    (0..).zip(kernel.bindings()).map(binding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Uses made-up names, so that no language has to fail.
    #[test]
    fn what_cannot_be_written_is_never_silent() -> Result<(), CliError> {
        let mut export = Export::new(Target::Glsl);
        export.skipped.push(("coop".to_owned(), "no matrices".to_owned()));
        let error = export.files().map_err(|error| (error.exit_code(), error.to_string()));
        assert_eq!(
            error,
            Err((2, "coop cannot be written as GLSL ES 3.10: no matrices".to_owned()))
        );
        export.add(all_specialisations()[0])?;
        assert_eq!(export.index()["skipped"], json!([{ "name": "coop", "reason": "no matrices" }]));
        let summary = export.summary(Path::new("out"));
        assert_eq!(
            summary,
            "1 kernel as GLSL ES 3.10, and index-glsl.json in out; 1 skipped, listed in \
            index-glsl.json"
        );
        assert_eq!(export.files()?.len(), 2);
        Ok(())
    }
}
