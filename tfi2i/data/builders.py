"""Data sets of tensorflow-datasets, one side of which becomes the pictures of a domain.

Pictures stay encoded in memory, so that examples have random access and no step waits for a file.
Without network the library would retry for minutes: what has to be downloaded is probed for first,
and the answer comes within seconds.
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
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tfi2i.data.domains import PictureDomain
from tfi2i.data.masks import Painted
from tfi2i.errors import InputError, first_line
from tfi2i.limits import Between
from tfi2i.terminal import printable

PROBE_SECONDS = 4.0
PROBE_LIMIT_SECONDS = 8.0  # name servers have time limits of their own, which nobody can shorten
LARGEST_BYTES = 16 * 2**30

log = logging.getLogger("tfi2i")

Label = str | Annotated[int, Between(0, 1_000_000)]


class _Label(NamedTuple):
    """A label as the records store it, and as people call it."""

    value: int | bytes
    name: str


class Side:
    """One domain: a data set of the library, and which of its pictures count."""

    def __init__(self, key: str, name: str, builder: Any, image_key: str, label_key: str) -> None:
        self.key, self.name, self.builder = key, name, builder
        self.image_key, self.label_key = image_key, label_key
        self.given: Label | None = None
        self.label: _Label | None = None
        self.colours: NDArray[np.uint8] | None = None

    @property
    def splits(self) -> list[str]:
        return [str(split) for split in self.builder.info.splits]

    def choose(self, label: Label | None) -> None:
        """Keeps the label to select, once both features are there and of the right kind."""
        from tensorflow_datasets import features as kinds

        features = dict(self.builder.info.features.items())
        images = [key for key, kind in features.items() if isinstance(kind, kinds.Image)]
        if self.image_key not in images:
            raise InputError(
                f"{self.name} has no picture feature {self.image_key!r} as image_key; it has "
                f"{', '.join(images) or 'none, so it cannot be used here'}."
            )
        self.given = label
        if label is None:
            return
        feature, setting = features.get(self.label_key), f"label_{self.key}"
        if isinstance(feature, kinds.ClassLabel):
            self.label = _class_label(self.name, list(feature.names), label, setting)
        elif isinstance(feature, kinds.Text):
            self.label = _Label(str(label).encode("utf-8", "surrogateescape"), str(label))
        elif feature is None or feature.shape or np.dtype(feature.np_dtype).kind not in "iub":
            labels = [key for key, kind in features.items() if isinstance(kind, kinds.ClassLabel)]
            raise InputError(
                f"{self.name} has no label feature {self.label_key!r} as label_key; it has "
                f"{', '.join(labels) or 'none'}."
            )
        elif isinstance(label, int):
            self.label = _Label(int(label), str(label))
        else:
            raise InputError(
                f"{setting} is {label!r}, but the labels of {self.name} are numbers; give a number."
            )

    def prepare(self, download: bool) -> None:
        """Downloads the data set unless it is there."""
        import tensorflow_datasets as library

        builder = self.builder
        if builder.is_prepared():
            log.info("data: %s from %s", builder.info.full_name, builder.data_dir)
            return
        where = f"{self.name} is not prepared in {builder.data_dir}"
        way_out = (
            'prepare it on a machine with network (python -c "import tensorflow_datasets as tfds; '
            f"tfds.builder('{self.name}').download_and_prepare()\") and copy its folder "
            f"{self.name.partition(':')[0]} below ~/tensorflow_datasets to "
            f"{Path(builder.data_dir).parent}, set data_dir to where it is prepared, or use "
            "`source: scenes`, which needs no download"
        )
        if not download:
            raise InputError(f"{where} and `download` is off; {way_out}.")
        # Builders without registered addresses (a user's own) may read local files only.
        urls = [url for url in builder.url_infos or () if url.startswith(("http://", "https://"))]
        for host, url in {urllib.parse.urlsplit(url).hostname: url for url in urls}.items():
            if reason := unreachable(url):
                raise InputError(f"{where} and {host} cannot be reached ({reason}); {way_out}.")
        config = library.download.DownloadConfig(try_download_gcs=False)
        log.info("data: downloading %s to %s", builder.info.full_name, builder.data_dir)
        try:
            builder.download_and_prepare(download_config=config)
        # What a stranger's builder, a server or a full disk may raise is not a closed set.
        except Exception as error:
            raise InputError(
                f"{self.name} could not be prepared in {builder.data_dir} ({_line(error)}); mend "
                f"that and start again, or {way_out}."
            ) from error

    def split(
        self, given: str | None, setting: str, usual: Collection[str], taken: Collection[str] = ()
    ) -> str:
        """The split that was given or is usual; "": there is none beside those taken.

        Args:
            given: Choice of the user.
            setting: Argument's name without its domain.
            usual: Splits to look for.
            taken: Training splits, if a test split is asked for.
        """
        setting = self._setting(setting)
        if given is not None:
            try:
                self.builder.info.splits[given]
            except (KeyError, ValueError, AssertionError) as error:
                raise InputError(
                    f"{setting} is {given!r}, but {self.name} has the splits "
                    f"{', '.join(self.splits)} (and parts such as {self.splits[0]}[:10%])."
                ) from error
            return given
        free = [split for split in usual if split in self.splits and split not in taken]
        if free or taken:
            return free[0] if free else ""
        if len(self.splits) == 1:
            return self.splits[0]
        raise InputError(
            f"{self.name} has neither of the splits {' and '.join(usual)}; choose {setting} "
            f"from {', '.join(self.splits)}."
        )

    def domains(
        self, train: str, test: str, megapixels: int
    ) -> tuple[PictureDomain, PictureDomain]:
        """The training and the test domain."""
        training = self.read(train, megapixels)
        if test:
            return training, self.read(test, megapixels)
        if len(training) < 2:
            raise self.alone(training)
        return training.with_test_share(training.where, "split")

    def alone(self, training: PictureDomain) -> InputError:
        """The error of a single picture that cannot be held out."""
        return InputError(
            f"{training.where} is a single picture and {self.name} has no test split; choose "
            f"{self._setting('test_split')}."
        )

    def _setting(self, name: str) -> str:
        return f"{name}_{self.key}" if self.key else name

    def read(self, split: str, megapixels: int) -> PictureDomain:
        """The encoded pictures of a split with the label, in the order of the records."""
        label, key = self.label, self.label_key
        needed = {} if label is None else {key: True}
        records = self.records(split, needed, lambda r: label is None or r[key] == label.value)
        found = {name: content for name, content, _ in records}
        where = f"{self.name} {split}" + (f" with label {self.label.name}" if self.label else "")
        if not found:
            raise InputError(f"{where} has no pictures; choose another split or label.")
        read = PictureDomain(list(found), list(found.values()), where, (), megapixels)
        return read if self.colours is None else Painted(read, self.colours)

    def records(
        self,
        split: str,
        needed: Mapping[str, Any],
        keep: Callable[[Any], bool] = lambda record: True,
    ) -> Iterator[tuple[str, bytes, Any]]:
        """Name, encoded picture and record of each example, in their order.

        Args:
            split: Split, or a part of one.
            needed: Features that are decoded too, as `PartialDecoding` takes them. Some data sets
                hold masks, boxes and texts beside them.
            keep: Function (record) -> whether it counts.

        Raises:
            InputError: The records are damaged, or hold more than 16 GiB of pictures.
        """
        import tensorflow_datasets as library

        decoders = library.decode.PartialDecoding(
            {self.image_key: True, **needed},
            decoders={self.image_key: library.decode.SkipDecoding()},
        )
        total = 0
        try:
            records = self.builder.as_dataset(split=split, shuffle_files=False, decoders=decoders)
            for number, record in enumerate(records.as_numpy_iterator()):
                if not keep(record):
                    continue
                content = bytes(record[self.image_key])
                total += len(content)
                if total > LARGEST_BYTES:
                    raise InputError(
                        f"{self.name} {split} has more than {LARGEST_BYTES // 2**30} GiB of "
                        f"pictures; choose a part of it, such as {self._setting('split')}: "
                        "train[:10%]."
                    )
                yield f"{split}/{number:06d}", content, record
        except InputError:
            raise
        # TensorFlow's errors for damaged records share no base class with the library's own.
        except Exception as error:
            raise InputError(
                f"Split {split} of {self.name} cannot be read from {self.builder.data_dir} "
                f"({_line(error)}); remove that folder and prepare it again."
            ) from error


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
        urllib.request.urlopen(request, timeout=PROBE_SECONDS).close()
    except urllib.error.HTTPError as error:
        error.close()
    except urllib.error.URLError as error:
        # The downloader brings its own certificates, so only the server's answer counts here.
        return None if isinstance(error.reason, ssl.SSLError) else str(error.reason)
    except (OSError, ValueError) as error:
        return str(error) or type(error).__name__
    return None


def builder_of(name: str, data_dir: str | Path | None) -> Any:
    """The library's builder of a name, without asking a server."""
    import tensorflow_datasets as library

    plain, _, after = name.partition(":")
    if after and not re.match(r"[\d*]", after):
        raise InputError(
            f"The data set {name!r} is in the namespace {plain!r}, which is not supported; name "
            "one of tensorflow-datasets itself."
        )
    try:
        return library.builder(name, data_dir=data_dir and Path(data_dir).expanduser())
    except Exception as error:  # a builder's own code may raise anything
        raise InputError(_why_not_found(name, *plain.split("/", 1), reason=error)) from error


def _why_not_found(name: str, dataset: str, config: str = "", *, reason: Exception) -> str:
    import tensorflow_datasets as library

    known = library.list_builders(with_community_datasets=False)
    if dataset not in known:
        close = difflib.get_close_matches(dataset, known, 3)
        way_out = f"did you mean {' or '.join(close)}?" if close else "check its catalogue."
        return f"tensorflow-datasets has no data set {dataset!r}; {way_out}"
    configs: list[str] = []
    with contextlib.suppress(Exception):  # then the reason says why
        configs += library.builder_cls(dataset).builder_configs
    if config and config not in configs:
        close = difflib.get_close_matches(config, configs, 3) or configs[:20]
        way_out = f"choose from {', '.join(close)}" if close else "it has none"
        return f"{dataset} has no configuration {config!r}; {way_out}."
    return f"The data set {name!r} cannot be opened ({_line(reason)})."


def _class_label(name: str, names: list[str], label: Label, setting: str) -> _Label:
    if isinstance(label, str):
        lower = label.lower()
        found = [n for n in names if n == label] or [n for n in names if n.lower() == lower]
    else:
        # In YAML the label "3" of mnist is a number: where names are numbers, they go first.
        by_place = names[label : label + 1] if label >= 0 else []
        found = [str(label)] if str(label) in names else by_place
    if len(found) == 1:
        return _Label(names.index(found[0]), found[0])
    shown = ", ".join(names[:40]) + (" ..." if len(names) > 40 else "")
    raise InputError(
        f"{setting} is {label!r}, but the labels of {name} are {shown} (or 0 to {len(names) - 1})."
    )


def _line(error: Exception) -> str:
    return printable(first_line(error, 300))
