"""`tfi2i compare`: what it counts, how rounds become ratios, and that it goes on where it was."""

import itertools
import json

import keras
import numpy as np
import pytest
from PIL import Image
from stand_in import Painter, Seasons, register

from tfi2i.benchmark import comparison, measuring, presentation
from tfi2i.benchmark.comparison import compare, for_steps
from tfi2i.benchmark.macs import translation_macs
from tfi2i.benchmark.measuring import in_own_process
from tfi2i.cli import main
from tfi2i.config import building
from tfi2i.config import config as configs
from tfi2i.errors import InputError
from tfi2i.models import ALL, ugatit
from tfi2i.networks.generators import resnet_generator
from tfi2i.runs.run import Run

NICE, CYCLE = "nice_gan/scenes", "cyclegan/scenes"
TINY = ["data.train_size=4", "data.test_size=4"]


# counting


def counted(*layers, side=8):
    image = keras.Input((None, None, 3))
    return translation_macs(keras.Model(image, keras.Sequential(layers)(image)), side)


def test_each_multiplication_of_a_layer_counts_once():
    layers = keras.layers
    assert counted(layers.Conv2D(5, 3, 2, "same")) == 4 * 4 * 5 * 3 * 3 * 3
    assert counted(layers.Conv2D(6, 3, groups=3)) == 6 * 6 * 6 * 3 * 3 * 1
    assert counted(layers.DepthwiseConv2D(3, depth_multiplier=2)) == 6 * 6 * 3 * 2 * 3 * 3
    assert counted(layers.Conv2DTranspose(5, 3, 2, "same")) == 8 * 8 * 3 * 3 * 3 * 5
    assert counted(layers.GlobalAveragePooling2D(), layers.Dense(7)) == 3 * 7
    assert counted(layers.ReLU(), layers.Rescaling(2.0), layers.UpSampling2D()) == 0


def test_the_generator_of_cyclegan_takes_what_is_published():
    generator = resnet_generator(64, 9, "g", keras.initializers.Zeros)
    assert translation_macs(generator, 256) == 49_551_507_456


def test_the_generator_of_ugatit_takes_what_is_published_less_its_two_cam_logits():
    generator = ugatit.generator((None, None), 64, 4, True, "g")
    translator = keras.Model(generator.input, generator.outputs[0])
    assert translation_macs(translator, 256) == 52_504_560_128 - 2 * 256


@pytest.mark.parametrize(
    ("system", "billions"), [(lambda: ALL["CUT"](), 64.05), (lambda: ALL["SinCUT"](), 53.09)]
)
def test_the_generators_of_cut_and_sincut_take_what_is_published_less_their_blurs(system, billions):
    # Published are 64.128 and 53.341, which count the fixed filters; here most of those are means.
    assert translation_macs(system().network(), 256) == pytest.approx(billions * 1e9, rel=1e-3)


def test_the_norms_of_kernels_and_what_a_translation_does_not_use_are_not_counted():
    # The CAM logit and the power iterations are in the graph.
    assert translation_macs(ALL["NICEGAN"](image_size=96).network(), 256) == 34_490_023_936


def test_a_translator_of_one_size_has_no_count_at_another():
    translator = ALL["NICEGAN"](**ALL["NICEGAN"].smoke, light=False).network()
    assert translation_macs(translator, 256) is None
    assert translation_macs(translator, 64) > 0


def test_all_inputs_of_a_network_are_traced_and_what_depends_on_one_of_them_counts():
    system = Seasons(width=4)
    pair = 32 * 32 * 9 * ((3 + 3) * 4 + 4 * 3)
    assert translation_macs(system.network("any"), 32) == pair + 8 * 4
    assert translation_macs(system.network("1920s2dusk2winter"), 32) == pair + 8 * 4
    assert translation_macs(system.network(), 64) == 4 * pair + 8 * 4
    painter = Painter(width=4)
    assert translation_macs(painter.network(), 32) == (8 + 3) * 16 * 4 + 32 * 32 * 9 * 4 * 3
    assert translation_macs(painter.network(), 256) is None


# planning


def test_a_schedule_keeps_its_shape():
    config = configs.load(
        NICE, ["compile.total_steps=2400", "compile.decay_start=1200", "fit.report_steps=50"]
    )
    planned = for_steps(config, 980)
    assert planned.compile["total_steps"] == 1000
    assert planned.compile["decay_start"] == 500
    fit = planned.fit
    assert fit["checkpoint_steps"] == fit["sample_steps"] == 200
    assert fit["evaluate_steps"] == 0


def test_a_training_of_few_steps_is_one_report():
    planned = for_steps(configs.load(NICE), 7)
    assert planned.compile["total_steps"] == 7
    assert planned.fit["report_steps"] == planned.fit["checkpoint_steps"] == 7


# comparing, with what a process would find


class Processes:
    """Stands in for the processes: seconds a step double when the machine is busy."""

    def __init__(self):
        self.calls = []
        self.busy = itertools.cycle([1, 1, 2, 2, 4, 4])

    def __call__(self, task, path, tell=None):
        one_way = "cyclegan" in path.name
        self.calls.append((task, path.name.partition(".")[0]))
        if task == "cost":
            seconds = (0.3 if one_way else 0.1) * next(self.busy)
            return {"seconds_per_step": seconds, "memory_mb": None if one_way else 500.0}
        if task == "training":
            found = {"kid": 0.0123, "kid_low": 0.01, "kid_high": 0.02}
            back = {} if one_way else {"b2a": found | {"l1": 0.05, "of_best_trivial": 0.5}}
            return {"steps": 4, "seconds": 90.0, "directions": {"a2b": found, **back}}
        machine = {"versions": {"tensorflow": "2", "tfi2i": "1"}, "cpus": 2, "devices": []}
        return {
            "image_size": 64,
            "directions": ["a2b"] if one_way else ["a2b", "b2a"],
            "parameters": {"translators": 2_000_000, "trained": 9_000_000},
            "macs": {"64": 3e9, "256": None},
            "record": machine,
            "processor": "Abacus",
        }


@pytest.fixture
def processes(monkeypatch):
    made = Processes()
    monkeypatch.setattr(comparison, "in_own_process", made)
    monkeypatch.setattr(comparison, "picture", lambda found, out: np.zeros((4, 4, 3), np.uint8))
    return made


def test_the_quickest_round_counts_so_a_busy_machine_does_not(processes, tmp_path):
    found = compare([NICE, CYCLE], tmp_path, training=False)
    assert [task for task, _ in processes.calls] == ["size"] * 2 + ["cost"] * 6
    assert [name for _, name in processes.calls[2:5]] == [
        "1-nice_gan-scenes",
        "2-cyclegan-scenes",
        "1-nice_gan-scenes",
    ]
    cost = found["systems"][1]["cost"]
    assert cost["ratio_low"] == pytest.approx(3)
    assert cost["ratio_high"] == pytest.approx(3)
    assert cost["seconds_per_step"] == pytest.approx(0.3)
    assert not (tmp_path / "comparison.png").exists()
    assert "KID" not in (tmp_path / "comparison.md").read_text()


def test_a_setting_on_the_command_line_wins_over_the_seed_and_the_precision(processes, tmp_path):
    overrides = ["fit.seed=5", "model.dtype=float32"]
    found = compare([NICE], tmp_path, seed=3, overrides=overrides, training=False)
    config = configs.load(tmp_path / "configs" / "1-nice_gan-scenes.yaml")
    assert found["options"]["systems"][NICE] == config.as_dict()
    assert (config.fit["seed"], config.data["seed"], config.model["dtype"]) == (5, 3, "float32")


def test_systems_train_for_the_steps_that_fit_into_the_minutes(processes, tmp_path):
    compare([NICE, CYCLE], tmp_path, minutes=1)
    runs = sorted((tmp_path / "runs").iterdir())
    totals = [configs.load(Run(path).config_path).compile["total_steps"] for path in runs]
    assert totals == [600, 200]  # at 0.1 and 0.3 seconds


def test_the_table_has_a_dash_for_what_there_is_not(processes, tmp_path):
    compare([NICE, CYCLE], tmp_path, command="tfi2i compare this")
    lines = (tmp_path / "comparison.md").read_text().splitlines()
    cells = [cell.strip() for cell in lines[3].strip("|").split("|")]
    assert cells[2:6] == ["2.00 M / 9.00 M", "3 / -", "4", "-"]
    assert cells[6:] == ["3.00 (3.00 to 3.00)", "4 steps in 1.5 min", *cells[8:]]
    assert cells[8:] == ["12.3 (10.0 to 20.0) / -", "- / -", "- / -"]
    assert "Measured by `tfi2i compare this` on 2 CPU cores (Abacus), TensorFlow 2" in "".join(
        lines
    )


def test_what_is_measured_is_not_measured_again(processes, tmp_path, monkeypatch):
    broken = iter(range(5))

    def stopped(task, path, tell=None):
        if next(broken) == 4:
            raise KeyboardInterrupt
        return processes(task, path, tell)

    monkeypatch.setattr(comparison, "in_own_process", stopped)
    with pytest.raises(KeyboardInterrupt):
        compare([NICE, CYCLE], tmp_path)
    monkeypatch.setattr(comparison, "in_own_process", processes)
    compare([NICE, CYCLE], tmp_path, training=False)
    compare([NICE, CYCLE], tmp_path)
    again = compare([NICE, CYCLE], tmp_path)
    assert len(processes.calls) == 2 + 6 + 2
    assert again == json.loads((tmp_path / "comparison.json").read_text())


def test_a_folder_of_another_comparison_is_refused(processes, tmp_path):
    compare([NICE], tmp_path, training=False, command="tfi2i compare first")
    with pytest.raises(InputError, match="minutes, seed, systems.*`tfi2i compare first`"):
        compare([NICE], tmp_path, minutes=2, seed=1)
    with pytest.raises(InputError, match=r"other settings \(reference, systems\)"):
        compare([CYCLE], tmp_path)
    path = tmp_path / "comparison.json"
    path.write_text(path.read_text().replace("1-nice_gan-scenes", "../elsewhere"))
    with pytest.raises(InputError, match="was changed by hand"):
        compare([NICE], tmp_path)
    path.write_text("[]")
    with pytest.raises(InputError, match="is not a comparison"):
        compare([NICE], tmp_path)


@pytest.mark.parametrize(
    ("names", "numbers", "sentence"),
    [
        ([NICE, f"{NICE}.yaml"], {}, "is named twice"),
        ([NICE], {"reference": CYCLE}, "is not compared; choose from nice_gan/scenes"),
        ([NICE], {"minutes": 0.0}, "--minutes is 0.0; give a number above 0"),
        ([NICE], {"seed": -1}, "--seed is -1"),
        (["nice_gan/seens"], {}, "there is no such file"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_words(processes, tmp_path, names, numbers, sentence):
    with pytest.raises(InputError, match=sentence):
        compare(names, tmp_path, **numbers)
    assert processes.calls == []


def test_every_shipped_configuration_for_scenes_is_compared(processes, tmp_path):
    found = compare([], tmp_path, training=False)
    names = [entry["name"] for entry in found["systems"]]
    assert {NICE, CYCLE} <= set(names)
    assert len({entry["folder"] for entry in found["systems"]}) == len(names)
    assert found["options"]["reference"] == NICE


# processes


def test_what_a_process_refuses_is_said_in_words(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("system: NICEGAN\nmodel: {image_size: 65}\n")
    with pytest.raises(InputError, match="image_size must be a multiple of 4"):
        in_own_process("size", config)


def test_a_process_that_dies_is_an_error_with_its_last_words(tmp_path):
    with pytest.raises(InputError, match="for its sighs failed: KeyError: 'sighs'"):
        in_own_process("sighs", tmp_path)


@pytest.mark.slow
def test_the_command_measures_trains_and_draws(tmp_path, capsys):
    settings = [part for one in TINY for part in ("--set", one)]
    out = tmp_path / "out"
    assert main(["compare", CYCLE, "--smoke", "--out", str(out), *settings]) == 0
    found = json.loads((out / "comparison.json").read_text())
    (entry,) = found["systems"]
    smoke = ALL["CycleGAN"](**ALL["CycleGAN"].smoke)
    groups = smoke.optimizer_variables().values()
    assert entry["size"]["parameters"]["trained"] == sum(
        int(np.prod(v.shape)) for group in groups for v in group
    )
    assert entry["cost"]["ratio"] == 1
    assert entry["rounds"][0]["seconds_per_step"] > 0
    assert entry["training"]["steps"] == 4
    assert set(entry["training"]["directions"]) == {"a2b", "b2a"}
    for figures in entry["training"]["directions"].values():
        assert 0 < figures["l1"] < 1
        assert figures["of_best_trivial"] > 0
    with Image.open(out / "comparison.png") as drawn:
        assert drawn.size[0] > 4 * 128
    assert "cyclegan/scenes" in capsys.readouterr().out
    assert Run(out / "runs" / "1-cyclegan-scenes").translator_path("b2a").is_file()


# systems of other inputs


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory):
    """Runs that have learned nothing, and the comparison that would show them."""
    with pytest.MonkeyPatch.context() as patch:
        register(patch)
        folder = tmp_path_factory.mktemp("comparison")
        entries, stated = [], {}
        for name in ("Seasons", "Painter"):
            values = {"system": name, "data": {"source": "seasons"}}
            config = configs.load(values)
            (folder / f"{name}.yaml").write_text(configs.dump(config))
            stated[name] = config.resolved().as_dict()
            run = Run.create(folder / "runs", name, "x", stated[name], {}, folder=name)
            run.save_translators(building.build_system(config))
            size = measuring.size(folder / f"{name}.yaml")
            entries.append({"name": name, "system": name, "folder": name, "size": size})
        yield {"systems": entries, "options": {"systems": stated}}, folder


def test_the_sizes_of_systems_of_other_inputs(stand_ins):
    comparison, _ = stand_ins
    seasons, painter = (entry["size"] for entry in comparison["systems"])
    assert seasons["directions"][-1] == "any"
    assert len(seasons["directions"]) == 7
    assert painter["directions"] == ["sample"]
    for size in (seasons, painter):  # one generator, whatever the number of directions
        assert size["parameters"]["translators"] == size["parameters"]["trained"] > 0
        assert size["macs"][32] > 0


def test_the_picture_of_a_comparison_shows_the_first_direction_of_each(stand_ins):
    comparison, folder = stand_ins
    sheet = presentation.picture(comparison, folder)
    assert sheet.shape[:2] == (4 + 3 * 132, 96 + 4 * 132 + 4)  # input, translations; samples
    assert presentation._ways(comparison)["1920s2dusk2winter"] == "1920s2dusk2winter"


def test_directions_of_two_domains_are_always_both(stand_ins):
    found = {"systems": [{"size": {"directions": ["a2b"]}}]}
    assert presentation._ways(found) == {"a2b": "a to b", "b2a": "b to a"}
