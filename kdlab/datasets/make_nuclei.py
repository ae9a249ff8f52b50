"""The script that makes the shipped nuclei out of the published package: ``python -m kdlab.datasets.make_nuclei``.

It needs pip, the network and ``pip install "kdlab[nuclei] @ git+ADDRESS"``, which brings what reads the package's files.
"""

import subprocess
import sys
import tempfile
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np

from .nuclei import CLASS_NAMES, FIELD_FILE

WHEEL = "histolytics==0.3.0 --hash=sha256:de2ad5cf6a24f95637b19030c202c4969dc966e851f510418746a5b86b653137"
# Of each field of view: the image and the outlines of its nuclei with their classes, in histolytics/data.
FIELDS = {
    "nest": ("hgsc_nest.jpg", "hgsc_nest.parquet"),
    "stroma": ("hgsc_stromal_he.jpg", "hgsc_stromal_cells.parquet"),
}
NOTICE = "histolytics-0.3.0.dist-info/licenses/LICENSE"
NOTICE_FILE = FIELD_FILE.with_name("nuclei_LICENCE.txt")


def download_wheel(folder):
    """Download the wheel of histolytics 0.3.0 (39 MB, checked by its SHA-256) into ``folder``: its path.

    Its dependencies stay where they are. Raises OSError where pip cannot get it.
    """
    wanted = Path(folder) / "nuclei-requirements.txt"
    wanted.write_text(WHEEL + "\n", "utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--require-hashes", "--dest", str(folder), "--requirement", str(wanted)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
        raise OSError(f"the wheel of histolytics 0.3.0 could not be downloaded; pip says: {' '.join(said)}")
    return next(Path(folder).glob("histolytics-0.3.0-*.whl"))


def read_wheel(path):
    """Return what is shipped, out of the wheel: {name: array}, and the licence's text.

    For each field of view, "nest" and "stroma", with N nuclei: "…_jpeg", the image's file as it is, uint8;
    "…_nuclei" uint16 (1500, 1500), the number of the nucleus that a pixel belongs to, 1 to N, or 0;
    "…_centres" int16 (N, 2), row and column of the middle of its bounding box; "…_classes" uint8 (N,).
    """
    arrays = {}
    with zipfile.ZipFile(path) as wheel:
        for field, (image, outlines) in FIELDS.items():
            jpeg = wheel.read(f"histolytics/data/{image}")
            made = _read_outlines(wheel.read(f"histolytics/data/{outlines}"), _size(jpeg))
            made["jpeg"] = np.frombuffer(jpeg, np.uint8)
            arrays.update({f"{field}_{name}": array for name, array in made.items()})
        notice = wheel.read(NOTICE).decode("utf-8")
    return arrays, notice


def write_nuclei(path=FIELD_FILE, notice_path=NOTICE_FILE):
    """Download, read and write both files: the arrays of ``read_wheel``, and the licence under which they may be."""
    with tempfile.TemporaryDirectory() as folder:
        arrays, notice = read_wheel(download_wheel(folder))
    np.savez_compressed(path, **arrays)
    Path(notice_path).write_text(
        "The images, outlines and classes in nuclei.npz come from histolytics 0.3.0, "
        f"as the Python Package Index has it, whose licence is:\n\n{notice}",
        "utf-8",
    )
    return arrays


def _read_outlines(parquet, size):
    """Return centres, classes and the drawn outlines of a GeoParquet file's polygons, in pixels of the image."""
    import shapely
    from PIL import Image, ImageDraw
    from pyarrow import parquet as reader

    table = reader.read_table(BytesIO(parquet)).to_pydict()
    polygons = shapely.from_wkb(table["geometry"])
    left, top, right, bottom = shapely.bounds(polygons).T
    canvas = Image.new("I", size)
    draw = ImageDraw.Draw(canvas)
    for number, polygon in enumerate(polygons, 1):
        draw.polygon([tuple(point) for point in shapely.get_coordinates(polygon).tolist()], fill=number)
    return {
        "nuclei": np.array(canvas).astype(np.uint16),
        "centres": np.rint(np.stack([top + bottom, left + right], axis=1) / 2).astype(np.int16),
        "classes": np.array([CLASS_NAMES.index(name) for name in table["class_name"]], np.uint8),
    }


def _size(jpeg):
    from PIL import Image

    return Image.open(BytesIO(jpeg)).size


if __name__ == "__main__":
    for name, array in write_nuclei().items():
        print(f"{name}: {array.dtype} {array.shape}")
    print(f"{FIELD_FILE.name}: {FIELD_FILE.stat().st_size / 1e6:.2f} MB")
