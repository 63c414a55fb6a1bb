//! The header of a safetensors file: an 8-byte length, then JSON. The safetensors crate validates
//! it; this module names the invalid tensor where that crate does not.

use safetensors::SafeTensorError;
use serde_json::Value;

use crate::error::WeightsError;

/// Headers above this size are rejected without an explanation: that of ResNet-152 has 0.1 MB.
const MAX_EXPLAINED: usize = 4 << 20;

/// Rejects a file whose header cannot fit in it. `start` is at least its first 8 bytes, or the
/// whole file if it is shorter.
pub(super) fn check_length(name: &str, start: &[u8], file_bytes: u64) -> Result<(), WeightsError> {
    let refuse = |reason| Err(WeightsError::Format { source_name: name.to_owned(), reason });
    let Some(length) = start.first_chunk::<8>() else {
        return refuse(format!("{file_bytes} bytes are too few for a header"));
    };
    let length = u64::from_le_bytes(*length);
    if length > file_bytes.saturating_sub(8) {
        return refuse(format!(
            "the header claims {length} bytes, the file has {file_bytes}: it is truncated, or in \
            another format"
        ));
    }
    Ok(())
}

/// Converts an error of the safetensors crate, adding the first inconsistent tensor if the error
/// names none.
pub(super) fn explain(name: &str, bytes: &[u8], error: &SafeTensorError) -> WeightsError {
    let reason = match culprit(bytes) {
        Some(culprit) => format!("{error}; {culprit}"),
        None if error.to_string().contains("incomplete metadata") => {
            format!("{error}: the file is truncated")
        }
        None => error.to_string(),
    };
    WeightsError::Format { source_name: name.to_owned(), reason }
}

/// The first tensor whose shape, element type and offsets contradict each other or the preceding
/// tensors, in the order of their offsets.
fn culprit(bytes: &[u8]) -> Option<String> {
    let length = usize::try_from(u64::from_le_bytes(*bytes.first_chunk()?)).ok()?;
    let (header, data) = bytes[8..].split_at_checked(length).filter(|_| length <= MAX_EXPLAINED)?;
    let Value::Object(entries) = serde_json::from_slice(header).ok()? else { return None };
    let mut tensors: Vec<(u64, u64, String, &Value)> = Vec::new();
    for (key, value) in entries.iter().filter(|(key, _)| *key != "__metadata__") {
        let offsets = value.get("data_offsets").and_then(Value::as_array).map(Vec::as_slice);
        match offsets
            .map(|offsets| offsets.iter().map(Value::as_u64).collect::<Vec<_>>())
            .as_deref()
        {
            Some([Some(begin), Some(end)]) => tensors.push((*begin, *end, key.clone(), value)),
            _ => return Some(format!("tensor {key}: data_offsets are not two sizes")),
        }
    }
    tensors.sort_by_key(|(begin, end, ..)| (*begin, *end));
    let mut at = 0;
    for (begin, end, key, value) in tensors {
        let said =
            |what: &str| Some(format!("tensor {key}: {what}, data_offsets [{begin}, {end}]"));
        match size(value) {
            None => return said("the size of its shape overflows, or its dtype is unknown"),
            Some(_) if end < begin => return said("data_offsets run backwards"),
            Some(size) if size != end - begin => {
                return said(&format!("its shape and dtype need {size} bytes"));
            }
            Some(_) if begin != at => return said(&format!("its data should begin at {at}")),
            Some(_) if end > data.len() as u64 => {
                return said(&format!("the file holds {} bytes of data", data.len()));
            }
            Some(_) => at = end,
        }
    }
    None
}

/// Size in bytes from a tensor's shape and element type.
fn size(tensor: &Value) -> Option<u64> {
    let bits: u64 = match tensor.get("dtype")?.as_str()? {
        "BOOL" | "U8" | "I8" | "F8_E5M2" | "F8_E4M3" => 8,
        "I16" | "U16" | "F16" | "BF16" => 16,
        "I32" | "U32" | "F32" => 32,
        "I64" | "U64" | "F64" | "C64" => 64,
        _ => return None,
    };
    let dims = tensor.get("shape")?.as_array()?;
    let count = dims.iter().try_fold(1u64, |product, dim| product.checked_mul(dim.as_u64()?))?;
    count.checked_mul(bits).map(|bits| bits / 8)
}
