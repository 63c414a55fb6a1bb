//! GIF: checks whether the first frame fills the image, which the decoder does not report.

/// Checks that the first frame fills an image of this size; the error is the message to report.
pub(super) fn check_first_frame(bytes: &[u8], (width, height): (u32, u32)) -> Result<(), String> {
    match first_frame(bytes).map(|frame| frame.map(u32::from)) {
        Some([x, y, w, h]) if [x, y, w, h] != [0, 0, width, height] => Err(format!(
            "its first frame, {w} x {h} at ({x}, {y}), does not fill the {width} x {height} pixels"
        )),
        _ => Ok(()),
    }
}

/// The first frame's left, top, width and height. `None` if there is no frame; the decoder reports
/// the reason.
fn first_frame(bytes: &[u8]) -> Option<[u16; 4]> {
    // The header's flags say whether colours follow, and how many.
    let flags = *bytes.get(10)?;
    let colours = if flags & 0x80 == 0 { 0 } else { 2usize << (flags & 7) };
    let mut rest = bytes.get(13 + 3 * colours..)?;
    loop {
        rest = match *rest {
            [b'!', _, ref blocks @ ..] => behind(blocks)?,
            [b',', x0, x1, y0, y1, w0, w1, h0, h1, ..] => {
                return Some([[x0, x1], [y0, y1], [w0, w1], [h0, h1]].map(u16::from_le_bytes));
            }
            [b';', ..] | [] => return None,
            [_, ref rest @ ..] => rest,
        };
    }
}

/// The bytes after an extension's blocks, each of which starts with its length; the last one is
/// empty.
fn behind(mut blocks: &[u8]) -> Option<&[u8]> {
    loop {
        let (&length, rest) = blocks.split_first()?;
        blocks = rest.get(usize::from(length)..)?;
        if length == 0 {
            return Some(blocks);
        }
    }
}
