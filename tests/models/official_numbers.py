"""Reading the official codes' numbers, and comparing with them."""

from pathlib import Path

import numpy as np

from tfi2i.official.weights import official_tensors, to_official

FIXTURES = Path(__file__).parent.parent / "fixtures"


def read(name):
    """{key: array} of a fixture."""
    with np.load(FIXTURES / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


def nested(official, prefix):
    """{net: {name: array}} of the keys prefix/net/name."""
    tree: dict[str, dict[str, np.ndarray]] = {}
    for key, value in official.items():
        if key.startswith(f"{prefix}/"):
            net, name = key.removeprefix(f"{prefix}/").split("/")
            tree.setdefault(net, {})[name] = value
    return tree


def channels_last(array):
    """(N, C, H, W) -> (N, H, W, C); anything else as it is."""
    return array.transpose(0, 2, 3, 1) if array.ndim == 4 else array


def near(ours, theirs, relative, what):
    """Fails unless the worst difference is within `relative` of theirs' largest value."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.size == theirs.size, what
    worst = np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-12)
    assert worst <= relative, f"{what}: {worst:.2e} of the largest value"


def first_gradients(system):
    """What Adam got in its only step so far, weight decay included, by official net and name."""
    gradients = {}
    for name, variables in system.optimizer_variables().items():
        adam = system.optimizers[name]
        for variable in variables:
            moment = np.array(adam._momentums[adam._get_variable_index(variable)])
            gradients[id(variable)] = moment / (1 - adam.beta_1)
    return {
        net: {
            name: to_official(gradients[id(variable)], layout)
            for name, (variable, layout) in tensors.items()
            if id(variable) in gradients
        }
        for net, tensors in official_tensors(system).items()
    }
