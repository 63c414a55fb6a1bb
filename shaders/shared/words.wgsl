// How a vec4 lies in memory: Word where it is read, OutWord where it is written. TEXTURE: as two
// 64-bit words, for software drivers that run one loop over the lanes for each scalar that they
// load or store; two words are half as many loops as four. The bits are the same. HALF: in half
// precision. Sums, and what is between two dispatches, are in single precision all the same.
//#if TEXTURE
alias Word = vec2<u64>;
alias OutWord = Word;

fn unpack(word: Word) -> vec4<f32> {
    let low = vec2<u32>(word);
    let high = vec2<u32>(word >> vec2<u32>(32u));
    return vec4<f32>(
        bitcast<f32>(low.x),
        bitcast<f32>(high.x),
        bitcast<f32>(low.y),
        bitcast<f32>(high.y),
    );
}

fn pack(value: vec4<f32>) -> OutWord {
    let bits = bitcast<vec4<u32>>(value);
    return vec2<u64>(bits.xz) | (vec2<u64>(bits.yw) << vec2<u32>(32u));
}
//#else
//#if HALF
alias Word = vec4<f16>;
//#else
alias Word = vec4<f32>;
//#end

fn unpack(word: Word) -> vec4<f32> {
    return vec4<f32>(word);
}
//#if HALF_OUT
//#include shared/narrow

alias OutWord = vec4<f16>;

fn pack(value: vec4<f32>) -> OutWord {
    return narrow(value);
}
//#else

alias OutWord = vec4<f32>;

fn pack(value: vec4<f32>) -> OutWord {
    return value;
}
//#end
//#end
