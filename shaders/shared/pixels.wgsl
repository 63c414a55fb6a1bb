// The output pixel of a row: rows run through images, then y, then x.
struct Pixel {
    image: u32,
    y: u32,
    x: u32,
}

fn pixel_at(row: u32) -> Pixel {
    let line = row / params.out_width;
    let image = line / params.out_height;
    return Pixel(image, line - image * params.out_height, row - line * params.out_width);
}

// The pixel of the next row, without a division. Stays in the last image, so that rows after the
// end read valid memory.
fn next_pixel(pixel: Pixel) -> Pixel {
    let line_ends = pixel.x + 1u == params.out_width;
    let y = select(pixel.y, pixel.y + 1u, line_ends);
    let image_ends = y == params.out_height;
    let image = select(pixel.image, min(pixel.image + 1u, params.images - 1u), image_ends);
    return Pixel(image, select(y, 0u, image_ends), select(pixel.x + 1u, 0u, line_ends));
}
