"""Adam and its schedule as the papers' PyTorch code has them."""

import dataclasses

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
        decay_start: Last update at the full rate; None and total_steps never decay.
        epoch_steps: Rate falls only at the ends of epochs of so many updates, as in CycleGAN's
            code: in epoch e, counted from 1, of n at the full rate and m that decay, it is
            rate (1 - (e - n) / (m + 1)).
    """

    rate: float
    total_steps: int
    decay_start: int | None = None
    epoch_steps: int | None = None

    def __post_init__(self):
        if self.decay_start is not None and not 0 <= self.decay_start <= self.total_steps:
            raise ValueError(
                f"decay_start must lie in 0..total_steps, received decay_start={self.decay_start} "
                f"with total_steps={self.total_steps}."
            )
        if self.epoch_steps is not None and self.epoch_steps < 1:
            raise ValueError(f"epoch_steps must be at least 1, received {self.epoch_steps}.")

    def __call__(self, step):
        dtype = keras.config.floatx()
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

    def update_step(self, gradient, variable, learning_rate):
        # Constants are made in the variable's precision: 1 - beta_2 has few digits to spare.
        dtype = variable.dtype
        beta_1, beta_2 = tf.constant(self.beta_1, dtype), tf.constant(self.beta_2, dtype)
        step = tf.cast(self.iterations + 1, dtype)
        beta_2_power = tf.pow(beta_2, step)
        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(self._momentums[index]),
            v=_handle(self._velocities[index]),
            beta1_power=tf.pow(beta_1, step),
            beta2_power=beta_2_power,
            lr=tf.cast(learning_rate, dtype),
            beta1=beta_1,
            beta2=beta_2,
            # TensorFlow's kernel adds epsilon before the bias correction, hence the factor.
            epsilon=self.epsilon * tf.sqrt(1 - beta_2_power),
            grad=tf.cast(gradient, dtype) + self.l2 * variable,
        )

    def get_config(self):
        return {**super().get_config(), "l2": self.l2}
