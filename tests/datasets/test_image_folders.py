"""Folders of class folders: every image in its place, copies on one side of the split, and a word on the rest."""

from collections import Counter
from pathlib import Path

import kagglehub
import numpy as np
import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import kdlab
from kdlab.datasets import image_folders
from kdlab.datasets.brain_mri import prepare_scan
from kdlab.datasets.image_folders import read_folder

BRAINS = Path(__file__).parents[3] / "shared" / "data" / "brain_yesno"
SPLITS = ("train", "validation", "test")

pytestmark = pytest.mark.usefixtures("cache")


def write(folder, tree, suffix=".png"):
    """Write {"class/name": number} as images of one grey value, the number; return the folder."""
    for name, number in tree.items():
        path = folder / f"{name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (5, 4), number).save(path)
    return folder


def numbers(split):
    """The grey values of a split's images, in their order."""
    values = np.rint(split.x[:, 0, 0, 0] * 255).astype(int)
    np.testing.assert_array_equal(split.x[:].reshape(len(split), -1) * 255, values[:, None] * np.ones(split.x[0].size))
    return values.tolist()


def contents(data):
    return {name: numbers(getattr(data, name)) for name in SPLITS}


def everything(data):
    return sorted(number for found in contents(data).values() for number in found)


CLASSES = {"cat": 20, "dog": 40, "emu": 10}


@pytest.fixture
def animals(tmp_path):
    """Cats are the grey values 0 to 19, dogs 100 to 139, emus 200 to 209."""
    first = {"cat": 0, "dog": 100, "emu": 200}
    return write(tmp_path / "animals", {f"{c}/{k}": first[c] + k for c, count in CLASSES.items() for k in range(count)})


# --- no border given


def test_every_image_is_in_one_split_under_its_class(animals):
    data = read_folder(animals, image_size=4)
    assert data.class_names == ("cat", "dog", "emu")
    assert data.notes == ()
    assert data.source == str(animals)
    assert everything(data) == [*range(20), *range(100, 140), *range(200, 210)]
    for name in SPLITS:
        split = getattr(data, name)
        assert split.y.tolist() == [number // 100 for number in numbers(split)]
        assert (split.x.shape[1:], split.x.dtype) == ((4, 4, 1), np.float32)


def test_splits_are_stratified(animals):
    data = read_folder(animals, image_size=4, test_split=0.3, validation_split=0.25)
    assert np.bincount(data.test.y).tolist() == [6, 12, 3]
    assert np.bincount(data.validation.y).tolist() == [round(0.25 * n) for n in (14, 28, 7)]


def test_the_seed_chooses_and_nothing_else(animals):
    first, same, other = (contents(read_folder(animals, image_size=4, seed=seed)) for seed in (3, 3, 4))
    assert first == same
    assert first != other


def test_small_classes_have_an_image_everywhere(tmp_path):
    write(tmp_path, {f"{c}/{k}": 100 * c + k for c in (0, 1) for k in range(3)})
    data = read_folder(tmp_path, image_size=4)
    assert [sorted(getattr(data, name).y) for name in SPLITS] == [[0, 1]] * 3


def test_no_share_held_out_leaves_all_to_train_on(animals):
    data = read_folder(animals, image_size=4, test_split=0, validation_split=0)
    assert {name: len(getattr(data, name)) for name in SPLITS} == {"train": 70, "validation": 0, "test": 0}


def test_sizes_and_channels(animals):
    assert read_folder(animals).train.x.shape[1:] == (64, 64, 1)
    assert read_folder(animals, image_size=(3, 7), channels=3).train.x.shape[1:] == (3, 7, 3)
    Image.new("RGB", (5, 4), "red").save(animals / "cat" / "red.png")
    assert read_folder(animals, image_size=4).train.x.shape[1:] == (4, 4, 3)
    assert read_folder(animals, image_size=4, channels=1).train.x.shape[1:] == (4, 4, 1)


def test_images_are_found_at_any_depth_and_what_is_hidden_is_not(tmp_path):
    images = {f"cat/a/b/{k}": k for k in range(5)} | {f"dog/{k}": 100 + k for k in range(5)}
    write(tmp_path, images)
    write(tmp_path, {"__MACOSX/cat/1": 30, ".git/2": 30, "cat/.3": 30, "cat/.thumbs/4": 30})
    (tmp_path / "cat" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "readme.txt").write_text("hello")
    data = read_folder(tmp_path, image_size=4)
    assert data.class_names == ("cat", "dog")
    assert everything(data) == [*range(5), *range(100, 105)]
    assert data.notes == (
        "Left out: no images of a known kind: 1 (.txt); hidden: 5 (.git, __MACOSX, .3.png, .thumbs, Thumbs.db).",
    )


@pytest.mark.parametrize("suffix", [".jpg", ".JPG", ".jpeg", ".png", ".bmp", ".tif", ".TIFF", ".webp", ".gif", ".pgm"])
def test_files_of_every_ending_that_pillow_reads_are_read(tmp_path, suffix):
    write(tmp_path, {f"{c}/{k}": 100 * i + k for i, c in enumerate("ab") for k in range(6)})
    options = {"lossless": True} if suffix == ".webp" else {}
    for k in range(6):  # a class that has this ending only
        (tmp_path / "c").mkdir(exist_ok=True)
        Image.new("L", (5, 4), 200 + k).save(tmp_path / "c" / f"{k}{suffix}", **options)
    data = read_folder(tmp_path, image_size=4)
    assert data.class_names == ("a", "b", "c")
    assert data.notes == ()
    if suffix.lower() not in (".jpg", ".jpeg"):
        assert everything(data) == [*range(6), *range(100, 106), *range(200, 206)]


def test_of_several_images_in_a_file_the_first_is_read_and_that_is_said(tmp_path):
    write(tmp_path, {f"{c}/{k}": 100 * i + k for i, c in enumerate("ab") for k in range(6)})
    pages = [Image.new("L", (5, 4), value) for value in (50, 60, 70)]
    pages[0].save(tmp_path / "a" / "film.gif", save_all=True, append_images=pages[1:])
    pages[1].save(tmp_path / "b" / "stack.tif", save_all=True, append_images=pages[2:])
    data = read_folder(tmp_path, image_size=4)
    assert everything(data) == [*range(6), 50, 60, *range(100, 106)]
    assert data.notes == ("Of files that hold several images the first was read: film.gif, stack.tif.",)


def test_a_folder_that_holds_only_the_folder_is_gone_through(animals, tmp_path):
    assert contents(read_folder(tmp_path, image_size=4)) == contents(read_folder(animals, image_size=4))


# --- a given border


@pytest.mark.parametrize(("training", "testing"), [("Training", "Testing"), ("train", "test"), ("TRAIN", "Test")])
def test_a_given_border_is_kept(tmp_path, training, testing):
    train = {f"{training}/{c}/{k}": 100 * i + k for i, c in enumerate("ab") for k in range(20)}
    test = {f"{testing}/{c}/{k}": 100 * i + 50 + k for i, c in enumerate("ab") for k in range(5)}
    data = read_folder(write(tmp_path, train | test), image_size=4, validation_split=0.2)
    got = contents(data)
    assert got["test"] == sorted(test.values())
    assert sorted(got["train"] + got["validation"]) == sorted(train.values())
    assert np.bincount(data.validation.y).tolist() == [4, 4]


@pytest.mark.parametrize("validation", ["val", "Validation", "valid"])
def test_a_given_validation_part_is_kept(tmp_path, validation):
    tree = {
        f"{part}/{c}/{k}": 100 * i + first + k
        for part, first in (("train", 0), (validation, 20), ("test", 40))
        for i, c in enumerate("ab")
        for k in range(6)
    }
    got = contents(read_folder(write(tmp_path, tree), image_size=4))
    assert got == {
        name: [100 * i + first + k for i in (0, 1) for k in range(6)]
        for name, first in (("train", 0), ("validation", 20), ("test", 40))
    }


def test_without_a_testing_part_the_test_split_comes_from_training(tmp_path):
    tree = {f"train/{c}/{k}": 100 * i + k for i, c in enumerate("ab") for k in range(20)}
    tree |= {f"val/{c}/{k}": 100 * i + 50 + k for i, c in enumerate("ab") for k in range(5)}
    got = contents(read_folder(write(tmp_path, tree), image_size=4, test_split=0.25))
    assert [len(got[name]) for name in SPLITS] == [30, 10, 10]
    assert not set(got["test"]) & set(got["validation"])


def test_what_lies_beside_training_is_left_out_and_named(tmp_path):
    tree = {
        f"{part}/{c}/{k}": 30 * i + k for part in ("Training", "extra") for i, c in enumerate("ab") for k in range(9)
    }
    data = read_folder(write(tmp_path, tree), image_size=4)
    assert data.notes == ("Left out, being beside Training: extra (images: 18).",)
    assert sum(len(getattr(data, name)) for name in SPLITS) == 18


# --- copies


@pytest.fixture(scope="module")
def with_copies(tmp_path_factory):
    """Twelve pictures of each class; four of each are there two or three times, under other names and formats."""
    folder = write(
        tmp_path_factory.mktemp("copies"), {f"{c}/{k}": 100 * i + k for i, c in enumerate("ab") for k in range(12)}
    )
    write(folder, {f"{c}/copy {k}": 100 * i + k for i, c in enumerate("ab") for k in range(4)}, ".bmp")
    return write(folder, {f"{c}/third {k}": 100 * i + k for i, c in enumerate("ab") for k in range(2)})


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), test=st.floats(0.05, 0.6), validation=st.floats(0.05, 0.6))
def test_copies_are_on_one_side_whatever_the_seed(with_copies, cache, seed, test, validation):
    data = read_folder(with_copies, image_size=4, seed=seed, test_split=test, validation_split=validation)
    got = contents(data)
    assert sum(map(len, got.values())) == 24 + 8 + 4
    sides = [set(got[name]) for name in SPLITS]
    assert sum(map(len, sides)) == 24
    for name in SPLITS:
        for number, count in Counter(got[name]).items():
            assert count == 1 + (number % 100 < 4) + (number % 100 < 2)
    assert data.notes == (
        "Exact duplicates (the same pixels): 12, in groups: 8. Each group is kept on one side of the split.",
    )


def test_copies_across_a_given_border_are_left_out_nearer_to_training(tmp_path):
    tree = {f"Training/{c}/{k}": 100 * i + k for i, c in enumerate("ab") for k in range(12)}
    tree |= {f"val/{c}/{k}": 100 * i + 20 + k for i, c in enumerate("ab") for k in range(4)}
    tree |= {f"Testing/{c}/{k}": 100 * i + 40 + k for i, c in enumerate("ab") for k in range(4)}
    tree |= {"Testing/a/copy": 3, "val/a/copy": 4, "Training/b/copy": 120, "Testing/b/copy": 120}
    data = read_folder(write(tmp_path, tree), image_size=4)
    got = contents(data)
    # 3 is a training and a test image, 4 training and validation, 120 all three.
    assert [number for number in range(12) if number not in got["train"]] == [3, 4]
    assert 4 in got["validation"]
    assert 3 in got["test"]
    assert [120 in got[name] for name in SPLITS] == [False, False, True]
    assert data.notes[1:] == (
        "Images across the given border: 4, different ones: 3. Their copies on the side nearer to training were left out.",
    )
    assert "Exact duplicates (the same pixels): 4, in groups: 3." in data.notes[0]


def test_one_image_under_two_classes_is_told(tmp_path):
    tree = {f"{c}/{k}": 100 * i + k for i, c in enumerate("abc") for k in range(9)}
    data = read_folder(write(tmp_path, tree | {"a/both": 100, "c/both": 203}), image_size=4)
    assert "The same image is there under more than one class 1 time (a, b)." in data.notes
    assert sum(100 in numbers(getattr(data, name)) for name in SPLITS) == 1


# --- what cannot be read


def test_unreadable_files_are_skipped_and_named(animals):
    (animals / "cat" / "broken.png").write_bytes(b"no image")
    (animals / "dog" / "3.png").write_bytes((animals / "dog" / "3.png").read_bytes()[:50])
    data = read_folder(animals, image_size=4)
    assert sum(len(getattr(data, name)) for name in SPLITS) == 69
    (note,) = data.notes
    assert note.startswith("Skipped, because they could not be read: ")
    assert str(Path("cat/broken.png")) + " (no image of a known kind)" in note
    assert str(Path("dog/3.png")) in note
    assert 103 not in everything(data)
    assert read_folder(animals, image_size=4).notes == data.notes  # from the cache


def test_a_long_list_of_unreadable_files_is_cut(animals):
    for k in range(13):
        (animals / "cat" / f"broken {k:02}.png").write_bytes(b"no image")
    (note,) = read_folder(animals, image_size=4).notes
    assert note.count("broken") == 10
    assert note.endswith(" and 3 more.")


# --- larger than memory


def test_images_larger_than_memory_are_refused_with_a_way_out(animals, monkeypatch):
    monkeypatch.setattr("kdlab.datasets.splits.free_memory", lambda: 2 * 70 * 16 * 4)
    assert len(read_folder(animals, image_size=4).train)
    monkeypatch.setattr(image_folders, "decode_files", None)  # it is said before one is decoded
    with pytest.raises(
        ValueError, match=r"needs 0\.0 GB of memory .*image_dataset_from_directory, whose batches kdlab"
    ):
        read_folder(animals, image_size=5)


# --- refused


def refused(folder, message, **options):
    with pytest.raises(ValueError, match=message) as caught:
        read_folder(folder, image_size=options.pop("image_size", 4), **options)
    assert "\n" not in str(caught.value)


def test_a_folder_without_class_folders_is_refused(tmp_path):
    refused(tmp_path, "at least two folders of images, one per class .*, got none, and 0 images in no")
    write(tmp_path, {"1": 1, "2": 2})
    refused(tmp_path, r"got none, and 2 images in no class folder")
    write(tmp_path, {"cat/1": 1})
    refused(tmp_path, r"got only 'cat'$")
    (tmp_path / "dog").mkdir()
    refused(tmp_path, r"got only 'cat'$")
    (tmp_path / "dog" / "notes.txt").write_text("no image")
    refused(tmp_path, r"nothing of class 'dog' can be read; in .*dog there is notes\.txt: convert it to PNG, ")


def test_a_folder_of_one_class_is_refused_by_its_own_name(tmp_path):
    write(tmp_path, {"pets/cat/1": 1, "pets/cat/2": 2})
    refused(tmp_path, r"pets must hold at least two folders .* got only 'cat'$")


def test_a_border_with_one_class_is_refused(tmp_path):
    write(tmp_path, {"Training/cat/1": 1, "Testing/cat/1": 2})
    refused(tmp_path, r"Training must hold at least two folders .* got only 'cat'")


def test_classes_on_one_side_only_are_refused(tmp_path):
    tree = {f"train/{c}/{k}": 100 * i + k for i, c in enumerate(("a", "b", "c")) for k in range(5)}
    write(tmp_path, tree | {"test/a/1": 11, "test/b/1": 111, "test/d/1": 21})
    refused(tmp_path, "train and .*test must hold images of the same classes, but only one of them has c, d$")


def test_two_folders_for_one_side_are_refused(tmp_path):
    write(tmp_path, {f"{part}/{c}/1": 1 for part in ("train", "Training", "test") for c in "ab"})
    refused(tmp_path, "one folder for each side, got Training, test, train")


def test_a_class_with_too_few_different_images_is_refused(tmp_path):
    write(tmp_path, {"a/1": 1, "a/copy": 1, **{f"b/{k}": 100 + k for k in range(9)}})
    refused(tmp_path, "class 'a' has too few different samples to split off 20%")


def test_a_folder_of_unreadable_images_is_refused(tmp_path):
    for c in "ab":
        (tmp_path / c).mkdir()
        (tmp_path / c / "1.png").write_bytes(b"no image")
    refused(tmp_path, "none of the 2 image files in .* can be read: no image of a known kind")


@pytest.mark.parametrize("where", ["b", "Testing/b", "val/b"])
def test_a_class_of_which_no_file_can_be_read_is_refused(tmp_path, where):
    sides = ("",) if where == "b" else ("Training/", "Testing/", "val/")
    write(
        tmp_path,
        {
            f"{s}{c}/{k}": 70 * i + 20 * j + k
            for i, c in enumerate("abc")
            for j, s in enumerate(sides)
            for k in range(9)
        },
    )
    for path in (tmp_path / where).iterdir():
        path.write_bytes(b"no image")
    refused(tmp_path, r"none of .*class 'b' can be read, the first because: no image of a known kind$")


def test_a_class_of_which_nothing_is_left_is_refused(tmp_path):
    write(
        tmp_path,
        {f"{part}/{c}/{k}": 100 * i + k for part in ("train", "test") for i, c in enumerate("ab") for k in (1, 2)},
    )
    write(tmp_path, {"train/b/3": 103, "train/b/4": 104})
    refused(tmp_path, "no image is left to train on of class a: all are there to validate or test with, too$")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 0}, r"image_size must be a whole number of pixels or \(height, width\), got 0"),
        ({"image_size": (3, 4, 5)}, r"image_size must be .* got \(3, 4, 5\)"),
        ({"image_size": 3.5}, r"image_size must be .* got 3.5"),
        ({"image_size": True}, r"image_size must be .* got True"),
        ({"channels": 4}, "channels must be 1, 3 or 'auto', got 4"),
        ({"test_split": 1}, r"must lie in \[0, 1\), got 1"),
        ({"validation_split": -0.1}, r"must lie in \[0, 1\), got -0.1"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
        ({"seed": "a"}, "seed must be a whole number of at least 0, got 'a'"),
    ],
)
def test_options_out_of_range_are_refused(animals, options, message):
    refused(animals, message, **options)


# --- by kdlab.load


def test_load_reads_a_folder(animals, monkeypatch):
    assert contents(kdlab.load(animals, image_size=4)) == contents(read_folder(animals, image_size=4))
    monkeypatch.chdir(animals.parent)
    assert kdlab.load("animals", image_size=4, seed=2).class_names == ("cat", "dog", "emu")
    with pytest.raises(
        ValueError,
        match="takes image_size, channels, preparation, seed, validation_split, test_split, classes; got size",
    ):
        kdlab.load(animals, size=4)


def kaggle(folder):
    """The archive's folders: both classes twice."""
    tree = {f"{c}/{k}": 100 * i + k for i, c in enumerate(("no", "yes")) for k in range(9)}
    return write(folder, tree | {f"brain_tumor_dataset/{name}": number for name, number in tree.items()})


def test_brain_tumor_is_fetched_by_kagglehub(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        kagglehub, "dataset_download", lambda handle: asked.append(handle) or str(kaggle(tmp_path / "versions" / "1"))
    )
    data = kdlab.load("brain-tumor", image_size=4, seed=1)
    assert data.class_names == ("no", "yes")
    assert sum(len(getattr(data, name)) for name in SPLITS) == 18
    assert data.notes == ()
    assert "Chakrabarty" in data.source
    assert asked == ["navoneel/brain-mri-images-for-brain-tumor-detection/versions/1"]


def test_brain_tumor_without_a_network_says_where_to_put_it_and_finds_it_there(cache, monkeypatch):
    def offline(handle):
        raise requests.ConnectionError("no route")

    monkeypatch.setattr(kagglehub, "dataset_download", offline)
    with pytest.raises(OSError, match=r"no connection.*: download https://www\.kaggle\.com/.* unpack it to") as caught:
        kdlab.load("brain-tumor")
    place = cache / "downloads" / "brain-tumor"
    assert str(place) in str(caught.value)
    assert "\n" not in str(caught.value)
    kaggle(place)
    assert kdlab.load("brain-tumor", image_size=4).class_names == ("no", "yes")


# --- prepared before they are resized


def test_scans_are_cut_to_the_head_before_they_are_resized(tmp_path):
    rng = np.random.default_rng(0)
    for k in range(12):
        scan = np.zeros((90, 70, 3), np.uint8)
        scan[20:60, 10:50] = rng.integers(100, 200, (40, 40, 1))
        path = tmp_path / "ab"[k % 2] / f"{k}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(scan).save(path)
    plain = read_folder(tmp_path, image_size=16)
    cut = read_folder(tmp_path, image_size=16, preparation="brain-mri")
    assert cut.train.x.shape == plain.train.x.shape == (len(cut.train), 16, 16, 1)
    np.testing.assert_array_equal(cut.train.y, plain.train.y)
    assert (plain.train.x == 0).mean() > 0.5
    assert (cut.train.x == 0).mean() < 0.2
    first = sorted((tmp_path / "a").iterdir())[0]
    grey = Image.fromarray(prepare_scan(np.asarray(Image.open(first))[..., 0])).resize((16, 16), Image.BILINEAR)
    everywhere = np.concatenate([getattr(cut, name).x for name in SPLITS])
    assert (np.abs(everywhere[..., 0] - np.asarray(grey) / 255) < 1e-6).all(axis=(1, 2)).sum() == 1
    with pytest.raises(ValueError, match="preparation must be one of 'none', 'brain-mri', got 'crop'"):
        read_folder(tmp_path, preparation="crop")


# --- the real thing


@pytest.mark.skipif(not BRAINS.is_dir(), reason="../shared/data/brain_yesno, 253 real MRI images, is not here")
def test_real_mri_images():
    data = kdlab.load(BRAINS, image_size=32)
    assert data.class_names == ("no", "yes")
    labels = np.concatenate([getattr(data, name).y for name in SPLITS])
    assert np.bincount(labels).tolist() == [98, 155]
    assert data.notes == (
        "Exact duplicates (the same pixels): 25, in groups: 22. Each group is kept on one side of the split.",
    )
    pictures = [{x.tobytes() for x in getattr(data, name).x} for name in SPLITS]
    assert len(set.union(*pictures)) == sum(map(len, pictures)) == 228
    assert data.train.x.shape[1:] == (32, 32, 3)
    prepared = kdlab.load(BRAINS, image_size=32, preparation="brain-mri")
    assert prepared.train.x.shape[1:] == (32, 32, 1)
    assert prepared.notes == data.notes
