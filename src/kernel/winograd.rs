//! Winograd's minimal convolutions F(2x2, 3x3) and F(4x4, 3x3), for stride 1 and any dilation.
//!
//! ```text
//! input --winograd_input--> V [position][tile][channels in]
//!                             | GEMM batch: one matrix product per position,
//!                             | with U [position][channels in][channels out]
//! output <-winograd_output-- M [position][tile][channels out]
//! ```
//!
//! Y = A' [(G g G') . (B' d B)] A for each tile of m x m outputs, which depends on
//! (m + 2) x (m + 2) inputs: (m + 2)^2 multiplications instead of 9 m^2 (Lavin and Gray, "Fast
//! Algorithms for Convolutional Neural Networks", 2015, arXiv:1509.09308). A and B are in the
//! shaders. The weights G g G' are computed here in f64 and rounded once; those that change between
//! runs are computed by `winograd_weights` in f32. A convolution with dilation d is d^2 ordinary
//! ones, each over the pixels whose coordinates are congruent modulo d: its tiles are tiles of
//! these phases.
//!
//! G, B and A of F(4x4) follow from the Toom-Cook method for the points 0, a, -a, b, -b and
//! infinity. Lavin and Gray use a = 1 and b = 2. With a = 5/8 and b = 3/2 the largest error is a
//! third of that: 3e-6 to 5e-6 of the largest value for a sequential sum over 512 channels, against
//! 1.5e-5; a direct convolution has 2e-6 (F(2x2): 1e-6). The choice of points follows Barabasz,
//! Anderson, Soodhalter and Gregg, "Error Analysis and Improving the Accuracy of Winograd
//! Convolution for Deep Neural Networks", 2020.
//!
//! NaN and infinities spread over the outputs of their tile, as NaN or with their correct sign, and
//! never disappear.

use super::Problem;
use crate::op::{Conv, KernelSize, Op};
use crate::tensor::Shape;

/// The number of outputs of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Winograd {
    /// F(2x2, 3x3): 16 multiplications instead of 36.
    F2x2,
    /// F(4x4, 3x3): 36 multiplications instead of 144.
    F4x4,
}

/// The most channels for F(4x4): its error exceeds 1e-5 of the largest value at about twice as
/// many.
const MOST_CHANNELS_OF_F4X4: usize = 1024;

/// The points a and b of F(4x4).
const NEAR: f64 = 0.625;
const FAR: f64 = 1.5;

/// G of F(2x2).
const G2: [[f64; 3]; 4] = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];

/// G of F(4x4): for a point p, the powers 1, p, p^2 divided by the product of its distances from
/// the other points; for infinity 0, 0, 1.
fn g4() -> [[f64; 3]; 6] {
    let line =
        |point: f64, distances: f64| [1.0, point, point * point].map(|power| power / distances);
    let (near, far) = (NEAR * NEAR, FAR * FAR);
    let (of_near, of_far) = (2.0 * near * (near - far), 2.0 * far * (far - near));
    [
        line(0.0, near * far),
        line(NEAR, of_near),
        line(-NEAR, of_near),
        line(FAR, of_far),
        line(-FAR, of_far),
        [0.0, 0.0, 1.0],
    ]
}

impl Winograd {
    /// Both tile sizes.
    pub const ALL: [Self; 2] = [Self::F2x2, Self::F4x4];

    /// The short name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F2x2 => "f2x2",
            Self::F4x4 => "f4x4",
        }
    }

    /// Outputs of a tile along each side.
    #[must_use]
    pub const fn outputs(self) -> usize {
        match self {
            Self::F2x2 => 2,
            Self::F4x4 => 4,
        }
    }

    /// Inputs of a tile along each side.
    #[must_use]
    pub const fn inputs(self) -> usize {
        self.outputs() + 2
    }

    /// Positions in a transformed tile; each is a matrix product.
    #[must_use]
    pub const fn positions(self) -> usize {
        self.inputs() * self.inputs()
    }

    /// Whether it supports a convolution with an error within 1e-5 of the largest value.
    pub(super) fn suits(self, conv: &Conv) -> bool {
        let plain = conv.kernel == KernelSize::Three && conv.stride == 1 && conv.groups == 1;
        plain && (self == Self::F2x2 || conv.in_channels <= MOST_CHANNELS_OF_F4X4)
    }

    /// The tiles of a problem.
    pub(crate) fn grid(self, problem: &Problem) -> Grid {
        let (output, _) = problem.output;
        let dilation = match problem.op {
            Op::Conv { conv, .. } => conv.dilation,
            _ => 1,
        };
        Grid::new(self, output, dilation)
    }

    /// OIHW weights as `[out][in][position]`: G g G', in f64.
    pub(super) fn weights(self, weight: &[f32]) -> Vec<f32> {
        let g: Vec<[f64; 3]> = match self {
            Self::F2x2 => G2.to_vec(),
            Self::F4x4 => g4().to_vec(),
        };
        let mut transformed = Vec::with_capacity(weight.len() / 9 * self.positions());
        for taps in weight.chunks_exact(9) {
            for down in &g {
                // A line of G g: the taps of each column, by this line of G.
                let line: [f64; 3] = std::array::from_fn(|x| {
                    (0..3).map(|y| down[y] * f64::from(taps[y * 3 + x])).sum()
                });
                transformed.extend(
                    g.iter().map(|across| (0..3).map(|x| line[x] * across[x]).sum::<f64>() as f32),
                );
            }
        }
        transformed
    }
}

/// How tiles cover the images of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    items: usize,
    pub(super) dilation: usize,
    /// Outputs of a tile along each side.
    outputs: usize,
    /// Number of phases along y, then x.
    pub(super) phases: [usize; 2],
    /// Tiles of one phase along y, then x: all phases have as many as the largest.
    pub(super) tiles: [usize; 2],
}

impl Grid {
    fn new(winograd: Winograd, item: Shape, dilation: usize) -> Self {
        let sides = [item.h, item.w];
        // If the dilation is at least the largest side, all taps except the middle ones are
        // outside.
        let dilation = dilation.min(item.h.max(item.w));
        let tiles = sides.map(|side| side.div_ceil(dilation).div_ceil(winograd.outputs()));
        let outputs = winograd.outputs();
        Self {
            items: item.n,
            dilation,
            outputs,
            phases: sides.map(|side| dilation.min(side)),
            tiles,
        }
    }

    /// The tile of this output pixel: image, phase and position in the phase.
    pub fn tile_of(&self, item: usize, y: usize, x: usize) -> [usize; 5] {
        let Self { dilation, outputs, .. } = *self;
        [item, y % dilation, x % dilation, y / dilation / outputs, x / dilation / outputs]
    }

    /// The tiles that depend on this input pixel: those of the outputs around it.
    pub fn tiles_that_see(
        &self,
        item: usize,
        y: usize,
        x: usize,
    ) -> impl Iterator<Item = [usize; 5]> {
        let Self { dilation, outputs, .. } = *self;
        // A tile sees its outputs and one more pixel of the phase on each side.
        let of = move |at: usize| {
            let in_phase = at / dilation;
            let first = in_phase.saturating_sub(1) / outputs;
            (first..=(in_phase + 1) / outputs).map(move |tile| (at % dilation, tile))
        };
        of(y).flat_map(move |(phase_y, tile_y)| {
            of(x).map(move |(phase_x, tile_x)| [item, phase_y, phase_x, tile_y, tile_x])
        })
    }

    /// The total number of tiles.
    pub fn tiles(&self) -> usize {
        self.phases
            .iter()
            .chain(&self.tiles)
            .fold(self.items, |tiles, &count| tiles.saturating_mul(count))
    }
}

/// `vec4`s of the weights of one tap, the same number as those of one position.
pub(super) fn weights_of_a_tap(problem: &Problem) -> usize {
    problem.inputs[0].1.vec4_per_pixel() * 4 * problem.output.1.vec4_per_pixel()
}
