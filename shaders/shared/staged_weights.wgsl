            // After the last quad of K the rows are zero, and the weights any that are valid: they
            // are finite.
//#repeat g WEIGHT_LOADS
            let weight_k${g} = first_k + min(weight_quad${g}, quads_left - 1u);
            fetched_weight${g} = weights[weight_k${g} * params.out_vec4 * 4u + weight_at${g}];
//#end
