"""Files of official trainings in float32 and float64, with draws, losses, gradients and changes."""

import json

import numpy as np
import tensorflow as tf
from official_numbers import channels_last, near, nested

from tfi2i.official.weights import export_official, official_tensors, to_official


def is_of(system, path):
    """Whether a file holds a training, or outputs, of an official system of this name."""
    with np.load(path) as file:
        return "config" in file and json.loads(str(file["config"])).get("system") == system


class OfficialFile:
    """One file: its numbers of the float64 run where it has them.

    Args:
        path: File.
        told: Beginning of keys that are there in float64 only if all are.
    """

    def __init__(self, path, told):
        with np.load(path) as file:
            self.arrays = {key: file[key] for key in file.files}
        self.config = json.loads(str(self.arrays["config"]))
        self.double = any(key.startswith(f"f64/{told}") for key in self.arrays)
        self.dtype = "float64" if self.double else "float32"

    def wanted(self, key):
        return self.arrays[f"f64/{key}" if self.double else key]


class OfficialRun(OfficialFile):
    """A file whose long outputs are there as every so many rows and columns, `sampleN`."""

    def given(self, key):
        """An array of the file as a tensor, images with their channels last."""
        return tf.constant(channels_last(self.arrays[key]), self.dtype)

    def tolerance(self, loosely):
        return 1e-7 if self.double else loosely

    def close(self, ours, key, loosely=1e-4):
        """Compares an output, of an image in float64 a sample of its rows and columns."""
        samples = [name for name in self.arrays if name.endswith(key) and "f64/sample" in name]
        if samples and self.double:
            every = int(samples[0].split("/")[1].removeprefix("sample"))
            ours, theirs = ours[:, ::every, ::every], self.arrays[samples[0]]
        else:
            theirs = self.wanted(key)
        near(
            np.asarray(ours).reshape(channels_last(theirs).shape),
            channels_last(theirs),
            self.tolerance(loosely),
            key,
        )

    def numbers(self, key, update):
        """Numbers of an update by net and name, without gradients that are but noise."""
        zero = set(self.config.get("zero_gradient", {}).get(update, ()))
        prefix = f"f64/{update}/{key}" if self.double else f"{update}/{key}"
        for net, tensors in nested(self.arrays, prefix).items():
            yield from ((net, n, v) for n, v in tensors.items() if f"{net}/{n}" not in zero)

    def compare_gradients(self, gradients, update):
        """Compares an update's gradients by net and name; returns how many it compared."""
        counted = 0
        for net, name, theirs in self.numbers("grad", update):
            if name in gradients.get(net, ()):
                near(gradients[net][name], theirs, 1e-6 if self.double else 1e-3, (net, name))
                counted += 1
        for net, name, (*_, norm, largest) in self.numbers("check", update):
            if name not in gradients.get(net, ()) or np.isnan(norm):
                continue
            ours = gradients[net][name]
            near(np.sqrt(np.sum(ours**2)), norm, self.tolerance(1e-3), (update, net, name))
            near(np.abs(ours).max(), largest, self.tolerance(1e-3), (update, net, name))
            counted += 1
        return counted

    def compare_changes(self, changes, update):
        """Compares the length and the largest number of an update's changes of weights."""
        counted = 0
        for net, name, (_, _, length, most, *_) in self.numbers("check", update):
            if name in changes.get(net, ()):
                change = changes[net][name]
                near(np.sqrt(np.sum(change**2)), length, 1e-6, (update, net, name))
                near(np.abs(change).max(), most, 1e-6, (update, net, name))
                counted += 1
        return counted


class Recorder:
    """Gradients and changes of the first updates of a system's optimizers, in their order."""

    def __init__(self, system, most):
        self.system, self.most, self.updates = system, most, []
        for name, optimizer in system.optimizers.items():
            optimizer.apply = self._noting(name, optimizer.apply)

    def _noting(self, name, apply):
        def noting(gradients, variables):
            if len(self.updates) == self.most:
                apply(gradients, variables)
                return
            before = export_official(self.system)
            apply(gradients, variables)
            after = export_official(self.system)
            changes = {
                net: {key: after[net][key] - array for key, array in tensors.items()}
                for net, tensors in before.items()
            }
            found = {id(v): np.array(g) for g, v in zip(gradients, variables, strict=True)}
            self.updates.append((name, self._by_name(found), changes))

        return noting

    def _by_name(self, gradients):
        return {
            net: {
                name: to_official(gradients[id(variable)], layout)
                for name, (variable, layout) in tensors.items()
                if id(variable) in gradients
            }
            for net, tensors in official_tensors(self.system).items()
        }
