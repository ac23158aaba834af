import copy
import json
import math
import os
import re
from base64 import b64decode
from itertools import accumulate
from statistics import NormalDist

import numpy as np
import pytest

from tfi2i.errors import InputError
from tfi2i.evaluate import study
from tfi2i.evaluate.study import Votes, make_study, preferences, read_votes, results_text
from tfi2i.pictures.files import read_picture

HOSTILE = [
    '</script><script>alert("1")</script>',
    "\"'`${name}&amp;",
    "\u202egnp.exe",
    "\udc80.png",
]
METHODS = ["nice-gan", "identity", 'a "third" <b>']


def pictures(count, side=24, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8)


def made(out, names=("p", "q", "r"), methods=METHODS[:2], **about):
    inputs, *others = (pictures(len(names), seed=seed) for seed in range(1 + len(methods)))
    about = {"question": "Which is best?", "title": "A study", **about}
    named = list(zip(methods, others, strict=True))
    return make_study(named, inputs, names, out, **about)


def data_of(page):
    html = page.read_text(encoding="utf-8")
    text = html.split('<script type="application/json" id="study">')[1].split("</script>")[0]
    return html, json.loads(text)


def ballot(chosen="xxyx", participant="0123456789abcdef", finished="2026-11-21T08:00:00.000Z"):
    methods = ["x", "y"]
    votes = [
        {"question": f"p{i}", "chosen": name, "shown": methods[:: 1 - 2 * (i % 2)], "ms": 900}
        for i, name in enumerate(chosen)
    ]
    about = {"schema": 1, "study": "f" * 16, "methods": methods, "questions": len(votes)}
    return {**about, "participant": participant, "finished": finished, "votes": votes}


def written(path, values):
    path.write_text(json.dumps(values))
    return path


def votes_of(**wins):
    n = sum(wins.values())
    chosen = dict(enumerate(name for name, count in wins.items() for _ in range(count)))
    assert len(chosen) == n
    return Votes("f" * 16, tuple(wins), {"somebody": chosen}, ())


def test_a_study_is_a_page_and_its_pictures(tmp_path):
    page = made(tmp_path / "new" / "study")
    assert page == tmp_path / "new" / "study" / "index.html"
    assert [path.name for path in page.parent.parent.iterdir()] == ["study"]  # nothing temporary
    html, data = data_of(page)
    assert [b64decode(name).decode() for name in data["methods"]] == METHODS[:2]
    for i, question in enumerate(data["questions"]):
        for seed, file in enumerate([question["input"], *question["choices"]]):
            shown = read_picture(page.parent / file).pixels
            np.testing.assert_array_equal(shown, pictures(3, seed=seed)[i])
    assert len(list((page.parent / "pictures").iterdir())) == 9
    assert not any(outside in html for outside in ("http:", "https:", "@import", "url("))


def test_neither_the_page_nor_a_file_name_gives_a_method_away(tmp_path):
    page = made(tmp_path / "study")
    html, data = data_of(page)
    assert not any(name in html for name in METHODS)
    files = [question["choices"] for question in data["questions"]]
    assert all(re.fullmatch(r"pictures/\d+\.png", file) for pair in files for file in pair)
    assert {choices[0] < choices[1] for choices in files} == {True, False}


def test_the_same_study_has_the_same_id_and_another_one_another(tmp_path):
    ids = [
        data_of(made(tmp_path / str(i), **about))[1]["id"]
        for i, about in enumerate([{}, {"seed": 1}, {"title": "B"}, {"names": "prq"}])
    ]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


def test_hostile_names_stay_text(tmp_path):
    title = "<img src=x onerror=alert(1)>"
    html, data = data_of(made(tmp_path / "study", HOSTILE, METHODS, title=title))
    assert [question["name"] for question in data["questions"]] == HOSTILE
    assert title not in html
    assert "alert(1)&gt;" in html
    assert html.count("<script") == html.count("</script>") == 2
    assert "\u202e" not in html


def test_an_empty_folder_is_filled_and_a_full_one_refused(tmp_path):
    made(tmp_path)
    with pytest.raises(InputError, match="no empty folder"):
        made(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="no empty folder"):
        made(tmp_path / "file")


def test_a_study_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(study, "write_text", full)
    with pytest.raises(InputError, match="No space left"):
        made(tmp_path / "study")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"methods": ["one"]}, "2 to 9 methods, not 1"),
        ({"methods": list("abcdefghij")}, "not 10"),
        ({"methods": ["a", "a"]}, "Two methods are called 'a'"),
        ({"methods": ["a", " "]}, "called ' '"),
        ({"methods": ["a", "\x1b[2J"]}, "printable"),
        ({"names": ("p", "q", "p")}, "Two pictures are called 'p'"),
        ({"names": ("p", "")}, "give each one"),
        ({"question": "  "}, "The question is"),
        ({"title": "\udc80"}, "valid Unicode"),
    ],
)
def test_a_study_that_cannot_be_asked_is_refused(tmp_path, wrong, message):
    with pytest.raises(InputError, match=message):
        made(tmp_path / "study", **wrong)
    assert list(tmp_path.iterdir()) == []


def test_pictures_must_fit_each_other(tmp_path):
    about = {"question": "Which?", "title": "A study"}
    one, two = pictures(3), pictures(3, seed=1)
    for bad, inputs, names, message in (
        (two[:2], one, "pqr", r"'b' are uint8 \(2, 24, 24, 3\)"),
        (two / 255, one, "pqr", "float64"),
        (two, one[0], "pqr", r"inputs is uint8 \(24, 24, 3\)"),
        (two, one, "pq", "2 names for 3 pictures"),
    ):
        with pytest.raises(InputError, match=message):
            make_study([("a", one), ("b", bad)], inputs, names, tmp_path / "study", **about)


def test_votes_of_all_participants_are_read(tmp_path):
    first = written(tmp_path / "1.json", ballot("xxyx"))
    second = written(tmp_path / "2.json", ballot("yyyy", participant="1" * 16))
    votes = read_votes([first, second])
    assert votes.methods == ("x", "y")
    assert votes.chosen["1" * 16] == dict.fromkeys(["p0", "p1", "p2", "p3"], "y")
    assert votes.chosen["0123456789abcdef"]["p2"] == "y"
    assert votes.notes == ()
    assert [(one.name, one.wins, one.n) for one in preferences(votes)] == [("y", 5, 8), ("x", 3, 8)]


def test_of_one_participants_files_the_last_finished_counts(tmp_path):
    # 07:30 at two hours east of Greenwich is before 06:00 there.
    late = written(tmp_path / "a.json", ballot("yyyy", finished="2026-11-21T06:00:00Z"))
    early = written(tmp_path / "b.json", ballot(finished="2026-11-21T07:30:00+02:00"))
    for order in ([late, early], [early, late]):
        votes = read_votes(order)
        assert set(votes.chosen["0123456789abcdef"].values()) == {"y"}
        assert len(votes.notes) == 1
        assert f"{late} was finished last and counts" in votes.notes[0]
        assert votes.notes[0] in results_text(votes, preferences(votes))


def changed(path, value):
    """A good ballot but for one entry, named by its keys; a value of ... removes it."""
    values = copy.deepcopy(ballot())
    *outer, last = path
    inside = values
    for key in outer:
        inside = inside[key]
    if value is ...:
        del inside[last]
    else:
        inside[last] = value
    return values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "no votes file"),
        ({}, "no votes file"),
        (changed(["votes"], ...), "no votes file"),
        (changed(["schema"], 2), "schema 2"),
        (changed(["study"], "../" * 6), "study is no id"),
        (changed(["participant"], 7), "participant is no id"),
        (changed(["participant"], "\x1b[2J" * 4), "participant is no id"),
        (changed(["finished"], None), "finished is no time"),
        (changed(["finished"], "2026-11-21T07:00:00"), "time zone"),
        (changed(["methods"], "xy"), "methods are no names"),
        (changed(["methods"], ["x", "y\x1b[31m"]), "methods are no names"),
        (changed(["methods"], ["x", "x"]), "different names"),
        (changed(["methods"], ["x"]), "different names"),
        (changed(["votes"], {"p0": "x"}), "as many votes as questions"),
        (changed(["votes"], []), "as many votes as questions"),
        (changed(["questions"], 5), "as many votes as questions"),
        (changed(["votes", 1], "x"), "vote 2 is on no picture"),
        (changed(["votes", 1, "question"], ["p1"]), "vote 2 is on no picture"),
        (changed(["votes", 1, "question"], "p" * 999), "vote 2 is on no picture"),
        (changed(["votes", 1, "question"], "p0"), "two votes are on 'p0'"),
        (changed(["votes", 3, "chosen"], "z"), "vote 4 is for no method"),
        (changed(["votes", 3, "chosen"], ["x"]), "vote 4 is for no method"),
        (changed(["votes", 3, "shown"], ["x"]), "vote 4 did not show"),
        (changed(["votes", 3, "shown"], ["x", {}]), "vote 4 did not show"),
        (changed(["votes", 3, "shown"], ...), "vote 4 did not show"),
    ],
)
def test_hostile_votes_are_refused(tmp_path, values, message):
    with pytest.raises(InputError, match=message) as refused:
        read_votes([written(tmp_path / "votes.json", values)])
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe\x00\xd8", "no JSON"),
        (b"[" * 200_000, "no JSON"),
        (b"9" * 10_000, "no JSON"),
        (b" " * (study.MAX_BYTES + 1), "larger than 16 MB"),
    ],
    ids=["empty", "no text", "deep", "long number", "large"],
)
def test_what_is_no_votes_file_is_refused(tmp_path, content, message):
    path = tmp_path / "votes.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_votes([path])


def test_files_that_are_not_there_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # to open it would wait for ever
    for paths in ([], [tmp_path], [tmp_path / "none.json"], [tmp_path / "pipe"]):
        with pytest.raises(InputError, match="no votes file"):
            read_votes(paths)


def test_votes_of_two_studies_are_not_mixed(tmp_path):
    first = written(tmp_path / "1.json", ballot())
    for values, message in (
        (changed(["study"], "e" * 16), "give votes of one study"),
        (changed(["methods"], ["y", "x"]), "leave out the one that was changed"),
        (ballot("xxyxx"), "leave out the one that was changed"),
    ):
        with pytest.raises(InputError, match=message):
            read_votes([first, written(tmp_path / "2.json", values)])


@pytest.mark.parametrize(
    ("wins", "losses"), [(0, 1), (1, 0), (5, 5), (31, 9), (0, 40), (613, 700), (2900, 3000)]
)
def test_intervals_end_where_the_score_test_does_and_p_values_are_exact(wins, losses):
    votes, n = votes_of(x=wins, y=losses), wins + losses
    ways = list(accumulate(range(n), lambda ways, k: ways * (n - k) // (k + 1), initial=1))
    as_uneven = sum(ways[k] for k in range(n + 1) if abs(2 * k - n) >= abs(wins - losses))
    for level in (0.5, 0.95, 0.999):
        z = NormalDist().inv_cdf((1 + level) / 2)
        for one in preferences(votes, level=level):
            assert one.share == one.wins / n
            for end in (one.low, one.high):
                deviation = z * math.sqrt(end * (1 - end) / n)
                assert abs(one.share - end) == pytest.approx(deviation, abs=1e-12)
            assert one.low <= one.share <= one.high
            assert one.low < one.high
            assert one.p_value == pytest.approx(as_uneven / 2**n, rel=1e-9)


def test_a_p_value_too_small_for_a_number_is_zero():
    assert preferences(votes_of(x=0, y=3000))[0].p_value == 0


def test_levels_out_of_range_are_refused():
    for level in (0, 1, 95, math.nan):
        with pytest.raises(InputError, match="level is"):
            preferences(votes_of(x=1, y=2), level=level)


@pytest.mark.parametrize(
    ("wins", "sentence"),
    [
        ({"x": 11, "y": 9}, r"difference can be chance \(p = 0.82, exact"),
        ({"x": 31, "y": 9}, r"x is preferred, and that is hardly chance \(p = 0.00068, exact"),
        ({"x": 0, "y": 90}, r"y is preferred, and that is hardly chance \(p < 0.0001, exact"),
        (
            {"x": 7, "y": 9, "z": 8},
            "can be chance: no interval leaves out the 33.3 % that 3 methods",
        ),
        (
            {"x": 50, "y": 9, "z": 8},
            "x is chosen more often and y, z are chosen less often than the",
        ),
    ],
)
def test_the_verdict_says_what_can_be_chance(wins, sentence):
    votes = votes_of(**wins)
    text = results_text(votes, preferences(votes))
    assert re.search(sentence, text)
    assert f"1 participant, {sum(wins.values())} questions each" in text
    assert "counted as independent" in text


def test_the_table_is_aligned():
    votes = votes_of(**{"a longer name": 9, "y": 31})
    assert results_text(votes, preferences(votes, level=0.9)).splitlines()[:3] == [
        "method         votes   share     90 % interval",
        "y                 31  77.5 %  65.1 % to 86.4 %",
        "a longer name      9  22.5 %  13.6 % to 34.9 %",
    ]


class Visit:
    """A page of a study in a phone-sized window, and what a participant does there."""

    def __init__(self, browser, path, script=None):
        self.errors = []
        self.page = browser.new_page(viewport={"width": 360, "height": 640})
        self.page.on("console", lambda message: self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        if script:
            self.page.add_init_script(script)
        self.page.goto(path.as_uri())

    def wait_for(self, number, count):
        """Waits until a question takes votes; returns the files of its input and its choices."""
        self.page.wait_for_function(
            f"find('progress').textContent === '{number} of {count}'"
            " && since !== null && performance.now() - since >= PAUSE"
        )
        self.no_overflow()
        files = self.page.eval_on_selector_all("#stage img", "all => all.map(i => i.src)")
        assert not any(name in self.page.inner_text("body") for name in METHODS)
        return files[0].split("/study/")[1], [file.split("/study/")[1] for file in files[1:]]

    def no_overflow(self):
        assert self.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_participant_votes_goes_back_reloads_and_saves(tmp_path, browser):
    names = ["p", *HOSTILE]
    page_file = made(tmp_path / "study", names, METHODS, question="Which is best? " * 5)
    data = data_of(page_file)[1]
    by_input = {one["input"]: one for one in data["questions"]}
    visit = Visit(browser, page_file)
    page, cast, orders = visit.page, {}, {}

    def vote(number, place, by_key):
        shown, choices = visit.wait_for(number, 5)
        one = by_input[shown]
        cast[one["name"]] = METHODS[one["choices"].index(choices[place])]
        orders[one["name"]] = [METHODS[one["choices"].index(choice)] for choice in choices]
        if by_key:
            page.keyboard.press(str(place + 1))
        else:
            page.get_by_role("button", name=f"Choose translation {place + 1}").click()

    visit.no_overflow()
    page.get_by_label("Your name").fill("Ann 1")
    page.keyboard.press("Enter")
    vote(1, 2, by_key=True)
    visit.wait_for(2, 5)
    page.dblclick(".choice >> nth=0")
    visit.wait_for(3, 5)  # a double click is one vote
    page.keyboard.press("Backspace")
    vote(2, 1, by_key=False)
    before = visit.wait_for(3, 5)
    page.reload()
    assert visit.wait_for(3, 5) == before
    vote(3, 0, by_key=True)
    vote(4, 1, by_key=False)
    vote(5, 0, by_key=False)
    visit.no_overflow()
    page.get_by_role("button", name="Back to the last question").click()
    vote(5, 2, by_key=True)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save my votes").click()
    assert re.fullmatch(r"votes-[0-9a-f]{8}\.json", download.value.suggested_filename)
    path = tmp_path / "votes.json"
    download.value.save_as(path)
    saved = json.loads(path.read_text(encoding="utf-8"))
    assert json.loads(page.input_value("#votes")) == saved
    assert saved["name"] == "Ann 1"
    assert saved["title"] == "A study"
    assert {one["question"]: one["shown"] for one in saved["votes"]} == orders
    assert all(300 <= one["ms"] < 60_000 for one in saved["votes"])
    votes = read_votes([path])
    assert votes.study == data["id"]
    assert votes.chosen == {saved["participant"]: cast}
    wins = {one.name: one.wins for one in preferences(votes)}
    assert wins == {name: list(cast.values()).count(name) for name in METHODS}
    assert visit.errors == []
    page.close()


def test_a_second_tab_takes_over(tmp_path, browser):
    visit = Visit(browser, made(tmp_path / "study"))
    visit.page.click("#start")
    visit.wait_for(1, 3)
    with visit.page.expect_popup() as popup:
        visit.page.evaluate("void open(location.href)")
    popup.value.wait_for_function("since !== null && performance.now() - since >= PAUSE")
    popup.value.keyboard.press("1")
    visit.wait_for(2, 3)
    assert visit.errors == []
    visit.page.context.close()


def test_without_storage_the_page_works_and_says_that_nothing_is_kept(tmp_path, browser):
    refused = "Object.defineProperty(window, 'localStorage', {get() {throw new Error('no')}})"
    visit = Visit(browser, made(tmp_path / "study", ["p"]), refused)
    assert "does not keep your answers" in visit.page.inner_text("body")
    visit.page.locator("body").click()
    visit.page.keyboard.press("Space")
    visit.wait_for(1, 1)
    visit.page.keyboard.press("2")
    (tmp_path / "votes.json").write_text(visit.page.input_value("#votes"))
    assert len(read_votes([tmp_path / "votes.json"]).chosen) == 1
    assert visit.errors == []
    visit.page.close()


def test_nothing_is_chosen_while_a_picture_is_missing(tmp_path, browser):
    page_file = made(tmp_path / "study", ["p"])
    (page_file.parent / data_of(page_file)[1]["questions"][0]["choices"][1]).unlink()
    page = Visit(browser, page_file).page
    page.click("#start")
    page.get_by_text("cannot be shown").wait_for()
    assert all(button.is_disabled() for button in page.locator(".choice").all())
    page.wait_for_timeout(350)
    page.keyboard.press("1")
    assert page.is_visible("#asking")
    page.close()


def test_every_order_is_as_likely(tmp_path, browser):
    page = Visit(browser, made(tmp_path / "study")).page
    orders = page.evaluate(
        "Array.from({length: 6000}, (_, i) => order(`${study.id}/${i}`, 3).join())"
    )
    counts = [orders.count(one) for one in set(orders)]
    assert len(counts) == 6
    assert max(abs(count - 1000) for count in counts) < 145  # five standard deviations
    page.close()


def test_small_pictures_are_enlarged_sharply_and_large_ones_smoothly(tmp_path, browser):
    for side, rendering in ((24, "pixelated"), (200, "auto")):
        about = {"question": "Which?", "title": str(side)}
        one, two = pictures(1, side), pictures(1, side, seed=1)
        study_page = make_study([("a", one), ("b", two)], one, "p", tmp_path / str(side), **about)
        page = Visit(browser, study_page).page
        page.click("#start")
        image = page.locator("#input")
        assert image.evaluate("one => getComputedStyle(one).imageRendering") == rendering
        width = image.bounding_box()["width"]
        assert width >= 120
        assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")
        assert not page.is_visible("#stage.beside")
        page.set_viewport_size({"width": 1000, "height": 500})
        page.locator("#stage.beside").wait_for()
        assert rendering == "auto" or width % side == 0
        page.close()
