"""A comparison to look at: a table for the terminal and for Markdown, and one picture."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Column, Table

from tfi2i.benchmark.measuring import COMMON_SIDE
from tfi2i.conditions import BOTH_WAYS, Direction, values_of
from tfi2i.config import building
from tfi2i.config import config as configs
from tfi2i.data.domains import Pixels
from tfi2i.files import to_json
from tfi2i.pictures import sheets
from tfi2i.pictures.channels import in_channels
from tfi2i.pictures.pixels import in_order, run_over
from tfi2i.pictures.sizes import size_text
from tfi2i.runs.run import Run

COLUMNS = 6
LABEL_LETTERS = 12  # in a row of the picture's labels
NOTHING = "-"
COST_HEADINGS = ("parameters", "GMAC", "batch", "memory, MB", "time of a step")
FIGURE_HEADINGS = ("KID x 1000", "L1", "share of trivial")
NOTES = """\
Parameters: of all translators / of all that is trained. GMAC: billions of multiply-accumulates \
from one picture a to b, at the side that the system is trained on / at 256; each multiplication \
of a convolution or matrix product once, nothing else. Memory: the most that training adds to a \
process. Time of a step: loading included, in units of {reference}; the quickest of rounds that \
take the systems in turn, and the range over rounds."""
TRAINING_NOTES = """\
Trained with seed {seed} for {length}, of which the last step is measured, {ways}. KID: \
efficientnet-lite0, 95 % bootstrap interval. L1: mean distance to the truth, 0 to 1; its share of \
the best answer that learns nothing."""


def _trained(comparison: dict[str, Any]) -> bool:
    return any("training" in entry for entry in comparison["systems"])


def _cost(entry: dict[str, Any]) -> list[str]:
    size, cost = entry["size"], entry["cost"]
    parameters = [f"{size['parameters'][key] / 1e6:.2f} M" for key in ("translators", "trained")]
    macs = [size["macs"][size_text(one)] for one in (size["image_size"], COMMON_SIDE)]
    memory = cost["memory_mb"]
    return [
        " / ".join(parameters),
        " / ".join(NOTHING if count is None else f"{count / 1e9:.3g}" for count in macs),
        str(entry["batch_size"]),
        NOTHING if memory is None else f"{memory:,.0f}",
        f"{cost['ratio']:.2f} ({cost['ratio_low']:.2f} to {cost['ratio_high']:.2f})",
    ]


def _training(entry: dict[str, Any]) -> str:
    if "training" not in entry:
        return NOTHING
    steps, seconds = entry["training"]["steps"], entry["training"]["seconds"]
    return f"{steps:,} steps in {seconds / 60:.1f} min"


def _figures(entry: dict[str, Any], direction: str) -> list[str]:
    """KID, L1 and share of a direction, or of one that there is not."""
    found = entry.get("training", {"directions": {}})["directions"].get(direction)
    if found is None:
        return [NOTHING] * len(FIGURE_HEADINGS)
    low, high = found["kid_low"], found["kid_high"]
    interval = "" if low is None else f" ({1000 * low:.1f} to {1000 * high:.1f})"
    return [
        f"{1000 * found['kid']:.1f}{interval}",
        f"{found['l1']:.3f}" if "l1" in found else NOTHING,
        f"{found['of_best_trivial']:.2f}" if "l1" in found else NOTHING,
    ]


def machine(comparison: dict[str, Any]) -> str:
    """Describes the machine of the figures, in words."""
    size = comparison["systems"][0]["size"]
    record = size["record"]
    kinds = [one["kind"] for one in record["devices"] if one["kind"] != "CPU"]
    processor = f"{record['cpus']} CPU cores ({size['processor'] or 'of unknown kind'})"
    versions = f"TensorFlow {record['versions']['tensorflow']}, tfi2i {record['versions']['tfi2i']}"
    return ", ".join([*kinds, processor, versions])


def _ways(comparison: dict[str, Any]) -> dict[str, str]:
    """The directions of all systems by name, in words; of two domains always both."""
    names = dict.fromkeys(d for one in comparison["systems"] for d in one["size"]["directions"])
    both = {way.name: f"{way.source} to {way.target}" for way in BOTH_WAYS}
    return both if names.keys() <= both.keys() else {name: both.get(name, name) for name in names}


def _notes(comparison: dict[str, Any]) -> list[str]:
    options = comparison["options"]
    notes = [NOTES.format(**options)]
    if _trained(comparison):
        minutes = f"as many steps as should take {options['minutes']:g} minutes"
        length = "some steps to see that it runs" if options["smoke"] else minutes
        ways = " / ".join(_ways(comparison).values())
        notes.append(TRAINING_NOTES.format(seed=options["seed"], length=length, ways=ways))
    return notes


def tables(comparison: dict[str, Any]) -> list[Table]:
    """The comparison for the terminal: what the systems cost, and what came of their training."""

    def table(left: Sequence[str], right: Sequence[str], title: str) -> Table:
        numbers = [Column(heading, justify="right") for heading in right]
        return Table(Column("configuration", no_wrap=True), *left, *numbers, title=title)

    cost = table((), COST_HEADINGS, escape(machine(comparison)))
    for entry in comparison["systems"]:
        cost.add_row(*map(escape, [entry["name"], *_cost(entry)]))
    if not _trained(comparison):
        return [cost]
    training = table(("training", ""), FIGURE_HEADINGS, "after training, on test pictures")
    for entry in comparison["systems"]:
        about = [entry["name"], _training(entry)]
        for direction in entry["size"]["directions"]:
            training.add_row(*map(escape, [*about, direction, *_figures(entry, direction)]))
            about = ["", ""]
    return [cost, training]


def markdown(comparison: dict[str, Any]) -> str:
    """The comparison as a Markdown table, with how it was made below it."""
    trained = _trained(comparison)
    headings = ["system", "configuration", *COST_HEADINGS]
    if trained:
        headings += ["training", *FIGURE_HEADINGS]
    lines = [headings, ["---"] * 2 + ["---:"] * (len(headings) - 2)]
    for entry in comparison["systems"]:
        lines.append([entry["system"], entry["name"], *_cost(entry)])
        if trained:
            every = zip(*(_figures(entry, name) for name in _ways(comparison)), strict=True)
            lines[-1] += [_training(entry), *map(" / ".join, every)]
    drawn = [f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines]
    command = comparison["command"].replace("`", "'")
    about = f"Measured by `{command}` on {machine(comparison)}."
    return "\n\n".join(["\n".join(drawn), about, *_notes(comparison)]) + "\n"


def picture(comparison: dict[str, Any], out: Path) -> Pixels:
    """Test pictures, what every system makes of them, and the truth, in its first direction.

    Systems whose pictures are the same stand between one row of inputs and one of truths.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    stated = comparison["options"]["systems"]
    for entry in comparison["systems"]:
        config = stated[entry["name"]]
        way = _first_way(config)
        shown = [config["data"], config["model"]["image_size"], config["batches"]["aspect"]]
        groups.setdefault(to_json([*shown, way.source, way.target]), []).append(entry)
    systems = [entry["system"] for entry in comparison["systems"]]
    drawn: list[tuple[str, Pixels]] = []
    for entries in groups.values():
        config = stated[entries[0]["name"]]
        inputs, truths = _test_pictures(config, _first_way(config))
        if inputs is not None:
            drawn.append(("input", inputs))
        for entry in entries:
            one_of_two = systems.count(entry["system"]) > 1
            label = textwrap.fill(entry["name" if one_of_two else "system"], LABEL_LETTERS)
            drawn.append((label, _translated(Run(out / "runs" / entry["folder"]), inputs)))
        if truths is not None:
            drawn.append(("truth", truths))
    return sheets.grid(drawn, sheets.scale_for(drawn[0][1].shape[1:3]))


def _first_way(values: dict[str, Any]) -> Direction:
    return configs.system_class(values["system"]).directions_of(values["model"])[0]


def _translated(run: Run, inputs: Pixels | None) -> Pixels:
    """The pictures that a run's first network makes, with sampled values of its conditions."""
    count = COLUMNS if inputs is None else len(inputs)
    values = values_of(run.conditions(), count, target=run.directions[0].target)
    network = run.network()
    if inputs is not None:
        inputs = in_channels(inputs, network.inputs[0].shape[-1])
    return run_over(in_order(network), inputs, values=values)


def _test_pictures(values: dict[str, Any], way: Direction) -> tuple[Pixels | None, Pixels | None]:
    """The first test pixels (N, H, W, 3) of the source and, where they are known, their truths."""
    config = configs.load(values)
    data, aspect = building.build_data(config), values["batches"]["aspect"]
    side = values["model"]["image_size"]

    def first(domain: str) -> Pixels:
        return data.pixels("test", domain, side, aspect=aspect, limit=COLUMNS, seed=None)[0]

    known = "test" in data.paired and way.source in data.test and way.target in data.test
    inputs = None if way.source is None else first(way.source)
    return inputs, first(str(way.target)) if known else None
