"""Official numbers of three steps of training, and of the untrained networks: MUNIT's and others'.

A long map is in a file by parts: `@sub` has every so many rows and columns, `@stat` the mean,
deviation, least and greatest value of each channel.
"""

import json

import numpy as np
import pytest
import tensorflow as tf
from official_numbers import channels_last, first_gradients, near, nested
from official_runs import OfficialFile

from tfi2i.official.weights import export_official


class Official(OfficialFile):
    """A file whose long outputs are there by parts."""

    every = 8  # rows and columns of a map that `@sub` leaves out, and one

    def __init__(self, path):
        super().__init__(path, "step1/loss/")
        noise = json.loads(str(self.arrays["noise"])) if "noise" in self.arrays else {}
        self.noise = {*noise.get("zero_gradient", []), *noise.get("delta_unstable", [])}
        self.worst = {}

    def given(self, key):
        """An input of the official run; a vector as one."""
        array = channels_last(self.arrays[key])
        vector = array.ndim == 4 and array.shape[1:3] == (1, 1)
        return tf.constant(array[:, 0, 0] if vector else array, self.dtype)

    def has(self, key):
        key = f"f64/{key}" if self.double else key
        return key in self.arrays or f"{key}@sub" in self.arrays

    def near(self, ours, theirs, kind, exactly, loosely, what):
        """Compares arrays by the largest value, and keeps the worst error of a kind."""
        ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
        ours = ours.reshape(theirs.shape)
        error = np.abs(ours - theirs).max()
        self.worst[kind] = max(self.worst.get(kind, 0), error / max(np.abs(theirs).max(), 1e-12))
        near(ours, theirs, exactly if self.double else loosely, what)

    def close(self, ours, key):
        """Compares an output with the whole official one, or with the parts that are there."""
        ours, limits = np.asarray(ours), ("outputs", 1e-7, 1e-4)
        prefix = "f64/" if self.double else ""
        if prefix + key in self.arrays:
            self.near(ours, channels_last(self.arrays[prefix + key]), *limits, key)
            return
        some = ours[:, 3 :: self.every, 5 :: self.every]
        self.near(some, channels_last(self.arrays[f"{prefix}{key}@sub"]), *limits, key)
        moments = [getattr(ours, name)((1, 2)) for name in ("mean", "std", "min", "max")]
        wanted = np.moveaxis(self.arrays[f"{prefix}{key}@stat"], -1, 0)
        for one, theirs in zip(moments, wanted, strict=True):
            self.near(one, theirs, *limits, key)

    def check_losses(self, steps, names):
        """Compares unweighted terms of consecutive steps, theirs by `names`: theirs -> ours."""
        for step, found in enumerate(steps, start=1):
            for theirs, ours in names.items():
                wanted = float(self.wanted(f"step{step}/loss/{theirs}"))
                error = abs(found[ours] / wanted - 1)
                kind = f"losses of step {step}"
                self.worst[kind] = max(self.worst.get(kind, 0), error)
                assert error <= (1e-7 if self.double else (1e-4, 1e-3, 5e-3)[step - 1]), (
                    step,
                    ours,
                )


class Trained:
    """The terms of three steps, and gradients and changes of weights, by official names."""

    def __init__(self, official, system, step):
        self.before = export_official(system)
        self.terms, self.changes = [], {}
        for number in (1, 2, 3):
            terms = step(number)
            self.terms.append({name: float(value) for name, value in terms.items()})
            if number == 1:
                self.gradients = self._raw(first_gradients(system), system)
            self.changes[number] = self._changes(export_official(system))
        self.official = official

    def _raw(self, gradients, system):
        """Gradients without the weight decay that is in the moments."""
        return {
            net: {name: one - system.l2 * self.before[net][name] for name, one in tensors.items()}
            for net, tensors in gradients.items()
        }

    def _changes(self, after):
        return {
            net: {name: after[net][name] - one for name, one in tensors.items()}
            for net, tensors in self.before.items()
        }

    def check_gradients(self, at_least):
        """Compares whole gradients where they are small, and the sizes of all."""
        official, checked = self.official, 0
        for net, tensors in nested(official.arrays, "step1/grad").items():
            for name, theirs in tensors.items():
                if f"{net}/{name}" not in official.noise:  # of a float32 run
                    official.near(
                        self.gradients[net][name], theirs, "gradients", 1e-3, 1e-3, (net, name)
                    )
        prefix = "f64/step1/check" if official.double else "step1/check"
        for net, tensors in nested(official.arrays, prefix).items():
            for name, numbers in tensors.items():
                if f"{net}/{name}" in official.noise or not np.isfinite(numbers[5]):
                    continue
                ours = self.gradients[net][name]
                sizes = np.sqrt(np.sum(ours**2)), np.abs(ours).max()
                limits = ("sizes of gradients", 1e-7, 1e-3)
                official.near(sizes[:1], numbers[5:6], *limits, (net, name))
                official.near(sizes[1:], numbers[6:7], *limits, (net, name))
                checked += 1
        assert checked >= at_least

    def check_changes(self, step):
        """Compares how far each tensor moved, weight decay and Adam's epsilon included."""
        if not self.official.double:
            pytest.skip("Adam's first step moves weights by the signs of gradients, noise included")
        for net, tensors in nested(self.official.arrays, f"f64/step{step}/check").items():
            for name, numbers in tensors.items():
                change = self.changes[step].get(net, {}).get(name)
                if change is None:  # official buffers that nothing uses
                    assert "running_" in name
                    continue
                limits = ("changes", 1e-6, 1e-6, (net, name))
                self.official.near([np.sqrt(np.sum(change**2))], numbers[2:3], *limits)
                self.official.near([np.abs(change).max()], numbers[3:4], *limits)
