"""Pictures that belong together: of two domains by their names, or as the halves of one file."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from tfi2i.data.domains import PictureDomain, shared_out
from tfi2i.errors import InputError
from tfi2i.pictures.bands import read_bands
from tfi2i.pictures.channels import in_channels
from tfi2i.pictures.depth import Values
from tfi2i.pictures.files import Picture
from tfi2i.terminal import printable

Pair = tuple[PictureDomain, PictureDomain]


class Half(PictureDomain):
    """The left or the right halves of pictures that show both sides of a pair.

    Args:
        whole: Domain of the files.
        right: True for the right halves.
    """

    def __init__(self, whole: PictureDomain, right: bool) -> None:
        side = "right" if right else "left"
        where = f"{whole.where} ({side} halves)"
        others = () if right else whole.passed_over  # which are told of once
        super().__init__(whole.names, whole.pictures, where, others, whole.megapixels)
        self._whole, self._right = whole, right

    def picture(self, index: int) -> Picture:
        """As `Domain.picture`."""
        one = super().picture(index)
        alpha = None if one.alpha is None else self._cut(one.alpha, index)
        return Picture(self._cut(one.pixels, index), alpha, one.mode, one.format, one.deep)

    def values(self, index: int) -> Values:
        """As `PictureDomain.values`."""
        values = super().values(index)
        return values._replace(array=self._cut(values.array, index))

    def read_in(self, index: int, side: int | None, channels: int) -> NDArray[Any]:
        """As `Domain.read_in`."""
        bands = read_bands(self.pictures[index], channels, self.value_range)
        if bands is not None:
            return self._cut(bands, index)
        one = self.picture(index)
        return in_channels(one.pixels, channels, one.alpha)

    def _like(self, indices: Sequence[int]) -> "Half":
        return Half(self._whole.part(indices), self._right)

    def digest(self) -> str:
        """SHA-256 of the whole files, after the side."""
        return f"{'right' if self._right else 'left'}-{super().digest()}"

    def _cut(self, array: NDArray[Any], index: int) -> NDArray[Any]:
        width = array.shape[1]
        if width % 2:
            raise InputError(_odd(self._whole, index, width))
        return array[:, width // 2 :] if self._right else array[:, : width // 2]


def halves(whole: PictureDomain, first: str) -> Pair:
    """Domains a and b of files that hold both pictures side by side.

    Args:
        whole: Domain of the files.
        first: Domain of the left halves, a or b.

    Raises:
        InputError: A width is odd, so that the halves would have two sizes.
    """
    for index in range(len(whole)):
        size = whole.size(index)
        if size and size[1] % 2 and (true := _decoded_size(whole, index)) and true[1] % 2:
            raise InputError(_odd(whole, index, true[1]))
    left, right = Half(whole, False), Half(whole, True)
    return (left, right) if first == "a" else (right, left)


def matched(a: PictureDomain, b: PictureDomain) -> Pair:
    """Both domains in the order of a, so that a row is a pair.

    The names of a pair are the same but for the suffix, and maybe for "_A" and "_B" before it.

    Raises:
        InputError: A picture has no partner, two would be one's, or a pair has two sizes.
    """
    plain_a, plain_b = ([name.rpartition(".")[0] for name in one.names] for one in (a, b))
    keys_a, keys_b = _keys(plain_a, plain_b, "a"), _keys(plain_b, plain_a, "b")
    for domain, keys in ((a, keys_a), (b, keys_b)):
        _refuse_twice(domain, keys)
    for domain, keys, other, others in ((a, keys_a, b, keys_b), (b, keys_b, a, keys_a)):
        partners = {*others}
        alone = [name for name, key in zip(domain.names, keys, strict=True) if key not in partners]
        if alone:
            raise InputError(
                f"{len(alone)} of the {len(domain)} pictures of {domain.where} have no partner in "
                f"{other.where} (the first: {printable(alone[0])}), but both pictures of a pair "
                "need the same name, but for the suffix; add or rename the partner, or move the "
                "picture away."
            )
    places = {key: index for index, key in enumerate(keys_b)}
    b = b.part([places[key] for key in keys_a])
    require_one_size(a, b)
    return a, b


def require_one_size(a: PictureDomain, b: PictureDomain) -> None:
    """Raises `InputError` where the pictures of a row have two sizes."""
    sizes = [(a.size(index), b.size(index)) for index in range(len(a))]
    differing = [
        index for index, (one, other) in enumerate(sizes) if one and other and one != other
    ]
    for index in differing:
        # A header does not say everything, such as a late tag that turns the picture.
        one, other = _decoded_size(a, index), _decoded_size(b, index)
        if one and other and one != other:
            raise InputError(
                f"{printable(a.names[index])} of {a.where} is {one[1]}x{one[0]} and "
                f"{printable(b.names[index])} of {b.where}, its partner, {other[1]}x{other[0]} "
                f"(pairs of two sizes: {len(differing)} of {len(a)}); scale one to the size of "
                "the other."
            )


def with_test_share(
    pair: Pair, place: str, kind: str, share: float | None = None
) -> tuple[Pair, Pair]:
    """The pairs to train on, and the share held out; of two pairs or more.

    Args:
        pair: Domains whose rows belong together.
        place: Name of the whole for the log.
        kind: Noun for what is missing, "folder" or "split".
        share: Share to keep, as in `held_out`.
    """
    a, b = pair
    rest, kept = shared_out(
        *(a.names, lambda index: a.opens(index) and b.opens(index), share),
        *(f"{place}: no test {kind}", "pairs"),
    )
    return (a.part(rest), b.part(rest)), (a.part(kept), b.part(kept))


def _keys(names: list[str], others: list[str], domain: str) -> list[str]:
    """Names without the mark of their domain, unless they have a partner as they are."""
    known, mark = {*others}, f"[_-][{domain}{domain.upper()}]$"
    return [name if name in known else re.sub(mark, "", name) for name in names]


def _refuse_twice(domain: PictureDomain, keys: list[str]) -> None:
    twice = [key for key, count in Counter(keys).items() if count > 1]
    if twice:
        same = [name for name, key in zip(domain.names, keys, strict=True) if key == twice[0]]
        raise InputError(
            f"{domain.where} has two pictures of the name {printable(twice[0])} "
            f"({printable(same[0])} and {printable(same[1])}), so that a partner would belong to "
            "both; rename or remove one."
        )


def _decoded_size(domain: PictureDomain, index: int) -> tuple[int, int] | None:
    pixels = domain.read_or_none(index)
    return None if pixels is None else (pixels.shape[0], pixels.shape[1])


def _odd(whole: PictureDomain, index: int, width: int) -> str:
    return (
        f"{printable(whole.names[index])} of {whole.where} is {width} pixels wide, which has no "
        "two halves of one size; cut it to an even width or remove it."
    )
