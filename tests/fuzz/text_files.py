"""Configurations, sidecars, runs' text files and other texts with changes: read, or refused."""

import functools
import json
import random
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import small_files
from tfi2i_export import artefacts, inputs, sidecar
from tfi2i_export.sidecar import Preset, Signature, Tensor

from fuzz import mutations
from fuzz.outcomes import Target
from tfi2i import yaml_text
from tfi2i.conditions import BOTH_WAYS
from tfi2i.config import config as configs
from tfi2i.data import ranges
from tfi2i.errors import InputError
from tfi2i.evaluate import study
from tfi2i.evaluate.charts import loss_chart
from tfi2i.files import to_json
from tfi2i.runs import metrics
from tfi2i.runs.architecture import require_same
from tfi2i.runs.run import Run

FIXTURES = Path(__file__).parents[1] / "fixtures"


def in_yaml(rng: random.Random, value: Any) -> bytes:
    """YAML of a value that was changed, or whose characters were."""
    if rng.random() < 0.7:
        value = mutations.changed(rng, value)
        if not isinstance(value, dict):
            return mutations.as_json(value)
        return yaml_text.dump(value).encode("utf-8", "surrogatepass")
    return mutations.spoilt(rng, yaml_text.dump(value).encode())


# configurations


@functools.cache
def configurations() -> list[dict[str, Any]]:
    return [yaml_text.read(path).values for path in configs.shipped().values()]


def configuration(rng: random.Random, folder: Path) -> tuple[Path, list[str]]:
    path, values = folder / "config.yaml", rng.choice(configurations())
    path.write_bytes(in_yaml(rng, values))
    if rng.random() < 0.5:
        return path, []
    path.write_text(yaml_text.dump(values))
    section = rng.choice([name for name, part in values.items() if isinstance(part, dict)])
    value = rng.choice((*mutations.HOSTILE, *values[section].values()))
    text = mutations.as_json(value).decode(errors="replace")
    text = (
        mutations.spoilt(rng, text.encode()).decode(errors="replace")
        if rng.random() < 0.3
        else text
    )
    key = rng.choice(list(values[section]) or ["x"])
    return path, [f"{section}.{key}={text}".replace("\0", "0")]  # no command line can hold it


def configured(made: tuple[Path, list[str]]) -> Any:
    return configs.load(*made)


def is_configuration(made: Any, found: configs.Config) -> None:
    again = configs.load(yaml_text.parse(configs.dump(found), "again").values)
    assert again == found
    assert found.resolved().as_dict()["system"] == found.system
    assert isinstance(found.data_name, str)
    assert found.smoke().compile


# sidecars and what lies beside models


def preset(name: str) -> Preset:
    return Preset(name, [0.5, -1.5, 0.0, 2.0])


@functools.cache
def sidecars() -> list[dict[str, Any]]:
    picture = {"shape": (1, 8, 8, 3), "dtype": "float32", "layout": "NHWC", "colour": "RGB"}
    image = Tensor(name="image", meaning="A picture.", range=(-1.0, 1.0), domain="a", **picture)
    about = {"dtype": "float32", "meaning": "More."}
    style = {"kind": "style", "distribution": "normal", "presets": (preset("one"), preset("two"))}
    beside = (
        Tensor(name="style", shape=(1, 4), encoder="style.tflite", **about, **style),
        Tensor(name="label", shape=(1, 2), kind="label", names=("day", "dusk"), **about),
        Tensor(name="reference", kind="picture", meaning="A second one.", aspect="crop", **picture),
    )
    signature = Signature(name="serving_default", inputs=(image, *beside), outputs=(image,))
    with tempfile.TemporaryDirectory() as folder:
        written = [
            small_files.written(Path(folder), "a2b", b"a model", signatures=(signature,)),
            small_files.written(Path(folder), "plain", b"a model", value_range=(0.0, 4095.0)),
        ]
        texts = [path.with_suffix(".json").read_text() for path in written]
    return [*map(json.loads, texts), json.loads((FIXTURES / "sidecar_schema1.json").read_text())]


def a_sidecar(rng: random.Random, folder: Path) -> Path:
    path = folder / "a2b.json"
    path.write_bytes(mutations.text(rng, rng.choice(sidecars())))
    return path


def described(path: Path) -> Any:
    found = artefacts.inputs_in(path)
    for one in found.conditions:
        inputs.chosen([one], seed=3) if one.kind != "picture" else None
    return sidecar.read(path)


def is_sidecar(path: Path, found: sidecar.Sidecar) -> None:
    sidecar.write(found, path.with_name("again.json"))
    assert sidecar.read(path.with_name("again.json")) == found


def an_array(rng: random.Random, folder: Path) -> Path:
    path = folder / "style.npy"
    np.save(path, rng.choice((np.ones((1, 8), np.float32), np.arange(8), np.zeros((2, 3), bool))))
    path.write_bytes(mutations.spoilt(rng, path.read_bytes()))
    return path


def fitted(path: Path) -> Any:
    array, _ = inputs.read(path)
    return inputs.fitted({"style": array}, {"style": (1, 8)}, "The model")["style"]


def is_fitted(path: Path, found: np.ndarray) -> None:
    assert found.shape == (1, 8) and found.dtype == np.float32 and np.isfinite(found).all()


# runs


class Files(NamedTuple):
    """Text files of a run, before any change; the checkpoint's config.json is in the archive."""

    config: dict[str, Any]
    environment: dict[str, Any]
    complete: dict[str, Any]
    metrics: list[dict[str, Any]]


@functools.cache
def run_files() -> Files:
    config = configs.load("nice_gan/scenes").smoke().resolved().as_dict()
    config["data"]["value_range"] = {"a": [0, 4095], "b": "auto"}
    config["changes"] = [{"step": 2, "setting": "compile.x", "before": 1, "after": None}]
    config = yaml_text.parse(yaml_text.dump(config), "").values
    digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    complete = {"step": 4, "files": {"checkpoints/last.keras": [digest, digest[::-1]]}}
    environment = {"versions": {"python": "3.11"}, "cpus": 2, "data": {"train": {"a": 8}}}
    reports = [{"step": i, "g_l1": 0.5 / (i + 1), "val_kid": None} for i in range(5)]
    return Files(config, environment, complete, reports)


def a_run(rng: random.Random, folder: Path) -> tuple[Path, int]:
    """A run of whose text files one was changed."""
    made = run_files()
    lines = b"".join(mutations.as_json(one) + b"\n" for one in made.metrics)
    texts = {
        "config.yaml": yaml_text.dump(made.config).encode(),
        "environment.json": mutations.as_json(made.environment),
        "complete.json": mutations.as_json(made.complete),
        "metrics.jsonl": lines,
    }
    name = rng.choice(list(texts))
    if name == "metrics.jsonl" and rng.random() < 0.7:
        changed = [
            mutations.text(rng, one) if rng.random() < 0.3 else mutations.as_json(one)
            for one in made.metrics
        ]
        texts[name] = b"\n".join(changed) + b"\n"
    elif name == "metrics.jsonl":
        texts[name] = mutations.spoilt(rng, lines)
    elif name == "config.yaml":
        texts[name] = in_yaml(rng, made.config)
    else:
        texts[name] = mutations.text(rng, getattr(made, name.partition(".")[0]))
    for file, content in texts.items():
        (folder / file).write_bytes(content)
    return folder, rng.randrange(6)


def opened(made: tuple[Path, int]) -> Any:
    run, step = Run(made[0]), made[1]
    reports, ways = run.read_metrics(), run.directions or BOTH_WAYS
    found = (run.config, run.environment, run.changes, run.completion, run.check_direction())
    for way in ways:
        try:
            run.ranges(way)
        except InputError as error:
            assert "data.value_range" in str(error)
    scored = [(one["val_kid"], one["step"]) for one in reports if one.get("val_kid") is not None]
    run.truncate_metrics(step)
    run.complete(step)
    return reports, step, min(scored, default=None), found


def is_opened(made: tuple[Path, int], found: Any) -> None:
    reports, step, *_ = found
    run = Run(made[0])
    kept = [one for one in reports if one["step"] <= step]
    assert run.read_metrics() == kept
    assert run.completion and run.completion.step == step
    run.append_metrics({"step": step, "g_l1": 1.0})
    assert run.read_metrics()[:-1] == kept


def a_curve(rng: random.Random, folder: Path) -> Path:
    path = folder / "metrics.jsonl"
    numbers = (0, 1, -1.5, 1e100, -1e100, 1e-300, None, 2**62)
    lines = [{"step": i, "g_l1": rng.choice(numbers)} for i in range(rng.choice((1, 2, 9)))]
    path.write_bytes(b"".join(mutations.text(rng, one) + b"\n" for one in lines))
    return path


def drawn(path: Path) -> Any:
    reports = metrics.read(path)
    losses = [one.get("g_l1") for one in reports]
    return loss_chart("g-l1", [one["step"] for one in reports], losses) if reports else "<svg"


def is_drawn(path: Path, found: str) -> None:
    assert found.startswith("<svg")


def a_setting(rng: random.Random, folder: Path) -> tuple[Path, Any]:
    """The settings of a run, and what its checkpoint says it was made with."""
    made = run_files().config
    path = folder / "config.yaml"
    path.write_text(yaml_text.dump(made))
    arguments = {"class_name": made["system"], "config": dict(made["model"])}
    return path, mutations.changed(rng, arguments)


def compared(made: tuple[Path, Any]) -> None:
    path, arguments = made
    if isinstance(arguments, dict):
        require_same(path, path.with_name("last.keras"), arguments)


# votes, and ranges of values


def ballots() -> list[dict[str, Any]]:
    votes = [
        {"question": f"p{i}", "chosen": "xy"[i % 2], "shown": ["x", "y"], "ms": 900}
        for i in range(4)
    ]
    about = {"schema": 1, "study": "f" * 16, "methods": ["x", "y"], "questions": len(votes)}
    finished = "2026-11-21T08:00:00.000Z"
    return [
        {**about, "participant": name * 16, "finished": finished, "votes": votes} for name in "ab"
    ]


def votes(rng: random.Random, folder: Path) -> list[Path]:
    paths = [folder / "votes-0.json", folder / "votes-1.json"]
    for path, values in zip(paths, ballots(), strict=True):
        path.write_bytes(
            mutations.text(rng, values) if rng.random() < 0.7 else mutations.as_json(values)
        )
    return paths


def counted(paths: list[Path]) -> str:
    found = study.read_votes(paths)
    return study.results_text(found, study.preferences(found))


def is_counted(paths: list[Path], text: str) -> None:
    assert text


def a_range(rng: random.Random, folder: Path) -> tuple[dict[str, Any], str]:
    given = rng.choice(([0, 4095], "auto", {"percentiles": [1, 99]}, {"a": [0, 9], "b": "auto"}))
    changed = mutations.changed(rng, {"x": given})
    value = changed.get("x") if isinstance(changed, dict) else changed
    return {"value_range": value}, rng.choice(("a", "b", "x"))


def settled(made: tuple[dict[str, Any], str]) -> Any:
    return ranges.settled(made[0], made[1], "config.yaml")


def is_settled(made: Any, found: Any) -> None:
    assert found is None or (found[0] < found[1] and to_json(found) == to_json(list(found)))


TARGETS = [
    Target("configurations", configuration, configured, is_configuration, 60),
    Target("sidecars", a_sidecar, described, is_sidecar, 60),
    Target("arrays (.npy)", an_array, fitted, is_fitted, 40),
    Target("text files of runs", a_run, opened, is_opened, 25),
    Target("curves of metrics", a_curve, drawn, is_drawn, 10),
    Target("settings of checkpoints", a_setting, compared, quick=30),
    Target("votes", votes, counted, is_counted, 40),
    Target("value ranges", a_range, settled, is_settled, 40),
]
