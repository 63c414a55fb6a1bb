//#include shared/pool_params
//#include shared/words
@group(0) @binding(1) var<storage, read> src: array<Word>;
@group(0) @binding(2) var<storage, read_write> dst: array<OutWord>;
