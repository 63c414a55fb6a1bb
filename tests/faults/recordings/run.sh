#!/usr/bin/env bash
# Makes, checks and runs random recordings, with overflow checks in the library:
#
#     tests/faults/recordings/run.sh [COUNT [SEED]]
#
# COUNT is 2000 by default. 100000 take a few minutes.
set -euo pipefail
cd "$(dirname "$0")/../../.."
checks='profile.release.package.wgpu-bottleneck.overflow-checks=true'
cargo build --quiet --locked --release --config "$checks" --example faults_recordings
exec scripts/with-gpu target/release/examples/faults_recordings "${1:-2000}" "${2:-1}"
