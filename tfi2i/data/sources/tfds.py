"""Pictures from tensorflow-datasets: two splits, two labels, or two data sets.

Its pictures stay encoded in memory, so that examples have random access and no step waits for a
file. Without network the library would retry for minutes: what has to be downloaded is probed for
first, and the answer comes within seconds.
"""

import contextlib
import difflib
import logging
import re
import ssl
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfi2i.data.dataset import Dataset
from tfi2i.data.domains import PictureDomain, held_out
from tfi2i.errors import InputError, first_line
from tfi2i.terminal import printable

PROBE_SECONDS = 4.0
PROBE_LIMIT_SECONDS = 8.0  # name servers have time limits of their own, which nobody can shorten
LARGEST_BYTES = 16 * 2**30

log = logging.getLogger("tfi2i")

Label = str | int


def tfds(
    name: str,
    *,
    name_b: str | None = None,
    split_a: str | None = None,
    split_b: str | None = None,
    test_split_a: str | None = None,
    test_split_b: str | None = None,
    label_a: Label | None = None,
    label_b: Label | None = None,
    label_key: str = "label",
    image_key: str = "image",
    data_dir: str | Path | None = None,
    download: bool = True,
) -> Dataset:
    """A data set of tensorflow-datasets, cut into two domains by split, by label or by name.

    `tfds("cycle_gan/horse2zebra")`; `tfds("oxford_iiit_pet", label_key="species", label_a="Cat",
    label_b="Dog")`; `tfds("svhn_cropped", name_b="mnist")`. Where a domain has no test split, a
    fixed 5 % of its pictures (1 to 50) is kept out of training.

    Args:
        name: Data set of domain a, with its configuration: "cycle_gan/horse2zebra".
        name_b: Data set of domain b, if it is another one.
        split_a: Training split of domain a, also a part such as "train[:10%]"; trainA or train
            if not given.
        split_b: Training split of domain b; trainB or train if not given.
        test_split_a: Test split of domain a; testA or test if not given and there.
        test_split_b: Test split of domain b; testB or test if not given and there.
        label_a: Label, by name or number, of the only examples to use.
        label_b: Label for domain b.
        label_key: Feature that holds the label.
        image_key: Feature that holds the picture.
        data_dir: Folder in which the library keeps prepared data sets; ~/tensorflow_datasets or
            $TFDS_DATA_DIR if not given.
        download: Permission to download a data set that is not there.

    Raises:
        InputError: An unknown data set, split, label or feature, two equal domains, or data that is
            neither prepared nor can be downloaded.
    """
    first = _Builder(name, data_dir)
    second = first if name_b in (None, name) else _Builder(str(name_b), data_dir)
    # A wrong label shows before the download, not after it.
    wanted_a = first.check(image_key, label_key, label_a, "label_a")
    wanted_b = second.check(image_key, label_key, label_b, "label_b")
    first.prepare(download)
    second.prepare(download)
    train_a = first.split(split_a, "split_a", ("trainA", "train"))
    train_b = second.split(split_b, "split_b", ("trainB", "train"))
    if first is second and train_a == train_b and None in (label_a, label_b):
        raise InputError(
            f"{name} gives both domains the pictures of split {train_a!r}; set label_a and "
            f"label_b, split_a and split_b (it has {', '.join(first.splits)}), or name_b."
        )
    if first is second and train_a == train_b and wanted_a == wanted_b:
        raise InputError(
            f"label_a and label_b of {name} are both {label_a!r}; choose two different labels."
        )
    # Of one data set, what one domain trains on must not be what the other is tested on.
    taken_a, taken_b = {train_a}, {train_b}
    if first is second:
        taken_a = taken_b = {train_a, train_b}
    test_a = first.split(test_split_a, "test_split_a", ("testA", "test"), besides=taken_a)
    test_b = second.split(test_split_b, "test_split_b", ("testB", "test"), besides=taken_b)
    sides = [
        first.domains(train_a, test_a, image_key, label_key, wanted_a, "a"),
        second.domains(train_b, test_b, image_key, label_key, wanted_b, "b"),
    ]
    return Dataset(
        name if second is first else f"{name}2{name_b}",
        train={"a": sides[0][0], "b": sides[1][0]},
        test={"a": sides[0][1], "b": sides[1][1]},
    )


@dataclass(frozen=True)
class _Wanted:
    """A label as the records store it, and as people call it."""

    value: int | str
    label: str


class _Builder:
    """One data set of the library."""

    def __init__(self, name: str, data_dir: str | Path | None) -> None:
        self.name = name
        root = None if data_dir is None else str(Path(data_dir).expanduser())
        self._builder = _find(name, root)

    @property
    def splits(self) -> list[str]:
        return [str(split) for split in self._builder.info.splits]

    def check(
        self, image_key: str, label_key: str, label: Label | None, setting: str
    ) -> _Wanted | None:
        """The label to select, after both features were found to be there and of the right kind."""
        import tensorflow_datasets as library

        features = dict(self._builder.info.features.items())
        images = [k for k, v in features.items() if isinstance(v, library.features.Image)]
        if image_key not in images:
            raise InputError(
                f"{self.name} has no picture feature {image_key!r} as image_key; it has "
                f"{', '.join(images) or 'none, so it cannot be used here'}."
            )
        if label is None:
            return None
        feature = features.get(label_key)
        if isinstance(feature, library.features.ClassLabel):
            return _class_label(self.name, feature, label, setting)
        if isinstance(feature, library.features.Text):
            return _Wanted(str(label), str(label))
        if feature is not None and feature.shape == () and _is_whole(feature.np_dtype):
            if isinstance(label, int):
                return _Wanted(int(label), str(label))
            raise InputError(
                f"{setting} is {label!r}, but the labels of {self.name} are numbers; give a number."
            )
        labels = [k for k, v in features.items() if isinstance(v, library.features.ClassLabel)]
        raise InputError(
            f"{self.name} has no label feature {label_key!r} as label_key; it has "
            f"{', '.join(labels) or 'none'}."
        )

    def prepare(self, download: bool) -> None:
        """Downloads the data set unless it is there."""
        import tensorflow_datasets as library

        builder = self._builder
        if builder.is_prepared():
            log.info("data: %s from %s", builder.info.full_name, builder.data_dir)
            return
        self._check_reachable(download)
        config = library.download.DownloadConfig(try_download_gcs=False)
        log.info("data: downloading %s to %s", builder.info.full_name, builder.data_dir)
        try:
            builder.download_and_prepare(download_config=config)
        # What a stranger's builder, a server or a full disk may raise is not a closed set.
        except Exception as error:
            raise InputError(
                f"{self.name} could not be prepared in {builder.data_dir} ({_line(error)}); mend "
                f"that and start again, or {self._way_out()}."
            ) from error

    def _check_reachable(self, download: bool) -> None:
        where = f"{self.name} is not prepared in {self._builder.data_dir}"
        if not download:
            raise InputError(f"{where} and `download` is off; {self._way_out()}.")
        # Builders without registered addresses (a user's own) may read local files only.
        for url in _one_a_host(self._builder.url_infos or {}):
            reason = unreachable(url)
            if reason:
                host = urllib.parse.urlsplit(url).hostname
                raise InputError(
                    f"{where} and {host} cannot be reached ({reason}); {self._way_out()}."
                )

    def _way_out(self) -> str:
        folder = Path(self._builder.data_dir).parent
        command = (
            'python -c "import tensorflow_datasets as tfds; '
            f"tfds.builder('{self.name}').download_and_prepare()\""
        )
        return (
            f"prepare it on a machine with network ({command}) and copy its folder "
            f"{self.name.partition(':')[0]} below ~/tensorflow_datasets to {folder}, set data_dir "
            "to where it is prepared, or use `source: scenes`, which needs no download"
        )

    def split(
        self,
        given: str | None,
        setting: str,
        usual: Iterable[str],
        besides: Collection[str | None] = (),
    ) -> str | None:
        """The split that was given or is usual; None may be the answer for a test split.

        Args:
            given: Choice of the user.
            setting: Argument's name.
            usual: Splits to look for.
            besides: Training splits, if a test split is asked for.
        """
        if given is not None:
            try:
                known = self._builder.info.splits[given]
            except (KeyError, ValueError, AssertionError):
                known = None
            if known is None:
                raise InputError(
                    f"{setting} is {given!r}, but {self.name} has the splits "
                    f"{', '.join(self.splits)} (and parts such as {self.splits[0]}[:10%])."
                )
            return given
        free = [split for split in usual if split in self.splits and split not in besides]
        found = free[0] if free else None
        if found is None and not besides:
            if len(self.splits) == 1:
                return self.splits[0]
            raise InputError(
                f"{self.name} has neither of the splits {' and '.join(usual)}; choose {setting} "
                f"from {', '.join(self.splits)}."
            )
        return found

    def domains(
        self,
        train: str | None,
        test: str | None,
        image_key: str,
        label_key: str,
        wanted: _Wanted | None,
        key: str,
    ) -> tuple[PictureDomain, PictureDomain]:
        """The training and the test domain."""
        assert train is not None  # split() only answers None for test splits
        training = self._read(train, image_key, label_key, wanted)
        if test is not None:
            return training, self._read(test, image_key, label_key, wanted)
        kept = set(held_out(training.names))
        if not kept:
            raise InputError(
                f"{training.where} is a single picture and {self.name} has no test split; choose "
                f"test_split_{key}."
            )
        log.info(
            "%s: no test split, so %d of its %d pictures are held out of training, chosen by name",
            training.where,
            len(kept),
            len(training),
        )
        parts = [
            [i for i in range(len(training)) if (i in kept) == testing] for testing in (False, True)
        ]
        first, second = (
            PictureDomain(
                [training.names[i] for i in part],
                [training.pictures[i] for i in part],
                training.where,
            )
            for part in parts
        )
        return first, second

    def _read(
        self, split: str, image_key: str, label_key: str, wanted: _Wanted | None
    ) -> PictureDomain:
        """The encoded pictures of a split with the wanted label, in the order of the records."""
        import tensorflow_datasets as library

        # Only what is needed is parsed: some data sets hold masks, boxes and texts beside it.
        features = {image_key: True} if wanted is None else {image_key: True, label_key: True}
        names: list[str] = []
        pictures: list[Path | bytes] = []
        total = 0
        try:
            records = self._builder.as_dataset(
                split=split,
                shuffle_files=False,
                decoders=library.decode.PartialDecoding(
                    features, decoders={image_key: library.decode.SkipDecoding()}
                ),
            )
            for number, record in enumerate(records.as_numpy_iterator()):
                if wanted is not None and _plain(record[label_key]) != wanted.value:
                    continue
                names.append(f"{split}/{number:06d}")
                pictures.append(bytes(record[image_key]))
                total += len(record[image_key])
                if total > LARGEST_BYTES:
                    raise InputError(
                        f"{self.name} {split} has more than {LARGEST_BYTES // 2**30} GiB of "
                        "pictures; choose a part of it, such as split_a: train[:10%]."
                    )
        except InputError:
            raise
        # TensorFlow's errors for damaged records share no base class with the library's own.
        except Exception as error:
            raise InputError(
                f"Split {split} of {self.name} cannot be read from {self._builder.data_dir} "
                f"({_line(error)}); remove that folder and prepare it again."
            ) from error
        where = f"{self.name} {split}" + (f" with label {wanted.label}" if wanted else "")
        if not pictures:
            raise InputError(f"{where} has no pictures; choose another split or label.")
        return PictureDomain(names, pictures, where)


def unreachable(url: str) -> str | None:
    """Why a server does not answer within seconds; None if it does, whatever it says.

    Goes through the proxies of the environment, as the download will.
    """
    answer: list[str | None] = []
    thread = threading.Thread(target=lambda: answer.append(_asked(url)), daemon=True)
    thread.start()
    thread.join(PROBE_LIMIT_SECONDS)
    return answer[0] if answer else f"no answer in {PROBE_LIMIT_SECONDS:g} s"


def _asked(url: str) -> str | None:
    request = urllib.request.Request(url, method="HEAD")
    try:
        with contextlib.closing(urllib.request.urlopen(request, timeout=PROBE_SECONDS)):
            return None
    except urllib.error.HTTPError as error:
        error.close()
        return None
    except urllib.error.URLError as error:
        # The downloader brings its own certificates, so only the server's answer counts here.
        return None if isinstance(error.reason, ssl.SSLError) else str(error.reason)
    except (OSError, ValueError) as error:
        return str(error) or type(error).__name__


def _one_a_host(urls: Iterable[str]) -> list[str]:
    hosts = {urllib.parse.urlsplit(url).netloc: url for url in urls}
    return [url for url in hosts.values() if url.startswith(("http://", "https://"))]


def _find(name: str, data_dir: str | None) -> Any:
    """The library's builder of a name, without asking a server."""
    import tensorflow_datasets as library

    plain, _, after = name.partition(":")
    if after and not re.match(r"[\d*]", after):
        raise InputError(
            f"The data set {name!r} is in the namespace {plain!r}, which is not supported; name "
            "one of tensorflow-datasets itself."
        )
    found = _silenced(lambda: library.builder(name, data_dir=data_dir))
    if not isinstance(found, Exception):
        return found
    dataset, _, config = plain.partition("/")
    known = library.list_builders(with_community_datasets=False)
    configs: list[str] = []
    if dataset in known:
        loaded = _silenced(lambda: library.builder_cls(dataset))
        configs = list(getattr(loaded, "builder_configs", {}))
    if dataset not in known:
        close = difflib.get_close_matches(dataset, known, 3)
        way_out = f"did you mean {' or '.join(close)}?" if close else "check its catalogue."
        raise InputError(f"tensorflow-datasets has no data set {dataset!r}; {way_out}") from found
    if config and config not in configs:
        close = difflib.get_close_matches(config, configs, 3) or configs[:20]
        way_out = f"choose from {', '.join(close)}" if close else "it has none"
        raise InputError(f"{dataset} has no configuration {config!r}; {way_out}.") from found
    raise InputError(f"The data set {name!r} cannot be opened ({_line(found)}).") from found


def _silenced(call: Callable[[], Any]) -> Any:
    """Returns what the call returns or raises; in a message any failure is an answer."""
    try:
        return call()
    except Exception as error:
        return error


def _class_label(name: str, feature: Any, label: Label, setting: str) -> _Wanted:
    names = list(feature.names)
    if isinstance(label, str):
        lower = [n.lower() for n in names]
        if label in names:
            return _Wanted(names.index(label), label)
        if lower.count(label.lower()) == 1:
            at = lower.index(label.lower())
            return _Wanted(at, names[at])
    elif 0 <= label < len(names):
        # In YAML the label "3" of mnist is a number: where names are numbers, they go first.
        at = names.index(str(label)) if str(label) in names else int(label)
        return _Wanted(at, names[at])
    shown = ", ".join(names[:40]) + (" ..." if len(names) > 40 else "")
    raise InputError(
        f"{setting} is {label!r}, but the labels of {name} are {shown} (or 0 to {len(names) - 1})."
    )


def _plain(value: Any) -> int | str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else int(value)


def _is_whole(dtype: Any) -> bool:
    return np.dtype(dtype).kind in "iub"


def _line(error: Exception) -> str:
    return printable(first_line(error, 300))
