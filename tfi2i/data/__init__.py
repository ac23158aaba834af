"""Where pictures come from: the functions of `SOURCES`, each returning `Dataset`.

Nothing here imports TensorFlow before it is needed.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from pathlib import Path

from tfi2i.data.batches import Batch
from tfi2i.data.dataset import Dataset
from tfi2i.data.domains import Domain
from tfi2i.data.sources import folders as _folders
from tfi2i.data.sources import scenes as _scenes
from tfi2i.data.sources import single_image as _single_image
from tfi2i.data.sources import tfds as _tfds

__all__ = ["SOURCES", "Batch", "Dataset", "Domain", "folders", "scenes", "single_image", "tfds"]


def _recorded(source: Callable[..., Dataset]) -> Callable[..., Dataset]:
    """Makes a source note its arguments in what it returns, for a run's configuration."""

    @functools.wraps(source)
    def opened(*args, **kwargs):
        data = source(*args, **kwargs)
        given = inspect.signature(source).bind(*args, **kwargs).arguments
        plain = {key: str(one) if isinstance(one, Path) else one for key, one in given.items()}
        return dataclasses.replace(data, settings={"source": source.__name__} | plain)

    return opened


scenes, folders = _recorded(_scenes.scenes), _recorded(_folders.folders)
tfds, single_image = _recorded(_tfds.tfds), _recorded(_single_image.single_image)

SOURCES: dict[str, Callable[..., Dataset]]
SOURCES = {source.__name__: source for source in (scenes, folders, tfds, single_image)}
"""What `source` in the section `data` of a config can be."""
