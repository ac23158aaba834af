"""Small .tflite files with their networks and sidecars, for tests of what is done with files."""

import functools

import keras
from tfi2i_export.graph.fold import fold
from tfi2i_export.sidecar import Sidecar, Signature, Tensor, fingerprint, write
from tfi2i_export.tflite.conversion import convert

from tfi2i.layers.convolution import PixelShuffle, ReflectionPad2D
from tfi2i.layers.normalization import LIN


@functools.cache
def network():
    """Stride 4, reflection, and normalisation by statistics of the whole image; of free size."""
    keras.utils.set_random_seed(3)
    image = keras.Input((None, None, 3))
    x = image
    for i in range(2):
        x = keras.layers.Conv2D(8, 4, 2, name=f"down{i}")(ReflectionPad2D(1)(x))
    for i in range(2):
        x = keras.layers.ReLU()(LIN()(keras.layers.Conv2D(8, 1, name=f"up{i}")(x)))
        x = PixelShuffle()(keras.layers.Conv2D(32, 1, name=f"shuffle{i}")(x))
    x = keras.layers.Conv2D(3, 3, activation="tanh", name="to_rgb")(ReflectionPad2D(1)(x))
    return keras.Model(image, x, name="small")


@functools.cache
def point_network():
    """Each pixel for itself: it does not matter how a picture is cut."""
    keras.utils.set_random_seed(5)
    image = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(8, 1, activation="tanh", name="hidden")(image)
    x = keras.layers.Conv2D(3, 1, activation="tanh", name="to_rgb")(x)
    return keras.Model(image, x, name="points")


@functools.cache
def of_channels(taken, made):
    """Stride 2 and reflection, from some channels to others; of free size."""
    keras.utils.set_random_seed(11)
    image = keras.Input((None, None, taken), name="image")
    x = keras.layers.Conv2D(8, 4, 2, activation="relu", name="down")(ReflectionPad2D(1)(image))
    x = PixelShuffle()(keras.layers.Conv2D(32, 1, name="shuffle")(x))
    x = keras.layers.Conv2D(made, 3, activation="tanh", name="to_rgb")(ReflectionPad2D(1)(x))
    return keras.Model(image, x, name="of_channels")


@functools.cache
def strided(multiple):
    """A translator whose sides are multiples of a power of two; of free size."""
    keras.utils.set_random_seed(7)
    halvings = multiple.bit_length() - 1
    image = x = keras.Input((None, None, 3))
    for i in range(halvings):
        x = keras.layers.Conv2D(8, 4, 2, activation="relu", name=f"down{i}")(ReflectionPad2D(1)(x))
    for i in range(halvings):
        x = PixelShuffle()(keras.layers.Conv2D(32, 1, name=f"shuffle{i}")(x))
    x = keras.layers.Conv2D(3, 3, activation="tanh", name="to_rgb")(ReflectionPad2D(1)(x))
    return keras.Model(image, x, name="strided")


@functools.cache
def free_file():
    """`network` for any size, float."""
    return convert(fold(network(), side=None))


@functools.cache
def file_of_two_sizes():
    """`network` for 32 x 32 and 64 x 48, uint8."""
    sizes = ((32, 32), (64, 48))
    return convert({size: fold(network(), side=size) for size in sizes}, io="uint8")


@functools.cache
def point_file():
    """`point_network` for 32 x 48, float."""
    return convert(fold(point_network(), side=(32, 48)))


def written(folder, name, content, **changes):
    """The path of a file in a folder, with a sidecar beside it."""
    path = folder / f"{name}.tflite"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    sha256, size_bytes = fingerprint(path)
    tensors = [
        (Tensor(name=name, shape=(1, -1, -1, 3), dtype="float32", meaning="A picture."),)
        for name in ("image", "translation")
    ]
    agreement = {"reference": "Keras, float32", "pictures": 4, "psnr_db_mean": 45.0}
    agreement |= {"psnr_db_worst": 41.0, "ssim": 0.99, "bias": [0.1, -0.2, 0.0], "max_level": 17}
    agreement |= {"limits": {}, "passed": True, "accepted": False}
    values = {
        "name": name,
        "file": path.name,
        "sha256": sha256,
        "size_bytes": size_bytes,
        "format": "float32",
        "recipe": {},
        "system": "NICEGAN",
        "direction": "a2b",
        "domains": {"source": "a", "target": "b"},
        "data": "scenes",
        "run": "00003-nicegan-scenes",
        "step": 100,
        "image_size": 32,
        "multiple": 4,
        "io": "float",
        "signatures": (Signature(name="serving_default", inputs=tensors[0], outputs=tensors[1]),),
        "agreement": agreement,
        "created": "2026-11-05T14:03:00Z",
        "versions": {"tfi2i": "0.1.0", "tensorflow": "2.21.0", "litert": "2.3.0"},
    }
    write(Sidecar(**(values | changes)), path.with_suffix(".json"))
    return path
