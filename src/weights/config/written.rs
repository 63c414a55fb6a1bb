//! Writes a configuration.

use serde_json::{Map, Value, json};

use super::keys::{KEY, pool_name, stride_name};
use super::{ClassNames, ModelConfig};
use crate::error::Result;
use crate::image::Channels;
use crate::network::ResNet;

impl ModelConfig {
    /// The text of a `config.json` for this network, in timm's format with the additional key
    /// [`KEY`]. `timm.create_model("local-dir:...")` opens it if timm has the network.
    ///
    /// # Errors
    /// [`ImageError::Setting`](crate::error::ImageError::Setting) for a preprocessing that
    /// timm's format cannot express.
    pub fn to_json(&self, network: &ResNet) -> Result<String> {
        let mut config = Map::new();
        let mut say = |key: &str, value: Value| drop(config.insert(key.to_owned(), value));
        if let Some((name, args)) = timm_name(network) {
            say("architecture", json!(name));
            if !args.is_empty() {
                say("model_args", Value::Object(args));
            }
        }
        let classes = network.classes().unwrap_or(0);
        say("num_classes", json!(classes));
        say("num_features", json!(network.features()));
        if let Some(ClassNames { names, .. }) = &self.class_names {
            say("label_names", json!(names));
        }
        let mut pretrained = match &self.preprocess {
            Some(Ok(found)) => found.preprocess.to_timm()?,
            _ => Map::new(),
        };
        for (key, value) in [
            ("num_classes", json!(classes)),
            ("first_conv", json!("conv1")),
            ("classifier", json!("fc")),
        ] {
            pretrained.insert(key.to_owned(), value);
        }
        // timm requires `input_size`, so `pretrained_cfg` is left out without a preprocessing.
        if pretrained.contains_key("input_size") {
            say("pretrained_cfg", Value::Object(pretrained));
        }
        let order = match &self.preprocess {
            Some(Ok(found)) if found.preprocess.channels == Channels::Bgr => "BGR",
            _ => "RGB",
        };
        say(KEY, Value::Object(ours(network, order)));
        Ok(format!("{:#}\n", Value::Object(config)))
    }
}

/// The object under [`KEY`].
fn ours(network: &ResNet, color_order: &str) -> Map<String, Value> {
    let mut map = Map::new();
    let mut say = |key: &str, value: Value| drop(map.insert(key.to_owned(), value));
    say("dilation", json!(network.dilations()));
    say("multi_grid", json!(network.multi_grid()));
    say("norm", json!(network.norm().name()));
    if let Some(eps) = network.norm().eps() {
        say("eps", json!(eps));
    }
    say("activation", json!("relu"));
    say("stride_in", json!(stride_name(network.stride_in())));
    say("max_pool", json!(pool_name(network.stem().pool)));
    say("color_order", json!(color_order));
    say("color_range", json!([0, 1]));
    map
}

/// The network's name in timm and its `model_args`, if timm computes the same.
fn timm_name(network: &ResNet) -> Option<(&'static str, Map<String, Value>)> {
    let variant = network.variant()?;
    let usual = ResNet::named(variant.name).ok()?.build().ok()?;
    let mut args = Map::new();
    let same = (network.norm(), network.stride_in(), network.stem())
        == (usual.norm(), usual.stride_in(), usual.stem());
    let output_stride = match network.replaced_strides()[..] {
        [false, false, false] => 32,
        [false, false, true] => 16,
        [false, true, true] => 8,
        _ => return None,
    };
    if !same || !network.multi_grid().is_empty() {
        return None;
    }
    if output_stride != 32 {
        args.insert("output_stride".to_owned(), json!(output_stride));
    }
    Some((variant.name, args))
}
