"""The check of recordings that are made by hand."""

import re

from common import ROOT, run

# The five recordings of violation 7: a layout and a size that wrap, a dilation and a stride of
# 2^32, weights without groups, and a tensor in a slot that is missing.
TESTS = [
    "recordings::sizes_that_wrap_are_refused",
    "recordings::a_dilation_beyond_32_bits_is_refused",
    "recordings::a_stride_beyond_32_bits_is_refused",
    "recordings::spoiled_chains_are_refused",
]


def recordings_by_hand() -> str | None:
    """Recordings that would access memory outside their buffers are refused, with a reason."""
    cargo = ["cargo", "test", "--quiet", "--locked", "--release", "--test", "library", "--"]
    argv = [str(ROOT / "scripts/with-gpu"), *cargo, "--exact", *TESTS]
    ended = run(argv, timeout=1800, cwd=ROOT)
    failed = sorted(set(re.findall(r"recordings::\w+", ended.out + ended.err)))
    if ended.code != 0:
        return f"exit code {ended.code}; the tests name {failed}"
    if f"{len(TESTS)} passed" not in ended.out:
        return f"not all of {TESTS} are run"
    return None


# (number, name): check
CHECKS = {(7, "recordings made by hand"): recordings_by_hand}
