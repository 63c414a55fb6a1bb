"""A process that answers lines with lines, and may crash or not answer."""

import contextlib
import os
import select
import subprocess
import tempfile
import time


class Died(Exception):
    """The process crashed, or did not answer."""


class TooSlow(Died):
    """The process did not answer in time."""


class Worker:
    """A process that gets a line for each piece of work."""

    def __init__(self, argv: list, timeout: float, **options):
        self.errors = tempfile.TemporaryFile()
        # Seconds for each answer.
        self.timeout = timeout
        self.unread = b""
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, **options
        )

    def ask(self, question: str, begins: bytes) -> bytes:
        """The answer that begins like this."""
        try:
            self.process.stdin.write(f"{question}\n".encode())
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise Died(self.death()) from error
        end = time.monotonic() + self.timeout
        while True:
            line = self.line(end)
            if line.startswith(begins):
                return line

    def line(self, end: float) -> bytes:
        """The next line that it prints."""
        while b"\n" not in self.unread:
            left = max(0.0, end - time.monotonic())
            if not select.select([self.process.stdout], [], [], left)[0]:
                raise TooSlow(f"no answer in {self.timeout:.0f} s")
            chunk = os.read(self.process.stdout.fileno(), 1 << 16)
            if not chunk:
                raise Died(self.death())
            self.unread += chunk
        line, _, self.unread = self.unread.partition(b"\n")
        return line

    def death(self) -> str:
        """How it ended, and its last words."""
        code = self.process.wait()
        self.errors.seek(0)
        said = self.errors.read().decode(errors="replace").strip()
        return f"died: exit code {code} {said[-300:]}".strip()

    def end(self) -> None:
        """Ends it."""
        self.process.kill()
        self.process.wait()
        # It tries to write what could not be written.
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()
        self.errors.close()
