"""The client and models that take a style and a label, served by the stand-in for a server."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from inputs_stand_in import FIELDS, LABEL, NAMES, SIDE, STYLE, stand_in, values
from PIL import Image
from serving_stand_in import running
from stand_in import Painter, Tinter
from tfi2i_export import sidecar
from tfi2i_export.artefacts import inputs_in, sampler
from tfi2i_export.graph.fold import fold
from tfi2i_export.inputs import chosen, conditions_in
from tfi2i_export.saved_model.writing import save
from tfi2i_export.serving.client import ServerSampler, ServerTranslator
from tfi2i_export.sidecar import Sidecar, fields_of, fingerprint
from tfi2i_export.signatures import of_saved_model

from tfi2i.cli import main
from tfi2i.data.resize import scaled_to
from tfi2i.errors import InputError
from tfi2i.pictures.files import read_picture
from tfi2i.pictures.pixels import to_image

DOMAINS = {"source": "photo", "target": None}
SIZE = (SIDE, SIDE + 16)


@functools.cache
def folded():
    return fold(stand_in(), side=None)


def described(version, tensor_only, fields=FIELDS, model=None, domains=DOMAINS):
    """Writes the sidecar of a version, whose path it returns."""
    sha256, size_bytes = fingerprint(version)
    known = Sidecar(
        **{"name": "any", "file": version.name, "sha256": sha256, "size_bytes": size_bytes},
        **{"format": "saved_model", "recipe": {}, "system": "StandIn", "direction": "any"},
        **{"domains": domains, "data": "drawn", "run": "1", "step": 0, "image_size": SIDE},
        **{
            "multiple": 2,
            "io": "float",
            "created": "2026-01-01T00:00:00Z",
            "versions": dict.fromkeys(("tfi2i", "tensorflow", "litert")),
        },
        signatures=of_saved_model(
            model or folded(), domains, tensor_only=tensor_only, extra=fields
        ),
    )
    sidecar.write(known, version.with_suffix(".json"))
    return version.with_suffix(".json")


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """Folders of versions: `any` takes picture files as well, `tensors` floats alone."""
    folder = tmp_path_factory.mktemp("models")
    for name, tensor_only in (("any", False), ("tensors", True)):
        described(save(folded(), folder / name, tensor_only=tensor_only), tensor_only)
    return {name: folder / name for name in ("any", "tensors")}


@functools.cache
def painter():
    return fold(Painter(width=4, latent_size=STYLE).network(), side=None)


PAINTED = {"source": None, "target": "any"}
LATENT = {"latent": {**FIELDS["style"], "kind": "latent"}}


@pytest.fixture(scope="module")
def painters(tmp_path_factory):
    """Folders of versions of a sampler."""
    folder = tmp_path_factory.mktemp("painters")
    label = {"kind": "label", "names": ("day", "dusk", "winter")}
    for name, tensor_only in (("painter", False), ("colours", True)):
        version = save(painter(), folder / name, tensor_only=tensor_only)
        described(version, tensor_only, {**LATENT, "label": label}, painter(), PAINTED)
    tinter = fold(Tinter().network(), side=None)
    fields = {"reference": fields_of(Tinter().conditions[0], None, "squash")}
    described(save(tinter, folder / "tinter"), False, fields, tinter)
    return {name: folder / name for name in ("painter", "colours", "tinter")}


@pytest.fixture(scope="module")
def server(bases, painters):
    with running({**bases, **painters}) as started:
        yield started


@pytest.fixture(params=["rest", "grpc"])
def url(request, server):
    """The URL of a model."""
    return getattr(server, f"{request.param}_url")


@functools.cache
def loaded(version):
    return tf.saved_model.load(version).signatures


def picture(seed=0, size=SIZE):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def by_the_saved_model(bases, pixels, given):
    """What TensorFlow makes of a picture by both signatures of the model, which are alike."""
    extra = {name: tf.constant(value[None]) for name, value in given.items()}
    signatures = loaded(bases["any"] / "1")
    file = tf.io.encode_png(pixels)[None]
    by_file = signatures["serving_default"](image_bytes=file, **extra)["image_bytes"][0].numpy()
    image = tf.cast(pixels[None], tf.float32)
    levels = signatures["predict_tensor"](image=image, **extra)["translation"][0].numpy()
    by_tensor = np.rint(levels).astype(np.uint8)
    np.testing.assert_array_equal(by_tensor, read_picture(by_file).pixels)
    return by_tensor


@pytest.mark.parametrize("model", ["any", "tensors"])
def test_a_style_and_a_label_go_with_each_picture(bases, url, model):
    answers = []
    for seed in (1, 2):
        given = {name: value[0] for name, value in values(1, seed=seed).items()}
        with ServerTranslator(url(model), values=given) as translate:
            for pixels in (picture(seed), picture(seed + 2)):
                answer = translate(pixels)
                expected = by_the_saved_model(bases, pixels, given)
                assert answer.tobytes() == expected.tobytes()
            answers.append(translate(picture()).astype(int))
    assert np.abs(answers[0] - answers[1]).mean() > 4  # other values, another translation


def test_values_that_are_missing_or_do_not_fit_are_refused(url):
    style, label = np.zeros(STYLE), np.eye(LABEL)[0]
    for given, message in (
        ({}, "also takes label (5,), style (8,); give values={'label': array}, or on the command"),
        ({"style": style}, "also takes label (5,); give values={'label': array}, or on the comm"),
        ({"style": style[:3], "label": label}, "(3,)"),
        ({"style": style, "label": label, "mood": style}, "'mood'"),
        ({"style": style + np.nan, "label": label}, "finite"),
    ):
        with pytest.raises(InputError) as caught:
            ServerTranslator(url("any"), values=given)
        assert message in str(caught.value) and str(caught.value).isprintable()


@pytest.fixture
def translated(url, tmp_path, capsys):
    """Runs `tfi2i translate --server`; the exit code and the picture, or the message."""
    Image.fromarray(picture()).save(tmp_path / "scene.png")

    def call(*options, model="any"):
        command = ["translate", "--server", url(model), str(tmp_path / "scene.png")]
        capsys.readouterr()
        code = main([*command, "--out", str(tmp_path / "out"), "--overwrite", *map(str, options)])
        if code:
            return code, capsys.readouterr().err
        return code, read_picture(tmp_path / "out" / "scene.png").pixels

    return call


@pytest.mark.parametrize("model", ["any", "tensors"])
def test_labels_and_seeds_are_chosen_by_the_sidecar_on_the_command_line(bases, translated, model):
    file = bases[model] / "1.json"
    code, answer = translated(
        "--sidecar", file, "--label", "winter", "--seed", 5, "--workers", 1, model=model
    )
    given = chosen(conditions_in(sidecar.read(file).signatures[0].inputs), seed=5, labels="winter")
    assert given["label"].tolist() == [np.eye(LABEL)[NAMES.index("winter")].tolist()]
    first = {name: value[0] for name, value in given.items()}
    np.testing.assert_array_equal(answer, by_the_saved_model(bases, picture(), first))
    assert code == 0
    _, other = translated("--sidecar", file, "--label", "winter", "--seed", 6, model=model)
    assert (other != answer).any()
    _, again = translated("--sidecar", file, "--label", "winter", "--seed", 5, model=model)
    np.testing.assert_array_equal(again, answer)


def test_values_from_files_need_no_sidecar(bases, translated, tmp_path):
    given = {name: value[0] for name, value in values(1, seed=3).items()}
    options = []
    for name, value in given.items():
        np.save(tmp_path / f"{name}.npy", value)
        options += ["--input", tmp_path / f"{name}.npy"]
    code, answer = translated(*options)
    assert code == 0
    np.testing.assert_array_equal(answer, by_the_saved_model(bases, picture(), given))


@pytest.mark.parametrize("distribution", [None, "uniform"])
def test_what_is_not_known_is_asked_for_in_a_sentence(bases, translated, tmp_path, distribution):
    version = tmp_path / "any" / "1"
    version.mkdir(parents=True)
    (version / "saved_model.pb").write_bytes(b"another")
    # Nothing is said of its values, or nothing that could be drawn from.
    style = {"kind": "style", "distribution": distribution}
    vague = {**FIELDS, "style": style}
    vague = described(version, False, vague)
    known = bases["any"] / "1.json"
    for options, message in {
        (): "also takes label (5,), style (8,); give",
        ("--label", "winter"): "--label winter: a server does not tell what its inputs mean; add",
        ("--seed", "1"): "--seed 1: a server does not tell what its inputs mean; add --sidecar",
        ("--sidecar", vague, "--label", "winter"): "also takes style (8,) and knows no values",
        ("--sidecar", known, "--label", "spring"): "no label 'spring'; choose from day, dusk",
        ("--sidecar", tmp_path / "none.json"): "the sidecar cannot be read",
        ("--sidecar", known, "--input", "mood=no.npy"): "no.npy cannot be read",
    }.items():
        code, error = translated(*options)
        assert (code, error.count("\n")) == (2, 1), error
        assert message in error


@pytest.mark.parametrize("model", ["painter", "colours"])
def test_a_served_sampler_makes_the_pictures_of_its_values(painters, url, tmp_path, model):
    latent = np.random.default_rng(1).normal(size=(3, STYLE)).astype(np.float32)
    values = {"latent": latent, "label": np.eye(3, dtype=np.float32)}
    expected = sampler(painters[model])(**values)
    with ServerSampler(url(model)) as served:
        assert served.extra == {"label": (1, 3), "latent": (1, STYLE)}
        np.testing.assert_array_equal(served.sample(**values), expected)
        for given, message in (
            ({"latent": latent}, "also takes label"),
            ({**values, "label": np.eye(2)}, "(2, 2)"),
        ):
            with pytest.raises(InputError) as caught:
                served.sample(**given)
            assert message in str(caught.value)
    record = painters[model] / "1.json"
    command = ["sample", "--server", url(model), "--sidecar", record, "--label", "winter"]
    assert main([*map(str, command), "--count", "2", "--seed", "5", "--out", str(tmp_path)]) == 0
    told, *_ = inputs_in(record)
    chosen_values = chosen(told, count=2, seed=5, labels="winter")
    for name, one in zip(("0001", "0002"), sampler(painters[model])(**chosen_values), strict=True):
        np.testing.assert_array_equal(read_picture(tmp_path / f"{name}.png").pixels, one)


def test_a_second_picture_goes_with_each_picture(painters, translated, tmp_path):
    Image.fromarray(picture(9)).save(tmp_path / "second.png")
    record = painters["tinter"] / "1.json"
    code, answer = translated(
        "--sidecar", record, "--reference", tmp_path / "second.png", model="tinter"
    )
    assert code == 0
    second = to_image(scaled_to(picture(9), 32, "squash"))
    expected = Tinter().translate(picture(), given={"reference": second})
    assert np.abs(answer.astype(int) - expected).max() <= 1
    code, error = translated("--reference", tmp_path / "second.png", model="tinter")
    assert code == 2 and "a server does not tell what its inputs mean; add --sidecar" in error
    code, error = translated("--sidecar", record, model="tinter")
    assert code == 2 and "A picture is needed for 'reference'; give one." in error


def test_samplers_and_translators_are_told_apart(url, tmp_path, capsys):
    with pytest.raises(InputError, match="the model takes no pictures"):
        ServerTranslator(url("painter"))
    with pytest.raises(InputError, match="the model makes no pictures by itself"):
        ServerSampler(url("any"))
    assert main(["sample", "--server", url("colours"), "--out", str(tmp_path / "out")]) == 2
    assert "and knows no values for it; give one as" in capsys.readouterr().err


def test_sidecars_go_with_a_server(bases, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    command = ["translate", str(tmp_path / "run"), str(tmp_path), "--out", str(tmp_path / "out")]
    assert main([*command, "--sidecar", str(bases["any"] / "1.json")]) == 2
    assert "--sidecar goes with --server URL" in capsys.readouterr().err
