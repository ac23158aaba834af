import importlib
import logging
import socket
import ssl
import threading
import time
import urllib.error

import numpy as np
import pytest
import tensorflow_datasets as library
from PIL import Image

from tfi2i.data import tfds
from tfi2i.errors import InputError

module = importlib.import_module("tfi2i.data.builders")

SPECIES = {"Cat": 8, "Dog": 6}


class TinyPets(library.core.GeneratorBasedBuilder):
    """Cats are dark and dogs are bright, so that the pictures show what was selected."""

    VERSION = library.core.Version("1.0.0")

    def _info(self):
        return library.core.DatasetInfo(
            builder=self,
            features=library.features.FeaturesDict(
                {
                    "image": library.features.Image(encoding_format="png"),
                    "label": library.features.ClassLabel(names=["persian", "beagle", "pug"]),
                    "species": library.features.ClassLabel(names=list(SPECIES)),
                    "wild": np.bool_,
                    "years": np.int64,
                    "call": library.features.Text(),
                    "mask": library.features.Image(shape=(None, None, 1)),
                }
            ),
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(1), "test": self._generate_examples(0.5)}

    def _generate_examples(self, share):
        for which, (species, count) in enumerate(SPECIES.items()):
            for number in range(int(count * share)):
                pixels = np.full((6, 5, 3), 40 + 100 * which + number, np.uint8)
                yield (
                    f"{species}{number}",
                    {
                        "image": pixels,
                        "label": which + which * (number % 2),
                        "species": which,
                        "wild": bool(number % 2),
                        "years": number,
                        "call": "miaow" if which == 0 else "wuff",
                        "mask": pixels[..., :1],
                    },
                )


class TinyDigits(library.core.GeneratorBasedBuilder):
    VERSION = library.core.Version("1.0.0")

    def _info(self):
        return library.core.DatasetInfo(
            builder=self,
            features=library.features.FeaturesDict(
                {
                    "image": library.features.Image(shape=(4, 4, 1)),
                    "label": library.features.ClassLabel(num_classes=10),
                }
            ),
        )

    def _split_generators(self, dl_manager):
        return {"only": self._generate_examples()}

    def _generate_examples(self):
        for number in range(20):
            yield number, {"image": np.full((4, 4, 1), number, np.uint8), "label": number % 10}


class TinySounds(library.core.GeneratorBasedBuilder):
    VERSION = library.core.Version("1.0.0")

    def _info(self):
        return library.core.DatasetInfo(
            builder=self, features=library.features.FeaturesDict({"tone": np.int64})
        )

    def _split_generators(self, dl_manager):
        return {"train": iter([(0, {"tone": 1})])}

    def _generate_examples(self):
        raise AssertionError


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tensorflow_datasets")
    for name in ("tiny_pets", "tiny_digits"):
        library.builder(name, data_dir=folder).download_and_prepare()
    return folder


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*arguments, **options):
        raise urllib.error.URLError(socket.gaierror(-2, "Name or service not known"))

    monkeypatch.setattr(module.urllib.request, "urlopen", refuse)


def levels(domain):
    return sorted(int(domain.read(index)[0, 0, 0]) for index in range(len(domain)))


def test_two_labels_of_a_feature_make_two_domains(data_dir, no_network):
    chosen = {"label_key": "species", "label_a": "Cat", "label_b": "dog"}
    data = tfds("tiny_pets", **chosen, data_dir=data_dir)
    assert levels(data.train["a"]) == list(range(40, 48))
    assert levels(data.train["b"]) == list(range(140, 146))
    assert [len(data.test[key]) for key in "ab"] == [4, 3]
    assert data.name == "tiny_pets" and not data.paired
    batch = next(data.batches(image_size=8, batch_size=2).as_numpy_iterator())
    assert batch["a"].shape == (2, 8, 8, 3) and batch["a"].max() < batch["b"].min()
    assert data.description() == tfds("tiny_pets", **chosen, data_dir=data_dir).description()


def test_a_domain_can_have_its_own_feature_and_range(data_dir, no_network):
    keys = {"a": "image", "b": "mask"}
    data = tfds("tiny_pets", image_key=keys, data_dir=data_dir, value_range={"b": [40, 145]})
    assert len(data.train["a"]) == len(data.train["b"]) == 14
    assert [data.train[key].picture(0).mode for key in "ab"] == ["RGB", "L"]
    assert data.settings["value_range"] == {"b": [40, 145]}
    assert data.train["a"].dtype == np.uint8 and max(levels(data.train["b"])) == 65535
    assert tfds("tiny_pets", image_key={"b": "mask"}, data_dir=data_dir).name == "tiny_pets"
    for wrong in ({"c": "mask"}, {"a": 1}, {"a": "label"}):
        with pytest.raises(InputError, match="image_key"):
            tfds("tiny_pets", image_key=wrong, data_dir=data_dir)


def test_two_features_of_one_example_are_a_pair_and_a_mask_becomes_a_colour_picture(data_dir):
    keys, palette = {"a": "image", "b": "mask"}, tuple(f"#{i:02x}00ff" for i in range(200))
    data = tfds("tiny_pets", image_key=keys, paired=True, palette=palette, data_dir=data_dir)
    assert data.paired == {"train", "test"}
    assert [len(one["a"]) for one in data.splits().values()] == [14, 7]
    for domains in data.splits().values():
        for index in range(len(domains["a"])):
            level = int(domains["a"].read(index)[0, 0, 0])
            assert np.unique(domains["b"].read(index)).tolist() == sorted({0, level, 255})
    assert data.train["b"].read(0).shape == (6, 5, 3)
    grey = tfds("tiny_pets", image_key=keys, paired=True, data_dir=data_dir)
    assert grey.train["b"].read(0).std() == 0
    assert grey.description() != data.description()
    cats = {"label_key": "species", "label_a": "Cat", "test_split_a": "train[:1]"}
    cats |= {"test_split_b": "train[:1]", "split_a": "train[1:]", "split_b": "train[1:]"}
    data = tfds("tiny_pets", image_key=keys, paired=True, **cats, data_dir=data_dir)
    assert levels(data.train["a"]) == levels(data.train["b"]) and max(levels(data.train["a"])) < 48


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_key": "image"}, "examples of tiny_pets, but image_key is 'image' for both"),
        ({"name_b": "tiny_digits", "image_key": "image"}, "name_b is tiny_digits; leave it out"),
        ({"label_a": "pug", "label_b": "beagle"}, "label_a and label_b differ"),
        ({"split_b": "test"}, "split_a is 'train' and split_b 'test'; choose one split for both"),
        ({"test_split_b": "train"}, "test_split_a is 'test' and test_split_b 'train'"),
        ({"palette": ("#00000g",)}, "palette holds '#00000g', which is no colour"),
        ({"palette": ()}, "palette has 0 colours"),
        ({"palette": ("#000000",), "value_range": {"b": "auto"}}, "leave one of the two out"),
        ({"palette": ("#000000",), "image_key": "image", "paired": False, "label_a": 0,
          "label_b": 1}, "one channel, which 'image' of tiny_pets are not"),
    ],
)  # fmt: skip
def test_features_that_are_no_pairs_are_refused(data_dir, settings, message):
    settings = {"image_key": {"b": "mask"}, "paired": True} | settings
    with pytest.raises(InputError, match=message):
        tfds("tiny_pets", **settings, data_dir=data_dir)


def test_numbers_beyond_the_palette_are_said(data_dir):
    data = tfds(
        *("tiny_pets",), image_key={"b": "mask"}, palette=("#000000",) * 9, data_dir=data_dir
    )
    with pytest.raises(
        InputError, match=r"holds the number \d+, but the palette has colours for 0"
    ):
        data.batches(image_size=8)


def test_labels_can_be_numbers_truth_values_and_texts(data_dir):
    by_number = tfds("tiny_pets", label_a=0, label_b=2, data_dir=data_dir)
    assert levels(by_number.train["b"]) == [141, 143, 145]
    wild = {"label_key": "wild", "label_a": True, "label_b": False}
    assert len(tfds("tiny_pets", **wild, data_dir=data_dir).train["a"]) == 7
    call = {"label_key": "call", "label_a": "wuff", "label_b": "miaow"}
    assert len(tfds("tiny_pets", **call, data_dir=data_dir).train["a"]) == 6


def test_digits_are_meant_by_their_names(data_dir):
    data = tfds("tiny_digits", label_a="3", label_b=7, data_dir=data_dir)
    seen = {key: levels(data.train[key]) + levels(data.test[key]) for key in "ab"}
    assert {key: sorted(values) for key, values in seen.items()} == {"a": [3, 13], "b": [7, 17]}


def test_two_data_sets_make_two_domains_and_a_share_is_held_out(data_dir, caplog):
    with caplog.at_level(logging.INFO, "tfi2i"):
        data = tfds("tiny_pets", name_b="tiny_digits", data_dir=data_dir)
    assert data.name == "tiny_pets2tiny_digits"
    assert [len(data.train[key]) for key in "ab"] == [14, 19]
    assert [len(data.test[key]) for key in "ab"] == [7, 1]
    assert sorted(levels(data.train["b"]) + levels(data.test["b"])) == list(range(20))
    assert data.train["b"].read(0).shape == (4, 4, 3)
    assert "1 of its 20 pictures are held out" in caplog.text


def test_two_splits_and_parts_of_splits_make_two_domains(data_dir):
    data = tfds(
        "tiny_pets",
        split_a="train[:50%]",
        split_b="train[50%:]",
        test_split_a="test[:2]",
        test_split_b="test[2:]",
        data_dir=data_dir,
    )
    assert [len(data.train[key]) for key in "ab"] == [7, 7]
    assert [len(data.test[key]) for key in "ab"] == [2, 5]
    everything = [(n, levels(data.train[key])) for key in "ab" for n in [len(data.train[key])]]
    assert len({value for _, values in everything for value in values}) == 14


def test_what_one_domain_trains_on_is_not_tested_on_by_the_other(data_dir):
    data = tfds("tiny_pets", split_a="train", split_b="test", data_dir=data_dir)
    assert [len(data.train[key]) for key in "ab"] == [13, 6]
    assert [data.test[key].names[0].partition("/")[0] for key in "ab"] == ["train", "test"]


def test_cycle_gan_sets_need_only_their_name_and_are_prepared_when_there_is_network(
    tmp_path, monkeypatch
):
    counts = {"trainA": 4, "trainB": 3, "testA": 2, "testB": 1}
    for number, (folder, count) in enumerate(counts.items()):
        (tmp_path / "zip" / "horse2zebra" / folder).mkdir(parents=True)
        for index in range(count):
            path = tmp_path / "zip" / "horse2zebra" / folder / f"{index}.jpg"
            Image.new("RGB", (6, 5), (60 * number,) * 3).save(path)
    probed = []
    monkeypatch.setattr(module, "unreachable", lambda url: probed.append(url))
    monkeypatch.setattr(
        library.download.DownloadManager,
        "download_and_extract",
        lambda self, url: str(tmp_path / "zip"),
    )
    data = tfds("cycle_gan/horse2zebra", data_dir=tmp_path / "prepared")
    assert len(probed) == 1 and probed[0].startswith("https://efrosgans.eecs.berkeley.edu/")
    assert [levels(data.train[key]) for key in "ab"] == [[0] * 4, [60] * 3]
    assert [levels(data.test[key]) for key in "ab"] == [[120] * 2, [180]]
    # Once prepared, no server is asked.
    monkeypatch.setattr(module, "unreachable", lambda url: pytest.fail("asked a server"))
    again = tfds("cycle_gan/horse2zebra", data_dir=str(tmp_path / "prepared"), download=False)
    assert again.description() == data.description()


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("cycle_gam/horse2zebra", {}, "no data set 'cycle_gam'; did you mean cycle_gan"),
        ("cycle_gan/horse2zebr", {}, "no configuration 'horse2zebr'; choose from horse2zebra"),
        ("tiny_pets/small", {}, "tiny_pets has no configuration 'small'; it has none"),
        ("huggingface:mnist", {}, "namespace 'huggingface', which is not supported"),
        ("", {}, "no data set ''"),
        ("tiny_pets", {}, "gives both domains the pictures of split 'train'; set label_a and"),
        ("tiny_pets", {"label_a": "pug"}, "set label_a and label_b"),
        ("tiny_pets", {"label_a": "pug", "label_b": 2}, "label_a and label_b .* are both 'pug'"),
        (
            "tiny_pets",
            {"label_a": "cat"},
            "label_a is 'cat', but the labels .* persian, beagle, pug",
        ),
        ("tiny_pets", {"label_b": 3}, "label_b is 3, .* \\(or 0 to 2\\)"),
        ("tiny_pets", {"label_b": "x", "label_key": "years"}, "are numbers"),
        ("tiny_pets", {"label_b": "x", "label_key": "kind"}, "label_key; it has label, species"),
        ("tiny_pets", {"image_key": "picture"}, "'picture' as image_key; it has image, mask"),
        ("tiny_pets", {"split_a": "training"}, "split_a is 'training', .* splits train, test"),
        ("tiny_pets", {"split_a": "train[", "split_b": "test"}, "split_a is 'train\\['"),
        ("tiny_pets", {"split_b": "test", "test_split_b": "x"}, "test_split_b is 'x'"),
        ("tiny_sounds", {}, "as image_key; it has none"),
        (
            "tiny_digits",
            {"label_a": 1, "label_b": 2, "split_a": "only[:1]", "split_b": "only"},
            "with label 1 has no pictures",
        ),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(data_dir, no_network, name, settings, message):
    with pytest.raises(InputError, match=message) as caught:
        tfds(name, **settings, data_dir=data_dir)
    assert "\n" not in str(caught.value)


def test_damaged_records_are_refused(tmp_path):
    library.builder("tiny_digits", data_dir=tmp_path).download_and_prepare()
    (record,) = tmp_path.rglob("*.tfrecord*")
    record.write_bytes(record.read_bytes()[:300])
    with pytest.raises(InputError, match="cannot be read from .*; remove that folder"):
        tfds("tiny_digits", label_a=1, label_b=2, data_dir=tmp_path)


def test_a_broken_picture_among_the_records_is_skipped(data_dir, caplog):
    data = tfds("tiny_pets", label_key="species", label_a=0, label_b=1, data_dir=data_dir)
    data.train["a"].pictures[3] = b"no picture"
    with caplog.at_level(logging.WARNING, "tfi2i"):
        list(data.batches(image_size=8).take(20))
    assert sum("train/" in message and "left out" in message for message in caplog.messages) == 1


def test_without_network_the_answer_comes_within_seconds(tmp_path, no_network):
    start = time.monotonic()
    with pytest.raises(InputError) as caught:
        tfds("cycle_gan/horse2zebra", data_dir=tmp_path)
    assert time.monotonic() - start < 10
    message = str(caught.value)
    for part in (str(tmp_path), "efrosgans.eecs.berkeley.edu cannot be reached", "not known"):
        assert part in message
    for part in ("download_and_prepare()", "source: scenes", "data_dir"):
        assert part in message
    assert not list(tmp_path.iterdir())


def test_download_off_asks_no_server(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "unreachable", lambda url: pytest.fail("asked a server"))
    with pytest.raises(InputError, match="`download` is off; prepare it on a machine"):
        tfds("mnist", name_b="svhn_cropped", data_dir=tmp_path, download=False)


def test_a_download_that_fails_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "unreachable", lambda url: None)

    def fail(self, **options):
        raise RuntimeError("the server said no\nand more")

    monkeypatch.setattr(library.core.DatasetBuilder, "download_and_prepare", fail)
    with pytest.raises(InputError, match="could not be prepared in .* \\(the server said no\\)"):
        tfds("mnist", label_a=1, label_b=2, data_dir=tmp_path)


def test_a_server_that_never_answers_is_given_up(monkeypatch):
    monkeypatch.setattr(module, "PROBE_LIMIT_SECONDS", 0.2)
    never = threading.Event()
    monkeypatch.setattr(module, "_asked", lambda url: never.wait(5))
    start = time.monotonic()
    assert module.unreachable("https://example.org/") == "no answer in 0.2 s"
    assert time.monotonic() - start < 2
    never.set()


def test_any_answer_of_a_server_counts(monkeypatch):
    answers = iter(
        [
            urllib.error.HTTPError("https://example.org/", 403, "Forbidden", {}, None),
            urllib.error.URLError(ssl.SSLCertVerificationError("self-signed")),
            urllib.error.URLError(OSError("Tunnel connection failed: 403 Forbidden")),
            TimeoutError("timed out"),
        ]
    )

    def answer(*arguments, **options):
        raise next(answers)

    monkeypatch.setattr(module.urllib.request, "urlopen", answer)
    reasons = [module.unreachable("https://example.org/") for _ in range(4)]
    assert reasons == [None, None, "Tunnel connection failed: 403 Forbidden", "timed out"]


def test_a_refused_connection_is_unreachable(monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    assert "refused" in module.unreachable(f"http://127.0.0.1:{port}/")
