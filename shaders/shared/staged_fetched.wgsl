//#repeat h ROW_LOADS
        var fetched_row${h} = vec4<f32>(0.0);
//#end
//#repeat g WEIGHT_LOADS
        var fetched_weight${g} = vec4<f32>(0.0);
//#end
