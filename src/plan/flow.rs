//! Checks that no tensor is overwritten while it is needed: follows which tensor each location
//! holds, from step to step.

use super::{Location, Recording, TensorId};

impl Recording {
    /// Checks that every tensor is in its location whenever it is read: by a step, by an update, or
    /// by the caller after the run. All identifiers and slots must be valid.
    ///
    /// # Errors
    /// The name of the step, or of the tensor, and the reason.
    pub(super) fn check_flow(&self) -> Result<(), (String, &'static str)> {
        let plan = &self.plan;
        let mut held =
            Held { outside: [Some(plan.input), None], slots: vec![None; self.slots.len()] };
        for &id in &plan.variables {
            let Location::Slot(slot) = self.locations[id.0] else {
                return Err((self.named(id), "a variable that is not in a slot"));
            };
            if held.slots[slot].replace(id).is_some_and(|other| other != id) {
                return Err((self.named(id), "a variable that shares its slot with another"));
            }
        }
        for (block, segment) in self.segments.iter().enumerate() {
            for recorded in &segment.steps {
                let step = &recorded.step;
                if !step.reads().all(|id| self.is_held(&held, id)) {
                    let reason = "it reads a tensor that another one has overwritten";
                    return Err((step.to_string(), reason));
                }
                recorded.scratch.iter().for_each(|scratch| held.slots[scratch.slot] = None);
                *held.at(self.locations[step.output.0]) = Some(step.output);
            }
            let mut ended =
                plan.updates.iter().filter(|update| plan.written_in(update.from) == Some(block));
            if let Some(lost) = ended.find(|update| !self.is_held(&held, update.from)) {
                let reason = "an update from a tensor that another one has overwritten";
                return Err((self.named(lost.from), reason));
            }
        }
        let mut needed = plan.variables.iter().chain(&plan.fetches).chain([&plan.output]);
        match needed.find(|id| !self.is_held(&held, **id)) {
            None => Ok(()),
            Some(&lost) => Err((
                self.named(lost),
                "the output, a fetch or a variable that is not in its location after the run",
            )),
        }
    }

    fn is_held(&self, held: &Held, id: TensorId) -> bool {
        let holder = match self.locations[id.0] {
            Location::Input => held.outside[0],
            Location::Output => held.outside[1],
            Location::Slot(slot) => held.slots[slot],
        };
        holder == Some(id)
    }

    fn named(&self, id: TensorId) -> String {
        let tensor = self.plan.tensor(id);
        format!("tensor {} {}", tensor.name, tensor.shape)
    }
}

/// The tensor in each location.
struct Held {
    /// In the caller's input and output.
    outside: [Option<TensorId>; 2],
    slots: Vec<Option<TensorId>>,
}

impl Held {
    fn at(&mut self, location: Location) -> &mut Option<TensorId> {
        match location {
            Location::Input => &mut self.outside[0],
            Location::Output => &mut self.outside[1],
            Location::Slot(slot) => &mut self.slots[slot],
        }
    }
}
