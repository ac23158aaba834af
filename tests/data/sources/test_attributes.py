"""Labels from tables (CSV and CelebA's own) and from the features of tensorflow-datasets."""

import logging

import numpy as np
import pytest
import tensorflow_datasets as library
from PIL import Image

from tfi2i.data import Batch, attributes
from tfi2i.data.check import check
from tfi2i.errors import InputError
from tfi2i.pictures.pixels import to_pixels

NAMES = ("Young", "Smiling", "Black_Hair")
ROWS = np.array([[i % 2, i % 3 == 0, i < 5] for i in range(12)], np.uint8)


def faces(root, count=12):
    """Pictures of one level each, 18 x the index, so that the pixels show which it is."""
    root.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        Image.fromarray(np.full((9, 8, 3), 18 * index, np.uint8)).save(root / f"{index:06d}.png")
    return root


def csv(path, rows=ROWS, names=NAMES, head="file", no="0", sep=","):
    lines = [sep.join((head, *names))]
    lines += [
        sep.join((f"{i:06d}.png", *("1" if one else no for one in row)))
        for i, row in enumerate(rows)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def celeba(path):
    lines = [str(len(ROWS)), " ".join(NAMES) + " "]
    lines += [
        f"{i:06d}.png  " + "  ".join("1" if one else "-1" for one in row)
        for i, row in enumerate(ROWS)
    ]
    path.write_text("\r\n".join(lines) + "\r\n")
    return path


def truth(data, split):
    """The rows that pictures of a split should have, by their pixels."""
    domain = getattr(data, split)["pictures"]
    places = [int(domain.read(index)[0, 0, 0]) // 18 for index in range(len(domain))]
    columns = [NAMES.index(name) for name in data.attribute_names]
    return ROWS[places][:, columns]


@pytest.mark.parametrize("make", [csv, celeba, lambda path: csv(path, no="-1", sep=";")])
def test_tables_give_each_picture_its_row(tmp_path, make, caplog):
    table = make(tmp_path / "list_attr.txt")
    with caplog.at_level(logging.INFO, "tfi2i"):
        data = attributes(table, root=faces(tmp_path / "faces", 14), test_share=0.25)
    assert data.name == "faces" and data.attribute_names == NAMES
    assert [len(one["pictures"]) for one in data.splits().values()] == [9, 3]
    for split in data.splits():
        np.testing.assert_array_equal(data.attributes[split]["pictures"], truth(data, split))
    assert "2 pictures have no line in" in caplog.text and "3 of its 12 pictures" in caplog.text
    assert data.settings["table"] == str(table)


def test_chosen_names_have_their_order_and_a_partition_its_splits(tmp_path):
    partition = tmp_path / "list_eval_partition.txt"
    partition.write_text("".join(f"{i:06d}.png {(0, 0, 1, 2)[i % 4]}\n" for i in range(12)))
    data = attributes(
        csv(tmp_path / "a.csv"),
        root=faces(tmp_path / "faces"),
        names=("Black_Hair", "Young"),
        partition=partition,
    )
    assert data.label_names == ("Black_Hair", "Young")
    assert {s: len(one["pictures"]) for s, one in data.splits().items()} == {
        "train": 6, "test": 3, "validation": 3,
    }  # fmt: skip
    for split in data.splits():
        np.testing.assert_array_equal(data.attributes[split]["pictures"], truth(data, split))
    batch = next(data.batches(Batch("labelled", 1), image_size=8, batch_size=6).as_numpy_iterator())
    for images, label in (("image", "label"), ("reference", "target_label")):
        places = to_pixels(batch[images][:, 0, 0, 0]).astype(int) // 18
        np.testing.assert_array_equal(batch[label], ROWS[places][:, [2, 0]])


def test_a_check_shows_the_balance_of_labels_and_labels_that_nothing_has(tmp_path):
    rows = np.array([[1, 0, i == 0] for i in range(12)])
    faces(tmp_path / "faces")
    partition = tmp_path / "p.csv"
    partition.write_text(
        "image_id,partition\n" + "".join(f"{i:06d}.png,{2 * (i > 9)}\n" for i in range(12))
    )
    data = attributes(csv(tmp_path / "a.csv", rows), root=tmp_path / "faces", partition=partition)
    report = check(data)
    assert report.facts == ["Labels of training: Young 100 %, Smiling 0 %, Black_Hair 10 %."]
    assert [problem.split(",")[0] for problem in report.problems] == [
        "Training has no picture with Smiling",
        "Training has no picture without Young",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no attributes; its first line names the columns"),
        ("file,Young\n", "holds no attributes"),
        ("file\nx.png\n", "holds no attributes"),
        ("file,Young\n000000.png,yes\n", "a.csv line 2: Young is 'yes'; give 0 or 1"),
        ("file,Young\n\n000000.png\n", "a.csv line 3 has 1 columns, but there are 2 names"),
        ("file,Young,Young\n000000.png,1,1\n", "columns of .*a.csv hold Young twice"),
        ("file,Young\n000000.png,1\n000000.png,1\n", "a.csv lists 000000.png twice"),
        ("file,Young\n../x.png,1\n", r"lacks 1 of the 1 pictures that .* \(the first: ../x.png\)"),
        ("3\nYoung\n000000.png 1\n", "says that it lists 3 pictures, but lists 1; copy it again"),
        ('file,Young\n"000000\n.png",1\n', "has a cell over several lines"),
        ("file,Young\n" + "x" * 200_000 + ",1\n", "is no CSV"),
        ("\u00b2\n\n", "holds no attributes"),
        (b"\xff\xfe\x00", "is no text in UTF-8"),
        (None, "is not there; name a file"),
    ],
)
def test_tables_that_are_none_are_refused_in_one_sentence(tmp_path, text, message):
    table = tmp_path / "a.csv"
    if text is not None:
        table.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(InputError, match=message) as caught:
        attributes(table, root=faces(tmp_path / "faces", 2))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"names": ("Yong",)}, r"has no attribute 'Yong'; did you mean Young\?"),
        ({"names": ()}, "names is empty"),
        ({"names": ("Young", "Young")}, "names hold Young twice"),
        ({"root": None}, "`root`, the folder of the table's files, is missing"),
        ({"table": None}, "but both are missing; give one"),
        ({"name": "celeb_a"}, "but both are given; give one"),
        ({"table": None, "name": "celeb_a"}, "`root` belongs to a table"),
        ({"partition": "{}/faces"}, "faces is a folder; name a file"),
        ({"partition": "{}/short"}, r"short has no line for 11 of the 12 pictures"),
        ({"partition": "{}/bad"}, "bad line 2 is 'x'; give a file name and 0"),
        ({"partition": "{}/none"}, "none has no picture to test on; give some lines the 2"),
    ],
)
def test_settings_of_tables_that_do_not_fit_are_refused(tmp_path, settings, message):
    faces(tmp_path / "faces")
    (tmp_path / "short").write_text("000000.png 0\n")
    (tmp_path / "bad").write_text("000000.png 0\nx\n")
    (tmp_path / "none").write_text("".join(f"{i:06d}.png 0\n" for i in range(12)))
    if "partition" in settings:
        settings["partition"] = settings["partition"].format(tmp_path)
    settings = {"table": csv(tmp_path / "a.csv"), "root": tmp_path / "faces"} | settings
    with pytest.raises(InputError, match=message):
        attributes(**settings)


class TinyFaces(library.core.GeneratorBasedBuilder):
    """Faces of one level each, 18 x the index."""

    VERSION = library.core.Version("1.0.0")

    def _info(self):
        kinds = library.features
        return library.core.DatasetInfo(
            builder=self,
            features=kinds.FeaturesDict(
                {
                    "image": kinds.Image(encoding_format="png"),
                    "attributes": kinds.FeaturesDict({name: np.bool_ for name in NAMES}),
                    "hair": kinds.ClassLabel(names=["black", "brown", "none"]),
                    "wild": np.bool_,
                    "years": np.int64,
                }
            ),
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(range(12))}

    def _generate_examples(self, indices):
        for index in indices:
            yield (
                index,
                {
                    "image": np.full((6, 6, 3), 18 * index, np.uint8),
                    "attributes": dict(zip(NAMES, ROWS[index].astype(bool).tolist(), strict=True)),
                    "hair": index % 2,
                    "wild": bool(index % 2),
                    "years": index,
                },
            )


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tensorflow_datasets")
    library.builder("tiny_faces", data_dir=folder).download_and_prepare()
    return folder


def test_true_or_false_features_of_a_prepared_set_are_attributes(data_dir):
    data = attributes(name="tiny_faces", data_dir=data_dir)
    assert {*data.attribute_names} == {*NAMES, "wild"}
    data = attributes(
        name="tiny_faces", names=("Smiling", "Young"), test_share=0.5, data_dir=data_dir
    )
    assert [len(one["pictures"]) for one in data.splits().values()] == [6, 6]
    for split in data.splits():
        np.testing.assert_array_equal(data.attributes[split]["pictures"], truth(data, split))
    data = attributes(
        name="tiny_faces", split="train[:8]", test_split="train[8:]", data_dir=data_dir
    )
    assert [len(one["pictures"]) for one in data.splits().values()] == [8, 4]


def test_classes_of_a_prepared_set_are_domains(data_dir):
    chosen = {"label_key": "hair", "names": ("brown", "black")}
    data = attributes(name="tiny_faces", **chosen, data_dir=data_dir)
    assert [*data.train] == ["brown", "black"] and data.attributes is None
    for parity, key in ((1, "brown"), (0, "black")):
        for domains in (data.train, data.test):
            levels = {int(domains[key].read(i)[0, 0, 0]) // 18 for i in range(len(domains[key]))}
            assert {level % 2 for level in levels} == {parity}
    assert next(data.batches(image_size=8).as_numpy_iterator())["a"].shape == (1, 8, 8, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"names": ("Yung",)}, r"has no attribute 'Yung'; did you mean Young\?"),
        ({"names": ("years",)}, "years holds 11, but an attribute is 0 or 1"),
        ({"label_key": "hair"}, "tiny_faces train with label none has no pictures"),
        ({"label_key": "hair", "names": ("black",)}, "names of tiny_faces: domains must be two or"),
        ({"label_key": "hair", "names": ("black", "red")}, "has no class 'red'; there are black"),
        ({"label_key": "wild"}, "no feature of classes 'wild' as label_key; it has hair"),
        ({"split": "test"}, "^split is 'test', but tiny_faces has the splits train"),
        ({"image_key": "wild"}, "no picture feature 'wild' as image_key; it has image"),
    ],
)
def test_features_that_are_not_there_are_refused(data_dir, settings, message):
    with pytest.raises(InputError, match=message):
        attributes(name="tiny_faces", **settings, data_dir=data_dir)
