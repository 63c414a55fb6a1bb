//! A report for tests: one workload of one step, with simple numbers.

use wgpu_bottleneck::gpu::Ceilings;

use super::device::DeviceReport;
use super::machine::Machine;
use super::measure::Quantiles;
use super::parts::{BlockReport, Cost, DispatchReport, StepReport};
use super::provenance::Provenance;
use super::report::{Report, SCHEMA, WorkloadReport};

/// A report at half of the device's ceiling; with `quick`, without shares.
pub fn sample(quick: bool) -> Report {
    let ceilings = Ceilings {
        fma_gflops: 100.0,
        fma_f16_gflops: None,
        matrix_gflops: Some(400.0),
        copy_gbps: 10.0,
        empty_dispatch_us: 1.0,
        barrier_us: Some(0.25),
        barrier_noise_us: 0.1,
    };
    let mut workload = workload();
    if !quick {
        workload.against(&ceilings);
    }
    Report {
        schema: SCHEMA.to_owned(),
        provenance: Provenance {
            version: "0.1.0".to_owned(),
            commit: Some("5d57728".to_owned()),
            modified: Some(false),
            date: Some("2026-11-30T17:05:54Z".to_owned()),
            command: Some("bottleneck bench".to_owned()),
            machine: Some(Machine {
                os: "Linux".to_owned(),
                os_version: None,
                processor: "a processor".to_owned(),
                cores: 2,
            }),
        },
        device: DeviceReport {
            name: "a device".to_owned(),
            backend: "vulkan".to_owned(),
            kind: "discrete GPU".to_owned(),
            driver: "a driver 1.2".to_owned(),
            driver_version: Some("1.2".to_owned()),
            vendor_id: Some("0x10de".to_owned()),
            device_id: Some("0x2330".to_owned()),
            subgroup_sizes: Some([32, 32]),
        },
        ceilings,
        quick,
        plan: "fused".to_owned(),
        precision: "f32".to_owned(),
        kernel: None,
        tuned: false,
        timestamps: Some("inside passes".to_owned()),
        workloads: vec![workload],
    }
}

/// 0.1 GFLOP and 1 MB in 2 ms.
fn workload() -> WorkloadReport {
    let ms = Quantiles { p10_ms: 2.0, p50_ms: 2.0, p90_ms: 2.0 };
    let cost = Cost { flops: 100_000_000, bytes: 1_000_000, roof_ms: None, gpu_ms: Some(2.0) };
    let dispatches = vec![DispatchReport {
        kernel: "conv1x1".to_owned(),
        workgroups: [1, 2, 3],
        gpu_ms: Some(2.0),
    }];
    let name = "block0.conv1".to_owned();
    let steps = vec![StepReport { name, half: false, matrix_units: false, cost, dispatches }];
    WorkloadReport {
        name: "w1".to_owned(),
        what: "a block".to_owned(),
        weights: None,
        input: [1, 2, 3, 4],
        flops: cost.flops,
        executed_flops: cost.flops,
        bytes: cost.bytes,
        intensity: 100.0,
        median_ms: 2.0,
        device_ms: 2.0,
        gpu_ms: Some(2.0),
        gflops: 50.0,
        executed_gflops: 50.0,
        gbps: 0.5,
        share_of_fma: None,
        share_of_matrix: None,
        share_of_copy: None,
        share_of_roof: None,
        host: ms,
        device: ms,
        gpu: Some(ms),
        rounds: 20,
        steady: true,
        checked_against: "the reference".to_owned(),
        largest_error: 1e-7,
        memory_bytes: 1000,
        blocks: vec![BlockReport { name: "block0".to_owned(), cost, steps }],
    }
}
