"""Configurations: every shipped one loads, writing and reading agree, and errors say what to do."""

from pathlib import Path

import pytest

from tfi2i import yaml_text
from tfi2i.config import building
from tfi2i.config import config as configs
from tfi2i.errors import InputError
from tfi2i.models import ALL

ROOT = Path(__file__).parents[2] / "configs"
SHIPPED = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("*/*.yaml"))

GOOD = """\
system: NICEGAN
model:
  image_size: 96
compile:
  learning_rate: 1e-4
  total_steps: 1_000
data:
  source: scenes
"""


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "my.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def message(tmp_path: Path, text: str | bytes, *overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        configs.load(written(tmp_path, text), overrides)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence.replace(str(tmp_path), "")


# shipped files


def test_the_shipped_names_are_the_files():
    assert [f"{name}.yaml" for name in configs.shipped()] == SHIPPED
    assert "nice_gan/scenes.yaml" in SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_configuration_loads_and_says_what_it_is_for(name):
    config = configs.load(ROOT / name)
    assert config == configs.load(name) == configs.load(name.removesuffix(".yaml"))
    first = (ROOT / name).read_text().splitlines()[0]
    assert first.startswith("# ") and len(first) > 40
    assert name in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", SHIPPED)
def test_writing_and_reading_again_changes_nothing(tmp_path, name):
    config = configs.load(name)
    assert configs.load(written(tmp_path, configs.dump(config))) == config
    complete = config.resolved()
    assert configs.load(written(tmp_path, configs.dump(complete))) == complete
    assert complete.resolved() == complete
    assert configs.load(complete.as_dict()) == complete


@pytest.mark.parametrize("name", SHIPPED)
def test_a_complete_configuration_states_every_setting(name):
    complete = configs.load(name).resolved()
    for section, table in configs.schema(complete.system, complete.data["source"]).items():
        assert list(getattr(complete, section)) == list(table)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_smoke_version_is_valid_small_and_of_the_same_kind(name):
    config = configs.load(name)
    smoke = config.smoke()
    assert configs.load(smoke.as_dict()) == smoke
    assert smoke.compile["total_steps"] <= configs.SMOKE_STEPS
    assert smoke.model.items() >= ALL[config.system].smoke.items()
    assert smoke.data.get("name") == config.data.get("name")
    assert smoke.resolved().fit["checkpoint_steps"] <= smoke.compile["total_steps"]
    more = configs.load_smoke(name, ["compile.total_steps=8", "fit.seed=3"])
    assert (more.compile["total_steps"], more.fit["seed"]) == (8, 3)
    assert 0 <= (more.resolved().compile.get("decay_start") or 0) <= 8


@pytest.mark.parametrize("name", ["nice_gan/scenes", "nice_gan/official"])
def test_the_smoke_version_can_be_built(name):
    smoke = configs.load(name).smoke()
    assert building.build_system(smoke).total_steps == smoke.compile["total_steps"]


def test_a_schedule_keeps_its_shape_in_the_smoke_version():
    smoke = configs.load("nice_gan/official").smoke()
    assert smoke.compile["decay_start"] * 2 == smoke.compile["total_steps"]


def test_smoke_settings_are_settings():
    tables = configs.schema("NICEGAN", "scenes")
    assert configs.SMOKE_DATA.keys() <= tables["data"].keys()
    assert configs.SMOKE_FIT.keys() <= tables["fit"].keys()


# values


def test_what_is_stated_is_kept_and_the_rest_is_the_default(tmp_path):
    config = configs.load(written(tmp_path, GOOD))
    assert config.model == {"image_size": 96}
    assert config.compile == {"learning_rate": 1e-4, "total_steps": 1000}
    complete = config.resolved()
    assert complete.model["width"] == 64 and complete.compile["cycle_weight"] == 10.0
    defaults = {"train_size": 1000, "test_size": 200, "seed": 0, "swap": False}
    defaults |= {"styles": None, "paired": False}
    assert complete.data == {"source": "scenes"} | defaults


@pytest.mark.parametrize(
    ("text", "number"),
    [("1e-4", 1e-4), ("1E5", 1e5), ("2", 2.0), (".5", 0.5), ("1.", 1.0), ("-1.5e+2", -150.0)],
)
def test_a_number_may_be_written_in_any_usual_way(tmp_path, text, number):
    data = f"data:\n  source: folders\n  value_range: [{text}, 1e6]\n"
    path = written(tmp_path, GOOD.partition("data:")[0] + data)
    value, _ = configs.load(path).data["value_range"]
    assert value == number and isinstance(value, float)


def test_overrides_win_and_take_yaml(tmp_path):
    config = configs.load(
        written(tmp_path, GOOD),
        ["model.image_size=128", "compile.ema_decay=0.99", "fit.seed=3", "model.light=false"],
    )
    assert config.model == {"image_size": 128, "light": False}
    assert config.compile["ema_decay"] == 0.99 and config.fit == {"seed": 3}
    again = configs.load(config.as_dict(), ["compile.ema_decay=null"])
    assert again.compile["ema_decay"] is None


@pytest.mark.parametrize(
    "folder",
    ["a folder #1/x: y", "2024", "true", "C:\\photos", "{a", "*", "[1, 2", "1e5", "ä", "- a"],
)
def test_a_path_on_the_command_line_is_taken_as_it_is_typed(tmp_path, folder):
    overrides = ["data.source=folders", f"data.root={folder}"]
    config = configs.load({"system": "NICEGAN"}, overrides)
    assert config.data["root"] == folder
    assert configs.load(written(tmp_path, configs.dump(config))) == config


def test_a_list_of_texts_is_no_text_on_the_command_line():
    data = {"source": "tfds", "name": "oxford_pets"}
    for text in ("0.5", "true", "relu1_2"):
        with pytest.raises(InputError, match=r"`model.taps` takes a list of values"):
            configs.load({"system": "CUT", "data": data}, [f"model.taps={text}"])


def test_a_long_override_is_cut_in_the_message():
    with pytest.raises(InputError) as caught:
        configs.load({"system": "NICEGAN"}, [f"model.image_size={'x' * 3_000}"])
    assert len(str(caught.value)) < 500


def test_an_override_with_equals_signs_is_cut_at_the_first():
    config = configs.load({"system": "NICEGAN"}, ["data.source=folders", "data.root=a=b.c=d"])
    assert config.data["root"] == "a=b.c=d"


def test_the_run_is_named_after_the_data():
    def name(**data) -> str:
        return configs.load({"system": "NICEGAN", "data": data}).data_name

    assert name(source="scenes") == "scenes"
    assert name(source="tfds", name="cycle_gan/horse2zebra") == "horse2zebra"
    assert name(source="tfds", name="svhn_cropped", name_b="mnist") == "svhn_cropped2mnist"
    assert name(source="folders", root="/pictures/maps/") == "maps"
    assert name(source="folders", a="x/photos", b="y/paintings/") == "photos2paintings"


# messages


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("image_size: 96", "image_sise: 96", "/my.yaml line 3: unknown setting `model.image_sise`;"
         " did you mean `image_size`?"),
        ("image_size: 96", "cycle_weight: 5", "/my.yaml line 3: unknown setting"
         " `model.cycle_weight`; it belongs to `compile`."),
        ("image_size: 96", "image_size: big", "/my.yaml line 3: `model.image_size` takes a whole"
         " number or a list of 2 values (a whole number, a whole number), but 'big' came."),
        ("image_size: 96", "image_size: true", "/my.yaml line 3: `model.image_size` takes a whole"
         " number or a list of 2 values (a whole number, a whole number), but true came."),
        ("image_size: 96", "image_size: 96.5", "/my.yaml line 3: `model.image_size` takes a whole"
         " number or a list of 2 values (a whole number, a whole number), but 96.5 came."),
        ("image_size: 96", "image_size: 096", "/my.yaml line 3: `model.image_size` takes a whole"
         " number or a list of 2 values (a whole number, a whole number), but '096' came."),
        ("image_size: 96", "image_size:", "/my.yaml line 3: `model.image_size` takes a whole"
         " number or a list of 2 values (a whole number, a whole number), but null came."),
        ("image_size: 96", "light: yes", "/my.yaml line 3: `model.light` takes true or false,"
         " but 'yes' came."),
        ("image_size: 96", "light: 1", "/my.yaml line 3: `model.light` takes true or false,"
         " but 1 came."),
        ("image_size: 96", "dtype: float16", "/my.yaml line 3: `model.dtype` takes one of"
         " 'float32', 'mixed_bfloat16', 'mixed_float16' or null, but 'float16' came."),
        ("image_size: 96", "image_size: 96\n  image_size: 128", "/my.yaml line 4:"
         " `model.image_size` stands here a second time (first in line 3); keep one."),
        ("1e-4", ".nan", "/my.yaml line 5: '.nan' is not a finite number; write an ordinary"
         " number."),
        ("1e-4", "1e999", "/my.yaml line 5: '1e999' is not a finite number; write an ordinary"
         " number."),
        ("1e-4", "[1e-4]", "/my.yaml line 5: `compile.learning_rate` takes a number, but [0.0001]"
         " came."),
        ("1e-4", f"1{'0' * 400}", f"/my.yaml line 5: `compile.learning_rate` takes a number, but"
         f" 1{'0' * 56}... came."),
        ("1e-4", "9" * 5000, f"/my.yaml line 5: '{'9' * 57}...' is not a number that can be read."),
        ("source: scenes", 'source: folders\n  root: "a\\0b"', "/my.yaml line 9: 'a\\x00b' holds a"
         " null character; leave it out."),
        ("source: scenes", 'source: folders\n  root: "a\\ud800"', "/my.yaml line 9: 'a\\ud800'"
         " holds half a character ('\\ud800'); leave it out."),
        ("1e-4", "&x 1e-4\n  l2: *x", "/my.yaml line 6: is not valid YAML: aliases (*name) are not"
         " allowed."),
        ("1e-4", "!!python/name:os.system x", "/my.yaml line 5: the tag"
         " tag:yaml.org,2002:python/name:os.system is not allowed; write the plain value."),
        ("system: NICEGAN", "system: NICEGEN", "/my.yaml line 1: there is no system 'NICEGEN';"
         " did you mean `NICEGAN`?"),
        ("system: NICEGAN", "system: [NICEGAN]", "/my.yaml line 1: there is no system"
         " ['NICEGAN']; did you mean `NICEGAN`?"),
        ("source: scenes", "source: scene", "/my.yaml line 8: there is no data source 'scene';"
         " did you mean `scenes`?"),
        ("source: scenes", "name: horse2zebra", "/my.yaml line 8: `data.source` is missing; there"
         " are `scenes`, `moods`, `folders`, `tfds`, `attributes`, `single_image`."),
        ("source: scenes", "source: tfds", "/my.yaml: `data.name` is missing; it takes text."),
        ("compile:", "compiler:", "/my.yaml line 4: unknown section `compiler`; did you mean"
         " `compile`?"),
        ("compile:\n", "compile: 3\nfit:\n", "/my.yaml line 4: section `compile` takes settings"
         " (`key: value`), but 3 came."),
        ("data:\n", "batches:\n  image_size: 5\ndata:\n", "/my.yaml line 8: unknown setting"
         " `batches.image_size`; it belongs to `model`."),
        ("model:\n  image_size: 96", "image_size: 96", "/my.yaml line 2: unknown section"
         " `image_size`; write it as `image_size` inside the section `model`."),
        ("model:", "? [a]\n: b\nmodel:", "/my.yaml line 2: a key must be a word, but a list"
         " or mapping came."),
        ("model:", "1: b\nmodel:", "/my.yaml line 2: a key must be a word, but 1 came."),
        ("model:", "<<: {a: b}\nmodel:", "/my.yaml line 2: unknown section `<<`; there are"
         " `system`, `model`, `compile`, `data`, `batches`, `fit`."),
        ("model:\n", "model: {\n", "/my.yaml line 4: is not valid YAML: while parsing a flow"
         " mapping, expected ',' or '}', but got ':'."),
    ],
)  # fmt: skip
def test_one_sentence_says_where_what_came_and_what_would_do(tmp_path, before, after, expected):
    assert GOOD.count(before) == 1
    assert message(tmp_path, GOOD.replace(before, after)) == expected


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("model.image_size", "--set model.image_size: has no value; write it as --set"
         " model.image_size=VALUE."),
        ("image_size=5", "--set image_size=5: `image_size` names no setting; write"
         " section.key=value."),
        ("modle.image_size=5", "--set modle.image_size=5: `modle.image_size` names no setting; did"
         " you mean `model`?"),
        ("model.image_size=5.5", "--set model.image_size=5.5: `model.image_size` takes a whole"
         " number or a list of 2 values (a whole number, a whole number), but 5.5 came."),
        ("model.image_size=[", "--set model.image_size=[: `model.image_size` takes a whole number"
         " or a list of 2 values (a whole number, a whole number), but '[' came."),
        ("data.root=\ud800", "--set data.root=\\ud800: '\\ud800' holds half a character"
         " ('\\ud800'); leave it out."),
        ("model.size=5", "--set model.size=5: unknown setting `model.size`; did you mean"
         " `image_size`?"),
    ],
)  # fmt: skip
def test_a_wrong_override_is_named_as_it_was_typed(tmp_path, override, expected):
    assert message(tmp_path, GOOD, override) == expected


def test_files_that_are_no_configuration_are_refused(tmp_path):
    assert message(tmp_path, "") == (
        "/my.yaml: needs sections, beginning with `system: NICEGAN`, but nothing came."
    )
    assert message(tmp_path, "- a\n- b\n").endswith("but ['a', 'b'] came.")
    systems = ", ".join(f"`{name}`" for name in ALL)
    assert (
        message(tmp_path, "model: {}\n") == f"/my.yaml: `system` is missing; there are {systems}."
    )
    assert message(tmp_path, b"system: NICEGAN\n# caf\xe9\n") == (
        "/my.yaml line 2: byte 0xe9 is not UTF-8; save the file as UTF-8."
    )
    assert "line 1: is not valid YAML: " in message(tmp_path, "a: b: c")
    assert "special characters are not allowed" in message(tmp_path, b"a: \x00")
    assert "nested more than 12 deep" in message(tmp_path, "a: " + "[" * 90_000)
    assert "expected a single document in the stream, but found another" in message(
        tmp_path, "a: 1\n---\nb: 1\n"
    )
    assert "larger than 100,000 bytes" in message(tmp_path, b"#" * 100_001)


def test_what_a_stranger_wrote_is_cut_and_made_printable(tmp_path):
    key = rf'"x\x1b[31m\n{"y" * 900}": 1' + "\n"
    for text in (key, f"system: NICEGAN\n{key}", f"system: NICEGAN\nfit:\n  {key}"):
        sentence = message(tmp_path, text)
        assert sentence.isprintable() and len(sentence) < 300 and r"x\x1b[31m\nyyy" in sentence
    assert len(message(tmp_path, "a: !" + "z" * 80_000)) < 300
    assert len(message(tmp_path, "a: " + "9" * 80_000)) < 300


def test_a_file_that_is_not_there_is_refused_with_the_closest_name(tmp_path):
    with pytest.raises(InputError, match=r"did you mean `nice_gan/scenes`\?$"):
        configs.load("nice_gan/scene")
    with pytest.raises(InputError, match="there is no such file or shipped configuration"):
        configs.load(tmp_path / "nothing.yaml")
    with pytest.raises(InputError, match="is a folder; give the path of a .yaml file"):
        configs.load(tmp_path)


def test_a_file_saved_with_a_byte_order_mark_is_read(tmp_path):
    assert configs.load(written(tmp_path, b"\xef\xbb\xbf" + GOOD.encode())).system == "NICEGAN"


def test_values_that_the_constructor_refuses_name_file_and_section(tmp_path):
    path = written(tmp_path, configs.dump(configs.load("nice_gan/scenes").smoke()))
    config = configs.load(path, ["model.image_size=50"])
    with pytest.raises(InputError, match=r"my\.yaml: section `model`: .*50"):
        building.build_system(config)
    config = configs.load(path, ["compile.decay_start=5000"])
    with pytest.raises(InputError, match=r"my\.yaml: section `compile`: .*5000"):
        building.build_system(config)


def test_a_configuration_without_data_can_be_read_but_not_trained():
    config = configs.load({"system": "NICEGAN"})
    assert "data" not in config.resolved().as_dict()
    with pytest.raises(InputError, match="has no section `data`; add --set data.source"):
        building.build_data(config)


# building


def test_the_seed_decides_the_first_weights():
    config = configs.load("cyclegan/scenes").smoke()
    first, same = building.build_system(config), building.build_system(config)
    other = building.build_system(configs.load(config.as_dict(), ["fit.seed=1"]))
    kernels = [system.gen_ab.trainable_variables[0].numpy() for system in (first, same, other)]
    assert (kernels[0] == kernels[1]).all() and (kernels[0] != kernels[2]).any()


def test_recompiling_keeps_the_state_of_optimizers_and_averages():
    config = configs.load("cyclegan/scenes", ["compile.ema_decay=0.9"]).smoke()
    system = building.build_system(config)
    optimizer = system.optimizers["generator"]
    for variable in optimizer.variables:
        variable.assign(variable + 3)
    system.averages["gen_ab"].set_weights([w + 3 for w in system.averages["gen_ab"].get_weights()])
    before = [variable.numpy() for variable in optimizer.variables]
    average = system.averages["gen_ab"].get_weights()
    building.recompile(system, configs.load(config.as_dict(), ["compile.total_steps=50"]))
    assert system.total_steps == 50
    after = [variable.numpy() for variable in system.optimizers["generator"].variables]
    assert all((a == b).all() for a, b in zip(before, after, strict=True))
    kept = system.averages["gen_ab"].get_weights()
    assert all((a == b).all() for a, b in zip(average, kept, strict=True))


# text


@pytest.mark.parametrize(
    "value",
    ["1e-4", "yes", "null", "", " a ", "0x10", "12:30", "2020-01-01", "a: b", "#", "\x1b", "\u2028",
     1e-10, 1e22, -0.5, 10**20, 0, True, None, [1, [2.5, "x"]], {"a": {"b": []}}],
)  # fmt: skip
def test_text_written_is_read_back_as_the_same_value(value):
    text = yaml_text.dump({"key": value})
    read = yaml_text.parse(text, "text").values["key"]
    assert read == value and type(read) is type(value)
