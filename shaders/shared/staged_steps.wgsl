    // The stages of K that are summed here. SPLIT: those of one slice, as many as of any other or
    // one more.
//#if SPLIT
    let first_step = slice * steps / ${K_SLICES}u;
    let end_step = (slice + 1u) * steps / ${K_SLICES}u;
//#else
    let first_step = 0u;
    let end_step = steps;
//#end
