//! The languages to which a shader can be translated, and differences between WGSL implementations.

use super::Extensions;

/// A language to which a shader can be translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// WGSL for browsers: the assembled text with its comments, after the prelude that browsers
    /// require.
    Wgsl,
    /// SPIR-V 1.3, for Vulkan; little-endian words.
    SpirV,
    /// Metal Shading Language 2.0, or 2.3 for cooperative matrices.
    Msl,
    /// HLSL, for DX12: shader model 6.0, or 6.2 for half precision.
    Hlsl,
    /// GLSL ES 3.10, for OpenGL.
    Glsl,
}

impl Target {
    /// Every target.
    pub const ALL: [Self; 5] = [Self::Wgsl, Self::SpirV, Self::Msl, Self::Hlsl, Self::Glsl];

    /// The short name: `wgsl`, `spirv`, `msl`, `hlsl`, `glsl`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wgsl => "wgsl",
            Self::SpirV => "spirv",
            Self::Msl => "msl",
            Self::Hlsl => "hlsl",
            Self::Glsl => "glsl",
        }
    }

    /// The language and its version, in words.
    #[must_use]
    pub const fn language(self) -> &'static str {
        match self {
            Self::Wgsl => "WGSL",
            Self::SpirV => "SPIR-V 1.3",
            Self::Msl => "Metal Shading Language 2.0 (2.3 for matrices)",
            Self::Hlsl => "HLSL, shader model 6.0 (6.2 for half precision)",
            Self::Glsl => "GLSL ES 3.10",
        }
    }

    /// Whether the language supports everything that a text with these extensions may use. 64-bit
    /// integers are in naga's dialect of WGSL, but not in the browsers' dialect or in GLSL ES. Half
    /// precision is not in GLSL ES. Cooperative matrices are in SPIR-V and, 8 by 8, in MSL.
    #[must_use]
    pub const fn expresses(self, extensions: Extensions) -> bool {
        matches!(self.refuses(extensions), [None, None, None])
    }

    /// The features of these extensions that the language lacks: `no 64-bit integers`, `no half
    /// precision`. `None` if it [expresses](Self::expresses) the text.
    #[must_use]
    pub fn lacks(self, extensions: Extensions) -> Option<String> {
        let lacking: Vec<&str> = self.refuses(extensions).into_iter().flatten().collect();
        (!lacking.is_empty()).then(|| format!("no {}", lacking.join(" and no ")))
    }

    /// 64-bit integers, half precision and cooperative matrices, if the text may use them and the
    /// language lacks them.
    const fn refuses(self, extensions: Extensions) -> [Option<&'static str>; 3] {
        let refuses_int64 = extensions.int64 && matches!(self, Self::Wgsl | Self::Glsl);
        let refuses_f16 = extensions.f16 && matches!(self, Self::Glsl);
        let matrices = match (self, extensions.matrix_side) {
            (_, 0) | (Self::SpirV, _) | (Self::Msl, 8) => None,
            (Self::Msl, _) => Some("cooperative matrices larger than 8 by 8"),
            (Self::Wgsl | Self::Hlsl | Self::Glsl, _) => Some("cooperative matrices"),
        };
        let int64 = if refuses_int64 { Some("64-bit integers") } else { None };
        [int64, if refuses_f16 { Some("half precision") } else { None }, matrices]
    }

    /// The file extension that the compilers of the language expect.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Wgsl => "wgsl",
            Self::SpirV => "spv",
            Self::Msl => "metal",
            Self::Hlsl => "hlsl",
            Self::Glsl => "comp",
        }
    }
}

/// A WGSL implementation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reader {
    /// naga 30, and with it wgpu on every native backend.
    Naga,
    /// A browser.
    Browser,
}

/// The lines required before a kernel's text: the extensions that it uses, if the implementation
/// requires them to be named.
///
/// The files of `shaders/` have none, because no single text works for both: browsers reject a
/// subgroup operation without `enable subgroups;`. naga 30 rejects that line, and accepts the
/// operations if the validator's capabilities include them.
#[must_use]
pub const fn prelude(reader: Reader, extensions: Extensions) -> &'static str {
    match (reader, extensions.subgroups, extensions.f16) {
        // No browser has these. naga 30 assumes that every variable differs between lanes, so it
        // considers a branch on a loop's count non-uniform and rejects matrices there; the
        // directive turns this check off.
        _ if extensions.matrix_side > 0 => {
            "enable f16;\nenable wgpu_cooperative_matrix;\ndiagnostic(off, \
            derivative_uniformity);\n"
        }
        (Reader::Browser, true, true) => "enable f16;\nenable subgroups;\n",
        (Reader::Browser, true, false) => "enable subgroups;\n",
        (_, _, true) => "enable f16;\n",
        (Reader::Browser, false, false) | (Reader::Naga, _, false) => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_lacks_what_it_does_not_write() {
        let half = Extensions { f16: true, ..Extensions::default() };
        let matrices = Extensions { matrix_side: 16, ..half };
        let words = Extensions { int64: true, ..half };
        assert_eq!([half, words].map(|it| Target::Hlsl.lacks(it)), [None, None]);
        assert_eq!(Target::Hlsl.lacks(matrices).as_deref(), Some("no cooperative matrices"));
        assert_eq!(Target::Wgsl.lacks(words).as_deref(), Some("no 64-bit integers"));
        assert_eq!(
            Target::Glsl.lacks(words).as_deref(),
            Some("no 64-bit integers and no half precision")
        );
        assert_eq!(
            Target::Msl.lacks(matrices).as_deref(),
            Some("no cooperative matrices larger than 8 by 8")
        );
        assert_eq!(Target::Msl.lacks(Extensions { matrix_side: 8, ..half }), None);
    }

    /// If this fails, naga accepts the line: one prelude is then enough for both.
    #[test]
    fn naga_still_refuses_what_browsers_demand() {
        let text = "@compute @workgroup_size(8) fn main(@builtin(subgroup_size) size: u32) { }";
        let extensions = Extensions { subgroups: true, ..Extensions::default() };
        let parsed = |reader| {
            naga::front::wgsl::parse_str(&format!("{}{text}", prelude(reader, extensions))).is_ok()
        };
        assert_eq!((parsed(Reader::Naga), parsed(Reader::Browser)), (true, false));
    }
}
