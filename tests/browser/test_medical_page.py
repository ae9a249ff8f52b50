"""Chapter 4 as a person uses it: a threshold, maps, an upload good and bad, a folder of scans, a training that is stopped."""

import io
import math
import re

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import confusion_matrix

import kdlab
from kdlab.datasets.nuclei import CLASS_NAMES
from kdlab.teachers.nuclei import nuclei_teacher

NAME = "04_medical_imaging"


@pytest.fixture(scope="module")
def scores():
    data = kdlab.load("nuclei", size=48)
    return kdlab.softmax(nuclei_teacher()(data.test.x, training=False).numpy().astype(float)), data.test.y


def cells(lab_page, name):
    rows = lab_page.settled(name).locator("tbody tr")
    return [row.locator("th, td").all_inner_texts() for row in rows.all()]


def test_the_threshold_moves_sensitivity_specificity_and_the_mark(lab_page, scores):
    said, labels = scores
    lab_page.settled("decide")
    for keys, threshold in ((["End"], 1.0), (["Home"], 0.0), (["ArrowRight"] * 10, 0.1)):
        lab_page.press("decide", "threshold", *keys)
        (tn, fp), (fn, tp) = confusion_matrix(labels == 2, said[:, 2] >= threshold, labels=[False, True])
        wanted = [str(int(v)) for v in (tp, fn, fp, tn)]
        assert [row[1:5] for row in cells(lab_page, "decide") if row[0] == "teacher"] == [wanted]
        at = f"marked at sensitivity {tp / (tp + fn):.3f}, specificity {tn / (tn + fp):.3f}"
        assert lab_page.says("curve", at)


def test_a_button_sets_the_threshold_that_is_best_on_validation_nuclei(lab_page):
    (best,) = [row[2] for row in cells(lab_page, "chosen") if row[:2] == ["teacher", "validation"]]
    lab_page.panel("chosen").get_by_role("button", name="Take the threshold chosen on validation: teacher").click()
    wanted = f"threshold={math.floor(100 * float(best)) / 100:g}"
    lab_page.page.wait_for_function("wanted => location.search.includes(wanted)", arg=wanted)


def test_sizes_shares_and_what_segments_are_in_the_address(lab_page):
    for panel, name, value in (
        ("chance", "test images", "100"),
        ("chance", "first", "0.9123"),
        ("chance", "second", "0.5"),
    ):
        box = lab_page.settled(panel).get_by_label(name, exact=True)
        box.fill(value)
        box.press("Enter")
    lab_page.press("train_unets", "T", *["ArrowRight"] * 8)
    lab_page.press("train_unets", "α", "End")
    lab_page.panel("train_unets").get_by_label("labelled tiles").select_option("all")
    for kept in ("n=100", "first=0.9123", "second=0.5", "unet_T=2", "unet_alpha=1", "unet_labelled=all"):
        lab_page.page.wait_for_function("kept => location.search.split(/[?&]/).includes(kept)", arg=kept)


def test_maps_are_of_the_chosen_class_and_random_weights_change_them(lab_page):
    panel = lab_page.settled("look")
    panel.get_by_label("map for").select_option("connective")
    assert lab_page.says("look", "map for connective, strongest at")
    with_last = lab_page.words("sanity")
    lab_page.panel("sanity").get_by_label("trained layers").select_option("none: all are random")
    assert lab_page.says("sanity", "mean over 24 nuclei")
    found = [
        float(re.search(r"mean over 24 nuclei: (-?\d+\.\d+)", text)[1])
        for text in (with_last, lab_page.words("sanity"))
    ]
    assert max(map(abs, found)) < 0.8  # the trained teacher's own map would be 1


def png(size=70):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)).save(file, "png")
    return file.getvalue()


def test_an_image_of_ones_own_good_and_bad(lab_page):
    panel = lab_page.settled("own")

    def choose(name, buffer):
        with lab_page.page.expect_file_chooser() as chooser:
            panel.get_by_role("button", name="Choose an image").click()
        chooser.value.set_files({"name": name, "mimeType": "image/png", "buffer": buffer})

    choose("mine.png", png())
    assert lab_page.says("own", "your image")
    assert re.search(f"teacher: ({'|'.join(CLASS_NAMES)})", lab_page.words("own"))
    for name, buffer, came in (
        ("no.gif", b"GIF89a...", "a GIF image"),
        ("half.png", png()[:500], "damaged or cut off"),
    ):
        choose(name, buffer)
        lab_page.page.wait_for_function("came => labPanel('own').innerText.includes(came)", arg=came)
        assert "kdlab-stale" in panel.get_attribute("class")


def test_a_folder_of_scans_is_read_or_said_to_be_none(lab_page, tmp_path):
    panel = lab_page.settled("copies")
    assert "There are no scans yet" in lab_page.words("copies")
    for name in ("no", "yes"):
        (tmp_path / name).mkdir()
        for k in range(12):
            (tmp_path / name / f"{k}.png").write_bytes(png(20 + (name == "yes") * 15 + k))
    (tmp_path / "no" / "copy.png").write_bytes(png(20))
    box = panel.get_by_label("folder")
    box.fill(str(tmp_path))
    box.press("Enter")
    assert lab_page.says("copies", "25 files, 1 exact copies, in 1 groups.")
    assert lab_page.says("shown_scans", "Exact duplicates (the same pixels): 1, in groups: 1.")
    brain = lab_page.settled("brain")
    brain.get_by_label("image size").select_option("32")
    brain.get_by_role("button", name="Train a teacher and six students").click()
    said = "labPanel('brain').querySelector('[data-kdlab=state] p').innerText"
    lab_page.page.wait_for_function(f"/[1-9]\\d* of 140/.test({said})", timeout=60_000)
    brain.get_by_role("button", name="Stop").click()
    lab_page.page.wait_for_function(f"/Stopped at \\d+ of 140/.test({said})", timeout=60_000)
    assert "teacher: mean" in lab_page.words("brain")
    assert "There is no verdict on half-trained students." in lab_page.words("brain")
    box = lab_page.panel("copies").get_by_label("folder")
    box.fill("/nowhere")
    box.press("Enter")
    lab_page.page.wait_for_function("labPanel('copies').innerText.includes('folder must be brain-tumor or the path')")
    box.fill("")
    box.press("Enter")
    assert lab_page.says("copies", "There are no scans yet")


def test_students_are_trained_with_progress_and_a_stop(lab_page):
    panel = lab_page.settled("train")
    panel.get_by_role("button", name="Train three students of each kind").click()
    lab_page.page.wait_for_function("labPanel('train').querySelector('img')", timeout=180_000)
    lab_page.page.wait_for_function(
        r"/^◌? ?\d+ of 90/.test(labPanel('train').querySelector('[data-kdlab=state] p').innerText)"
    )
    panel.get_by_role("button", name="Stop").click()
    lab_page.page.wait_for_function(
        r"/Stopped at \d+ of 90/.test(labPanel('train').querySelector('[data-kdlab=state] p').innerText)",
        timeout=60_000,
    )
    assert "There is no verdict on half-trained students." in lab_page.words("train")


def test_page_keeps_the_promises_of_every_page(lab_page, keeps_the_promises_of_every_page):
    for name in ("confusions", "intervals", "calibration", "segments"):
        lab_page.settled(name)
    keeps_the_promises_of_every_page(lab_page.page)
