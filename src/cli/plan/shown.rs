//! A recording as text and as JSON.

use serde_json::{Value, json};
use wgpu_bottleneck::Shape;
use wgpu_bottleneck::plan::{
    Dispatch, Location, PlanKind, RecordedStep, Recording, Step, TensorId,
};

use super::super::block_or_network::BlockOrNetwork;
use super::super::output::{Table, count};
use super::subject;

/// A recording to show.
pub struct Shown<'a> {
    /// Its block or network.
    pub subject: &'a BlockOrNetwork,
    /// Its steps and dispatches.
    pub recording: &'a Recording,
    /// Its device.
    pub device: &'a str,
}

impl Shown<'_> {
    fn kind(&self) -> &'static str {
        match self.recording.plan.kind {
            PlanKind::Fused => "fused",
            PlanKind::Unfused => "unfused",
        }
    }

    fn shape(&self, id: TensorId) -> Shape {
        self.recording.plan.tensor(id).shape
    }

    fn name(&self, id: TensorId) -> &str {
        &self.recording.plan.tensor(id).name
    }

    /// `input [1, 256, 56, 56]`.
    fn tensor(&self, id: TensorId) -> String {
        format!("{} {}", self.name(id), self.shape(id))
    }

    /// Bytes of the packed parameters of all dispatches.
    fn weight_bytes(&self) -> usize {
        let of_step = |recorded: &RecordedStep| {
            let problem = self.recording.plan.problem(&recorded.step);
            recorded
                .kernel
                .dispatches()
                .iter()
                .map(|dispatch| dispatch.packed_bytes(&problem))
                .sum::<usize>()
        };
        self.recording.steps().map(of_step).sum()
    }

    fn sum(&self, of: impl Fn(&Step) -> u64) -> u64 {
        self.recording.plan.steps.iter().map(of).sum()
    }

    fn flops(&self) -> u64 {
        self.sum(|step| self.recording.plan.step_flops(step))
    }

    fn min_bytes(&self) -> u64 {
        self.sum(|step| self.recording.plan.step_min_bytes(step))
    }

    /// The tensors and the scratch that share a slot.
    fn sharers(&self, slot: usize) -> Vec<String> {
        let places = self.recording.locations.iter().enumerate();
        let here = places.filter(|(_, place)| **place == Location::Slot(slot));
        let tensors = here.map(|(index, _)| self.name(TensorId(index)).to_owned());
        let of_step =
            |recorded: &RecordedStep| recorded.scratch.iter().any(|scratch| scratch.slot == slot);
        let scratch = self.recording.steps().filter(|recorded| of_step(recorded));
        tensors.chain(scratch.map(|recorded| format!("scratch of {}", recorded.step))).collect()
    }

    /// The recording as text.
    pub fn text(&self) -> String {
        let (plan, recording) = (&self.recording.plan, self.recording);
        let mut text =
            format!("{} plan for {}\n{}\n", self.kind(), self.device, subject::text(self.subject));
        text.push_str(&format!("{} -> {}\n", self.tensor(plan.input), self.tensor(plan.output)));
        text.push_str(&format!("\n{}", self.steps_table().render()));
        text.push_str(&format!("\n{}", self.dispatches_table().render()));
        text.push_str(&format!("\n{}", self.slots_table().render()));
        let steps = count(plan.steps.len(), "step", "steps");
        let dispatches = count(recording.dispatch_count(), "dispatch", "dispatches");
        let buffers = count(recording.segments.len(), "command buffer", "command buffers");
        text.push_str(&format!("\n{steps}, {dispatches}, {buffers}\n"));
        text.push_str(&format!(
            "{} FLOPs, {} of them in convolutions\n",
            self.flops(),
            plan.conv_flops()
        ));
        let workspace = recording.workspace_bytes();
        text.push_str(&format!(
            "at least {} bytes of memory traffic, {workspace} of workspace\n",
            self.min_bytes()
        ));
        let (weights, extra) = (self.weight_bytes(), recording.extra_weight_bytes());
        text.push_str(&format!(
            "{weights} bytes of packed weights, {extra} of them added by transformed weights\n"
        ));
        text
    }

    fn steps_table(&self) -> Table {
        let mut table =
            Table::new(&["step", "operation", "reads", "writes", ">FLOPs", ">least bytes"]);
        for step in &self.recording.plan.steps {
            let reads: Vec<String> = step.inputs.iter().map(|&id| self.tensor(id)).collect();
            table.row([
                step.into(),
                step.op.name().into(),
                reads.join(" + ").into(),
                self.tensor(step.output).into(),
                self.recording.plan.step_flops(step).into(),
                self.recording.plan.step_min_bytes(step).into(),
            ]);
        }
        table
    }

    fn dispatches_table(&self) -> Table {
        let mut table = Table::new(&[
            "dispatch of",
            "kernel",
            "workgroups",
            "command buffer",
            "why this kernel",
        ]);
        for segment in &self.recording.segments {
            for recorded in &segment.steps {
                for dispatch in &recorded.dispatches {
                    let [x, y, z] = dispatch.workgroups;
                    table.row([
                        (&recorded.step).into(),
                        dispatch.kernel.name().into(),
                        format!("{x} x {y} x {z}").into(),
                        segment.block.into(),
                        recorded.reason.into(),
                    ]);
                }
            }
        }
        table
    }

    fn slots_table(&self) -> Table {
        let mut table = Table::new(&["slot", ">bytes", "holds in turn"]);
        for (index, slot) in self.recording.slots.iter().enumerate() {
            table.row([index.into(), slot.bytes.into(), self.sharers(index).join(", ").into()]);
        }
        table
    }

    /// The recording as JSON.
    pub fn json(&self) -> Value {
        let (key, subject) = subject::json(self.subject);
        let (plan, recording) = (&self.recording.plan, self.recording);
        let slots = recording.slots.iter().enumerate();
        json!({
            "plan": self.kind(),
            "device": self.device,
            key: subject,
            "input": self.shape(plan.input).dims(),
            "output": self.shape(plan.output).dims(),
            "steps": recording.steps().map(|step| self.step_json(step)).collect::<Value>(),
            "dispatches": recording.dispatch_count(),
            "command_buffers": recording.segments.len(),
            "slots": slots
                .map(|(index, slot)| json!({ "bytes": slot.bytes, "tensors": self.sharers(index) }))
                .collect::<Value>(),
            "workspace_bytes": recording.workspace_bytes(),
            "weight_bytes": self.weight_bytes(),
            "extra_weight_bytes": recording.extra_weight_bytes(),
            "min_bytes": self.min_bytes(),
            "flops": self.flops(),
            "conv_flops": plan.conv_flops(),
        })
    }

    fn step_json(&self, recorded: &RecordedStep) -> Value {
        let step = &recorded.step;
        let tensor = |id: TensorId| {
            let place = match self.recording.locations[id.0] {
                Location::Input => "input".to_owned(),
                Location::Output => "output".to_owned(),
                Location::Slot(slot) => format!("slot {slot}"),
            };
            let bytes = self.recording.plan.tensor(id).bytes();
            json!({
                "tensor": self.name(id),
                "shape": self.shape(id).dims(),
                "place": place,
                "bytes": bytes,
            })
        };
        let dispatches = recorded.dispatches.iter().map(|dispatch| {
            let (kernel, why) = (dispatch.kernel.name(), recorded.reason);
            json!({
                "kernel": kernel,
                "workgroups": dispatch.workgroups,
                "params": params(dispatch),
                "why": why,
            })
        });
        json!({
            "name": step.to_string(),
            "command_buffer": step.block,
            "op": step.op.name(),
            "reads": step.inputs.iter().map(|&id| tensor(id)).collect::<Value>(),
            "writes": tensor(step.output),
            "flops": self.recording.plan.step_flops(step),
            "min_bytes": self.recording.plan.step_min_bytes(step),
            "dispatches": dispatches.collect::<Value>(),
        })
    }
}

/// The values of a dispatch's `Params` by name. Together with the file that `bottleneck shaders`
/// writes, this is all that a launch needs.
fn params(dispatch: &Dispatch) -> Value {
    let (members, _) = dispatch.kernel.host_params();
    let word =
        |offset| dispatch.params[offset..].first_chunk().map(|&bytes| u32::from_ne_bytes(bytes));
    let values = members.iter().map(|&(name, offset)| (name.to_owned(), word(offset).into()));
    values.collect::<serde_json::Map<_, _>>().into()
}
