// Which channels of a vec4 are channels, and not padding: runs of a number of vec4s, and channels
// in each.
fn channels_of(column: u32, run_vec4: u32, run_channels: u32) -> vec4<bool> {
    let channels = vec4<u32>(column % run_vec4 * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
    return channels < vec4<u32>(run_channels);
}
