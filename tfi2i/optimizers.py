"""Adam and its schedule as the papers' PyTorch code has them, and the optimizers of a system."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops


def _handle(variable):
    """The resource of a variable, which Keras hands to optimizers wrapped or bare."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle


@keras.saving.register_keras_serializable("tfi2i")
@dataclasses.dataclass(eq=False)
class LinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that is constant, then falls linearly to 0 at `total_steps`: a function of the step.

    A resumed run therefore can't decay twice. With t the number of the update, counted from 1, the
    rate is `rate` up to `decay_start` and rate (total - t) / (total - decay_start) after it.

    Args:
        rate: Rate above 0, or a schedule of Keras, which is then followed as it is.
        total_steps: Number of updates at which the rate is 0.
        decay_start: Last update at the full rate; None and total_steps never decay.
        epoch_steps: Rate falls only at the ends of epochs of so many updates, as in CycleGAN's
            code: in epoch e, counted from 1, of n at the full rate and m that decay, it is
            rate (1 - (e - n) / (m + 1)).
    """

    rate: float | keras.optimizers.schedules.LearningRateSchedule
    total_steps: int
    decay_start: int | None = None
    epoch_steps: int | None = None

    def __post_init__(self):
        _check_rate(self.rate)
        if self.decay_start is not None and not 0 <= self.decay_start <= self.total_steps:
            raise ValueError(
                f"decay_start must lie in 0..total_steps, received decay_start={self.decay_start} "
                f"with total_steps={self.total_steps}."
            )
        if self.epoch_steps is not None and self.epoch_steps < 1:
            raise ValueError(f"epoch_steps must be at least 1, received {self.epoch_steps}.")

    def __call__(self, step):
        dtype = keras.config.floatx()
        if isinstance(self.rate, keras.optimizers.schedules.LearningRateSchedule):
            return self.rate(step)
        rate = ops.convert_to_tensor(self.rate, dtype)
        if self.decay_start is None or self.decay_start == self.total_steps:
            return rate
        falling = self.total_steps - self.decay_start
        if self.epoch_steps is None:
            left = self.total_steps - (ops.cast(step, dtype) + 1)
            return rate * ops.clip(left / falling, 0, 1)
        epoch = ops.cast(step // self.epoch_steps, dtype) + 1
        late = epoch - self.decay_start / self.epoch_steps
        return rate * ops.clip(1 - late / (falling / self.epoch_steps + 1), 0, 1)

    def get_config(self):
        return dataclasses.asdict(self)


@keras.saving.register_keras_serializable("tfi2i")
@dataclasses.dataclass(eq=False)
class StepDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that falls by a factor every so many updates: a function of the step.

    Args:
        rate: Rate above 0, or a schedule of Keras, which is then followed as it is.
        decay_steps: Updates between two falls; the update of this number, counted from 1, is the
            first at the lower rate, as in codes that step their schedule before the update.
        factor: Factor of each fall.
    """

    rate: float | keras.optimizers.schedules.LearningRateSchedule
    decay_steps: int
    factor: float

    def __post_init__(self):
        _check_rate(self.rate)

    def __call__(self, step):
        dtype = keras.config.floatx()
        if isinstance(self.rate, keras.optimizers.schedules.LearningRateSchedule):
            return self.rate(step)
        falls = ops.cast((ops.cast(step, "int64") + 1) // self.decay_steps, dtype)
        rate, factor = (ops.convert_to_tensor(one, dtype) for one in (self.rate, self.factor))
        return rate * ops.power(factor, falls)

    def get_config(self):
        return dataclasses.asdict(self)


def _check_rate(rate: Any) -> None:
    """Raises ValueError for what is no number above 0 and no schedule."""
    followed = isinstance(rate, keras.optimizers.schedules.LearningRateSchedule)
    number = isinstance(rate, int | float) and not isinstance(rate, bool)
    if not followed and not (number and 0 < rate < math.inf):
        raise ValueError(
            "learning_rate must be a number above 0 or a schedule of "
            f"keras.optimizers.schedules, received {rate!r:.60}."
        )


@keras.saving.register_keras_serializable("tfi2i")
class CoupledAdam(keras.optimizers.Adam):
    """Adam with L2 in the gradient and epsilon after the bias correction, as in PyTorch.

    Keras' `weight_decay` is the decoupled kind (AdamW), and its epsilon is added before the bias
    correction, which in the first steps makes it thirty times larger.

    Args:
        l2: Added to the gradient of every variable as l2 * variable, before the moments.
    """

    def __init__(self, learning_rate=1e-4, *, l2: float = 0.0, epsilon: float = 1e-8, **kwargs):
        super().__init__(learning_rate, epsilon=epsilon, **kwargs)
        self.l2 = l2
        # Callbacks set rates, which Keras does not let them where the rate is a schedule.
        self.rate_scale = tf.Variable(1.0, trainable=False, dtype=keras.config.floatx())

    def _get_current_learning_rate(self):
        rate = super()._get_current_learning_rate()
        return rate * tf.cast(self.rate_scale, rate.dtype)

    @property
    def learning_rate(self):
        """The rate of the next update; setting it scales all that the schedule still gives."""
        return self._get_current_learning_rate()

    @learning_rate.setter
    def learning_rate(self, rate):
        usual = float(super()._get_current_learning_rate())
        if usual > 0:  # a rate that has fallen to 0 stays there
            self.rate_scale.assign(float(rate) / usual)

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        # What variables share is computed once an update and goes where Keras passes the rate.
        precisions = {tf.as_dtype(variable.dtype).name for variable in trainable_variables}
        shared = {name: self._shared(name, learning_rate) for name in precisions}
        super()._backend_update_step(grads, trainable_variables, shared)

    def _shared(self, dtype: str, learning_rate: Any) -> dict[str, Any]:
        """Arguments of TensorFlow's Adam that all variables of one precision share."""
        # Constants are made in the variable's precision: 1 - beta_2 has few digits to spare.
        beta_1, beta_2 = tf.constant(self.beta_1, dtype), tf.constant(self.beta_2, dtype)
        step = tf.cast(self.iterations + 1, dtype)
        beta_2_power = tf.pow(beta_2, step)
        return {
            "beta1_power": tf.pow(beta_1, step),
            "beta2_power": beta_2_power,
            "lr": tf.cast(learning_rate, dtype),
            "beta1": beta_1,
            "beta2": beta_2,
            # TensorFlow's kernel adds epsilon before the bias correction, hence the factor.
            "epsilon": self.epsilon * tf.sqrt(1 - beta_2_power),
        }

    def update_step(self, gradient, variable, shared):
        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(self._momentums[index]),
            v=_handle(self._velocities[index]),
            grad=tf.cast(gradient, variable.dtype) + self.l2 * variable,
            **shared[variable.dtype.name],
        )

    def get_config(self):
        return {**super().get_config(), "l2": self.l2}


class Optimizers:
    """The optimizers of a system, as the one that Keras' callbacks look for.

    A callback that knows of several (`LearningRateScheduler`, `ReduceLROnPlateau`) finds them in
    `optimizers`; for others `learning_rate` is the generator's, and setting it scales all alike.

    Args:
        optimizers: Built optimizers by the name of their group of variables.
    """

    built = True

    def __init__(self, optimizers: Mapping[str, keras.optimizers.Optimizer]):
        self._inner = {
            name: getattr(one, "inner_optimizer", one) for name, one in optimizers.items()
        }
        self._main = self._inner.get("generator", self.optimizers[0])

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        """The optimizers, in order."""
        return list(self._inner.values())

    def rates(self) -> dict[str, float]:
        """The learning rate of each group's next update."""
        return {name: float(one.learning_rate) for name, one in self._inner.items()}

    @property
    def variables(self) -> list[Any]:
        """The state of all of them."""
        return [variable for one in self.optimizers for variable in one.variables]

    @property
    def iterations(self) -> Any:
        """The number of updates, a scalar variable."""
        return self._main.iterations

    @property
    def learning_rate(self) -> Any:
        """The generator's rate; those of the others follow in proportion when it is set."""
        return self._main.learning_rate

    @learning_rate.setter
    def learning_rate(self, rate: Any) -> None:
        before = float(self.learning_rate)
        if before > 0:
            for one in self.optimizers:
                one.learning_rate = float(one.learning_rate) * float(rate) / before

    @property
    def scales(self) -> dict[str, float]:
        """Factors by which callbacks have changed the rates of schedules, by group."""
        scaled = {name: one for name, one in self._inner.items() if hasattr(one, "rate_scale")}
        return {name: float(one.rate_scale) for name, one in scaled.items()}

    @scales.setter
    def scales(self, scales: Mapping[str, float]) -> None:
        for name, scale in scales.items():
            self._inner[name].rate_scale.assign(scale)


def of_users(optimizer: Any, names: Sequence[str]) -> dict[str, keras.optimizers.Optimizer]:
    """A user's optimizers by the name of their group: a copy a group of one, or those of a dict.

    Raises:
        ValueError: No optimizer, or a dict that has not the groups as its keys.
    """
    if isinstance(optimizer, keras.optimizers.Optimizer):
        return {name: type(optimizer).from_config(optimizer.get_config()) for name in names}
    if not isinstance(optimizer, Mapping) or set(optimizer) != set(names):
        raise ValueError(
            "optimizer must be an optimizer of Keras, or a dict of one for each of "
            f"{', '.join(names)}; received {optimizer!r:.80}."
        )
    for name, one in optimizer.items():
        if not isinstance(one, keras.optimizers.Optimizer):
            raise ValueError(f"optimizer[{name!r}] must be an optimizer of Keras, got {one!r:.60}.")
    return dict(optimizer)
