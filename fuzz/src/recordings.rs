//! Recordings with random changes: the bytes are the random numbers.

#[path = "../../tests/faults/recordings/bases.rs"]
mod bases;
#[path = "../../tests/faults/recordings/complete.rs"]
mod complete;
#[path = "../../tests/faults/recordings/mutate.rs"]
mod mutate;
#[path = "../../tests/faults/recordings/single.rs"]
mod single;

use wgpu_bottleneck::kernel::{Capabilities, DeviceKind};
use wgpu_bottleneck::plan::Recording;

use self::bases::Bases;
use self::complete::complete;
use self::mutate::Draw;

/// A GPU with matrix units.
const DISCRETE: Capabilities = Capabilities {
    max_binding_bytes: Capabilities::MAX_BINDING_BYTES,
    max_invocations: 1024,
    max_workgroup_x: 1024,
    max_workgroup_y: 1024,
    max_workgroup_bytes: 32 << 10,
    subgroup_size: Some(32),
    int64: true,
    f16: true,
    matrices_of_8: true,
    matrices_of_16: true,
    ..Capabilities::CORE
};

/// The devices of the recordings.
const DEVICES: [Capabilities; 3] = [
    DISCRETE,
    Capabilities {
        subgroup_size: Some(8),
        kind: DeviceKind::Software,
        matrices_of_8: false,
        matrices_of_16: false,
        ..DISCRETE
    },
    Capabilities::CORE,
];

thread_local! {
    /// The bases of each device, and the kernels to choose from.
    static SHARED: (Vec<Bases>, Draw) = {
        let bases = DEVICES.iter().filter_map(|device| Bases::new(device).ok());
        (bases.collect(), Draw::new(|_| 0))
    };
}

/// Makes a recording of the bytes and checks it. Returns the changes if it is accepted.
pub fn read(bytes: &[u8]) -> Vec<String> {
    SHARED.with(|(bases, draw)| {
        assert_eq!(bases.len(), DEVICES.len(), "not every device has its bases");
        let mut draw = draw.with(numbers(bytes));
        let device = draw.below(DEVICES.len());
        let (capabilities, bases) = (&DEVICES[device], &bases[device]);
        let mut recording = bases.pick(draw.below(1 << 16)).clone();
        let mut changes = "no changes".to_owned();
        let kind = draw.below(8);
        if kind > 0 {
            changes = draw.change(&mut recording, kind < 3);
        }
        if kind > 1 {
            let mut completed = recording.clone();
            let choose = |count: usize| draw.below(count);
            if complete(&mut completed, capabilities, choose).is_some() {
                recording = completed;
                changes.push_str(", completed");
            }
        }
        check(&recording, capabilities, changes)
    })
}

/// Checks a recording. Another check must have the same result.
fn check(recording: &Recording, capabilities: &Capabilities, changes: String) -> Vec<String> {
    let found = recording.check(capabilities).map_err(|error| error.to_string());
    let again = recording.clone().check(capabilities).map_err(|error| error.to_string());
    assert_eq!(found, again);
    if found.is_ok() { vec![changes] } else { Vec::new() }
}

/// Numbers below bounds, from bytes. After the last byte, every number is zero.
fn numbers(bytes: &[u8]) -> impl FnMut(usize) -> usize + 'static {
    let (bytes, mut at) = (bytes.to_vec(), 0);
    move |bound| {
        let mut next = || {
            at += 1;
            bytes.get(at - 1).map_or(0, |&byte| usize::from(byte))
        };
        // One byte suffices for most choices, so that a change of a byte changes one choice.
        let number = if bound <= 256 { next() } else { next() | next() << 8 | next() << 16 };
        number % bound
    }
}
