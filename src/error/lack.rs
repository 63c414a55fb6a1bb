//! The end of a message about a lack of memory.

/// How much memory is available, and what to do.
pub(super) fn lack_of_memory(available: Option<u64>) -> String {
    let advice = "use a smaller size or batch, or close other programs";
    match available {
        Some(available) => format!("{available} are available: {advice}"),
        None => format!("which are not available: {advice}"),
    }
}
