//! What the ranking rule knows of a GPU's compute units, by vendor and architecture.
//!
//! A unit is what shares one workgroup memory: a compute unit (AMD), a streaming multiprocessor
//! (NVIDIA), an Xe core (Intel), a shader processor (Qualcomm), a core (Apple). Registers were
//! found with the vendors' compilers in Mesa, which run without the GPU (`docs/compilers.md`): the
//! statistics of each row are in `benches/results/vendor/`, in the file that the row names. Clocks
//! and widths come from the vendors' documents. No GPU has been measured.

use super::tile::STAGE_QUADS;
use super::{Family, Kernel, Method, Tile};
use crate::tensor::DType;

/// A row of the table of chips.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Chip {
    /// What the row is for.
    pub name: &'static str,
    /// The chip of `benches/results/vendor/`, without `.jsonl`, on which `registers` was found.
    pub statistics: &'static str,
    /// The largest [`Kernel::registers`] without spills.
    pub registers: u32,
    /// Multiply-adds of a unit in a clock.
    pub lanes: u32,
    /// Bytes of workgroup memory that a unit reads in a clock.
    pub shared_bytes: u32,
    /// Instructions other than multiply-adds of an invocation, for a stage of a staged kernel.
    pub stage_overhead: u32,
    /// Registers of a unit.
    pub unit_registers: u32,
    /// Bytes of workgroup memory of a unit.
    pub unit_bytes: u32,
}

/// No kernel needs more.
const UNLIMITED: u32 = 256;

impl Chip {
    /// A GPU that is not in the table. What the rule then selects spills on no chip of AMD, Apple,
    /// Intel, NVIDIA and Qualcomm.
    pub const UNKNOWN: Self = Self {
        name: "unknown",
        statistics: "a618",
        registers: 72,
        lanes: 128,
        shared_bytes: 128,
        stage_overhead: 100,
        unit_registers: 65_536,
        unit_bytes: 32 << 10,
    };

    /// AMD before RDNA 3.
    pub const AMD: Self = Self {
        name: "AMD GCN, RDNA 1 and 2",
        statistics: "navi21",
        registers: UNLIMITED,
        lanes: 64,
        shared_bytes: 128,
        stage_overhead: 24,
        unit_registers: 65_536,
        unit_bytes: 64 << 10,
    };

    /// AMD RDNA 3 and 4, which issue two multiply-adds at once.
    pub const RDNA3: Self = Self {
        name: "AMD RDNA 3 and 4",
        statistics: "navi31",
        lanes: 128,
        unit_registers: 98_304,
        ..Self::AMD
    };

    /// NVIDIA Volta and Turing, and the A100.
    pub const TURING: Self = Self {
        name: "NVIDIA Volta and Turing, A100",
        statistics: "turing",
        registers: UNLIMITED,
        lanes: 64,
        shared_bytes: 128,
        stage_overhead: 100,
        unit_registers: 65_536,
        unit_bytes: 64 << 10,
    };

    /// NVIDIA's other architectures.
    pub const AMPERE: Self = Self {
        name: "NVIDIA Maxwell, Pascal, Ampere and later",
        statistics: "ampere",
        lanes: 128,
        unit_bytes: 96 << 10,
        ..Self::TURING
    };

    /// Intel Gen9 to Xe3.
    pub const INTEL: Self = Self {
        name: "Intel",
        statistics: "lnl",
        registers: 76,
        lanes: 128,
        shared_bytes: 128,
        stage_overhead: 110,
        unit_registers: 131_072,
        unit_bytes: 64 << 10,
    };

    /// Qualcomm Adreno 7xx and 8xx.
    pub const ADRENO7: Self = Self {
        name: "Qualcomm Adreno 7xx and 8xx",
        statistics: "a750",
        registers: 88,
        stage_overhead: 60,
        ..Self::UNKNOWN
    };

    /// Apple.
    pub const APPLE: Self = Self {
        name: "Apple",
        statistics: "m1",
        registers: 88,
        stage_overhead: 40,
        ..Self::UNKNOWN
    };

    /// Arm Mali. The compiler spills registers if an invocation computes more than four pixels. In
    /// some kernels with four pixels it spills up to 18 registers.
    pub const MALI: Self = Self {
        name: "Arm Mali",
        statistics: "g610",
        registers: 40,
        lanes: 64,
        stage_overhead: 60,
        ..Self::UNKNOWN
    };

    /// Every row.
    pub const ALL: [Self; 9] = [
        Self::AMD,
        Self::RDNA3,
        Self::TURING,
        Self::AMPERE,
        Self::INTEL,
        Self::ADRENO7,
        Self::APPLE,
        Self::MALI,
        Self::UNKNOWN,
    ];

    /// The row for an adapter: its PCI vendor and device (0 if unknown, as in a browser), and its
    /// name, from which the architecture is derived. Mesa's names have the code name, the names of
    /// vendors' drivers the product.
    #[must_use]
    pub fn of(vendor: u32, device: u32, name: &str) -> Self {
        let name = name.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
        match (vendor, device) {
            (0x1002, _) if has(&RDNA3_NAMES) => Self::RDNA3,
            (0x1002, _) => Self::AMD,
            // GV100, TU10x, TU11x, GA100 (pci.ids).
            (0x10de, 0x1d80..=0x1fff | 0x2080..=0x21ff) => Self::TURING,
            (0x10de, _) => Self::AMPERE,
            (0x8086, _) => Self::INTEL,
            (0x5143, _) if has(&["(tm) 7", "(tm) 8", "x1-", "x2-"]) => Self::ADRENO7,
            (0x106b, _) => Self::APPLE,
            (0x13b5, _) => Self::MALI,
            // Metal and browsers report no vendor.
            (0, _) if name.starts_with("apple") => Self::APPLE,
            _ => Self::UNKNOWN,
        }
    }

    /// The time of reading a `vec4` from workgroup memory, in multiply-adds of a `vec4`.
    pub(super) fn shared_load(&self) -> f64 {
        f64::from(self.lanes) / 4.0 / (f64::from(self.shared_bytes) / 16.0)
    }

    /// The workgroups of a staged kernel that a unit holds at once. Compilers need about 1.3 times
    /// the registers that [`Kernel::registers`] counts, and 16 for addresses.
    pub(super) fn resident(&self, kernel: &Kernel) -> u32 {
        let Tile { workgroup_x, workgroup_y, .. } = kernel.tile;
        let registers = kernel.registers() * 13 / 10 + 16;
        let by_registers = self.unit_registers / (registers * workgroup_x * workgroup_y);
        let by_memory = self.unit_bytes / kernel.workgroup_bytes().max(1);
        by_registers.min(by_memory)
    }
}

/// Parts of names of RDNA 3 and 4: code names, and products of Windows' driver.
const RDNA3_NAMES: [&str; 19] = [
    "navi3",
    "navi4",
    "gfx11",
    "gfx12",
    "phoenix",
    "strix",
    "hawk",
    "krackan",
    "rx 7",
    "rx 9",
    "pro w7",
    "ai pro r9",
    "740m",
    "760m",
    "780m",
    "840m",
    "860m",
    "880m",
    "890m",
];

impl Kernel {
    /// An estimate of the registers that a convolution's invocation needs in its main loop, of 32
    /// bits each: its sums, the weights of a quad of K, a row or a window of pixels, and what is
    /// loaded ahead for the next stage. Compilers need more, for addresses. For kernels for matrix
    /// units, whose matrices are divided among lanes, and for those that are no convolutions, 0.
    #[must_use]
    pub fn registers(&self) -> u32 {
        let Tile { workgroup_x, workgroup_y, rows_per_thread, cols_per_thread } = self.tile;
        let (rows, columns) = (rows_per_thread, cols_per_thread);
        let sums_and_weights = rows * columns + 4 * columns;
        let vec4s = match self.family.method() {
            Method::Elementwise | Method::Matrix => 0,
            Method::Registers => {
                // Each row has an address and a place in the image.
                sums_and_weights + 1 + rows / 4
            }
            Method::Subgroup => sums_and_weights + rows.div_ceil(workgroup_x),
            Method::Staged => {
                let stage = self.tile_rows() + 4 * self.tile_columns();
                let loads = STAGE_QUADS * stage / (workgroup_x * workgroup_y);
                // Places in the image, slices of K, and conversions.
                let taps = u32::from(self.family == Family::Conv3x3Staged);
                let halves = if self.dtype == DType::F16 { 2 } else { 0 };
                sums_and_weights + 1 + loads + taps + u32::from(self.is_split()) + halves
            }
            Method::Window | Method::Slide | Method::StagedGroups => {
                sums_and_weights + self.window() + 2
            }
        };
        4 * vec4s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_drivers_are_known() {
        for (vendor, device, name, row) in [
            (0x1002, 0, "AMD Radeon RX 7900 XTX (RADV NAVI31)", Chip::RDNA3),
            (0x1002, 0, "AMD Radeon RX 9070 XT", Chip::RDNA3),
            (0x1002, 0, "AMD Radeon 780M Graphics (RADV PHOENIX)", Chip::RDNA3),
            (0x1002, 0, "AMD Radeon RX 6900 XT (RADV NAVI21)", Chip::AMD),
            (0x1002, 0, "AMD Custom GPU 0405 (RADV VANGOGH)", Chip::AMD),
            (0x10de, 0x1e82, "NVIDIA GeForce RTX 2080 (NVK TU104)", Chip::TURING),
            (0x10de, 0x20b0, "NVIDIA A100-PCIE-40GB", Chip::TURING),
            (0x10de, 0x2684, "NVIDIA GeForce RTX 4090", Chip::AMPERE),
            (0x10de, 0x2335, "NVIDIA H200", Chip::AMPERE),
            (0x8086, 0, "Intel(R) Arc(tm) A770 Graphics (DG2)", Chip::INTEL),
            (0x5143, 0, "Turnip Adreno (TM) 618", Chip::UNKNOWN),
            (0x5143, 0, "Turnip Adreno (TM) 750", Chip::ADRENO7),
            (0x106b, 0, "Apple M1 (G13G B1)", Chip::APPLE),
            (0, 0, "Apple M3 Pro", Chip::APPLE),
            (0x13b5, 0, "Mali-G610", Chip::MALI),
            (0x1010, 0, "PowerVR B-Series BXS-4-64", Chip::UNKNOWN),
            (0, 0, "", Chip::UNKNOWN),
        ] {
            assert_eq!(Chip::of(vendor, device, name), row, "{name}");
        }
    }
}
