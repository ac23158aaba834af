"""One training step under the clock, and what it is made of.

`python training_step.py CONFIG STEPS` prints what `measure` finds as JSON. The file stands alone
beside any checkout of this project, so that two of them can be timed in turn.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tfi2i.config import building
from tfi2i.config import config as configs

WARM_UP = 2  # steps that are not timed: the first one builds the graph
LONGEST_SECONDS = 60.0  # of the timed steps of one kind
FEWEST = 3
CEILING_SIDE, CEILING_ROUNDS = 2048, 6  # of the product of two square matrices

Step = Callable[[Any], dict[str, Any]]


def prepare(config: Any) -> Iterator[Any]:
    """The batches of a configuration; from now on TensorFlow has the settings of a training."""
    import tensorflow as tf

    full = config.resolved()
    deterministic = full.fit["deterministic"]  # as in `train.fit`
    if deterministic or (deterministic is None and not tf.config.list_physical_devices("GPU")):
        tf.config.experimental.enable_op_determinism()
    tf.config.optimizer.set_experimental_options({"remapping": False})
    data, layout = building.build_data(config), configs.system_class(config.system).batch
    batches = data.in_channels(full.model.get("channels", 3)).batches(
        layout, image_size=full.model["image_size"], seed=full.fit["seed"], **config.batches
    )
    return iter(batches)


def step_seconds(step: Step, batches: Iterator[Any], steps: int) -> list[float]:
    """Seconds of each of some steps, loading included; fewer steps if they take long."""
    for _ in range(WARM_UP):
        step(next(batches))
    took: list[float] = []
    while len(took) < steps and (len(took) < FEWEST or sum(took) < LONGEST_SECONDS):
        started = time.perf_counter()
        losses = step(next(batches))
        float(next(iter(losses.values())))  # a GPU has not finished until its results are read
        took.append(time.perf_counter() - started)
    return took


def timed(config: Any, steps: int) -> tuple[Any, Iterator[Any], dict[str, Any]]:
    """A system, its batches, and what its steps take.

    Returns:
        Besides the two, `first` seconds of building the graph and its first step, `seconds` of each
        later one, and `memory_mb` that all of it takes, None where that is unknown.
    """
    import tensorflow as tf

    batches = prepare(config)
    next(batches)
    before = memory_mb(peak=False)
    system = building.build_system(config)
    step = tf.function(system.train_step, autograph=False)
    first = _seconds(lambda: step(next(batches)))
    seconds = step_seconds(step, batches, steps)
    after = memory_mb(peak=True)
    taken = None if before is None or after is None else after - before
    return system, batches, {"first": first, "seconds": seconds, "memory_mb": taken}


def memory_mb(peak: bool) -> float | None:
    """The memory in use, or the most that was: the GPU's, or else this process'; None: unknown."""
    import tensorflow as tf

    from tfi2i.runs import environment

    if tf.config.list_logical_devices("GPU"):
        used = tf.config.experimental.get_memory_info("GPU:0")
        return used["peak" if peak else "current"] / 1e6
    return environment.memory_mb(peak=peak)


def measure(path: Path, steps: int) -> dict[str, Any]:
    """Times of the steps of a configuration, and of steps that leave something out.

    Returns:
        What `timed` finds; seconds of loading alone as `data`, and `without` by what is left out:
        the update of an optimizer's variables, with its gradients, or the optimizers' own work;
        `batch_size`, and multiplications a second of a large matrix product in the precision of the
        layers.
    """
    import tensorflow as tf

    config = configs.load(path)
    system, batches, found = timed(config, steps)
    loading = [_seconds(lambda: next(batches)) for _ in range(steps)]
    found |= {
        "data": statistics.median(loading),
        "batch_size": config.resolved().batches["batch_size"],
        "macs_per_second": _ceiling(system.compute_dtype),
    }
    minimize, without = system.minimize, {}
    sink = tf.Variable(0.0)
    for name in [*system.optimizers, "optimizers"]:
        system.minimize = _leaving_out(name, system, minimize, sink)
        fewer = tf.function(system.train_step, autograph=False)
        without[name] = statistics.median(step_seconds(fewer, batches, steps))
    return found | {"without": without}


def _seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _leaving_out(name: str, system: Any, minimize: Callable[..., None], sink: Any) -> Any:
    """`minimize` without one group's update, or with all gradients and no optimizer."""
    import tensorflow as tf

    def gradients_alone(group: str, loss, tape) -> None:
        gradients = tape.gradient(loss, system.optimizer_variables()[group])
        # An entry of each, since what nobody needs is not computed.
        some = [tf.cast(tf.reshape(one, [-1])[0], tf.float32) for one in gradients]
        sink.assign_add(tf.add_n(some))

    def others(group: str, loss, tape) -> None:
        if group != name:
            minimize(group, loss, tape)

    return gradients_alone if name == "optimizers" else others


def _ceiling(dtype: str) -> float:
    """Multiplications a second of a product of large matrices, the quickest of some."""
    import tensorflow as tf

    values = tf.cast(tf.random.stateless_uniform((CEILING_SIDE, CEILING_SIDE), (1, 2)), dtype)
    product = tf.function(lambda: tf.reduce_sum(tf.cast(tf.matmul(values, values), tf.float32)))
    took = [_seconds(lambda: float(product())) for _ in range(CEILING_ROUNDS)]
    return CEILING_SIDE**3 / min(took)


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), int(sys.argv[2]))))
