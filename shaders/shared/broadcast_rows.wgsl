// Hands each row's vec4 from the lane that loaded it to all lanes of the subgroup.
//#repeat r ROWS
        let x${r} = subgroupBroadcast(v${r/LANES}, ${r%LANES}u);
//#repeat c COLS
        acc${r}_${c} = mac(m${c}, x${r}, acc${r}_${c});
//#end
//#end
