//! A training step of a block by burn's autodiff: forward with the batch's statistics, then the
//! gradients of the input and of every parameter, from tensors on the device to tensors on the
//! device. No optimiser.

use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::store::{ModuleStore, SafetensorsStore, bridge};
use burn::tensor::{Device, Gradients, Tensor, TensorData};

use crate::net::Bottleneck;
use crate::{Off, Result, TOLERANCE, Work, block, distance, load, milliseconds, values};

/// How long the difference of a gradient may be, as a share of the gradient's length. Value by
/// value they cannot be held against each other: where what a ReLU sees is nearly zero, engines
/// that sum in another order disagree on whether it lets the gradient through.
const GRADIENT_TOLERANCE: f64 = 1e-2;

pub struct Step {
    folder: PathBuf,
    device: Device,
    net: Bottleneck,
    input: Tensor<4>,
    grad_out: Tensor<4>,
}

impl Step {
    pub fn new(folder: &Path, device: Device) -> Result<Self> {
        // On such a device norms take the batch's statistics, and parameters want gradients.
        let device = device.autodiff();
        let net = load(Bottleneck::new(block(folder)?, &device), folder)?;
        let input = Tensor::from_data(tensor(folder, "input")?, &device).require_grad();
        let grad_out = Tensor::from_data(tensor(folder, "grad_out")?, &device);
        Ok(Self { folder: folder.into(), device, net, input, grad_out })
    }

    /// What is timed. burn begins at a number: the sum whose gradient of the output is `grad_out`.
    fn gradients(&self) -> Result<Gradients> {
        let gradients =
            (self.net.forward(self.input.clone()) * self.grad_out.clone()).sum().backward();
        // Until here most is only queued. While the gradients are held, nothing of them is left
        // out.
        self.device.sync()?;
        Ok(gradients)
    }
}

impl Work for Step {
    fn time(&self) -> Result<f64> {
        let start = Instant::now();
        let gradients = self.gradients()?;
        let ms = milliseconds(start);
        drop(gradients);
        Ok(ms)
    }

    fn off(&self) -> Result<Vec<Off>> {
        let expected =
            |key: &str| tensor(&self.folder, key).and_then(|data| Ok(data.try_into_vec::<f32>()?));
        let output =
            distance(&values(self.net.forward(self.input.clone())), &wide(&expected("out")?));
        let mut found = vec![Off { what: "out".into(), off: output, tolerance: TOLERANCE }];
        let gradients = self.gradients()?;
        let input = ("input".into(), self.input.grad(&gradients).map(Tensor::into_data));
        for (name, gradient) in std::iter::once(input).chain(self.net.gradients(&gradients)) {
            let what = format!("grad.{name}");
            let gradient: Vec<f32> = gradient.ok_or(format!("no {what}"))?.try_into_vec()?;
            let off = length_off(&gradient, &wide(&expected(&what)?));
            found.push(Off { what, off, tolerance: GRADIENT_TOLERANCE });
        }
        Ok(found)
    }
}

/// One of the tensors that graphs.py has written.
fn tensor(folder: &Path, key: &str) -> Result<TensorData> {
    let mut file = SafetensorsStore::from_file(folder.join("step.safetensors"));
    Ok(bridge::to_data(file.get_tensor(key)?.ok_or(format!("no {key}"))?)?)
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| value.into()).collect()
}

/// The length of the difference, as a share of the length; NaN where there is one.
fn length_off(found: &[f32], expected: &[f64]) -> f64 {
    let squares = |sum: f64, value: f64| sum + value * value;
    let difference = found.iter().zip(expected).map(|(&a, &b)| f64::from(a) - b).fold(0.0, squares);
    let length = expected.iter().copied().fold(0.0, squares);
    if found.len() == expected.len() { (difference / length).sqrt() } else { f64::NAN }
}
