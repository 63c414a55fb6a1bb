//! The table of chips against what the vendors' compilers say: `benches/results/vendor/` has the
//! statistics of the kernels that the rule selects on each chip. Nothing here needs a GPU.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use wgpu_bottleneck::kernel::{Chip, Kernel, all_specialisations};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// The kernels of a file of statistics, with the registers that were spilled.
fn spills(chip: &str) -> Outcome<BTreeMap<String, u64>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results/vendor");
    let text = std::fs::read_to_string(folder.join(format!("{chip}.jsonl")))?;
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line)?;
        if let (Some(kernel), Some(count)) = (line["kernel"].as_str(), line["spills"].as_u64()) {
            found.insert(kernel.to_owned(), count);
        }
    }
    Ok(found)
}

/// The rule selects no kernel that a row's budget excludes, and no kernel within it spills, except
/// on Mali, whose files list the spills.
#[test]
fn no_selected_kernel_spills_on_the_chip_of_a_row() -> Outcome {
    let by_name: BTreeMap<String, Kernel> =
        all_specialisations().into_iter().map(|kernel| (kernel.name(), kernel)).collect();
    for row in Chip::ALL {
        assert!(row == Chip::MALI || row.registers >= Chip::UNKNOWN.registers, "{}", row.name);
        let found = spills(row.statistics)?;
        assert!(found.len() > 20, "{}: {} kernels", row.statistics, found.len());
        for (name, count) in found {
            let kernel = by_name.get(&name).ok_or_else(|| format!("no kernel {name}"))?;
            let (needed, budget) = (kernel.registers(), row.registers);
            assert!(needed <= budget, "{}: {name}: {needed} of {budget}", row.name);
            assert!(
                count == 0 || row == Chip::MALI,
                "{}: {name} spills {count} registers",
                row.name
            );
        }
    }
    Ok(())
}
