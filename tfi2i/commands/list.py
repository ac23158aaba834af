"""The verb that shows systems, settings and configurations: list."""

import argparse
import shutil
import textwrap
from pathlib import Path
from typing import Any

from tfi2i.commands.arguments import SYSTEM_HELP, add_verb


def add(verbs) -> None:
    """Adds `tfi2i list`."""
    verb = add_verb(
        verbs,
        run,
        "list",
        "show systems, their settings and the shipped configurations",
        "Without SYSTEM: one line a system, one a configuration. With it: every setting of every\n"
        "section of a configuration, with default, type, range and meaning.",
        "  tfi2i list\n  tfi2i list CycleGAN",
    )
    verb.add_argument("system", metavar="SYSTEM", nargs="?", help=SYSTEM_HELP)


def run(arguments: argparse.Namespace) -> int:
    """Shows all systems and configurations, or the settings of one system."""
    from tfi2i.config import config as configs
    from tfi2i.models import ALL

    if arguments.system is not None:
        _print_system(configs.system_class(arguments.system))
        return 0
    print("Systems (`tfi2i list SYSTEM` shows the settings):")
    for name, cls in ALL.items():
        print(f"  {name:12} {_first_line(cls)}")
    print("\nConfigurations (`tfi2i train NAME`):")
    known = configs.shipped()
    width = max(map(len, known), default=0)
    for name, path in known.items():
        print(f"  {name:{width}}  {_header(path)}")
    return 0


def _print_system(cls: Any) -> None:
    from tfi2i.config import config as configs
    from tfi2i.data import SOURCES

    print(f"{cls.__name__}: {_first_line(cls)}")
    sections = configs.schema(cls.__name__, None)
    _print_section("model", "what changes the weights", sections["model"])
    _print_section("compile", "what changes only the training", sections["compile"])
    for source in SOURCES:
        table = configs.schema(cls.__name__, source)["data"]
        table.pop("source")
        _print_section("data", f"with `source: {source}`", table)
    _print_section("batches", "how pictures become batches", sections["batches"])
    _print_section("fit", "the course of a training", sections["fit"])
    print("\nConfigurations:")
    for name, path in configs.shipped().items():
        if configs.load(path).system == cls.__name__:
            print(f"  {name}: {_header(path)}")


def _print_section(name: str, about: str, table: dict[str, Any]) -> None:
    from tfi2i.limits import shown, wanted

    print(f"\n{name}: ({about})")
    width = min(shutil.get_terminal_size().columns, 100) - 6
    for setting in table.values():
        default = "required" if setting.required else shown(setting.default)
        print(f"  {setting.name}: {default}  ({wanted(setting.annotation)})")
        for line in textwrap.wrap(setting.doc, width):
            print(f"      {line}")


def _first_line(cls: Any) -> str:
    return (cls.__doc__ or "").strip().partition("\n")[0]


def _header(path: Path) -> str:
    """Returns the first line of a configuration's comment."""
    with path.open(encoding="utf-8") as file:
        line = file.readline().strip()
    return line.removeprefix("#").strip() if line.startswith("#") else ""
