"""The time that the consumer of a dataset spends waiting for it."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass
class Clock:
    """Time that the consumer of a dataset was blocked, in total, and over how many steps."""

    waited_seconds: float = 0.0
    steps: int = 0


def timed(dataset: "tf.data.Dataset") -> "tuple[tf.data.Dataset, Clock]":
    """Returns the batches, and a clock of the time that their consumer spends waiting for them.

    Two callbacks surround the request for the next batch in the consumer's own thread; the batch is
    not copied. Under a distribution strategy the consumer is a prefetching thread, and the time is
    an upper bound.
    """
    import tensorflow as tf

    clock = Clock()
    started = 0.0

    def start(step: np.int64) -> np.int64:
        nonlocal started
        started = time.perf_counter()
        return step

    def stop(step: np.int64) -> np.int64:
        clock.waited_seconds += time.perf_counter() - started
        clock.steps += 1
        return step

    def stopped(step: Any, batch: Any) -> Any:
        with tf.control_dependencies([tf.numpy_function(stop, [step], tf.int64)]):
            return tf.nest.map_structure(tf.identity, batch)

    before = tf.data.Dataset.counter().map(lambda s: tf.numpy_function(start, [s], tf.int64))
    both = tf.data.Dataset.zip((before, dataset)).map(stopped)
    options = tf.data.Options()
    # Either would run the callbacks ahead in another thread, and the clock would show nothing.
    options.experimental_optimization.inject_prefetch = False
    options.experimental_optimization.map_parallelization = False
    return both.with_options(options), clock
