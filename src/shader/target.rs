//! The languages that a shader is written in, and what readers of WGSL disagree on.

use super::Extensions;

/// A language that a shader can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// WGSL for browsers: the assembled text with its comments, after the prelude that browsers ask for.
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

    /// Whether the language has everything that a text with these extensions may use: 64-bit integers are in naga's dialect
    /// of WGSL, but neither in the browsers' nor in GLSL ES; half precision is not in GLSL ES; cooperative matrices are in SPIR-V and, 8 by
    /// 8, in MSL.
    #[must_use]
    pub const fn expresses(self, extensions: Extensions) -> bool {
        matches!(self.refuses(extensions), [None, None, None])
    }

    /// The features of these extensions that the language does not have: `no 64-bit integers`,
    /// `no half precision`. `None` where it [expresses](Self::expresses) the text.
    #[must_use]
    pub fn lacks(self, extensions: Extensions) -> Option<String> {
        let lacking: Vec<&str> = self.refuses(extensions).into_iter().flatten().collect();
        (!lacking.is_empty()).then(|| format!("no {}", lacking.join(" and no ")))
    }

    /// 64-bit integers, half precision and cooperative matrices, where the text may use them and
    /// the language does not have them.
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

    /// What the names of its files end in, as the compilers of the language expect them.
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

/// Who reads a WGSL text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reader {
    /// naga 30, and with it wgpu on every native backend.
    Naga,
    /// A browser.
    Browser,
}

/// What must stand before a kernel's text: the extensions that it uses, as far as the reader wants them named.
///
/// The files of `shaders/` have none, because no one text suits both: browsers refuse a subgroup operation without
/// `enable subgroups;`, and naga 30 refuses that very line, and takes the operations for granted where the validator's
/// capabilities allow them.
#[must_use]
pub const fn prelude(reader: Reader, extensions: Extensions) -> &'static str {
    match (reader, extensions.subgroups, extensions.f16) {
        // No browser has these. naga 30 takes every variable for one that differs from lane to lane, and so a branch on a loop's count for
        // one in which matrices must not be; the filter is that of its check.
        _ if extensions.matrix_side > 0 => {
            "enable f16;\nenable wgpu_cooperative_matrix;\ndiagnostic(off, derivative_uniformity);\n"
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
        assert_eq!(Target::Glsl.lacks(words).as_deref(), Some("no 64-bit integers and no half precision"));
        assert_eq!(Target::Msl.lacks(matrices).as_deref(), Some("no cooperative matrices larger than 8 by 8"));
        assert_eq!(Target::Msl.lacks(Extensions { matrix_side: 8, ..half }), None);
    }

    /// When this fails, naga has learnt the line: one prelude will do for both readers.
    #[test]
    fn naga_still_refuses_what_browsers_demand() {
        let text = "@compute @workgroup_size(8) fn main(@builtin(subgroup_size) size: u32) { }";
        let extensions = Extensions { subgroups: true, ..Extensions::default() };
        let parsed = |reader| naga::front::wgsl::parse_str(&format!("{}{text}", prelude(reader, extensions))).is_ok();
        assert_eq!((parsed(Reader::Naga), parsed(Reader::Browser)), (true, false));
    }
}
