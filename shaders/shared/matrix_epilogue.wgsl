    // Matrix by matrix through workgroup memory, as a matrix's values can only be reached there:
    // bias, residual, ReLU and the store, in this order. The first barrier is also what makes a
    // store of a matrix seen.
    let own_sums = subgroup * ${SIDE_OF_MATRIX*SIDE_OF_MATRIX/4}u;
    let stored_at = own_sums * UNIT;
    let stored_stride = ${SIDE_OF_MATRIX/4}u * UNIT;
    // The words of a lane are in one column of each matrix. Its rows and columns in the first
    // matrix; in the others they are further by numbers that are the same for all lanes.
    let lane_row = first_row + own_rows + lane / ${SIDE_OF_MATRIX/4}u;
    let lane_column = first_column + own_columns + lane % ${SIDE_OF_MATRIX/4}u;
    let lane_rows = max(params.rows, lane_row) - lane_row;
//#if PLANES
    let lane_at = dst_at + lane_row * params.out_vec4 + lane_column;
//#else
    let lane_at = lane_row * params.out_vec4 + lane_column;
//#end
    // The place of the column in its group of channels moves by the width of a matrix: one division
    // for all.
    let group_step = ${SIDE_OF_MATRIX/4}u % params.group_out_vec4;
    var in_group = lane_column % params.group_out_vec4;
//#repeat c COLS
    let column${c} = lane_column + ${c*SIDE_OF_MATRIX/4}u;
    // The rows that are stored: those before the end, in columns before the end.
    let rows${c} = select(0u, lane_rows, column${c} < params.out_vec4);
    // Padding channels are stored as zeros whatever was summed.
    let channel${c} = vec4<u32>(in_group * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
    let keep${c} = channel${c} < vec4<u32>(params.group_out_channels);
    in_group += group_step;
    in_group = select(in_group - params.group_out_vec4, in_group, in_group < params.group_out_vec4);
//#if BIAS
    let bias${c} = bias(params.k_quads, min(column${c}, params.out_vec4 - 1u));
//#end
//#end
//#repeat r ROWS
//#repeat c COLS
    coopStoreT(sum${r}_${c}, &sums[stored_at], stored_stride);
    workgroupBarrier();
//#repeat i MATRIX_WORDS
//#if SPARE_LANES
    if ${r*SIDE_OF_MATRIX}u < rows${c} && lane < ${SIDE_OF_MATRIX*SIDE_OF_MATRIX/4}u {
//#else
    if ${r*SIDE_OF_MATRIX+i*LANES*4/SIDE_OF_MATRIX}u < rows${c} {
//#end
        var value = summed(own_sums + lane + ${i*LANES}u);
        let at = lane_at + ${r*SIDE_OF_MATRIX+i*LANES*4/SIDE_OF_MATRIX}u * params.out_vec4
            + ${c*SIDE_OF_MATRIX/4}u;
//#if BIAS
        value += bias${c};
//#end
//#if RESIDUAL
        value += unpack(residual[at]);
//#end
//#if RELU
        value = relu(value);
//#end
        dst[at] = pack(select(vec4<f32>(0.0), value, keep${c}));
    }
//#end
    workgroupBarrier();
//#end
//#end
