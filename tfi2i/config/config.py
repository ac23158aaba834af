"""A configuration: the arguments of public callables, from YAML, checked against their signatures.

| section | is passed to |
| --- | --- |
| `system` | the name of a class in `tfi2i.models.ALL` |
| `model` | its constructor |
| `compile` | its `compile` |
| `data` | the function in `tfi2i.data.SOURCES` that `source` names |
| `batches` | `Dataset.batches` |
| `fit` | `tfi2i.training.fit.fit` |

No key is listed here: a keyword-only argument is a setting, what is positional is wired by code.
"""

import contextlib
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tfi2i import yaml_text
from tfi2i.config.signatures import REQUIRED, Setting, settings
from tfi2i.errors import InputError, closest
from tfi2i.files import refuse_special
from tfi2i.limits import Steps, Unfit, fitted, shown, takes_text, wanted
from tfi2i.terminal import brief, printable

SECTIONS = ("model", "compile", "data", "batches", "fit")

# In a run's config.yaml, what was changed while it was trained; no setting.
RECORD = "changes"

# What code passes: the size is the model's, the seed is fit's, the step is the checkpoint's.
WIRED_BATCHES = ("image_size", "seed", "start_step")

# A run of `--smoke` ends within a minute on two cores; the model's part is the system's `smoke`.
SMOKE_STEPS = 4
SMOKE_DATA = {"train_size": 8, "test_size": 4}
SMOKE_FIT = dict.fromkeys(("report_steps", "sample_steps", "checkpoint_steps"), 2)
SMOKE_FIT |= {"sample_images": 2, "evaluate_images": 2}

Dtype = Literal["float32", "mixed_bfloat16", "mixed_float16"]


@dataclass(frozen=True)
class Config:
    """A checked configuration: what was stated, by section; the rest is the callables' defaults."""

    system: str
    model: dict[str, Any] = field(default_factory=dict)
    compile: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    batches: dict[str, Any] = field(default_factory=dict)
    fit: dict[str, Any] = field(default_factory=dict)
    origin: str = field(default="the configuration", compare=False)

    @property
    def data_name(self) -> str:
        """A short name of the data, for the run's: `horse2zebra`, `scenes`, `cats2dogs-swapped`."""
        root, a, b, name, name_b = map(self.data.get, ("root", "a", "b", "name", "name_b"))
        text = str(name or self.data.get("source", "data")).rpartition("/")[2]
        if name and name_b:
            text += f"2{name_b}"
        if a and b:
            text = f"{Path(a).name}2{Path(b).name}"
        if root:
            text = Path(root).resolve().name
        return text + ("-swapped" if self.data.get("swap") else "")

    def as_dict(self) -> dict[str, Any]:
        """Plain values by section, without empty sections."""
        sections = {name: dict(getattr(self, name)) for name in SECTIONS}
        return {"system": self.system} | {name: part for name, part in sections.items() if part}

    def resolved(self) -> "Config":
        """Fills every default in: complete, whatever later versions default to."""
        parts: dict[str, Any] = {}
        for name, table in schema(self.system, self.data.get("source")).items():
            values = {key: setting.default for key, setting in table.items()} | getattr(self, name)
            parts[name] = {key: value for key, value in values.items() if value is not REQUIRED}
        if not self.data:
            parts["data"] = {}
        return dataclasses.replace(self, **parts)

    def smoke(self, overrides: Iterable[str] = ()) -> "Config":
        """The smallest sensible version of the same, which ends within a minute.

        Args:
            overrides: `section.key=value` each, which win over what is made small.
        """
        data = schema(self.system, self.data.get("source"))["data"]
        full = self.resolved().compile
        total = SMOKE_STEPS
        with contextlib.suppress(Unfit):  # what is no number of steps is refused below
            for stated in _of_total(overrides).values():
                total = fitted(Steps, stated.value)
        # A schedule keeps its shape: a decay that began half-way begins half-way.
        steps = {
            key: max(1, value * total // max(1, full["total_steps"]))
            for key, value in full.items()
            if isinstance(value, int) and key.endswith(("_steps", "_start")) and value > 0
        }
        batches = {key: value for key, value in self.batches.items() if key != "load_size"}
        if "batch_size" in batches:
            batches["batch_size"] = min(batches["batch_size"], 2)
        small = dataclasses.replace(
            self,
            model=self.model | system_class(self.system).smoke,
            compile=self.compile | steps,
            data=self.data and self.data | {k: v for k, v in SMOKE_DATA.items() if k in data},
            batches=batches,
            fit=self.fit | SMOKE_FIT,
        )
        return dataclasses.replace(load(small.as_dict(), overrides), origin=self.origin)


def system_class(name: str) -> Any:
    """The class of a system.

    Raises:
        InputError: if there is none of that name.
    """
    from tfi2i.models import ALL

    if name not in ALL:
        raise InputError(f"There is no system {name!r}; {closest(str(name), ALL)}")
    return ALL[name]


def schema(system: str, source: str | None) -> dict[str, dict[str, Setting]]:
    """Every setting by section and name, for a system and a data source (or none)."""
    from tfi2i.data import SOURCES
    from tfi2i.data.dataset import Dataset
    from tfi2i.training.fit import fit

    cls = system_class(system)
    model = settings(cls)
    precision = "Precision of the layers; null is Keras' own, float32."
    model.setdefault("dtype", Setting("dtype", Dtype | None, None, precision))
    origin = "Where the pictures come from."
    data = {"source": Setting("source", Literal[tuple(SOURCES)], source, origin)}
    if source is not None:
        data |= settings(SOURCES[source], positional=True)
        swap = "Whether a and b are exchanged, for systems that only go one way."
        data["swap"] = Setting("swap", bool, False, swap)
    return {
        "model": model,
        "compile": settings(cls.compile),
        "data": data,
        "batches": settings(Dataset.batches, without=WIRED_BATCHES),
        "fit": settings(fit),
    }


class _Stated(NamedTuple):
    """A value as it came: `text` only for one from the command line."""

    value: Any
    where: str
    text: str | None = None


def load(source: str | Path | Mapping[str, Any], overrides: Iterable[str] = ()) -> Config:
    """A checked configuration.

    Args:
        source: Path of a YAML file, the name of a shipped one (`nice_gan/scenes`), or the
            values themselves.
        overrides: `section.key=value` each, the value in YAML.

    Raises:
        InputError: for anything unknown, missing or of the wrong type, naming file, line and key.
    """
    if isinstance(source, Mapping):
        document = yaml_text.Document(dict(source), {}, "the configuration")
    else:
        document = yaml_text.read(find(source))
    stated = _stated(document)
    stated.update(map(_override, overrides))
    system = _system(stated, document.origin)
    tables = schema(system, _data_source(stated))
    parts: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    for (section, *key), one in stated.items():
        if key:
            parts[section][key[0]] = _checked(section, key[0], one, tables)
    for section, table in tables.items():
        for name, setting in table.items():
            if setting.required and name not in parts[section]:
                raise InputError(
                    f"{document.origin}: `{section}.{name}` is missing;"
                    f" it takes {wanted(setting.annotation)}."
                )
    return Config(system, **parts, origin=document.origin)


def load_smoke(source: str | Path, overrides: Sequence[str]) -> Config:
    """A configuration in its smallest version; the number of steps is that version's.

    Raises:
        InputError: As `load`.
    """
    own = _of_total(overrides)
    return load(source, [one for one in overrides if one not in own]).smoke(overrides)


def _of_total(overrides: Iterable[str]) -> dict[str, _Stated]:
    """The overrides that set the number of steps, read."""
    read = {override: _override(override) for override in overrides}
    return {o: stated for o, (key, stated) in read.items() if key == ("compile", "total_steps")}


def dump(config: Config) -> str:
    """YAML text that `load` turns into the same configuration."""
    return yaml_text.dump(config.as_dict())


def _stated(document: yaml_text.Document) -> dict[tuple[str, ...], _Stated]:
    """Every value of a file by its path of one (`system`) or two keys."""
    values = document.values
    if not isinstance(values, Mapping):
        came = "nothing" if values is None else shown(values)
        raise InputError(
            f"{document.origin}: needs sections, beginning with `system: NICEGAN`, but {came} came."
        )
    stated: dict[tuple[str, ...], _Stated] = {}
    for name, part in values.items():
        where = document.where(name)
        if name == "system":
            stated[(name,)] = _Stated(part, where)
        elif name == RECORD and isinstance(part, list):
            continue
        elif name not in SECTIONS:
            raise InputError(
                f"{where}: unknown section `{brief(name)}`; {_section_for(name, values)}"
            )
        elif part is not None and not isinstance(part, Mapping):
            raise InputError(
                f"{where}: section `{name}` takes settings (`key: value`), but {shown(part)} came."
            )
        else:
            for key, value in (part or {}).items():
                stated[name, key] = _Stated(value, document.where(name, key))
    return stated


def _section_for(name: str, values: Mapping[str, Any]) -> str:
    """The way out for a word at the top level: it may be a setting that lost its section."""
    from tfi2i.models import ALL

    system = values.get("system")
    tables = schema(system, None) if isinstance(system, str) and system in ALL else {}
    for section, table in tables.items():
        if name in table:
            return f"write it as `{name}` inside the section `{section}`."
    return closest(name, ("system", *SECTIONS))


def _override(override: str) -> tuple[tuple[str, ...], _Stated]:
    """The path of keys and the value of `section.key=value`."""
    name, equals, text = override.partition("=")
    keys = tuple(name.strip().split("."))
    where = f"--set {printable(override, 200)}"
    if not equals:
        raise InputError(f"{where}: has no value; write it as --set {name}=VALUE.")
    if keys != ("system",) and (len(keys) != 2 or keys[0] not in SECTIONS):
        way_out = closest(keys[0], SECTIONS) if len(keys) == 2 else "write section.key=value."
        raise InputError(f"{where}: `{name}` names no setting; {way_out}")
    try:
        value = yaml_text.parse(text, where).values
    except InputError:
        # A path may be anything but YAML; where text is not wanted, this will not fit.
        value = yaml_text.encodable(text, where)
    return keys, _Stated(value, where, text)


def _system(stated: Mapping[tuple[str, ...], _Stated], origin: str) -> str:
    from tfi2i.models import ALL

    one = stated.get(("system",))
    if one is None:
        raise InputError(f"{origin}: `system` is missing; {closest('', ALL)}")
    return _known(one, "system", ALL)


def _data_source(stated: Mapping[tuple[str, ...], _Stated]) -> str | None:
    from tfi2i.data import SOURCES

    one = stated.get(("data", "source"))
    if one is not None:
        return _known(one, "data source", SOURCES)
    for keys, first in stated.items():
        if keys[0] == "data":
            raise InputError(f"{first.where}: `data.source` is missing; {closest('', SOURCES)}")
    return None


def _known(one: _Stated, what: str, names: Iterable[str]) -> str:
    if one.value not in list(names):
        way_out = closest(str(one.value), names)
        raise InputError(f"{one.where}: there is no {what} {shown(one.value)}; {way_out}")
    return str(one.value)


def _checked(section: str, key: str, one: _Stated, tables: Mapping[str, Mapping]) -> Any:
    setting = tables[section].get(key)
    if setting is None:
        wired = section == "batches" and key in WIRED_BATCHES
        homes = [name for name in (("model", "fit") if wired else tables) if key in tables[name]]
        way_out = f"it belongs to `{homes[0]}`." if homes else closest(key, tables[section])
        raise InputError(f"{one.where}: unknown setting `{section}.{brief(key)}`; {way_out}")
    value = one.value
    if one.text is not None and takes_text(setting.annotation) and isinstance(value, str):
        quoted = one.text.strip()[:1] in ("'", '"')
        value = value if quoted else one.text  # or YAML would cut `a #1/` and fold spaces
    try:
        return fitted(setting.annotation, value)
    except Unfit as error:
        if one.text and takes_text(setting.annotation):
            return one.text  # `--set data.root=2024` is a folder
        raise InputError(
            f"{one.where}: `{section}.{key}` {error}, but {shown(value)} came."
        ) from error


def shipped() -> dict[str, Path]:
    """The configurations that come with tfi2i, by name (`nice_gan/scenes`)."""
    package = Path(str(resources.files("tfi2i")))
    installed = package / "configs"
    root = installed if installed.is_dir() else package.parent / "configs"  # a checkout
    paths = sorted(root.glob("*/*.yaml"))
    return {path.relative_to(root).with_suffix("").as_posix(): path for path in paths}


def find(source: str | Path) -> Path:
    """The file of a path or of a shipped name.

    Raises:
        InputError: if there is neither.
    """
    path = Path(source)
    refuse_special(path)
    if path.is_file():
        return path
    known = shipped()
    name = path.as_posix().removesuffix(".yaml")
    if name in known:
        return known[name]
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give the path of a .yaml file or a shipped name.")
    raise InputError(
        f"{path}: there is no such file or shipped configuration; {closest(name, known)}"
    )
