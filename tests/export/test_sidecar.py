import dataclasses
import hashlib
import json
import math
import typing
from pathlib import Path

import pytest
from tfi2i_export import sidecar as sidecar_module
from tfi2i_export.sidecar import (
    Preset,
    Sidecar,
    Signature,
    Tensor,
    fields_of,
    fingerprint,
    read,
    refuse_unnameable,
    verify,
    write,
)

from tfi2i.conditions import Condition
from tfi2i.errors import InputError

MODEL = b"a model"
SCHEMA = sidecar_module._validator().schema
KINDS = {
    Sidecar: SCHEMA,
    Signature: SCHEMA["$defs"]["signature"],
    Tensor: SCHEMA["$defs"]["tensor"],
    Preset: SCHEMA["$defs"]["preset"],
}
FORMER = Path(__file__).parents[1] / "fixtures" / "sidecar_schema1.json"


def picture(name, domain, *, shape=(1, 8, 8, 3), limits=(-1.0, 1.0)):
    about = {"layout": "NHWC", "colour": "RGB", "range": limits, "domain": domain}
    return Tensor(name=name, shape=shape, dtype="float32", meaning=f"Domain {domain}.", **about)


def sidecar(**changes):
    beside = {"shape": (1, 4), "dtype": "float32", "meaning": "The style code.", "kind": "style"}
    beside |= {"distribution": "normal", "presets": (Preset("style 1", [0.5, -1.5, 0.0, 2]),)}
    signature = Signature(
        name="serving_default",
        inputs=(picture("image", "a"), Tensor(name="style", encoder="style.tflite", **beside)),
        outputs=(picture("stylized", "b"),),
    )
    agreement = {"reference": "Keras, float32", "pictures": 24, "psnr_db_mean": 44.1}
    agreement |= {"psnr_db_worst": 41.0, "ssim": 0.99, "bias": [0.1, -0.2, 0.0], "max_level": 17}
    agreement |= {"limits": {"psnr_db_mean": 40}, "passed": True, "accepted": False}
    values = {
        "name": "nicegan-scenes-a2b-int8",
        "file": "model.tflite",
        "sha256": hashlib.sha256(MODEL).hexdigest(),
        "size_bytes": len(MODEL),
        "format": "int8",
        "recipe": {"float_convolutions": ["conv_5"], "equalised": True},
        "system": "NICEGAN",
        "direction": "a2b",
        "domains": {"source": "a", "target": "b"},
        "data": "scenes",
        "run": "00003-nicegan-scenes",
        "step": 100,
        "image_size": 8,
        "multiple": 4,
        "io": "float",
        "signatures": (signature,),
        "agreement": agreement,
        "created": "2026-11-05T14:03:00Z",
        "versions": {"tfi2i": "0.1.0", "tensorflow": "2.21.0", "litert": None},
        "warnings": ("Übung",),
    }
    return Sidecar(**(values | changes))


@pytest.fixture
def path(tmp_path):
    """A sidecar beside its model."""
    (tmp_path / "model.tflite").write_bytes(MODEL)
    write(sidecar(), tmp_path / "model.json")
    return tmp_path / "model.json"


def edit(path, **changes):
    values = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(values | changes), encoding="utf-8")


def test_a_sidecar_reads_back_as_it_was_written(path):
    assert read(path) == sidecar() == verify(path)
    assert list(json.loads(path.read_bytes())) == [f.name for f in dataclasses.fields(Sidecar)]
    assert "Übung" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_schema_describes_exactly_the_fields(kind):
    fields = [field.name for field in dataclasses.fields(kind)]
    properties = KINDS[kind]["properties"]
    # Files without these are read as well.
    later = {"encoder_sha256", "aspect", "image_width", "value_range", "target_range"}
    assert list(properties) == fields
    assert [name for name in fields if name not in later] == KINDS[kind]["required"]
    for name, hint in typing.get_type_hints(kind).items():
        about = properties[name]
        assert about["description"].endswith(".")
        allowed = about.get("type", about.get("enum"))
        nullable = bool({"null", None} & set(allowed if isinstance(allowed, list) else [allowed]))
        assert nullable == (type(None) in typing.get_args(hint)), name


def test_every_keyword_of_the_schema_is_checked():
    checked = {"$ref", "type", "enum", "pattern", "minimum", "minItems", "maxItems", "items"}
    checked |= {"required", "properties", "additionalProperties"}
    words = {"$schema", "$defs", "title", "description"}

    def keywords(schema):
        yield from schema
        for inner in ("properties", "$defs"):
            for one in schema.get(inner, {}).values():
                yield from keywords(one)
        for inner in {"items", "additionalProperties"} & set(schema):
            yield from keywords(schema[inner])

    assert set(keywords(SCHEMA)) == checked | words


def test_keys_of_later_versions_are_left_out(path):
    edit(path, colour_space="sRGB")
    assert read(path) == sidecar()


def test_what_is_not_finite_becomes_null(path):
    agreement = sidecar().agreement | {"psnr_db_mean": math.inf}
    write(sidecar(agreement=agreement), path)
    assert read(path).agreement["psnr_db_mean"] is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 3}, "made by a newer tfi2i"),
        ({"schema": True}, "schema is true and has to be integer"),
        ({"step": "7"}, 'step is "7" and has to be integer'),
        ({"step": 7.0}, "step is 7.0 and has to be integer"),
        ({"image_size": 0}, "image_size is 0 and has to be 1 or more"),
        ({"direction": ""}, 'direction is "" and has to match'),
        ({"direction": "a\u202eb"}, r'direction is "a\u202eb" and has to match'),
        ({"direction": "d" * 101}, "and has to match"),
        ({"agreement": 10**400}, "agreement is 1000"),
        ({"domains": {"source": "a"}}, "domains lacks target"),
        ({"versions": {"tfi2i": 1, "tensorflow": "", "litert": ""}}, "tfi2i"),
        ({"sha256": "0" * 64 + "\n"}, "sha256 is"),
        ({"value_range": [5, 5]}, "value_range is [5, 5] and has to rise"),
        ({"target_range": [0]}, "target_range has 1 entries and has to have 2"),
        ({"signatures": []}, "signatures has 0 entries and has to have 1 or more"),
        ({"signatures": [{"name": "f", "inputs": [{}], "outputs": []}]}, "inputs[0] lacks name"),
        ({"warnings": ["fine", None]}, "warnings[1] is null and has to be string"),
        ({"step": "\x1b[2J\u202e"}, r"\u001b[2J\u202e"),
    ],
)
def test_a_wrong_value_is_named(path, changes, message):
    edit(path, **changes)
    with pytest.raises(InputError) as caught:
        read(path)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


def beside(path, **changes):
    """Changes the input besides the picture."""
    signatures = json.loads(path.read_text(encoding="utf-8"))["signatures"]
    signatures[0]["inputs"][1] |= changes
    edit(path, signatures=signatures)


def presets(*values):
    return {"presets": [{"name": f"preset {i}", "values": one} for i, one in enumerate(values)]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "mood"}, 'inputs[1].kind is "mood" and has to be one of'),
        ({"names": ["fine", "bad\n"]}, r'names[1] is "bad\n" and has to match'),
        ({"names": ["n"] * 1001}, "names has 1001 entries and has to have 0 to 1000"),
        ({"exclusive": None}, "exclusive is null and has to be boolean"),
        ({"distribution": "poisson"}, "distribution is "),
        ({"encoder": "../style.tflite"}, 'encoder is "../style.tflite" and has to match'),
        ({"presets": [{"name": "n" * 201, "values": [0] * 4}]}, "presets[0].name is "),
        (presets(*[[0] * 4] * 65), "presets has 65 entries and has to have 0 to 64"),
        (presets([1, 2, 3]), "inputs[1].presets[0].values has to hold numbers nested as [4]"),
        (presets([0] * 4, [[0] * 4]), "presets[1].values has to hold numbers nested as [4]"),
        (presets([0, 0, 0, True]), "presets[0].values has to hold numbers"),
        (presets([0, 0, 0, 1e39]), "presets[0].values has to hold numbers"),
        (presets([0, 0, 0, 10**400]), "presets[0].values has to hold numbers"),
        (presets([0, 0, 0, [[[]]]]), "presets[0].values has to hold numbers"),
        ({"shape": [1] * 9}, "shape has 9 entries and has to have 0 to 8"),
        ({"shape": []}, "presets[0].values has to hold numbers nested as []"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_value_of_another_input_is_named(path, changes, message):
    beside(path, **changes)
    with pytest.raises(InputError) as caught:
        read(path)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("direction", ["1920s2photo", "day2dusk", "any", "Tag → Dämmerung, 100%"])
def test_directions_and_domains_are_in_words(path, direction):
    made = sidecar(direction=direction, domains={"source": None, "target": "dusk, or so"})
    write(made, path)
    assert read(path) == made


def test_choices_are_the_names_of_an_exclusive_label_otherwise_the_presets():
    about = {"name": "label", "shape": (1, 3), "dtype": "float32", "meaning": "", "kind": "label"}
    about |= {"names": ("day", "dusk", "night"), "presets": (Preset("dusk", [0, 1, 0]),)}
    label = Tensor(**about)
    assert label.choices[1:] == (Preset("dusk", [0, 1, 0]), Preset("night", [0, 0, 1]))
    for change in ({"exclusive": False}, {"names": ()}, {"shape": (1, 4)}, {"kind": "style"}):
        assert dataclasses.replace(label, **change).choices == label.presets


@pytest.mark.parametrize("count", [64, 65, 300, 1_000])
@pytest.mark.parametrize("exclusive", [True, False])
def test_labels_of_hundreds_of_entries_are_read_and_chosen(path, count, exclusive):
    condition = Condition("label", "label", (count,), exclusive=exclusive)
    refuse_unnameable([condition])
    about = {"shape": (1, count), "dtype": "float32", "meaning": ""}
    label = Tensor(name="label", **about, **fields_of(condition, "b", "crop"))
    made = sidecar()
    image, _ = made.signatures[0].inputs
    one = dataclasses.replace(made.signatures[0], inputs=(image, label))
    write(dataclasses.replace(made, signatures=(one, one)), path)
    assert path.stat().st_size < 500_000
    _, again = read(path).signatures[0].inputs
    assert len(again.choices) == (count if exclusive or count == 64 else 4_096 // count)
    assert again.choices[2].name == "2" and again.choices[2].values[1:4] == [0, 1, 0]


def test_a_sidecar_that_no_reader_takes_is_not_written(tmp_path):
    path = tmp_path / "large.json"
    with pytest.raises(InputError, match="label has 1,001 entries, and a sidecar names at most"):
        refuse_unnameable([Condition("label", "label", (1_001,))])
    with pytest.raises(
        InputError, match="over 1,000,000 bytes, which no reader takes; the sidecar"
    ):
        write(sidecar(warnings=("x" * 1_000_000,)), path)
    assert not path.exists()


def test_schema_1_still_loads_as_if_it_were_written_today(tmp_path):
    path = tmp_path / "former.json"
    path.write_bytes(FORMER.read_bytes())
    former = read(path)
    assert (former.schema, former.direction, former.domains["target"]) == (2, "a2b", "b")
    write(former, path)
    assert read(path) == former
    values = json.loads(FORMER.read_text(encoding="utf-8"))
    inputs = values["signatures"][0]["inputs"]
    inputs.append({**inputs[0], "name": "style", "shape": [1, 8], "kind": "mood", "domain": None})
    path.write_text(json.dumps(values), encoding="utf-8")
    image, style = read(path).signatures[0].inputs
    assert (image.kind, style.kind, style.presets, style.exclusive) == (None, "style", (), True)
    for signatures in (None, [None], [{"name": "f", "inputs": 3, "outputs": [{}]}]):
        edit(path, signatures=signatures)
        with pytest.raises(InputError, match="is not a sidecar"):
            read(path)


@pytest.mark.parametrize("name", ["", ".", "..", "../model.tflite", "/etc/x", "a\\b", "c:x", "x\n"])
def test_the_file_is_never_a_path(path, name):
    edit(path, file=name)
    with pytest.raises(InputError, match="file is"):
        verify(path)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"null", b"\xff", b'{"schema": NaN}', b'{"name": "\\ud800"}'),
        *(b"[" * 100_000, b'{"step": ' + b"9" * 5000 + b"}", b" " * 2_000_000),
    ],
    ids=lambda content: content[:18].decode(errors="replace"),
)
def test_what_is_no_sidecar_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(InputError, match="model.json"):
        read(path)


def test_a_missing_sidecar_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path / "model.json")


def test_what_would_not_read_back_is_not_written(path):
    before = path.read_bytes()
    for changes in ({"step": math.nan}, {"io": "png"}, {"created": "today"}):
        with pytest.raises(InputError, match=f"{next(iter(changes))} is .* not written"):
            write(sidecar(**changes), path)
    with pytest.raises(InputError, match="not Unicode"):
        write(sidecar(recipe={"note": "\udcff"}), path)
    assert path.read_bytes() == before


def test_a_changed_model_is_noticed(path):
    model = path.with_name("model.tflite")
    model.write_bytes(b"A model")
    with pytest.raises(InputError, match="SHA-256"):
        verify(path)
    model.write_bytes(MODEL + b"s")
    with pytest.raises(InputError, match="8 bytes and its sidecar says 7"):
        verify(path)
    model.unlink()
    with pytest.raises(InputError, match="not beside it"):
        verify(path)


def test_a_folder_has_the_digest_of_its_list(tmp_path):
    folder = tmp_path / "saved"
    (folder / "assets").mkdir(parents=True)
    (folder / "assets" / "data").write_bytes(b"labels")
    (folder / "graph.pb").write_bytes(b"graph")
    graph, labels = (hashlib.sha256(data).hexdigest() for data in (b"graph", b"labels"))
    lines = f"{labels}  assets/data\n{graph}  graph.pb\n"
    sha256, size = fingerprint(folder)
    assert (sha256, size) == (hashlib.sha256(lines.encode()).hexdigest(), 11)

    path = tmp_path / "saved.json"
    write(sidecar(file="saved", sha256=sha256, size_bytes=size), path)
    verify(path)
    (folder / "graph.pb").rename(folder / "graph.pbtxt")
    with pytest.raises(InputError, match="SHA-256"):
        verify(path)
