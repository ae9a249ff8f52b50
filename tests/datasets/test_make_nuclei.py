"""The shipped file is what the script makes out of the published package."""

import os
import zipfile

import numpy as np
import pytest

from kdlab.datasets import make_nuclei
from kdlab.datasets.nuclei import FIELD_FILE

pytest.importorskip("pyarrow", reason="the test extra brings it: pip install -e '.[test]'")
shapely = pytest.importorskip("shapely", reason="the test extra brings it: pip install -e '.[test]'")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The published package. Without it the tests skip, unless KDLAB_REQUIRE_NETWORK says they must not."""
    try:
        return make_nuclei.download_wheel(tmp_path_factory.mktemp("wheel"))
    except OSError as error:
        if os.environ.get("KDLAB_REQUIRE_NETWORK"):
            raise
        pytest.skip(str(error))


def test_the_script_writes_the_shipped_files_again(wheel, tmp_path, monkeypatch):
    monkeypatch.setattr(make_nuclei, "download_wheel", lambda folder: wheel)
    path, notice = tmp_path / "nuclei.npz", tmp_path / "notice.txt"
    make_nuclei.write_nuclei(path, notice)
    with np.load(path, allow_pickle=False) as made, np.load(FIELD_FILE, allow_pickle=False) as shipped:
        assert sorted(made) == sorted(shipped)
        for name in shipped:
            assert made[name].dtype == shipped[name].dtype
            np.testing.assert_array_equal(made[name], shipped[name], err_msg=name)
    assert notice.read_text("utf-8") == make_nuclei.NOTICE_FILE.read_text("utf-8")
    assert "BSD 3-Clause License" in notice.read_text("utf-8")


def test_the_outlines_agree_with_the_mask_that_the_package_has_itself(wheel):
    # histolytics draws the nest's nuclei too: pixel by pixel nearly the same, which our own drawing cannot know.
    with zipfile.ZipFile(wheel) as files, files.open("histolytics/data/hgsc_nest_inst_mask.npz") as mask:
        theirs = np.load(mask, allow_pickle=False)["nuc_raster"] > 0
    with np.load(FIELD_FILE, allow_pickle=False) as shipped:
        ours = shipped["nest_nuclei"] > 0
    assert 2 * (ours & theirs).sum() / (ours.sum() + theirs.sum()) > 0.95


def test_a_square_is_drawn_where_it_is(tmp_path):
    from io import BytesIO

    import pyarrow as pa
    from pyarrow import parquet

    # x from 10 to 20, y from 30 to 34: ten columns right, thirty rows down.
    table = pa.table({"geometry": [shapely.to_wkb(shapely.box(10, 30, 20, 34))], "class_name": ["neoplastic"]})
    file = BytesIO()
    parquet.write_table(table, file)
    made = make_nuclei._read_outlines(file.getvalue(), (50, 60))
    rows, columns = np.nonzero(made["nuclei"])
    assert made["nuclei"].shape == (60, 50)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (30, 34, 10, 20)
    assert made["centres"].tolist() == [[32, 15]]
    assert made["classes"].tolist() == [2]


def test_no_network_is_said_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(OSError, match=r"^the wheel of histolytics 0\.3\.0 could not be downloaded; pip says: .+$"):
        make_nuclei.download_wheel(tmp_path)


def test_a_wheel_with_another_checksum_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(make_nuclei, "WHEEL", make_nuclei.WHEEL.replace("de2ad5cf", "00000000"))
    with pytest.raises(OSError, match=r"(?i)pip says: .*hash"):
        make_nuclei.download_wheel(tmp_path)
