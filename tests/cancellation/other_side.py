"""A server whose answers never end, in a process of its own: it tells its address, and later how requests ended."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.scenarios.upstream import PRIMARY, Act, Upstream, always

UNFINISHED = always(Act(tokens=5, hold=30))
SETTLING = 10.0


class OtherSide:
    """The process, as seen from here.

    Attributes:
        base_url: For `Router`.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.base_url = self._line()

    def ends(self) -> dict[str, int]:
        """How many requests ended in which way, once none is being answered."""
        assert self._process.stdin is not None
        self._process.stdin.write("ends\n")
        self._process.stdin.flush()
        found: dict[str, int] = json.loads(self._line())
        return found

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextmanager
def other_side() -> Iterator[OtherSide]:
    command = [sys.executable, "-m", "tests.cancellation.other_side"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield OtherSide(process)
        finally:
            process.kill()


def main() -> None:
    with Upstream({PRIMARY: UNFINISHED}) as upstream:
        print(upstream.base_url, flush=True)
        for _ in sys.stdin:  # until the process that asks is gone
            print(json.dumps(Counter(upstream.settled(SETTLING))), flush=True)


if __name__ == "__main__":
    main()
