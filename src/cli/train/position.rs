//! The position of a run in its data, the sums of its current epoch, and the ranges of both.

use wgpu_bottleneck::engine::BatchMetrics;

/// The position of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Finished epochs.
    pub epoch: u64,
    /// Finished batches of the current epoch.
    pub batch: u64,
    /// The index in the shuffle of the epoch after the last image that was used.
    pub place: u64,
}

/// The sums of an epoch so far.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sums {
    /// The sum of its batches' losses.
    pub losses: f64,
    /// Images that were classified correctly.
    pub right: u64,
    /// Images so far.
    pub images: u64,
    /// Batches so far.
    pub batches: u64,
}

impl Sums {
    /// Adds a batch.
    pub fn add(&mut self, batch: &BatchMetrics) {
        self.losses += batch.loss();
        self.right += batch.right() as u64;
        self.images += batch.losses.len() as u64;
        self.batches += 1;
    }

    /// The mean loss.
    pub fn loss(&self) -> f64 {
        self.losses / self.batches.max(1) as f64
    }

    /// The fraction of images that were classified correctly.
    pub fn accuracy(&self) -> f64 {
        self.right as f64 / self.images.max(1) as f64
    }
}

/// The numbers that limit the position of a run. None of them is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Epochs.
    pub epochs: u64,
    /// Images in the list, including images that are left out.
    pub images: u64,
    /// Images per batch.
    pub batch: u64,
    /// Batches per step.
    pub accumulate: u64,
}

/// A number that no run can have.
#[derive(Debug, PartialEq, Eq)]
pub struct OutOfRange {
    /// Its name.
    pub name: &'static str,
    /// The number.
    pub found: String,
    /// The numbers that a run can have.
    pub expected: String,
}

impl Extent {
    /// The number of steps in an epoch of the whole list.
    pub fn steps_per_epoch(&self) -> u64 {
        self.images / (self.batch * self.accumulate)
    }

    /// The number of batches in an epoch of the whole list; a multiple of the batches per step.
    pub fn batches_per_epoch(&self) -> u64 {
        self.steps_per_epoch() * self.accumulate
    }

    /// Checks that a run of this extent can have written these numbers between two steps. `steps`
    /// is the number of steps of the optimiser since the first epoch.
    pub fn check(&self, position: Position, sums: Sums, steps: u64) -> Result<(), OutOfRange> {
        let Position { epoch, batch, place } = position;
        check_range("epoch", epoch, 0, self.epochs)?;
        // After the last epoch there are no more batches.
        let batches = if epoch < self.epochs { self.batches_per_epoch() } else { 0 };
        check_range("batch", batch, 0, batches)?;
        if !batch.is_multiple_of(self.accumulate) {
            let expected = format!("a multiple of the {} batches per step", self.accumulate);
            return Err(OutOfRange { name: "batch", found: batch.to_string(), expected });
        }
        // Images that are left out also count.
        let images = batch * self.batch;
        check_range("place", place, images, if batch == 0 { 0 } else { self.images })?;
        check_range("number of batches", sums.batches, batch, batch)?;
        check_range("number of images", sums.images, images, images)?;
        check_range("number of right images", sums.right, 0, images)?;
        if !sums.losses.is_finite() || batch == 0 && sums.losses != 0.0 {
            let expected = if batch == 0 { "0 before the first batch" } else { "a finite number" };
            let (name, found) = ("sum of losses", sums.losses.to_string());
            return Err(OutOfRange { name, found, expected: expected.to_owned() });
        }
        // Every epoch has at least one step. An epoch has fewer steps if images are left out.
        let of_epoch = batch / self.accumulate;
        let most = epoch.saturating_mul(self.steps_per_epoch()).saturating_add(of_epoch);
        check_range("number of steps", steps, epoch + of_epoch, most)
    }
}

/// Checks that a number is in a range, including both ends.
fn check_range(name: &'static str, found: u64, least: u64, most: u64) -> Result<(), OutOfRange> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    let expected =
        if least == most { least.to_string() } else { format!("from {least} to {most}") };
    Err(OutOfRange { name, found: found.to_string(), expected })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three steps of two batches per epoch, and one more image.
    const EXTENT: Extent = Extent { epochs: 5, images: 25, batch: 4, accumulate: 2 };
    const POSITION: Position = Position { epoch: 2, batch: 4, place: 17 };
    const SUMS: Sums = Sums { losses: 4.5, right: 9, images: 16, batches: 4 };

    #[test]
    fn positions_of_a_run_are_accepted() {
        assert_eq!((EXTENT.steps_per_epoch(), EXTENT.batches_per_epoch()), (3, 6));
        let check = |epoch, batch, place, steps| {
            let (images, batches) = (4 * batch, batch);
            let losses = if batch == 0 { 0.0 } else { 1e30 };
            let sums = Sums { losses, right: images, images, batches };
            EXTENT.check(Position { epoch, batch, place }, sums, steps)
        };
        assert_eq!(check(0, 0, 0, 0), Ok(()));
        // The first step, without and with images that are left out.
        assert_eq!((check(0, 2, 8, 1), check(0, 2, 25, 1)), (Ok(()), Ok(())));
        assert_eq!((check(0, 6, 24, 3), check(4, 6, 25, 15)), (Ok(()), Ok(())));
        // Two epochs of one step each, or of all three.
        assert_eq!((check(2, 0, 0, 2), check(2, 0, 0, 6)), (Ok(()), Ok(())));
        assert_eq!((check(5, 0, 0, 5), check(5, 0, 0, 15)), (Ok(()), Ok(())));
    }

    #[test]
    fn numbers_that_no_run_has_are_refused() {
        assert_eq!(EXTENT.check(POSITION, SUMS, 8), Ok(()));
        let refused = |position: Position, sums: Sums, steps: u64| {
            EXTENT.check(position, sums, steps).err().map(|error| error.name)
        };
        let at = |position| refused(position, SUMS, 8);
        assert_eq!(at(Position { epoch: 6, ..POSITION }), Some("epoch"));
        assert_eq!(at(Position { epoch: u64::MAX, ..POSITION }), Some("epoch"));
        for batch in [3, 8, 999, u64::MAX] {
            assert_eq!(at(Position { batch, ..POSITION }), Some("batch"));
        }
        assert_eq!(at(Position { epoch: 5, ..POSITION }), Some("batch"));
        for place in [0, 15, 26, u64::MAX] {
            assert_eq!(at(Position { place, ..POSITION }), Some("place"));
        }
        let of = |sums| refused(POSITION, sums, 8);
        assert_eq!(of(Sums { batches: 5, ..SUMS }), Some("number of batches"));
        assert_eq!(of(Sums { images: 17, ..SUMS }), Some("number of images"));
        assert_eq!(of(Sums { right: 17, ..SUMS }), Some("number of right images"));
        for losses in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(of(Sums { losses, ..SUMS }), Some("sum of losses"));
        }
        for steps in [0, 3, 9, u64::MAX] {
            assert_eq!(refused(POSITION, SUMS, steps), Some("number of steps"));
        }
        let before = Position { epoch: 2, batch: 0, place: 0 };
        let sums = Sums { losses: 1.0, ..Sums::default() };
        assert_eq!(refused(before, sums, 6), Some("sum of losses"));
        let after = Position { place: 1, ..before };
        assert_eq!(refused(after, Sums::default(), 6), Some("place"));
    }
}
