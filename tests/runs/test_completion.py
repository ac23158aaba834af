"""complete.json: which files of a run are whole, and that the others are refused."""

import json
import shutil
from types import SimpleNamespace

import keras
import pytest

from tfi2i import files
from tfi2i.cli import main
from tfi2i.conditions import BOTH_WAYS
from tfi2i.errors import InputError
from tfi2i.runs import completion
from tfi2i.runs.keras_files import load_keras
from tfi2i.runs.run import Run


def network(level):
    image = keras.Input((None, None, 3), name="image")
    paint = keras.layers.Conv2D(
        3, 1, name="paint", bias_initializer=keras.initializers.Constant(level)
    )
    return keras.Model(image, paint(image))


def painter(level):
    """A system as far as `save_translators` asks."""
    return SimpleNamespace(
        directions=BOTH_WAYS, conditions=(), network=lambda direction: network(level)
    )


@pytest.fixture
def run(tmp_path):
    run = Run.create(tmp_path, "NICEGAN", "scenes", {"system": "NICEGAN"}, {})
    run.save_translators(painter(1))
    run.save_checkpoint(network(1))
    run.copy_last_to_best()
    run.complete(7)
    return run


def level(model):
    return float(model.get_layer("paint").bias.numpy()[0])


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_the_record_has_the_step_and_the_digest_of_each_network(run):
    values = json.loads((run.path / "complete.json").read_text())
    assert values == {
        "step": 7,
        "files": {
            name: [files.sha256(run.path / name)]
            for name in (
                *("checkpoints/best.keras", "checkpoints/last.keras"),
                *("translators/a2b.keras", "translators/b2a.keras"),
            )
        },
    }
    assert not run.completion.is_interrupted


def test_a_network_that_is_not_as_the_run_wrote_it_is_refused_with_the_way_out(run):
    path = run.translator_path()
    network(1).save(path)  # whole, and nearly the same
    words = (
        r"a2b\.keras: is damaged or was exchanged: its SHA-256 is [0-9a-f]{12}\.\.\. and that of"
        r" the file which the run wrote [0-9a-f]{12}\.\.\.; `tfi2i train --resume \S+scenes` makes"
        r" it again of the last checkpoint, or, if it is meant to be another one, remove"
        r" \S+scenes/complete\.json\.$"
    )
    with pytest.raises(InputError, match=words):
        run.network()
    with pytest.raises(InputError, match=words):
        load_keras(path, compile=False)
    assert level(run.network("b2a")) == 1
    damage(run.checkpoint_path())
    with pytest.raises(InputError, match=r"last\.keras: is .* copy best\.keras over it to go on"):
        load_keras(run.checkpoint_path(), compile=True)
    damage(run.checkpoint_path("best"))
    with pytest.raises(InputError, match=r"best\.keras: is .* put a copy of it back, or remove it"):
        load_keras(run.checkpoint_path("best"), compile=True)


def test_the_command_says_so_in_one_line(run, tmp_path, capsys):
    damage(run.translator_path())
    code = main(["translate", str(run.path), str(tmp_path), "--out", str(tmp_path / "out")])
    error = capsys.readouterr().err
    assert code == 2 and error.count("\n") == 1 and "is damaged or was exchanged" in error


def test_without_the_record_networks_load_unverified(run):
    network(3).save(run.translator_path())
    (run.path / completion.NAME).unlink()
    assert run.completion is None and level(run.network()) == 3
    # The next one that is written is recorded, and so is the old one's digest until it is there.
    run.save_translators(painter(4))
    digests = run.completion.files["translators/a2b.keras"]
    assert len(digests) == 2 and digests[0] == files.sha256(run.translator_path())


def test_a_kill_between_a_file_and_its_record_refuses_neither(run, monkeypatch):
    for _ in range(2):  # killed twice at the same place
        with monkeypatch.context() as patch:
            patch.setattr(files, "sync", kill_before(run.translator_path()))
            with pytest.raises(KeyboardInterrupt):
                run.save_translators(painter(2))
        assert level(run.network()) == 1
    assert run.completion.is_interrupted and len(run.completion.files["translators/a2b.keras"]) > 1
    run.complete(7)  # only what is there remains
    assert level(run.network()) == 1
    with monkeypatch.context() as patch:
        patch.setattr(files, "sync", kill_before(run.translator_path("b2a")))
        with pytest.raises(KeyboardInterrupt):
            run.save_translators(painter(2))
    assert (level(run.network()), level(run.network("b2a"))) == (2, 1)
    run.complete(8)
    assert {len(digests) for digests in run.completion.files.values()} == {1}


def kill_before(path):
    """`files.sync` that ends the process before a file has its name."""

    def sync(file):
        if file.name == f".{path.stem}.tmp{path.suffix}":
            raise KeyboardInterrupt

    return sync


def test_a_network_used_while_others_are_replaced_is_said_to_be_older(run, caplog, monkeypatch):
    run.network()
    assert not caplog.records
    with monkeypatch.context() as patch:
        patch.setattr(files, "sync", kill_before(run.translator_path("b2a")))
        with pytest.raises(KeyboardInterrupt):
            run.save_translators(painter(2))
    run.network()
    assert "its translators may be of an earlier step than its checkpoint" in caplog.text


def test_the_best_checkpoint_may_be_copied_over_the_last_one(run):
    run.save_checkpoint(network(2))
    run.complete(9)
    assert level(load_keras(run.checkpoint_path(), compile=False)) == 2
    shutil.copy(run.checkpoint_path("best"), run.checkpoint_path())
    assert level(load_keras(run.checkpoint_path(), compile=False)) == 1


def test_files_of_others_beside_a_record_are_not_its_concern(run):
    for folder in ("translators", "exports"):
        path = run.path / folder / "mine.keras"
        network(5).save(path)
        run.complete(7)
        network(6).save(path)
        assert level(load_keras(path, compile=False)) == 6


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "7", "{}", '{"step": 1}', '{"step": "1", "files": {}}', "{" * 100_000),
        *('{"step": true, "files": {}}', '{"step": 1, "files": []}', '{"files": {"a": [1]}}'),
        *('{"files": {"a": []}}', '{"files": {"a": "b"}}', '{"files": {"\\ud800": ["b"]}}'),
        *("[" * 100_000, "\xff", " " * 2_000_000, '{"step": NaN, "files": null}'),
    ],
)
def test_a_damaged_record_is_named_with_the_way_out(run, text, tmp_path, capsys):
    (run.path / completion.NAME).write_bytes(text.encode("latin-1"))
    for verb in (["translate", str(run.path), str(tmp_path), "--out", str(tmp_path / "out")],):
        assert main(verb) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and "complete.json: " in error
        assert error.endswith("; remove it to go on: the networks are not verified then.\n")


def test_a_run_that_is_made_of_weights_appears_with_its_translators_or_not_at_all(
    tmp_path, monkeypatch
):
    system = painter(1)
    system.step, system.save = 3, lambda path: network(1).save(path)
    left, sync = 0, files.sync

    def until(path):
        nonlocal left
        left -= 1
        assert not [*tmp_path.glob("*-*")]
        if left < 0:
            raise KeyboardInterrupt
        sync(path)

    monkeypatch.setattr(files, "sync", until)
    config = {"system": "NICEGAN"}
    for writes in range(50):
        left = writes
        try:
            run = Run.create(tmp_path, "NICEGAN", "x", config, {}, system=system, translators=True)
            break
        except KeyboardInterrupt:
            assert not [*tmp_path.iterdir()]
    assert writes > 10 and [*tmp_path.iterdir()] == [run.path]
    assert run.completion.step == 3 and not run.completion.is_interrupted
    assert run.has_translators(system) and run.name == "00001-nicegan-x"
