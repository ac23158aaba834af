"""Measurements of a system, each in a process of its own: nothing of another system is in memory.

`python -m tfi2i.benchmark.measuring TASK PATH` is that process. It prints what it found as JSON, or
`{"error": sentence}`.
"""

import dataclasses
import json
import math
import statistics
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tfi2i.benchmark.training_step import prepare, timed
from tfi2i.config import building
from tfi2i.config import config as configs
from tfi2i.data.dataset import Dataset
from tfi2i.errors import InputError
from tfi2i.files import to_json
from tfi2i.pictures.sizes import AnySize, size_text
from tfi2i.processes import run_module
from tfi2i.runs.run import Run

STEPS = 20  # timed steps
COMMON_SIDE = 256  # of the pictures of most papers, at which systems are compared
TRIVIAL_IMAGES = 200  # training pictures from which the trivial answers take their statistics


def in_own_process(task: str, path: Path, tell: Callable[[], None] | None = None) -> dict[str, Any]:
    """Runs a function of `TASKS` on a file or folder in a new process, and returns its finding.

    Args:
        task: Function's name.
        path: Configuration that it takes.
        tell: Function that is called once a second meanwhile.

    Raises:
        InputError: the function raised it, or the process died.
    """
    child = run_module(__name__, task, path, tell=tell)
    if child.code:
        raise InputError(f"{path}: the process for its {task} failed: {child.reason}")
    found = json.loads(child.output.splitlines()[-1])
    if "error" in found:
        raise InputError(found["error"])
    return found


# in the new process


def size(path: Path) -> dict[str, Any]:
    """Parameters, multiplications and data of a configuration's system."""
    from tfi2i.benchmark.macs import translation_macs
    from tfi2i.runs import environment

    config = configs.load(path)
    # Averages would stand in the translators' place, and they are not trained.
    plain = dataclasses.replace(config, compile=config.compile | {"ema_decay": None})
    system, data = building.build_system(plain), building.build_data(config)
    translators = [system.network(way.name) for way in system.directions]
    groups = system.optimizer_variables().values()
    sizes = (system.image_size, COMMON_SIDE)
    return {
        "directions": list(map(str, system.directions)),
        "image_size": system.image_size,
        "parameters": {
            "translators": _count(v for one in translators for v in one.trainable_variables),
            "trained": _count(v for variables in groups for v in variables),
        },
        "macs": {_key(size): translation_macs(translators[0], size) for size in sizes},
        "record": environment.describe() | {"data": data.description()},
        "processor": environment.processor(),
    }


def _key(size: AnySize) -> int | str:
    return size if isinstance(size, int) else size_text(size)


def _count(variables: Iterable[Any]) -> int:
    """Counts the numbers in variables; one that is shared counts once."""
    return sum({id(v): math.prod(v.shape) for v in variables}.values())


def cost(path: Path) -> dict[str, Any]:
    """Seconds per training step, loading included, and the memory that training takes."""
    _, _, found = timed(configs.load(path), STEPS)
    return {
        "seconds_per_step": statistics.median(found["seconds"]),
        "memory_mb": found["memory_mb"],
    }


def training(path: Path) -> dict[str, Any]:
    """Trains a run up to its end, from wherever it is, and measures its last checkpoint."""
    from tfi2i.evaluate.evaluation import evaluate
    from tfi2i.training.fit import CATCH_UP, catch_up, fit

    run = Run(path)
    config = configs.load(run.config_path)
    full, data = config.resolved(), building.build_data(config)
    with run.lock(), run.logged():
        began = run.checkpoint_path().is_file()
        system = run.load_system() if began else building.build_system(config)
        settings = {key: full.fit[key] for key in CATCH_UP}
        catch_up(system, lambda: data, run, config.batches, **settings)
        if system.step < system.total_steps:
            fit(system, data, run, config.batches, **config.fit)
    aspect = full.batches["aspect"]
    evaluation = evaluate(run, data, aspect=aspect, seed=full.fit["seed"], show=False)
    directions = {}
    for direction, found in evaluation["directions"].items():
        last = found["checkpoints"]["last"]
        directions[direction] = {key: last[key] for key in ("kid", "kid_low", "kid_high")}
        if last["paired"]:
            error = last["paired"]["l1"]
            ends = found["source"], found["target"]
            trivial = _best_trivial(
                data.in_channels(system.channels), ends, system.image_size, aspect
            )
            directions[direction] |= {"l1": error, "of_best_trivial": error / trivial}
    return {
        "steps": system.step,
        "seconds": sum(report.get("seconds") or 0 for report in run.read_metrics()),
        "directions": directions,
    }


def _best_trivial(data: Dataset, domains: tuple[str, str], size: AnySize, aspect: str) -> float:
    """The smallest L1 of the answers that learn nothing, from one domain to another."""
    from tfi2i.evaluate.paired import trivial_answers

    test = [data.pixels("test", key, size, aspect=aspect)[0] for key in domains]
    train = [
        data.pixels("train", key, size, aspect=aspect, limit=TRIVIAL_IMAGES)[0] for key in domains
    ]
    return min(trivial_answers(*test, *train).values())


def work(path: Path) -> dict[str, Any]:
    """Multiplications of a training step."""
    from tfi2i.benchmark.macs import step_macs

    config = configs.load(path)
    batch = next(prepare(config))
    system = building.build_system(config)
    return {"macs": step_macs(system, batch)}


TASKS = {task.__name__: task for task in (size, cost, work, training)}


def main(task: str, path: str) -> None:
    """Does one task and prints what it found."""
    try:
        found = TASKS[task](Path(path))
    except InputError as error:
        found = {"error": str(error)}
    print(to_json(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
