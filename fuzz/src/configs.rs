//! Texts: configurations of models, and tables of measured kernels.

use std::sync::LazyLock;

use wgpu_bottleneck::image::Geometry;
use wgpu_bottleneck::plan::KernelChoice;
use wgpu_bottleneck::tune::TuningTable;
use wgpu_bottleneck::{BlockKind, ModelConfig, Preprocess, ResNet};

static NETWORK: LazyLock<Option<ResNet>> =
    LazyLock::new(|| ResNet::builder(BlockKind::Bottleneck).classes(Some(3)).build().ok());

/// Reads a configuration as one of a model and as one of preprocessing.
pub fn read(bytes: &[u8]) -> Vec<String> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Vec::new() };
    let mut texts = Vec::new();
    if let Ok(preprocess) = Preprocess::from_config_text(text) {
        sized(&preprocess);
        texts.push(format!("{preprocess:?}"));
    }
    if let Ok(config) = ModelConfig::from_text("file", text) {
        let names = config.class_names().map(|found| found.names.len());
        texts.push(format!("{:?}, names: {names:?}", config.options()));
        if let Ok(Some(found)) = config.preprocess() {
            sized(&found.preprocess);
        }
        // What is written is read back.
        if let Some(Ok(written)) = NETWORK.as_ref().map(|network| config.to_json(network)) {
            let again = ModelConfig::from_text("file", &written);
            assert!(again.is_ok(), "{again:?}: {written}");
        }
    }
    texts
}

/// Computes the sizes of images of these settings.
fn sized(preprocess: &Preprocess) {
    let _ = preprocess.shape(7);
    let sizes = [(1, 1), (500, 375), (3, 4001), (16_777_216, 1), (u32::MAX, u32::MAX)];
    for (width, height) in sizes {
        let _ = Geometry::new(preprocess, width, height);
    }
}

/// An empty table, of the device and the version that the tables of the corpus are of.
const HERE: &str = r#"{"schema": "wgpu-bottleneck tuning 1", "version": "fuzz", "shapes": [],
    "device": {"name": "device", "backend": "vulkan", "driver": "driver 1",
    "runtime_checks": false}}"#;

static TABLE: LazyLock<Option<TuningTable>> = LazyLock::new(|| serde_json::from_str(HERE).ok());

/// Reads a table of measured kernels for the device of [`HERE`].
pub fn table(bytes: &[u8]) -> Vec<String> {
    let (Ok(text), Some(here)) = (std::str::from_utf8(bytes), &*TABLE) else { return Vec::new() };
    let Ok(table) = TuningTable::parse_like(text, here) else { return Vec::new() };
    for shape in table.shapes() {
        let behind = shape.behind();
        assert!(behind.is_none_or(|times| times >= 1.0), "{shape:?}: {behind:?}");
    }
    assert!(matches!(table.kernels(), KernelChoice::Measured(_)));
    let written = TuningTable::parse_like(&table.to_json(), here);
    assert_eq!(written.ok().as_ref(), Some(&table), "the table is not read back as it was written");
    let shapes = table.shapes().iter().map(|shape| format!("{shape:?}"));
    [format!("{:?}", table.device())].into_iter().chain(shapes).collect()
}
