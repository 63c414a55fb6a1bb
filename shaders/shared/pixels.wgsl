// The output pixel of a row: rows run through images, then y, then x.
struct Pixel {
    item: u32,
    y: u32,
    x: u32,
}

fn pixel_at(row: u32) -> Pixel {
    let line = row / params.out_width;
    let item = line / params.out_height;
    return Pixel(item, line - item * params.out_height, row - line * params.out_width);
}

// The pixel of the next row, without a division. Stays in the last image, so that rows after the
// end read valid memory.
fn next_pixel(pixel: Pixel) -> Pixel {
    let line_ends = pixel.x + 1u == params.out_width;
    let y = select(pixel.y, pixel.y + 1u, line_ends);
    let item_ends = y == params.out_height;
    let item = select(pixel.item, min(pixel.item + 1u, params.items - 1u), item_ends);
    return Pixel(item, select(y, 0u, item_ends), select(pixel.x + 1u, 0u, line_ends));
}
