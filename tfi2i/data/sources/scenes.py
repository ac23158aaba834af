"""The embedded data set: scenes drawn on demand, whose translation is known."""

from tfi2i.data.dataset import Dataset, source
from tfi2i.data.domains import Domain, DrawnDomain, Pixels
from tfi2i.data.sources.scene_drawing import LARGEST, SMALLEST, draw
from tfi2i.limits import Count, Seed

VALIDATION_SIZE = 128  # pairs of scenes beyond the test set, to choose a checkpoint by


@source
def scenes(
    *, train_size: Count = 1000, test_size: Count = 200, seed: Seed = 0, paired: bool = False
) -> Dataset:
    """The embedded data set, drawn on demand: summer days (a) and dusk posters (b).

    The training scenes of a and b are different ones, unless they are wanted as pairs; test scenes
    are the same in both, so a translation can be compared with the truth.

    Args:
        train_size: Scenes in each domain.
        test_size: Pairs of scenes.
        seed: Another seed, other scenes.
        paired: True where the training scenes of a and b are the same ones too, row by row.

    Raises:
        InputError: A number out of its range.
    """
    train = {key: "train_a" if paired else f"train_{key}" for key in "ab"}
    return Dataset(
        "scenes",
        train={key: _drawn(seed, split, key, 0, train_size) for key, split in train.items()},
        test={key: _drawn(seed, "test", key, 0, test_size) for key in "ab"},
        paired=frozenset({"train", "test", "validation"} if paired else {"test", "validation"}),
        validation={key: _drawn(seed, "test", key, test_size, VALIDATION_SIZE) for key in "ab"},
    )


def _drawn(seed: int, split: str, key: str, first: int, count: int) -> Domain:
    def paint(index: int, side: int) -> Pixels:
        return draw(seed, split, first + index, side)["ab".index(key)]

    names = [f"{first + index:05d}.png" for index in range(count)]
    return DrawnDomain(names, paint, f"scenes {split} (seed {seed})", (SMALLEST, LARGEST))
