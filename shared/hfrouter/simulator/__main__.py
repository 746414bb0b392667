"""`python -m hfrouter.simulator`: serve until told to stop; the first line printed is the URL."""

import argparse
import signal
import sys
import threading
from collections.abc import Sequence

from hfrouter.simulator.server import Simulator


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the simulator in the foreground.

    Args:
        arguments: Command line arguments; those of the process when None.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m hfrouter.simulator", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 for a free one (default)")
    parser.add_argument("--seconds", type=float, default=None, help="stop by itself after so long")
    parser.add_argument("--seed", type=int, default=0, help="makes ids, timings and random faults repeatable")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds to the first token")
    parser.add_argument("--rate", type=float, default=None, help="tokens per second")
    options = parser.parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        with Simulator(options.seed, latency=options.latency, rate=options.rate, port=options.port) as sim:
            sys.stdout.write(f"{sim.url}\n")
            sys.stdout.flush()
            stop.wait(options.seconds)
    except (ModuleNotFoundError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
