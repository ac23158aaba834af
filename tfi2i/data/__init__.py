"""Where pictures come from: the functions of `SOURCES`, each returning `Dataset`.

Nothing here imports TensorFlow before it is needed.
"""

from collections.abc import Callable

from tfi2i.data.batches import Batch
from tfi2i.data.dataset import Dataset
from tfi2i.data.domains import Domain
from tfi2i.data.sources.attributes import attributes
from tfi2i.data.sources.folders import folders
from tfi2i.data.sources.moods import moods
from tfi2i.data.sources.scenes import scenes
from tfi2i.data.sources.single_image import single_image
from tfi2i.data.sources.tfds import tfds

__all__ = [
    "SOURCES",
    "Batch",
    "Dataset",
    "Domain",
    "attributes",
    "folders",
    "moods",
    "scenes",
    "single_image",
    "tfds",
]

SOURCES: dict[str, Callable[..., Dataset]] = {
    source.__name__: source for source in (scenes, moods, folders, tfds, attributes, single_image)
}
"""What `source` in the section `data` of a config can be."""
