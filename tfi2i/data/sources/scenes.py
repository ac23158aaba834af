"""The embedded data set: scenes drawn on demand, whose translation is known."""

from tfi2i.data.dataset import Dataset, source
from tfi2i.data.domains import Domain, DrawnDomain, Pixels, require_domains
from tfi2i.data.sources.scene_drawing import LARGEST, SMALLEST, compose, paint
from tfi2i.data.sources.scene_paints import STYLES
from tfi2i.errors import InputError
from tfi2i.limits import Count, Seed

VALIDATION_SIZE = 128  # pairs of scenes beyond the test set, to choose a checkpoint by

_STREAMS = {style: f"train_{style}" for style in STYLES} | {"day": "train_a", "dusk": "train_b"}


@source
def scenes(
    *,
    train_size: Count = 1000,
    test_size: Count = 200,
    seed: Seed = 0,
    styles: tuple[str, ...] | None = None,
    paired: bool = False,
) -> Dataset:
    """The embedded data set, drawn on demand: summer days (a) and dusk posters (b), or more styles.

    The training scenes of the domains are different ones, unless they are wanted as pairs; test
    scenes are the same in all, so that a translation can be compared with the truth.

    Args:
        train_size: Scenes in each domain.
        test_size: Test scenes, which are the same in each domain.
        seed: Another seed, other scenes.
        styles: Domains, two or more of day, dusk, winter and neon; null: a and b, which are day and
            dusk.
        paired: True where the training scenes of all domains are the same ones too, row by row.

    Raises:
        InputError: A number out of its range, or a style that is unknown.
    """
    domains = {"a": "day", "b": "dusk"} if styles is None else {style: style for style in styles}
    if styles is not None:
        require_domains(styles, "data.styles")
        if unknown := [style for style in styles if style not in STYLES]:
            raise InputError(f"styles holds {unknown[0]!r}; choose from {', '.join(STYLES)}.")

    def drawn(split: str | None, first: int, count: int) -> dict[str, Domain]:
        return {
            key: _drawn(seed, split or _STREAMS[style], style, first, count, styles is not None)
            for key, style in domains.items()
        }

    return Dataset(
        "scenes",
        train=drawn("train_a" if paired else None, 0, train_size),
        test=drawn("test", 0, test_size),
        paired=frozenset({"train", "test", "validation"} if paired else {"test", "validation"}),
        validation=drawn("test", test_size, VALIDATION_SIZE),
    )


def _drawn(seed: int, split: str, style: str, first: int, count: int, named: bool) -> Domain:
    def draw(index: int, side: int) -> Pixels:
        return paint(compose(seed, split, first + index), STYLES[style], side)

    names = [f"{first + index:05d}.png" for index in range(count)]
    where = f"scenes {split}{f' in {style}' if named else ''} (seed {seed})"
    return DrawnDomain(names, draw, where, (SMALLEST, LARGEST))
