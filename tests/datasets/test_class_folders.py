"""Which folders are classes, which are sides, and that whatever a walk does not take is counted and said."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kdlab
from kdlab.datasets.class_folders import find_images, printable

# What is in a file plays no part here, only where it is.


def grow(top, *paths, files=3, ending=".png"):
    """Make folders with a few files of an ending each, or single files where the path has an ending; return the top."""
    for path in map(Path, paths):
        names = [path] if path.suffix else [path / f"{k}{ending}" for k in range(files)]
        for name in names:
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_bytes(b"")
    return top


def found(top, classes=None):
    """{(side, class): number of files}, and the notes."""
    files, notes = find_images(top, classes)
    counts = {}
    for file in files:
        counts[file.side, file.class_name] = counts.get((file.side, file.class_name), 0) + 1
    return counts, notes


def refused(top, message, classes=None):
    with pytest.raises(ValueError, match=message) as caught:
        find_images(top, classes)
    assert "\n" not in str(caught.value)


# --- what is not taken


def test_all_that_is_not_taken_is_counted_and_named(tmp_path):
    grow(
        tmp_path, "a", "b", "loose.png", "b/data.csv", "b/scan.nii.gz", "b/SCAN.DCM", "a/.hidden.png", "b/.thumbs/1.png"
    )
    grow(tmp_path, "more.csv", "._a.png")
    (tmp_path / "b" / "noending").write_bytes(b"")
    (tmp_path / "b" / "empty").mkdir()
    (tmp_path / "nothing").mkdir()
    (tmp_path / "a" / "gone.png").symlink_to(tmp_path / "missing.png")
    (tmp_path / "lost").symlink_to(tmp_path / "missing")
    counts, notes = found(tmp_path)
    assert counts == {("", "a"): 3, ("", "b"): 3}
    (note,) = notes
    for part in (
        "no images of a known kind: 5 (",
        "2 × .csv",
        "without ending",
        ".gz",
        ".dcm",
        "hidden: 3 (",
        "empty folders: 2 (b/empty, nothing)",
        "broken links: 2 (a/gone.png, lost)",
        "images in no class folder: 1 (loose.png)",
    ):
        assert part in note


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_every_name_in_a_tree_is_read_or_counted(tmp_path_factory, data):
    places = ["a", "b", "a/deep", "b/deep/deeper"]
    top = grow(tmp_path_factory.mktemp("tree"), *places, files=1)
    kinds = {".png": 0, ".tiff": 0, ".txt": 0, ".dcm": 0, "hidden": 0, "broken": 0, "empty": 0}
    for number in range(data.draw(st.integers(0, 12))):
        kind = data.draw(st.sampled_from(sorted(kinds)))
        place = top / data.draw(st.sampled_from(places))
        kinds[kind] += 1
        if kind == "empty":
            (place / f"folder {number}").mkdir()
        elif kind == "broken":
            (place / f"x{number}.png").symlink_to("nowhere")
        else:
            (place / (f".{number}.png" if kind == "hidden" else f"x{number}{kind}")).write_bytes(b"")
    counts, notes = found(top)
    assert sum(counts.values()) == 4 + kinds[".png"] + kinds[".tiff"]
    said = dict(re.findall(r"([a-z][a-z ]+): (\d+) ", " ".join(notes)))
    expected = {
        "no images of a known kind": kinds[".txt"] + kinds[".dcm"],
        "hidden": kinds["hidden"],
        "broken links": kinds["broken"],
        "empty folders": kinds["empty"],
    }
    assert said == {what: str(number) for what, number in expected.items() if number}


@pytest.mark.parametrize("ending", [".dcm", ".nii.gz", ".npy", ".txt", ""])
def test_a_class_that_would_lose_everything_is_refused(tmp_path, ending):
    grow(tmp_path, "a", "b")
    grow(tmp_path, "c", ending=ending or ".", files=12)
    refused(
        tmp_path,
        rf"nothing of class 'c' can be read; in .*c there is 0{re.escape(ending or '.')}, .* and 9 more: convert",
    )
    counts, notes = found(tmp_path, ["a", "b"])
    assert list(counts) == [("", "a"), ("", "b")]
    assert notes[0] == "Left out, not being among the classes that were named: c (images: 0)."


@pytest.mark.parametrize("side", ["train", "test"])
def test_a_class_that_would_lose_everything_on_one_side_is_refused(tmp_path, side):
    grow(tmp_path, "train/a", "train/b", "test/a", "test/b")
    for path in (tmp_path / side / "b").iterdir():
        path.rename(path.with_suffix(".heic"))
    refused(tmp_path, "nothing of class 'b' can be read")


@pytest.mark.parametrize("make", ["hidden", "broken", "again"])
def test_a_class_of_hidden_files_or_links_that_lead_nowhere_is_refused(tmp_path, make):
    grow(tmp_path, "a", "b")
    (tmp_path / "c").mkdir()
    if make == "hidden":
        grow(tmp_path, "c/.1.png")
    else:
        (tmp_path / "c" / "link").symlink_to(tmp_path / ("a" if make == "again" else "missing"))
    refused(tmp_path, "nothing of class 'c' can be read")


# --- links


def test_links_to_folders_are_followed(tmp_path):
    store = grow(tmp_path / "store", "elsewhere", "deep/er", files=30)
    top = grow(tmp_path / "data", "a", "b")
    (top / "c").symlink_to(store / "elsewhere")
    (top / "a" / "more").symlink_to(store / "deep")
    assert found(top) == ({("", "a"): 33, ("", "b"): 3, ("", "c"): 30}, [])


def test_links_in_circles_and_to_what_is_read_already_are_counted_once(tmp_path):
    top = grow(tmp_path / "data", "a", "b/deep")
    (top / "a" / "itself").symlink_to(top / "a")
    (top / "a" / "up").symlink_to(tmp_path)
    (top / "a" / "all").symlink_to(top)
    (top / "a" / "other").symlink_to(top / "b" / "deep")  # met before the folder itself
    (top / "a" / "loop").symlink_to("loop")
    counts, notes = found(top)
    assert counts == {("", "a"): 3, ("", "b"): 3}
    assert notes == [
        "Left out: broken links: 1 (a/loop); links to folders that are read already: 4 (a/all, a/itself, a/other, a/up)."
    ]


def test_two_links_to_one_folder_are_read_once(tmp_path):
    store = grow(tmp_path / "store", "x/y")
    (store / "x" / "back").symlink_to(store)
    top = grow(tmp_path / "data", "a", "b")
    (top / "a" / "first").symlink_to(store)
    (top / "b" / "second").symlink_to(store / "x")
    counts, notes = found(top)
    assert counts == {("", "a"): 6, ("", "b"): 3}
    assert "links to folders that are read already: 2 (a/first/x/back, b/second)" in notes[0]


def test_what_links_lead_to_is_read_as_it_is(tmp_path):
    store = grow(tmp_path / "store", "train/a", "train/b", "test/a", "test/b")
    (tmp_path / "data").symlink_to(store)
    assert len(found(tmp_path / "data")[0]) == 4


# --- sides


NAMES_OF_SIDES = [
    ("training_set", "test_set", None),
    ("Train Data", "Test Data", "Validation Data"),
    ("train_data", "testing", "val"),
    ("TRAINING", "Testing", "VALIDATION"),
    ("trainset", "testset", "dev-set"),
    ("images_train", "images_test", "imgs-valid"),
    ("TrainImages", "TestImages", "ValImages"),
    ("seg_train", "seg_test", None),
    ("asl alphabet train", "asl alphabet test", "asl alphabet val"),
    ("1_train", "2_eval", None),
]


@pytest.mark.parametrize(("train", "test", "validation"), NAMES_OF_SIDES)
@pytest.mark.parametrize("deep", [0, 1, 2])
def test_sides_go_by_many_names_and_are_no_classes(tmp_path, train, test, validation, deep):
    sides = {"train": train, "test": test, **({"validation": validation} if validation else {})}
    for name in sides.values():
        grow(tmp_path, *(os.path.join(*[name] * (deep + 1), c) for c in ("cats", "dogs")))
    assert found(tmp_path)[0] == {(side, c): 3 for side in sides for c in ("cats", "dogs")}


def test_sides_inside_each_class_are_sides(tmp_path):
    grow(tmp_path, *(f"{c}/{side}" for c in ("cats", "dogs") for side in ("Train", "test_set")))
    assert found(tmp_path)[0] == {(side, c): 3 for c in ("cats", "dogs") for side in ("train", "test")}


def test_a_class_with_the_name_of_a_side_is_in_doubt_unless_it_is_named(tmp_path):
    grow(tmp_path, "bus", "car", "train")
    refused(tmp_path, r"which folders of .* A folder has the name of a side.*: bus, car, train\. ")
    assert list(found(tmp_path, ["bus", "car", "train"])[0]) == [("", "bus"), ("", "car"), ("", "train")]


@pytest.mark.parametrize(
    "names", [("valid", "invalid"), ("test tube", "beaker"), ("training shoe", "boot", "eval board")]
)
def test_names_that_hold_the_word_of_a_side_are_classes(tmp_path, names):
    assert set(found(grow(tmp_path, *names))[0]) == {("", name) for name in names}


@pytest.mark.parametrize(
    ("folders", "tree"),
    [
        (
            ("hospital A/no", "hospital A/yes", "hospital B/no", "hospital B/yes"),
            "hospital A/{no, yes}, hospital B/{no, yes}",
        ),
        (("x/a", "x/b", "y/a", "y/b", "y/c", "z"), "x/{a, b}, y/{a, b, c}, z"),
        (("no", "yes", "old/no"), "no, old/{no}, yes"),
        (("yes", "copy/yes", "copy/no"), "copy/{no, yes}, yes"),
        (("Testing/a", "Testing/b", "Other/a", "Other/b"), "Other/{a, b}, Testing/{a, b}"),
        (("test/a", "test/b", "val/a", "val/b"), "test/{a, b}, val/{a, b}"),
        (("train cats", "test cats", "train dogs", "test dogs"), "test cats, test dogs, train cats, train dogs"),
        (("train/a", "train/b", "boat/a", "bus/a"), "boat/{a}, bus/{a}, train/{a, b}"),
        (("cats", "dogs", "test"), "cats, dogs, test"),
        (
            ("no", "yes", "data/train/no", "data/train/yes", "data/test/no", "data/test/yes"),
            "data/{test, train}, no, yes",
        ),
        (("no", "yes", "more/x/no", "more/y/yes"), "more/{x, y}, no, yes"),
        (("cats/train", "cats/test", "dogs"), "cats/{test, train}, dogs"),
        (("x/a", "x/b", "x/c", "y/a", "y/b", "y/d"), "x/{a, b, c}, y/{a, b, d}"),
        (("cats", "dogs", "valid"), "cats, dogs, valid"),
    ],
)
def test_a_tree_that_leaves_doubt_is_refused_and_shown(tmp_path, folders, tree):
    refused(grow(tmp_path, *folders), re.escape(f": {tree}. Keep one folder per class"))


def test_the_border_within_classes_that_are_named_is_kept(tmp_path):
    grow(tmp_path, *(f"{c}/{side}" for c in ("cats", "dogs") for side in ("train", "test")), "other")
    assert found(tmp_path, ["cats", "dogs"])[0] == {
        (side, c): 3 for c in ("cats", "dogs") for side in ("train", "test")
    }


@pytest.mark.parametrize("name", [os.fsdecode(b"m\xe9"), "me\u0301", "m\u00e9"])
def test_a_class_is_named_as_its_folder_or_as_it_is_written(tmp_path, name):
    grow(tmp_path, "plain", name, "z")
    for one in (name, printable(name)):
        assert set(found(tmp_path, ["plain", one])[0]) == {("", "plain"), ("", printable(name))}


def test_classes_that_are_named_end_the_doubt(tmp_path):
    grow(tmp_path, *(f"{kind}/{zoom}" for kind in ("benign", "malignant") for zoom in ("40X", "100X")))
    refused(tmp_path, "Several folders hold the same folders")
    assert found(tmp_path, ["malignant", "benign"]) == ({("", "benign"): 6, ("", "malignant"): 6}, [])
    grow(tmp_path, "other")
    assert found(tmp_path, ["malignant", "benign"])[1] == [
        "Left out, not being among the classes that were named: other (images: 3)."
    ]
    refused(tmp_path, r"has no folder rare of images; it holds benign/\{100X, 40X\}", ["benign", "rare"])


def test_classes_that_are_named_are_found_within_sides_and_single_folders(tmp_path):
    grow(tmp_path, *(f"data/{side}/{c}" for side in ("train", "test") for c in "abc"))
    assert set(found(tmp_path, ["a", "c"])[0]) == {(side, c) for side in ("train", "test") for c in "ac"}


@pytest.mark.parametrize("inner", ["brain_tumor_dataset", "dataset/dataset", "train/old copy"])
def test_a_folder_that_holds_the_others_folders_is_left_out_and_named(tmp_path, inner):
    top = "train/" if inner.startswith("train") else ""
    grow(tmp_path, f"{top}no", f"{top}yes", f"{inner}/no", f"{inner}/yes")
    counts, notes = found(tmp_path)
    assert counts == {("train" if top else "", c): 3 for c in ("no", "yes")}
    left = inner.removeprefix("train/").split("/")[0]
    assert notes == [f"Left out, because they hold the same folders as those beside them: {left} (images: 6)."]


def test_a_side_without_class_folders_is_refused(tmp_path):
    grow(tmp_path, "train/a", "train/b", "test")
    refused(tmp_path, "train and .*test must hold images of the same classes, but only one of them has a, b")


# --- names


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"m\xe9ningiome", r"m\xe9ningiome"),
        ("méningiome".encode(), "méningiome"),
        ("me\u0301ningiome".encode(), "méningiome"),
        (b"a\nb\x1b[31m", r"a\nb\x1b[31m"),
        (b"\xff\xfe", r"\xff\xfe"),
        ("腫瘍 | 1".encode(), "腫瘍 | 1"),
    ],
)
def test_names_of_any_bytes_are_text_of_one_line(name, text):
    assert printable(os.fsdecode(name)) == text


@given(st.binary(min_size=1, max_size=20))
def test_any_name_can_be_written(name):
    text = printable(os.fsdecode(name))
    assert text.encode("utf-8").decode("utf-8").isprintable()


def test_two_folders_that_would_be_written_alike_are_refused(tmp_path):
    grow(tmp_path, "a", os.fsdecode(b"m\xe9"), r"m\xe9")
    refused(tmp_path, r"two folders that are both written m\\xe9: rename one")


@pytest.mark.parametrize("classes", ["a", ["a"], [], [1, 2], ["a", ""], 3])
def test_names_of_classes_that_are_none_are_refused(tmp_path, classes):
    with pytest.raises(
        ValueError, match=re.escape(f"classes must be the names of two folders or more, or None, got {classes!r}")
    ):
        kdlab.load(grow(tmp_path, "a", "b"), classes=classes)
