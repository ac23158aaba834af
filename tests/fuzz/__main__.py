"""`make fuzz MINUTES=30`: fresh seeds of all targets, and a table at the end."""

import argparse
import os
import random
import signal
import sys
from pathlib import Path

# So that child processes find what the tests find.
_TESTS = Path(__file__).resolve().parents[1]
_PATHS = [str(_TESTS), str(_TESTS.parent), str(_TESTS.parent / "export")]
sys.path[:0] = _PATHS
os.environ["PYTHONPATH"] = os.pathsep.join([*_PATHS, os.environ.get("PYTHONPATH", "")])

from fuzz.runner import Runner  # noqa: E402
from fuzz.targets import ALL  # noqa: E402

os.environ.pop("TF_CPP_MIN_LOG_LEVEL", None)  # or the process of the children would not be silent


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30, help="time in all [30]")
    parser.add_argument("--target", help="part of the names of the targets to try [all]")
    parser.add_argument("--seed", type=int, help="a case to try again, with --target")
    parser.add_argument("--faults", type=Path, default=Path("build/fuzz"), help="[build/fuzz]")
    arguments = parser.parse_args()
    named = {n: one for n, one in ALL.items() if arguments.target in (None, n)}
    named = named or {n: one for n, one in ALL.items() if arguments.target in n}
    if not named:
        parser.error(f"no target is named {arguments.target!r}; there are {', '.join(ALL)}")
    runner = Runner(named, arguments.faults)
    if arguments.seed is not None:
        for name in named:
            for outcome in runner.batch(name, arguments.seed, 3600, most=1):
                print(f"{outcome.kind}: {outcome.words}\n{outcome.trace}")
        return runner.report()
    first = random.SystemRandom().randrange(10**9)
    try:
        runner.run(60 * arguments.minutes, first)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
    return runner.report()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
