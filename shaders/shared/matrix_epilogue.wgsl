    // Matrix by matrix through workgroup memory, as a matrix's values can only be reached there:
    // bias, residual, ReLU and the store, in this order. Padding channels are stored as zeros
    // whatever was summed. The first barrier is also what makes a store of a matrix seen.
    let own_sums = subgroup * ${SIDE_OF_MATRIX*SIDE_OF_MATRIX/4}u;
    let stored_at = own_sums * UNIT;
    let stored_stride = ${SIDE_OF_MATRIX/4}u * UNIT;
//#repeat r ROWS
//#repeat c COLS
    coopStoreT(sum${r}_${c}, &sums[stored_at], stored_stride);
    workgroupBarrier();
    for (var word = lane; word < ${SIDE_OF_MATRIX*SIDE_OF_MATRIX/4}u; word += ${LANES}u) {
        let row = first_row + own_rows + ${r*SIDE_OF_MATRIX}u + word / ${SIDE_OF_MATRIX/4}u;
        let column =
            first_column + own_columns + ${c*SIDE_OF_MATRIX/4}u + word % ${SIDE_OF_MATRIX/4}u;
        if row < params.rows && column < params.out_vec4 {
            var value = summed(own_sums + word);
//#if PLANES
            let at = dst_at + row * params.out_vec4 + column;
//#else
            let at = row * params.out_vec4 + column;
//#end
//#if BIAS
            value += bias(params.k_quads, column);
//#end
//#if RESIDUAL
            value += unpack(residual[at]);
//#end
//#if RELU
            value = relu(value);
//#end
            let channel =
                vec4<u32>(column % params.group_out_vec4 * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
            dst[at] = pack(
                select(vec4<f32>(0.0), value, channel < vec4<u32>(params.group_out_channels)),
            );
        }
    }
    workgroupBarrier();
//#end
//#end
