"""Checks the Android app's manifest, texts, layouts and versions, without building it."""

import importlib
import itertools
import json
import re
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tfi2i_export.graph.fold import fold
from tfi2i_export.signatures import of_file
from tfi2i_export.tflite.conversion import convert
from tfi2i_export.tflite.pictures import TFLitePictureTranslator

ROOT = Path(__file__).parents[2] / "android_demo"
MAIN = ROOT / "app" / "src" / "main"
RES = MAIN / "res"
ANDROID = "{http://schemas.android.com/apk/res/android}"
KOTLIN = {
    path: path.read_text(encoding="utf-8") for path in sorted((ROOT / "app" / "src").rglob("*.kt"))
}
APP = "\n".join(text for path, text in KOTLIN.items() if path.is_relative_to(MAIN))
GRADLE = {
    path: path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("**/build.gradle.kts"))
}
CATALOG = tomllib.loads((ROOT / "gradle" / "libs.versions.toml").read_text(encoding="utf-8"))
XML = {path: ElementTree.parse(path).getroot() for path in sorted(MAIN.rglob("*.xml"))}
MANIFEST = XML[MAIN / "AndroidManifest.xml"]
LAYOUTS = {path: root for path, root in XML.items() if path.parent.name.startswith("layout")}
STRINGS = XML[RES / "values" / "strings.xml"]
TEXTS = {entry.get("name"): entry for entry in STRINGS}
SEEN_TEXT = ["text", "hint", "contentDescription", "label", "title", "prompt", "tooltipText"]


def attributes(name):
    """The (file, element, value) of all attributes of Android's with a name."""
    for path, root in XML.items():
        for element in root.iter():
            if value := element.get(ANDROID + name):
                yield path, element, value


def test_the_permissions_are_the_camera_and_old_versions_storage_alone():
    asked = {
        (entry.get(ANDROID + "name"), entry.get(ANDROID + "maxSdkVersion"))
        for entry in MANIFEST.iter()
        if entry.tag.startswith("uses-permission")
    }
    assert asked == {
        ("android.permission.CAMERA", None),
        ("android.permission.WRITE_EXTERNAL_STORAGE", "28"),
    }
    assert not re.search(r"java\.net\.|android\.net\.(?!Uri)|android\.webkit", APP)


def test_other_apps_reach_the_main_screen_alone():
    components = [entry for entry in MANIFEST.iter() if entry.tag in ("activity", "provider")]
    exported = [c for c in components if c.get(ANDROID + "exported") == "true"]
    assert [entry.get(ANDROID + "name") for entry in exported] == [".MainActivity"]
    assert all(entry.get(ANDROID + "exported") for entry in components)
    (provider,) = [entry for entry in components if entry.tag == "provider"]
    assert provider.get(ANDROID + "grantUriPermissions") == "true"
    assert f'"{provider.get(ANDROID + "authorities")}"' in APP


def test_classes_that_the_manifest_and_layouts_name_exist():
    named = [entry.get(ANDROID + "name", "") for entry in MANIFEST.iter()]
    named += [element.tag for root in LAYOUTS.values() for element in root.iter()]
    classes = [
        name.rpartition(".")[2] for name in named if re.match(r"(dev\.tfi2i\.demo)?\.", name)
    ]
    assert {"DemoApplication", "MainActivity", "SharedPictures", "CompareView"} <= set(classes)
    for name in classes:
        assert re.search(rf"^class {name}\b", APP, re.MULTILINE), name


def test_nothing_of_androidx_is_used():
    files = [*KOTLIN.items(), *GRADLE.items(), *((p, p.read_text("utf-8")) for p in XML)]
    assert not [path for path, text in files if "androidx" in text]
    assert not [name for name in CATALOG["libraries"] if "androidx" in name]


def test_the_versions_are_those_that_are_meant():
    versions = CATALOG["versions"]
    assert versions["litert"] == "2.3.0"
    assert (versions["min-sdk"], versions["compile-sdk"], versions["target-sdk"]) == (
        "26",
        "36",
        "36",
    )
    downloads = json.loads((ROOT / "ci" / "downloads.json").read_text(encoding="utf-8"))
    fetched = {re.split(r"[@:]", entry["coordinates"])[-1]: entry["name"] for entry in downloads}
    for name, download in (("kotlin", "kotlin-compiler"), ("junit",) * 2, ("json",) * 2):
        assert fetched[versions[name]] == download


def test_the_catalog_has_what_the_build_scripts_use_and_no_more():
    used = set(re.findall(r"\blibs\.([a-z.]+)", "\n".join(GRADLE.values())))
    used = {re.sub(r"\.(get|to)$", "", name.rstrip(".")) for name in used}
    entries = {f"plugins.{name}" for name in CATALOG["plugins"]} | set(CATALOG["libraries"])
    entries |= {f"versions.{name}" for name in CATALOG["versions"] if name.endswith("-sdk")}
    assert used == {name.replace("-", ".") for name in entries}
    refs = {
        e["version"]["ref"] for kind in ("libraries", "plugins") for e in CATALOG[kind].values()
    }
    assert refs | {"min-sdk", "compile-sdk", "target-sdk"} == set(CATALOG["versions"])


def test_only_models_without_compression_and_64_bits_are_built():
    script = GRADLE[ROOT / "app" / "build.gradle.kts"]
    assert 'noCompress += "tflite"' in script
    assert 'abiFilters += listOf("arm64-v8a", "x86_64")' in script


@pytest.mark.parametrize("name", SEEN_TEXT)
def test_text_that_is_seen_or_read_aloud_stands_in_strings_xml(name):
    for path, element, value in attributes(name):
        assert value.startswith("@string/"), f"{path.name}, {element.tag}: {value}"


def test_the_code_has_no_text_of_its_own():
    shown = r'(?:\.text|[cC]ontentDescription|setText|setTitle|makeText)\b[^\n]*"'
    assert not [path.name for path, text in KOTLIN.items() if re.search(shown, text)]


def test_all_strings_exist_and_are_used():
    everything = APP + "\n".join(path.read_text(encoding="utf-8") for path in XML)
    used = set(re.findall(r"(?:R\.(?:string|array)\.|@(?:string|array)/)(\w+)", everything))
    assert used == set(TEXTS)


def test_strings_are_filled_in_with_as_many_values_as_they_take():
    calls = re.findall(r"(?:Message|getString)\(\s*R\.string\.(\w+)((?:[^()]|\([^()]*\))*)\)", APP)
    assert len(calls) > 30
    for name, rest in calls:
        given = len([part for part in re.sub(r"\([^()]*\)", "", rest).split(",") if part.strip()])
        places = {int(number) for number in re.findall(r"%(\d)\$", TEXTS[name].text)}
        assert places == set(range(1, given + 1)), name


def test_there_is_a_name_for_each_fit():
    fits = re.search(
        r"enum class Fit \{(.*)\n\}", (core() / "Translator.kt").read_text(), re.DOTALL
    )
    assert len(TEXTS["fits"]) == len(re.findall(r"^    [A-Z]+,$", fits[1], re.MULTILINE)) == 3


def core():
    return ROOT / "core" / "src" / "main" / "kotlin" / "dev" / "tfi2i" / "core"


def test_what_is_not_text_has_a_description_or_a_label():
    described = {"ImageView", "ImageButton", "SeekBar", "ProgressBar", "Spinner", "TextureView"}
    labelled = {value.rpartition("/")[2] for _, _, value in attributes("labelFor")}
    for path, root in LAYOUTS.items():
        for element in root.iter():
            name = element.get(ANDROID + "id", "").rpartition("/")[2]
            if element.tag in described:
                hidden = element.get(ANDROID + "importantForAccessibility") == "no"
                spoken = element.get(ANDROID + "contentDescription") or name in labelled
                assert hidden or spoken, f"{path.name}: {name}"
    assert "contentDescription =" in KOTLIN[MAIN / "kotlin/dev/tfi2i/demo/CompareView.kt"]


def test_what_changes_by_itself_is_read_aloud():
    (status,) = [e for _, e, _ in attributes("accessibilityLiveRegion")]
    assert status.get(ANDROID + "id") == "@+id/status"


def test_all_ids_exist_and_are_used():
    ids = {value.rpartition("/")[2] for _, _, value in attributes("id")}
    used = set(re.findall(r"R\.id\.(\w+)", APP))
    assert used == ids
    assert {value.rpartition("/")[2] for _, _, value in attributes("labelFor")} <= ids


def test_lying_and_standing_screens_have_the_same_parts():
    one, other = (
        {
            (e.tag, e.get("layout"), e.get(ANDROID + "id"))
            for e in LAYOUTS[RES / folder / "main.xml"].iter()
        }
        for folder in ("layout", "layout-land")
    )
    assert one == other


def colours(folder):
    return {entry.get("name"): entry.text for entry in XML[RES / folder / "colors.xml"]}


def luminance(colour):
    levels = np.frombuffer(bytes.fromhex(colour[-6:]), np.uint8) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("folders", [["values"], ["values", "values-night"]], ids=" and ".join)
def test_text_stands_out_from_its_ground_by_day_and_by_night(folders):
    chosen = {name: colour for folder in folders for name, colour in colours(folder).items()}
    texts, grounds = ("text", "text_secondary", "accent"), ("background", "picture_ground")
    for text, ground in itertools.product(texts, grounds):
        light, dark = sorted((luminance(chosen[text]), luminance(chosen[ground])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)
    assert set(colours("values-night")) <= set(colours("values"))


def test_what_has_to_be_touched_is_48_dp_high_and_text_may_grow():
    for path, root in LAYOUTS.items():
        text = path.read_text(encoding="utf-8")
        assert "textSize" not in text and "maxLines" not in text
        for element in root.iter():
            if element.tag in ("Button", "SeekBar", "Spinner"):
                styled = element.get("style") in ("@style/Action", "@style/Choice")
                height = element.get(ANDROID + "minHeight", "0dp").removesuffix("dp")
                assert styled or int(height) >= 48, f"{path.name}: {element.attrib}"


def test_files_and_lines_are_short():
    for path, text in KOTLIN.items():
        lines = text.splitlines()
        assert len(lines) < 450 and max(map(len, lines)) <= 100, path.name


def test_golden_pictures_are_what_python_makes_of_the_first_model(tmp_path, monkeypatch):
    for folder in (ROOT / "ci", Path(__file__).parents[1] / "export"):
        monkeypatch.syspath_prepend(folder)
    golden = importlib.import_module("golden")
    small_files = importlib.import_module("small_files")
    with pytest.raises(SystemExit, match="no models"):
        golden.write_golden(tmp_path / "none", tmp_path)
    model = small_files.written(tmp_path / "models", "free", small_files.free_file())
    golden.write_golden(model.parent, tmp_path / "golden")
    picture, translation = (
        np.asarray(Image.open(tmp_path / "golden" / f"{name}.png"))
        for name in ("picture", "translation")
    )
    assert picture.shape == (32, 32, 3)
    assert np.array_equal(translation, TFLitePictureTranslator(model)(picture))
    content = convert(fold(small_files.of_channels(1, 1), side=(32, 32)))
    signatures = of_file(content, {"source": "a", "target": "b"})
    grey = small_files.written(tmp_path / "grey", "grey", content, signatures=signatures)
    golden.write_golden(grey.parent, tmp_path / "of_grey")
    luminance = Image.open(tmp_path / "of_grey" / "picture.png").convert("L")
    expected = TFLitePictureTranslator(grey)(np.asarray(luminance)[..., None])
    translation = np.asarray(Image.open(tmp_path / "of_grey" / "translation.png"))
    assert np.array_equal(translation[..., None], expected)
