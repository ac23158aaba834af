"""Properties that hold for all values, which hypothesis draws and makes small where one fails."""

import functools
import json
import math
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from hypothesis import HealthCheck, Phase, configuration, given, seed, settings
from hypothesis import strategies as st
from tfi2i_export import sidecar
from tfi2i_export.serving.replies import file_in, image_in, numbers_to_json
from tfi2i_export.serving.wire import Failure, parsed, reading

from fuzz.outcomes import Target, unlike_a_sentence
from fuzz.text_files import run_files, sidecars
from tfi2i import files, yaml_text
from tfi2i.config import config as configs
from tfi2i.data import SOURCES
from tfi2i.errors import InputError
from tfi2i.limits import Unfit, fitted, outside, wanted
from tfi2i.models import ALL
from tfi2i.runs import metrics
from tfi2i.runs.run import Run
from tfi2i.terminal import printable

NEVER = float("inf")

# Not .hypothesis where the tests are started.
configuration.set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "hypothesis")

numbers = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from((0, -1, 2**63, -(2**70), 10**400, 1e30, -1e39, 1e308)),
)
texts = st.text(st.characters(exclude_categories=()), max_size=20)
plain = st.one_of(st.none(), st.booleans(), numbers, texts)
anything = st.recursive(
    plain,
    lambda one: st.lists(one, max_size=4) | st.dictionaries(texts, one, max_size=4),
    max_leaves=9,
)
finite = st.integers(-(10**12), 10**12) | st.floats(allow_nan=False, allow_infinity=False)
unicode = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\u2028\u2029\x85\ufeff")
)


def refused(call: Callable[[], Any]) -> bool:
    """Whether a call is refused, in a sentence."""
    try:
        call()
    except InputError as error:
        assert not unlike_a_sentence(str(error)), (unlike_a_sentence(str(error)), str(error))
        return True
    return False


@functools.cache
def schemas() -> list[tuple[str, str, dict[str, Any]]]:
    """Every system and source, and the settings of each section."""
    return [(name, source, configs.schema(name, source)) for name in ALL for source in SOURCES]


@st.composite
def a_configuration(draw: Any) -> dict[str, Any]:
    system, source, tables = draw(st.sampled_from(schemas()))
    sections: dict[str, Any] = {"system": system}
    for section, table in tables.items():
        known = {name: one.default for name, one in table.items() if not one.required}
        names = draw(st.lists(st.sampled_from([*table, "unknown"]), max_size=3, unique=True))
        sections[section] = {
            name: draw(anything if draw(st.booleans()) else st.just(known.get(name)))
            for name in names
        }
    sections["data"]["source"] = source
    if draw(st.integers(0, 9)) == 0:
        sections[draw(st.sampled_from(list(sections)))] = draw(anything)
    return sections


def a_known_configuration(values: dict[str, Any], folder: Path) -> None:
    """What is taken is taken again when it is written and read."""
    found: list[configs.Config] = []
    if refused(lambda: found.append(configs.load(values))):
        return
    text = configs.dump(found[0])
    again: list[configs.Config] = []
    # YAML holds no null character, which no path can have.
    if refused(lambda: again.append(configs.load(yaml_text.parse(text, "again").values))):
        assert "\\0" in text or "\0" in text
        return
    assert again == found


def yaml_of_anyone(text: str, folder: Path) -> None:
    (folder / "a.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    refused(lambda: yaml_text.read(folder / "a.yaml"))
    refused(lambda: yaml_text.parse(text, "a.yaml"))


def yaml_of_ours(values: dict[str, Any], folder: Path) -> None:
    assert yaml_text.parse(yaml_text.dump(values), "a.yaml").values == values


class Any_(NamedTuple):
    """An annotation of a setting, and a value for it."""

    annotation: Any
    value: Any


@functools.cache
def annotations() -> list[Any]:
    found = {}
    for _, _, tables in schemas():
        for table in tables.values():
            found |= {repr(one.annotation): one.annotation for one in table.values()}
    return list(found.values())


def setting(given: Any_, folder: Path) -> None:
    assert wanted(given.annotation)
    try:
        made = fitted(given.annotation, given.value)
    except Unfit as error:
        assert str(error).startswith("takes ")
        return
    assert fitted(given.annotation, made) == made
    assert not outside(given.annotation, made)


def a_sidecar(values: Any, folder: Path) -> None:
    path = folder / "a.json"
    path.write_bytes(json.dumps(values).encode())
    refused(lambda: sidecar.read(path))


@st.composite
def changed_sidecar(draw: Any) -> dict[str, Any]:
    made = dict(draw(st.sampled_from(sidecars())))
    for name in draw(st.lists(st.sampled_from([*made]), max_size=2)):
        made[name] = draw(anything)
    return made


def kept_sidecar(values: dict[str, Any], folder: Path) -> None:
    """A sidecar that is read is written and read again as it is."""
    path, found = folder / "a.json", []
    path.write_bytes(json.dumps(values).encode())
    if not refused(lambda: found.append(sidecar.read(path))):
        sidecar.write(found[0], path)
        assert sidecar.read(path) == found[0]


def reports(given: list[dict[str, Any]], folder: Path) -> None:
    """Numbers come back as they were; what is not finite is null, and too large ones are named."""
    path = folder / "metrics.jsonl"
    path.unlink(missing_ok=True)
    for step, values in enumerate(given):
        metrics.add(path, {"step": step} | values)
    written = [{"step": step} | values for step, values in enumerate(given)]
    kept = [
        {k: v if v is None or math.isfinite(v) else None for k, v in one.items()} for one in written
    ]
    too_large = any(
        v is not None and abs(v) > metrics.LARGEST for one in kept for v in one.values()
    )
    found: list[Any] = []
    assert refused(lambda: found.extend(metrics.read(path))) == too_large
    assert too_large or found == kept


def a_line(values: Any, folder: Path) -> None:
    path = folder / "metrics.jsonl"
    path.write_bytes(json.dumps(values).encode() + b"\n")
    refused(lambda: metrics.read(path))


def environment(values: Any, folder: Path) -> None:
    """The texts of a run, each one anything."""
    made = run_files()
    (folder / "config.yaml").write_text(yaml_text.dump(made.config))
    for name in ("environment.json", "complete.json"):
        (folder / name).write_bytes(json.dumps(values).encode())
    run = Run(folder)
    refused(lambda: run.environment)
    refused(lambda: run.completion)


def settings_of_a_run(values: dict[str, Any], folder: Path) -> None:
    text = yaml_text.dump(values)
    (folder / "config.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
    (folder / "environment.json").write_text("{}")
    run = Run(folder)
    for call in (
        lambda: run.config,
        lambda: run.changes,
        run.check_direction,
        lambda: run.value_range("a"),
    ):
        refused(call)


def a_reply(values: Any, folder: Path) -> None:
    reply, shape = json.dumps(values).encode(), (1, 2, 2, 3)
    for read in (lambda: file_in(reply), lambda: image_in(reply, "translation", shape, NEVER)):
        try:
            with reading("the translation"):
                read()
        except Failure as failure:
            assert failure.reason.isprintable()


def sent(image: list[float], folder: Path) -> None:
    """Numbers arrive as they were sent."""
    values = np.array(image, np.float32).reshape(1, 1, -1, 1)
    reply = f'{{"outputs": {numbers_to_json(values, NEVER)}}}'.encode()
    np.testing.assert_array_equal(image_in(reply, "translation", values.shape, NEVER), values)


def address(url: str, folder: Path) -> None:
    found: list[Any] = []
    if not refused(lambda: found.append(parsed(url))):
        assert parsed(found[0].url) == found[0]


def shown(text: str, folder: Path) -> None:
    assert printable(text).isprintable() and len(printable(text, 9)) <= 9


def json_of_anyone(raw: bytes, folder: Path) -> None:
    (folder / "a.json").write_bytes(raw)
    refused(lambda: files.read_object(folder / "a.json"))


class Property(NamedTuple):
    """What holds for all values of a strategy, tried on so many in `make test`."""

    strategy: st.SearchStrategy[Any]
    check: Callable[[Any, Path], None]
    quick: int = 40


a_url = st.lists(
    st.sampled_from(
        ("http", "grpcs", "://", "h", "[::1]", ":", "8500", "/v1/models", "/", "m", "versions", "9")
    ),
    max_size=12,
).map("".join)
names = st.text("abcdefgh_", min_size=1, max_size=8).map(lambda name: f"g_{name}")
PROPERTIES = {
    "configurations": Property(a_configuration(), a_known_configuration, 30),
    "YAML of anyone": Property(
        texts | st.text("-:[]{}#&*!|>'\"%@ \nax1.e", max_size=40), yaml_of_anyone, 60
    ),
    "YAML of ours": Property(
        st.dictionaries(
            unicode,
            st.recursive(
                st.none() | st.booleans() | finite | unicode,
                lambda one: st.lists(one, max_size=3),
                max_leaves=5,
            ),
            max_size=4,
        ),
        yaml_of_ours,
    ),
    "settings": Property(
        st.builds(Any_, st.deferred(lambda: st.sampled_from(annotations())), anything), setting, 80
    ),
    "sidecars of anyone": Property(anything, a_sidecar),
    "sidecars": Property(changed_sidecar(), kept_sidecar),
    "reports": Property(
        st.lists(
            st.dictionaries(names, st.none() | st.floats(), max_size=3), min_size=1, max_size=3
        ),
        reports,
        25,
    ),
    "lines of metrics": Property(
        st.dictionaries(st.just("step") | texts, anything, max_size=3), a_line
    ),
    "records of runs": Property(anything, environment),
    "settings of runs": Property(st.deferred(a_configuration), settings_of_a_run, 25),
    "replies": Property(
        anything
        | st.fixed_dictionaries({"outputs": anything})
        | st.fixed_dictionaries({"predictions": anything}),
        a_reply,
    ),
    "numbers that are sent": Property(
        st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1), sent
    ),
    "URLs": Property(texts | a_url, address),
    "texts on a terminal": Property(texts, shown),
    "JSON of anyone": Property(
        st.binary(max_size=60) | anything.map(lambda one: json.dumps(one).encode()), json_of_anyone
    ),
}


def run(name: str, number: int | None, examples: int) -> None:
    """Tries a property on some values: those of a number, or the same every time."""
    strategy, check, _ = PROPERTIES[name]
    with tempfile.TemporaryDirectory() as folder:
        function = given(strategy)(lambda value: check(value, Path(folder)))
        if number is not None:
            function = seed(number)(function)
        settings(
            max_examples=examples,
            derandomize=number is None,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )(function)()


def number(rng: random.Random, folder: Path) -> int:
    return rng.getrandbits(32)


def target(name: str) -> Target:
    return Target(
        f"property: {name}", number, lambda seed: run(name, seed, 25), quick=0, seconds=60
    )


TARGETS = [target(name) for name in PROPERTIES]
