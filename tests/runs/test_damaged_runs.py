"""Files of a run that are damaged or edited: each command that reads them says so in a sentence."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from tfi2i.benchmark import measuring
from tfi2i.cli import main
from tfi2i.config import building
from tfi2i.config import config as configs
from tfi2i.errors import InputError
from tfi2i.runs.run import Run

DEEP = "[" * 100_000


pytestmark = pytest.mark.usefixtures("known")


@pytest.fixture(scope="module")
def made(known, tmp_path_factory):
    """A run at step 4 of 4, and a picture."""
    folder = tmp_path_factory.mktemp("runs")
    settings = {"domains": ["day", "winter"]}
    values = {"system": "Seasons", "model": settings, "data": {"source": "seasons", **settings}}
    config = configs.load(values).smoke(["fit.show=false"])
    system = building.build_system(config)
    system.step_counter.assign(config.compile["total_steps"])
    run = Run.create(folder, "Seasons", "seasons", config.resolved().as_dict(), {"data": {}})
    run.save_checkpoint(system)
    run.save_translators(system)
    run.append_metrics({"step": 2, "g_l1": 0.5, "val_kid": None})
    run.complete(system.step)
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(folder / "picture.png")
    return run


@pytest.fixture
def run(made):
    """The run, whose text files are put back afterwards."""
    kept = {p: p.read_bytes() for p in (made.config_path, made.environment_path, made.metrics_path)}
    yield made
    for path, content in kept.items():
        path.write_bytes(content)


def commands(run):
    picture, out = run.path.parent / "picture.png", run.path.parent / "out"
    return {
        "translate": ["translate", run.path, picture, "--out", out],
        "evaluate": ["evaluate", run.path],
        "export": ["export", run.path, "--format", "float32"],
        "resume": ["train", "--resume", run.path],
    }


def said(run, verb, capsys):
    """The only line that a failing command prints."""
    capsys.readouterr()
    if verb == "compare":
        measuring.main("training", str(run.path))
        return json.loads(capsys.readouterr().out)["error"]
    assert main([str(one) for one in commands(run)[verb]]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1, printed
    return printed.err.removeprefix("tfi2i: error: ").strip()


def edit(run, pattern, replacement):
    text = run.config_path.read_text()
    assert re.search(pattern, text)
    run.config_path.write_text(re.sub(pattern, replacement, text, count=1))


@pytest.mark.parametrize("verb", ["translate", "evaluate", "export", "resume", "compare"])
def test_a_width_that_is_not_the_checkpoint_s_is_refused(run, verb, capsys):
    edit(run, r"  width: 4\n", "  width: 5\n")
    line = run.config_path.read_text().split("\n").index("  width: 5") + 1
    assert said(run, verb, capsys) == (
        f"{run.config_path} line {line}: model.width is 5, but {run.checkpoint_path()} was made"
        " with 4; write that there again, as last.keras cannot change, or begin a new run."
    )


@pytest.mark.parametrize(
    ("pattern", "replacement", "words"),
    [
        (r"system: \w+", "system: Painter", "system is Painter, but .* holds a Seasons"),
        (r"image_size: 32", "image_size: [32, 64]", "model.image_size is .32, 64., but .* with 32"),
        (r"  width: 4\n", "", "model.width is 8, but"),  # the default
        (r"day, winter", "day, dusk", "model.domains is .'day', 'dusk'., but"),
    ],
)
def test_other_settings_of_networks_are_refused_too(run, pattern, replacement, words):
    edit(run, pattern, replacement)
    for read in (run.network, run.load_system):
        with pytest.raises(InputError, match=f"config.yaml( line .*)?: {words}"):
            read()


def test_numbers_of_training_are_changed_by_set_alone(run, capsys):
    edit(run, r"learning_rate: 0.01", "learning_rate: 0.02")
    assert said(run, "resume", capsys) == (
        f"{run.config_path}: compile.learning_rate is 0.02, but the checkpoint was trained with"
        " 0.01; write that there again, and change it by --set compile.learning_rate=..., which is"
        " kept with its step."
    )


def test_settings_that_say_the_same_in_other_words_are_taken(run):
    edit(run, r"image_size: 32", "image_size: [32, 32]")
    edit(run, r"  width: 4\n", "  width: 4.0\n")
    assert run.network() and run.load_system()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        *(("[1]", "holds a list and no object"), ("7", "holds a number"), ("null", "holds null")),
        *(('"x"', "holds a text"), (DEEP, "nested too deep"), ("", "is not JSON")),
        *((f'{{"data": {DEEP}', "nested too deep"), ('{"a": "\\ud800"}', "half a surrogate pair")),
        *(("\xff", "is not JSON"), ("{" + " " * 2_000_000, "is larger than 1,000,000 bytes")),
    ],
)
def test_an_environment_that_is_none_is_named(run, text, words, capsys):
    run.environment_path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=rf"environment\.json: .*{words}"):
        _ = run.environment
    edit(run, r"total_steps: 4", "total_steps: 8")
    assert said(run, "resume", capsys).startswith(f"{run.environment_path}: ")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f'{{"step": 3, "g_l1": {DEEP}', "is not a report with its step: .*nested too deep"),
        ('{"step": 3, "g_l1": "low"}', "`g_l1` is 'low' and no number"),
        ('{"step": 3, "g_l1": [1]}', r"`g_l1` is '\[1\]' and no number"),
        ('{"step": 3, "val_kid": {"a": 1}}', "`val_kid` is .* and no number"),
        ('{"step": 3, "val_kid": true}', "`val_kid` is 'True' and no number"),
        ('{"step": 3, "g_l1": 1e999}', "`g_l1` is 'inf' and no number"),
        (f'{{"step": 3, "g_l1": 1{"0" * 400}}}', "`g_l1` is '10+...' and no number"),
        ('{"step": 3, "g_\\ud800": 1}', "half a surrogate pair"),
        *(('{"step": true}', "with its step"), ('{"step": -1}', "with its step")),
        *(('{"step": 1e30}', "with its step"), (f'{{"step": 1{"0" * 30}}}', "with its step")),
        *(("[3]", "with its step"), ('"\\u001b[31m"', "with its step"), ("\xff", "is not JSON")),
    ],
)
def test_a_line_of_metrics_that_is_no_report_is_named(run, line, words, capsys):
    with run.metrics_path.open("ab") as file:
        file.write(line.encode("latin-1") + b'\n{"step": 4}\n')
    with pytest.raises(InputError, match=rf"metrics\.jsonl line 2: .*{words}.*; remove the line"):
        run.read_metrics()
    assert said(run, "evaluate", capsys).startswith(f"{run.metrics_path} line 2: ")
    edit(run, r"total_steps: 4", "total_steps: 8")
    assert said(run, "resume", capsys).startswith(f"{run.metrics_path} line 2: ")


def test_numbers_that_are_not_finite_are_null(run):
    run.metrics_path.write_text('{"step": 1, "g_l1": NaN, "val_kid": -Infinity}\n')
    assert run.read_metrics() == [{"step": 1, "g_l1": None, "val_kid": None}]


@pytest.mark.parametrize(
    ("pattern", "replacement", "words"),
    [
        (r"(?s)\nbatches:\n.*?\n(?=\w)", "\nbatches: [1]\n", r"section `batches` is '\[1\]'"),
        (r"(?s)\nmodel:\n.*?\n(?=\w)", "\nmodel: wide\n", "section `model` is 'wide'"),
        (r"(?s)\ndata:\n.*?\n(?=\w)", "\ndata: 7\n", "section `data` is '7'"),
        (r"day, winter", "day, 5", "model.domains is .'day', 5., but"),
        (r"domains: .day, winter.", "domains: 5", "model.domains is 5, but"),
        (r"\ndata:\n", "\ndata:\n  value_range: [1, 2, 3]\n", r"data.value_range is \[1, 2, 3\]"),
        (r"\ndata:\n", "\ndata:\n  value_range: [5, 5]\n", r"data.value_range is \[5, 5\]"),
        (r"\ndata:\n", f"\ndata:\n  value_range: [0, 1{'0' * 400}]\n", r"range is \[0, 10+\.\.\."),
        (r"\ndata:\n", '\ndata:\n  value_range: "a\\\\nb"\n', r"value_range is 'a\\nb'"),
        (r"\ndata:\n", f"\ndata:\n  value_range: {'x' * 900}\n", r"value_range is 'x+\.\.\.,"),
    ],
)
def test_sections_of_another_type_are_named(run, pattern, replacement, words, capsys):
    edit(run, pattern, replacement)
    assert re.search(words, said(run, "translate", capsys))


def test_domains_that_are_none_are_named_where_there_is_no_checkpoint(run):
    edit(run, r"day, winter", "day, 5")
    kept = run.checkpoint_path().rename(run.path / "kept")
    try:
        with pytest.raises(InputError, match=r"config\.yaml: section `model`: "):
            run.network()
    finally:
        kept.rename(run.checkpoint_path())
