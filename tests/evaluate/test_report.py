import base64
import copy
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from tfi2i.errors import InputError
from tfi2i.evaluate.charts import MOST_POINTS, kid_chart, loss_chart
from tfi2i.evaluate.report import Pictures, Row, write_report

HOSTILE = "</script><img src=x onerror=alert(1)>\"'&\u202egnp.\udcff"
VOID = {"meta", "img", "input", "br"}


def score(kid, spread, fid, l1=None, **more):
    paired = None
    if l1 is not None:
        paired = {"l1": l1, "psnr_db": 17.21, "ssim": 0.612}
        paired |= {"retrieval_top1": 0.93, "retrieval_chance": 0.005}
    low, high = kid - spread, kid + spread
    return {"kid": kid, "kid_low": low, "kid_high": high, "fid": fid, "paired": paired, **more}


def direction():
    aside = {"cycle_l1": 0.0519, "copying": {"l1": 0.31}, "notes": []}
    aside |= {"memorising": {"fake": 0.21, "real": 0.25}, "diversity": {"fake": 0.5, "real": 0.52}}
    return {
        "n": {"translated": 200, "real": 198, "train": 1000},
        "floor": score(0.0011, 0.0005, 6.1),
        "trivial": {
            "identity": score(0.0613, 0.004, 112.3, 0.338),
            "colour_statistics": score(0.0555, 0.003, 99.4, 0.215),
        },
        "checkpoints": {
            "last": score(0.00423, 0.0003, 14.2, 0.101, step=2400, **aside),
            "best": score(0.00301, 0.0003, 13.9, 0.104, step=2000, **aside),
        },
    }


def evaluation(**changed):
    return {
        "schema": 1,
        "run": "00001-nicegan-demo",
        "path": "runs/00001-nicegan-demo",
        "system": "NICEGAN",
        "data": "scenes",
        "paired": True,
        "command": "tfi2i evaluate runs/00001-nicegan-demo --seed 7",
        "date": "2026-11-21T07:00:00+00:00",
        "seconds": 61.2,
        "environment": {"tfi2i": "0.1.0", "versions": {"tensorflow": "2.21.0"}},
        "config": {"system": "NICEGAN", "model": {"image_size": 64, "light": True}},
        "protocol": {
            "name": "default",
            "backbone": "efficientnet-lite0",
            "dimensions": 1280,
            "resizing": "bicubic, antialiased, to 224 x 224",
            "image_size": 64,
            "kid": "unbiased, all pairs",
            "seed": 7,
        },
        "warnings": ["FID of 200 against 198 images is <large>."],
        "directions": {"a2b": direction(), "b2a": direction()},
    } | changed


def pixels(seed, side=16):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)


def row(name="one.png", side=16, **changed):
    given = [pixels(seed, side) for seed in range(6)]
    fakes = {"last": given[1], "best": given[2]}
    return Row(name, 0.1234, given[0], fakes, *given[3:])._replace(**changed)


def pictures(*rows):
    return Pictures(list(rows), list(rows[:1]), list(rows[-1:]), "L1 to the truth")


METRICS = [
    {"step": 50, "g_cycle": 0.7, "d_local": None, "val_kid_a2b": 0.03, "learning_rate": 1},
    {"step": 100, "g_cycle": 0.5, "d_local": 0.9},
    {"step": 150, "g_cycle": 0.4, "d_local": 0.8, "val_kid_a2b": 0.0052, "val_kid_b2a": None},
]


class Page(HTMLParser):
    """The tags with their attributes and the text of a page; tags have to be closed in order."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.words, self._open = [], [], []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert self._open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] not in ("script", "style"):
            self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def written(path, values=None, metrics=METRICS, shown=None):
    shown = {"a2b": pictures(row()), "b2a": pictures(row())} if shown is None else shown
    write_report(path, values or evaluation(), metrics, shown)
    return Page(path)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "report.html"


def test_figures_stand_in_the_report_as_they_are(path):
    text = written(path).text
    for expected in (
        "4.23 3.93 to 4.53",  # KID x 1000 and its interval
        "14.2",
        "0.101",
        "17.2",
        "0.612",
        "93.0 % (0.5 %)",
        "0.052",
        "0.210 84 % of real",
        "0.500 96 % of real",
        "efficientnet-lite0, bicubic, antialiased, to 224 x 224, seed 7",
        "200 translations from a against 198 real test pictures of b",
        "1000 training pictures of b",
        "tfi2i evaluate runs/00001-nicegan-demo --seed 7",
        "model.image_size 64",
        "versions.tensorflow 2.21.0",
        "FID of 200 against 198 images is <large>.",
        "one.png L1 to the truth 0.123",
    ):
        assert expected in text, expected


def test_the_verdict_sets_the_last_checkpoint_against_floor_and_trivial_answers(path):
    assert (
        "a to b : KID 4.23 (real pictures 1.10, the input itself 61.30, colour transfer 55.50); "
        "L1 0.101 against 0.215 of the best trivial answer (colour transfer)."
    ) in written(path).text


@pytest.mark.parametrize(
    ("kid", "said"),
    [
        (0.0015, "not distinguishable from real pictures by this measure"),
        (0.0558, "no better than colour transfer"),
    ],
)
def test_a_very_good_and_a_useless_kid_are_called_so(path, kid, said):
    values = evaluation()
    assert said not in written(path, values).text
    values["directions"]["b2a"]["checkpoints"]["last"]["kid"] = kid
    assert said in written(path, values).text


@pytest.mark.parametrize(
    ("best", "said"),
    [
        ((0.0030, 0.0027, 0.0033), "the best checkpoint is better, by more than"),
        ((0.0050, 0.0047, 0.0053), "the last checkpoint is better, by more than"),
        ((0.0041, 0.0038, 0.0044), "the intervals overlap"),
        ((0.0041, None, None), "without intervals"),
    ],
)
def test_which_checkpoint_is_better_is_said_only_if_the_intervals_tell(path, best, said):
    values = evaluation(directions={"a2b": direction()})
    values["directions"]["a2b"]["checkpoints"]["best"] |= dict(
        zip(("kid", "kid_low", "kid_high"), best, strict=True)
    )
    assert said in written(path, values).text


def test_a_protocol_without_intervals_shows_its_deviation(path):
    values = evaluation()
    bare = {"kid_low": None, "kid_high": None, "kid_std": 0.00051}
    values["directions"]["a2b"]["checkpoints"]["last"] |= bare
    assert "4.23 ± 0.51" in written(path, values).text


def test_notes_of_a_checkpoint_say_whose_they_are(path):
    values = evaluation()
    values["directions"]["b2a"]["checkpoints"]["best"]["notes"] = ["The outputs are alike."]
    assert "b to a, best checkpoint: The outputs are alike." in written(path, values).text


def test_a_grid_stands_among_the_checks_beside_real_pictures(path):
    values = evaluation()
    assert "of period" not in written(path, values).text  # of before it was measured
    last = values["directions"]["a2b"]["checkpoints"]["last"]
    last["grid"] = {"2": {"fake": 3.3, "real": 1.1}, "4": {"fake": 0.9, "real": 1.0}}
    text = written(path, values).text
    assert "Grid of period 2 3.300 300 % of real" in text
    assert "Grid of period 4 0.900 90 % of real" in text


def test_measures_are_explained_in_heads_and_below(path):
    page = written(path)
    heads = [tag["title"] for tag in page.all("th") if "title" in tag]
    assert len(heads) == 2 * 7
    assert all(head.endswith(("Lower is better.", "Higher is better.")) for head in heads)
    assert "KID × 1000, lower is better" in page.text
    assert "SSIM, higher is better" in page.text


def test_what_is_null_leaves_its_part_out(path):
    values = evaluation(warnings=[], directions={"b2a": direction()})
    result = values["directions"]["b2a"]
    del result["checkpoints"]["best"]
    for key in ("paired", "cycle_l1", "copying", "memorising", "diversity", "kid_low", "fid"):
        result["checkpoints"]["last"][key] = None
    for trivial in result["trivial"].values():
        trivial["paired"] = None
    page = written(path, values, metrics=[], shown={})
    assert "KID 4.23" in page.text
    gone = ("a to b", "L1 0", "PSNR", "SSIM", "Retrieval", "There and back", "Copying", "Best")
    for word in (*gone, "Losses", "while training", "Side by side", "None", "nan"):
        assert word not in page.text, word
    assert page.all("img") == []
    bare = row(cycle=None, attention=None, truth=None, fakes={"last": pixels(1)})
    page = written(path, values, metrics=[], shown={"b2a": Pictures([bare], [], [], "L1")})
    assert [tag["alt"] for tag in page.all("img")] == [
        "Input of one.png",
        "Translation, last of one.png",
    ]
    assert page.all("input") == []


def test_words_from_outside_are_text(path):
    values = evaluation(run=HOSTILE, command=HOSTILE, warnings=[HOSTILE])
    values["config"] = {HOSTILE: {HOSTILE: HOSTILE}}
    metrics = [{"step": 1, HOSTILE: 3.0, f"g_{HOSTILE}": 2.0, "g_$x": 1.0}]
    page = written(path, values, metrics, {"a2b": pictures(row(HOSTILE))})
    assert len(page.all("script")) == 1
    assert not any(key.startswith("on") for _, attributes in page.tags for key in attributes)
    assert all(tag["src"].startswith("data:image/") for tag in page.all("img"))
    assert HOSTILE.replace("\udcff", "\\udcff") in page.text


def test_nothing_is_fetched_from_elsewhere(path):
    page = written(path)
    for _, attributes in page.tags:
        for key in ("src", "srcset", "data", "action", "poster"):
            assert attributes.get(key, "data:").startswith("data:")
        for key in ("href", "xlink:href"):
            assert attributes.get(key, "#").startswith("#")
    assert not page.all("link")
    assert "@import" not in page.source
    assert set(re.findall(r"url\((.)", page.source)) <= {"#"}
    [policy] = [tag["content"] for tag in page.all("meta") if "http-equiv" in tag]
    assert policy.startswith("default-src 'none'")


def test_ids_differ(path):
    ids = [attributes["id"] for _, attributes in written(path).tags if "id" in attributes]
    assert len(ids) > 20
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(("side", "kind"), [(16, "PNG"), (96, "PNG"), (97, "WEBP")])
def test_small_pictures_are_embedded_without_loss_and_large_ones_as_webp(path, side, kind):
    smooth = np.tile(np.linspace(0, 255, side).astype(np.uint8)[:, None, None], (1, side, 3))
    page = written(path, shown={"a2b": Pictures([row(real=smooth)], [], [], "L1")})
    source = page.all("img")[0]["src"]
    with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as image:
        assert image.format == kind
        shown = np.asarray(image.convert("RGB"))
    np.testing.assert_allclose(shown, smooth, atol=0 if kind == "PNG" else 4)


@pytest.mark.parametrize("bad", [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8)])
def test_a_bad_picture_is_named_and_leaves_the_old_report(path, bad):
    written(path)
    before = path.read_bytes()
    shown = {"a2b": pictures(row()), "b2a": pictures(row(), row("two.png", truth=bad))}
    with pytest.raises(InputError, match=r"Truth of 'two.png' \(b to a\) is .* give uint8"):
        write_report(path, evaluation(run="another"), METRICS, shown)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_an_evaluation_of_another_schema_is_refused(path):
    with pytest.raises(InputError, match="schema 2 and the report reads 1"):
        write_report(path, evaluation(schema=2), METRICS, {})
    assert not path.exists()


def test_writing_twice_gives_the_same_bytes_and_changes_no_argument(path):
    values = evaluation()
    given = copy.deepcopy(values)
    first = written(path, values).source
    assert written(path, values).source == first
    assert values == given


def test_curves_show_what_was_measured_and_in_the_colour_of_the_text(path):
    page = written(path)
    labels = [tag["aria-label"] for tag in page.all("div") if tag.get("role") == "img"]
    assert labels == [
        "KID over steps, a to b, lowest at step 150: 5.20",
        "g_cycle over steps",
        "d_local over steps",
    ]
    chart = kid_chart("kid", [50, 150], [0.03, -0.0002], {"real pictures": 0.001}, 150)
    assert {"translations", "real pictures", "best checkpoint, step 150"} <= set(
        re.findall(r">([^<]+)</text>", chart)
    )
    colours = set(re.findall(r"(?:fill|stroke): ([#\w]+)", chart))
    assert "currentColor" in colours
    assert not colours & {"#000000", "#ffffff", "#010203", "black", "white"}


def test_a_long_training_is_drawn_by_means_and_a_gap_stays_one():
    def points(losses):
        chart = loss_chart("g", range(len(losses)), losses)
        lines = re.findall(r'<path d="([^"]*)" clip-path[^>]*#3d85d8', chart)
        return sum(line.count("L ") + line.count("M ") for line in lines)

    noise = np.random.default_rng(0).normal(size=8 * MOST_POINTS).tolist()
    assert MOST_POINTS / 2 < points(noise) <= MOST_POINTS
    gap = loss_chart("g", range(6), [1.0, 2.0, 1.0, None, 2.0, 1.0])
    [line] = re.findall(r'<path d="([^"]*)" clip-path[^>]*#3d85d8', gap)
    assert line.count("M ") == 2


@pytest.mark.parametrize("width", [1440, 390])
def test_in_a_browser_it_fits_and_pictures_can_be_looked_at(path, browser, width):
    name = "a" * 300 + ".png"
    written(path, evaluation(run="r" * 200), shown={"a2b": pictures(row(name), row())})
    page = browser.new_page(viewport={"width": width, "height": 800})
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(path.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width

    overlay = page.locator(".row .overlay").first
    assert not overlay.is_visible()
    page.get_by_label("where the network looks").focus()
    page.keyboard.press("Space")
    assert overlay.is_visible()

    page.locator(".enlarge").first.click()
    large = page.locator("dialog img")
    assert large.first.bounding_box()["width"] > 300
    assert large.nth(1).is_visible()  # the attention
    assert page.locator("dialog").inner_text().startswith(f"Input of {name}")
    page.keyboard.press("ArrowRight")
    assert page.locator("dialog").inner_text().startswith("Translation, last")
    assert page.locator("dialog button").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()
    assert page.evaluate("document.activeElement.className") == "enlarge"
    assert complaints == []
    page.close()
