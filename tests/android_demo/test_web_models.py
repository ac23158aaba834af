"""Every exported model in the browser page of the Android demo, against Python."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from web_page import Server, Visit, assert_same, build, encoded

MODELS = os.environ.get("TFI2I_ANDROID_MODELS")


def offered(page):
    """By file name, the values of the model and direction that choose it."""
    found = {}
    for option in page.locator("#model option").all():
        page.select_option("#model", option.get_attribute("value"))
        for direction in page.locator("#directions input:enabled").all():
            direction.check(force=True)
            file = page.locator("#about dd").first.text_content().split(",")[0]
            found[file] = (option.get_attribute("value"), direction.get_attribute("value"))
    return found


@pytest.mark.skipif(not MODELS, reason="TFI2I_ANDROID_MODELS names no folder of exported models")
@pytest.mark.timeout(600)
def test_every_exported_model_gives_what_python_gives(browser, packages, tmp_path, capsys):
    folder = Path(MODELS)
    out = tmp_path / "dist"
    assert build(folder, out).returncode == 0
    server = Server(out)
    visit = Visit(browser, server.url)
    visit.page.wait_for_selector("#model:enabled")
    models = offered(visit.page)
    compared = set()
    for case in json.loads((folder / "manifest.json").read_text())["cases"]:
        sidecar = json.loads((folder / case["sidecar"]).read_text())
        if any(-1 in one["outputs"][0]["shape"] for one in sidecar["signatures"]):
            assert f"{sidecar['file']} takes pictures of any size" in visit.page.text_content(
                "#reasons"
            )
            continue
        shape = (case["height"], case["width"], 3)
        expected = np.frombuffer((folder / case["pixels"]).read_bytes(), np.uint8)
        expected = expected.reshape(*shape[:2], -1)
        value, direction = models[sidecar["file"]]
        visit.page.select_option("#model", value)
        visit.page.locator(f"#directions [value='{direction}']").check(force=True)
        for name, index in case["chosen"].items():
            visit.page.get_by_label(name, exact=True).select_option(index=index)
        for name in case["pictures"].values():
            second = np.frombuffer((folder / name).read_bytes(), np.uint8)
            second = second.reshape(int((len(second) // 3) ** 0.5), -1, 3)
            given = {"name": name, "mimeType": "image/png", "buffer": encoded(second)}
            visit.page.set_input_files("#inputs input", given)
            visit.page.wait_for_selector(f"#inputs output:has-text('{name}')")
        if "picture" in case:
            pixels = np.frombuffer((folder / case["picture"]).read_bytes(), np.uint8)
            visit.give(encoded(pixels.reshape(shape)))
            visit.finished()
        else:
            visit.page.get_by_role("button", name="Make a picture").click()
            visit.page.wait_for_selector("#status:has-text('Made in')")
        made = visit.saved().reshape(expected.shape)  # a grey file has no axis of channels
        differing = int((made != expected).sum())
        with capsys.disabled():
            print(f"{sidecar['file']:40} {shape[0]:4} x {shape[1]:<4} {differing or 'bytes equal'}")
        assert_same(made, expected)
        compared.add(sidecar["format"])
    visit.close()
    server.stop()
    assert {"float32", "float16", "int8", "int8-npu"} <= compared
