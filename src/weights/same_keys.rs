//! Networks with the same keys as this crate's, but different arithmetic. Only their names
//! distinguish them.

use crate::error::WeightsError;

/// The anti-aliased ResNets of timm 1.0.31: they pool or blur before a stride, without weights.
const ANTI_ALIASED: [&str; 11] = [
    "resnetaa34d",
    "resnetaa50",
    "resnetaa50d",
    "resnetaa101d",
    "resnetblur18",
    "resnetblur50",
    "resnetblur50d",
    "resnetblur101d",
    "seresnetaa50d",
    "seresnextaa101d_32x8d",
    "seresnextaa201d_32x8d",
];

/// Rejects the name of such a network. The whole name is compared, without timm's tag after the dot
/// (`resnetblur50.bt_in1k`). `config` and `key` name the source in the error.
pub(super) fn check(key: &str, name: &str, config: &str) -> Result<(), WeightsError> {
    let bare = name.split_once('.').map_or(name, |(bare, _)| bare);
    let bare = bare.rsplit_once('/').map_or(bare, |(_, bare)| bare);
    if !ANTI_ALIASED.contains(&bare) {
        return Ok(());
    }
    let (config, key, found) = (config.to_owned(), key.to_owned(), format!("{name:?}"));
    let expected =
        "a network without anti-aliasing: it has the same keys and computes something else";
    Err(WeightsError::Config { config, key, found, expected })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_whole() {
        for name in
            ANTI_ALIASED.iter().copied().chain(["resnetblur50.bt_in1k", "timm/resnetaa50.a1h_in1k"])
        {
            assert!(check("arch", name, "w.pth").is_err(), "{name}");
        }
        for name in ["resnet50", "my_resnetblur50_without_blur", "resnetaa", "", "."] {
            assert_eq!(check("arch", name, "w.pth"), Ok(()), "{name}");
        }
    }
}
