//! An image in host memory.

use crate::error::ImageError;

/// Maximum pixels of an image from a file: Pillow rejects larger ones as decompression bombs
/// (`2 * Image.MAX_IMAGE_PIXELS`, where `MAX_IMAGE_PIXELS` is a quarter of a GiB in RGB).
pub const MAX_PIXELS: u64 = 178_956_970;

/// An image: red, green and blue, eight bits each, row by row from the top left.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    width: u32,
    height: u32,
    data: Vec<u8>,
}

impl Image {
    /// An image from its bytes: R, G, B, R, G, B, ... without padding between rows.
    ///
    /// # Errors
    /// [`ImageError::Empty`] if it has no pixels; [`ImageError::Length`] unless there are three
    /// bytes per pixel.
    pub fn new(width: u32, height: u32, data: Vec<u8>) -> Result<Self, ImageError> {
        check_rgb8("image", width, height, data.len())?;
        Ok(Self { width, height, data })
    }

    /// An image whose pixel in column `x` of row `y` is `pixel(x, y)`.
    ///
    /// # Errors
    /// [`ImageError::Empty`] if it has no pixels.
    pub fn from_fn(
        width: u32,
        height: u32,
        mut pixel: impl FnMut(u32, u32) -> [u8; 3],
    ) -> Result<Self, ImageError> {
        let data = (0..height)
            .flat_map(|y| (0..width).map(move |x| (x, y)))
            .flat_map(|(x, y)| pixel(x, y))
            .collect();
        Self::new(width, height, data)
    }

    /// Width in pixels.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The bytes: R, G, B, R, G, B, ..., row by row.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Returns the bytes, dropping width and height.
    #[must_use]
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// Red, green and blue of a pixel, or `None` outside the image.
    #[must_use]
    pub fn pixel(&self, x: u32, y: u32) -> Option<[u8; 3]> {
        let inside = x < self.width && y < self.height;
        let at = (y as usize * self.width as usize + x as usize) * 3;
        inside.then(|| [self.data[at], self.data[at + 1], self.data[at + 2]])
    }
}

impl std::fmt::Debug for Image {
    /// Prints only the size, not the bytes.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image({} x {})", self.width, self.height)
    }
}

/// Checks that there are pixels, with three bytes each.
pub(crate) fn check_rgb8(
    image: &str,
    width: u32,
    height: u32,
    bytes: usize,
) -> Result<(), ImageError> {
    if width == 0 || height == 0 {
        return Err(ImageError::Empty { image: image.to_owned(), width, height });
    }
    // In 128 bits, as 3 * (2^32 - 1)^2 has 66.
    let expected = 3 * u128::from(width) * u128::from(height);
    if expected == bytes as u128 {
        return Ok(());
    }
    let expected = u64::try_from(expected).unwrap_or(u64::MAX);
    Err(ImageError::Length {
        image: image.to_owned(),
        width,
        height,
        expected,
        found: bytes as u64,
    })
}
