"""The contract of an exported file: compiled and read back by a C program, and judged by LiteRT's interpreter in Python."""

import json
import shutil
import subprocess

import keras
import numpy as np
import pytest
from PIL import Image

import kdlab
from kdlab import timing
from kdlab.commands.command_line import main
from kdlab.export import contract, convert

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not there for this machine")
layers = keras.layers
RNG = np.random.default_rng(0)

# Prints what the header says, and writes model, input and output as the program has them.
PROGRAM = """
#include <stdio.h>
#include <string.h>
#include "{header}"
static unsigned char arena[{upper}_ARENA_BYTES];
int main(void) {{
    FILE *file = fopen("all.bin", "wb");
    fwrite({name}_tflite, 1, {name}_tflite_len, file);
    fwrite({name}_test_input, sizeof {name}_test_input[0], {upper}_INPUT_SIZE, file);
    fwrite({name}_test_output, sizeof {name}_test_output[0], {upper}_CLASSES, file);
    fclose(file);
    printf("%u %u %d %.9g %d %s\\n", {name}_tflite_len, (unsigned)sizeof arena, {upper}_INPUT_ZERO_POINT,
           (double){upper}_INPUT_SCALE, {upper}_OUTPUT_ZERO_POINT, {upper}_CLASS_1);
    return strlen({upper}_CLASS_0) == 0;
}}
"""


@pytest.fixture(scope="module", autouse=True)
def _converted_here_and_measured_briefly():
    """No model here kills the converter: none needs it in a process of its own, which takes seconds to start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convert, "_is_harmless", lambda *_: True)
        patch.setattr(timing, "MOST", timing.LEAST)
        yield


def image_model():
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.DepthwiseConv2D(3),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )


def dense_model():
    return keras.Sequential([keras.Input((8,)), layers.Dense(5, activation="relu"), layers.Dense(2)])


@pytest.mark.parametrize(
    ("make", "samples", "pixel_range", "classes", "ending", "compiler"),
    [
        (
            image_model,
            RNG.random((40, 8, 8, 3), np.float32) * 255,
            (0.0, 255.0),
            ("no", 'the "yes"', "*/ ü"),
            ".c",
            "gcc -std=c11",
        ),
        (image_model, RNG.random((40, 8, 8, 3), np.float32), (0.0, 1.0), ("a", "b", "c"), ".cc", "g++ -std=c++17"),
        (dense_model, RNG.random((40, 8), np.float32) * 2 - 1, (-1.0, 1.0), ("left", "right??/"), ".h", "gcc -std=c11"),
    ],
)
def test_a_c_program_gets_from_the_file_what_litert_computes(
    tmp_path, make, samples, pixel_range, classes, ending, compiler
):
    if not shutil.which(compiler.split()[0]):
        pytest.skip(f"there is no {compiler.split()[0]}")
    tflite = convert.to_tflite_int8(make(), samples)
    found = contract.describe(tflite, classes, pixel_range, samples[:1])
    alone = ending == ".h"
    constants = contract.c_lines(found, "my_net", declare=True, static=alone)
    example = contract.c_lines(found, "my_net", static=alone)
    sources = ["main.c" if compiler.startswith("gcc") else "main.cc"]
    if alone:
        (tmp_path / "net.h").write_text(convert.to_c_array(tflite, "my_net", more=[*constants, *example]), "utf-8")
    else:
        (tmp_path / "net.h").write_text(convert.to_c_header(tflite, "my_net", constants), "utf-8")
        (tmp_path / f"net{ending}").write_text(convert.to_c_array(tflite, "my_net", "net.h", example), "utf-8")
        sources.append(f"net{ending}")
    (tmp_path / sources[0]).write_text(PROGRAM.format(header="net.h", name="my_net", upper="MY_NET"))
    line = [*compiler.split(), "-Wall", "-Wextra", "-Werror", "-pedantic", *sources, "-o", "main"]
    subprocess.run(line, cwd=tmp_path, check=True, timeout=60)
    said = subprocess.run(
        [tmp_path / "main"], cwd=tmp_path, capture_output=True, check=True, timeout=60
    ).stdout.decode()

    length, arena, zero, scale, zero_out, label = said.strip().split(" ", 5)
    content = (tmp_path / "all.bin").read_bytes()
    model, values = content[: int(length)], np.frombuffer(content[int(length) :], np.int8)
    given, expected = values[: samples[0].size], values[samples[0].size :]
    interpreter = convert.interpreter_of(model)  # the reference
    (taken,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.set_tensor(taken["index"], given.reshape(1, *samples.shape[1:]))
    interpreter.invoke()
    np.testing.assert_array_equal(interpreter.get_tensor(made["index"])[0], expected)
    assert taken["quantization"] == (pytest.approx(float(scale), rel=1e-6), int(zero))
    assert made["quantization"][1] == int(zero_out)
    assert np.abs((given.astype(float) - int(zero)) * float(scale) - samples[0].ravel()).max() <= float(scale)
    assert label == classes[1]
    assert int(arena) >= convert.arena_bytes(tflite) + 4096
    assert int(arena) % 16 == 0


TABLE_PROGRAM = """
#include <stdio.h>
#include "t.h"
static const float rows[][T_INPUT_SIZE] = {{{rows}}};
int main(void) {{
    for (unsigned row = 0; row < sizeof rows / sizeof rows[0]; row++)
        for (int k = 0; k < T_INPUT_SIZE; k++)
            printf("%.9g ", 0.5 + (rows[row][k] - t_feature_mean[k]) / (2 * 4 * t_feature_deviation[k]));
    return 0;
}}
"""


def test_a_c_program_scales_a_table_s_features_as_the_model_got_them(tmp_path, monkeypatch):
    if not shutil.which("gcc"):
        pytest.skip("there is no gcc")
    monkeypatch.chdir(tmp_path)
    x, y = RNG.normal([5, -300, 0.01], [2, 90, 0.004], (60, 3)).astype(np.float32), np.arange(60) % 2
    np.savez("table.npz", x=x, y=y)
    keras.Sequential([keras.Input((3,)), layers.Dense(2)]).save("t.keras")
    assert main(["export", "t.keras", "--to", "c-array", "--data", "table.npz", "--out", "t.c", "--quiet"]) == 0
    taken = json.loads((tmp_path / "t.c.json").read_text("utf-8"))["input"]
    assert taken["scaling"]["formula"] == "value = clip(0.5 + (feature - mean) / (2 * 4 * deviation), 0, 1)"
    for text in ((tmp_path / "t.c.md").read_text("utf-8"), (tmp_path / "t.h").read_text("utf-8")):
        assert taken["scaling"]["formula"] in text
    assert (
        f"{taken['scaling']['mean'][1]:.6g} ({taken['scaling']['deviation'][1]:.6g})"
        in (tmp_path / "t.c.md").read_text()
    )

    rows = ", ".join("{" + ", ".join(f"{value:.9e}f" for value in row) + "}" for row in x)
    (tmp_path / "main.c").write_text(TABLE_PROGRAM.format(rows=rows))
    line = ["gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "main.c", "t.c", "-o", "main"]
    subprocess.run(line, check=True, timeout=60)
    said = subprocess.run(["./main"], capture_output=True, check=True, timeout=60).stdout.split()
    scaled = np.array(said, np.float64).reshape(x.shape).clip(0, 1)
    data = kdlab.load("table.npz")
    everything = np.concatenate([getattr(data, part).x for part in ("train", "validation", "test")])
    np.testing.assert_allclose(scaled[np.lexsort(scaled.T)], everything[np.lexsort(everything.T)], atol=1e-5)


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory):
    """A folder with a table and a model that kdlab trained on it."""
    folder = tmp_path_factory.mktemp("trained")
    rows = [f"{RNG.normal(5 + k % 2)},{RNG.normal(-300, 90)},{'ab'[k % 2]}" for k in range(60)]
    (folder / "table.csv").write_text("\n".join(["f1,f2,label", *rows]))
    (folder / "other.csv").write_text("\n".join(["f1,f2,label", *rows]).replace(",a\n", ",c\n"))
    line = ["train", "--data", "table.csv", "--model", "mlp", "--epochs", "2", "--out", "t.keras", "--quiet"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(line) == 0
    return folder


@pytest.fixture
def trained(trained_once, tmp_path, monkeypatch):
    """A copy of that folder, to work in."""
    shutil.copytree(trained_once, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


EXPORT_TABLE = ["export", "t.keras", "--to", "tflite", "--out", "t.tflite", "--quiet", "--data"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            ["table.csv", "--test-split", "0.5"],
            "t.keras was trained on other rows than table.csv has to train on, and its",
        ),
        (
            ["other.csv"],
            "the model t.keras knows the classes a, b, the data have b, c; give a model that was trained on",
        ),
    ],
)
def test_a_table_that_is_not_that_of_the_training_would_give_wrong_constants(trained, capsys, data, said):
    assert main([*EXPORT_TABLE, *data]) == 2
    assert said in capsys.readouterr().err


def test_a_table_that_is_or_may_be_that_of_the_training_is_taken(trained):
    line = [*EXPORT_TABLE, "table.csv"]
    assert main(line) == 0
    assert not any("trained on" in note for note in json.loads((trained / "t.tflite.json").read_text("utf-8"))["notes"])
    (trained / "t.json").unlink()
    assert main([*line, "--force"]) == 0
    notes = json.loads((trained / "t.tflite.json").read_text("utf-8"))["notes"]
    assert any(note.startswith("What t.keras was trained on is not known") for note in notes)


def test_images_are_exported_with_their_preparation_and_other_samples_are_a_note(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, level in (("ill", 60), ("well", 160)):
        (tmp_path / "scans" / name).mkdir(parents=True)
        for k in range(20):
            image = Image.fromarray(RNG.integers(level - 40, level + 40, (12, 12)).astype(np.uint8))
            image.save(tmp_path / "scans" / name / f"{k}.png")
    data = ["--data", "scans", "--image-size", "8"]
    prepared = [*data, "--preparation", "brain-mri"]
    assert main(["train", *prepared, "--model", "mlp", "--epochs", "1", "--out", "m.keras", "--quiet"]) == 0
    for options, preparation in ((prepared, "brain-mri"), (data, None)):
        line = ["export", "m.keras", "--to", "tflite", *options, "--out", "m.tflite", "--force", "--quiet"]
        assert main(line) == 0
        found = json.loads((tmp_path / "m.tflite.json").read_text("utf-8"))
        assert found["input"]["preparation"] == preparation
        page = (tmp_path / "m.tflite.md").read_text("utf-8")
        assert ("Preparation of the images: brain-mri" in page) == (preparation is not None)
        assert any("read or split otherwise" in note for note in found["notes"]) == (preparation is None)


def test_operators_whose_methods_do_not_follow_the_rule():
    inputs = keras.Input((4, 6))
    rows = layers.Dense(6)(inputs)
    products = layers.Dot(axes=2)([rows, layers.Dense(6)(inputs)])
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(products)))
    x = RNG.random((5, 4, 6), np.float32)
    assert "AddBatchMatMul" in contract.describe(convert.to_tflite(model), "ab", (0.0, 1.0), x[:1])["operators"]


def test_the_operators_are_those_of_the_file():
    samples = RNG.random((10, 8, 8, 3), np.float32)
    found = contract.describe(convert.to_tflite_int8(image_model(), samples), "abc", (0.0, 1.0), samples[:1])
    assert {"AddConv2D", "AddDepthwiseConv2D", "AddMaxPool2D", "AddFullyConnected"} <= set(found["operators"])
    assert found["input"]["channels"] == "red, green, blue"
    floats = contract.describe(convert.to_tflite(dense_model()), ["a", "b"], (0.0, 1.0), samples.reshape(-1, 8)[:1])
    assert floats["operators"] == ["AddFullyConnected"]
    assert floats["input"]["scaling"] is None
    assert (floats["input"]["type"], floats["input"]["scale"], floats["input"]["channels"]) == ("float32", None, None)


def test_the_command_writes_the_contract_to_read_and_to_parse(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    keras.Sequential([keras.Input((64,)), layers.Dense(10)]).save("s.keras")
    assert main(["export", "s.keras", "--to", "c-array", "--data", "digits", "--out", "s.c", "--quiet"]) == 0
    found, page = json.loads((tmp_path / "s.c.json").read_text("utf-8")), (tmp_path / "s.c.md").read_text("utf-8")
    assert found["output"]["class_names"] == list("0123456789")
    assert len(found["example"]["input"]) == 64
    assert f"{found['arena_bytes']:,} bytes to begin with" in page
    for text in (
        "classes in order: 0, 1, 2",
        "AddFullyConnected",
        "at most 50% of its flash and RAM",
        "kdlab export s.keras",
    ):
        assert text in page
    header = (tmp_path / "s.h").read_text("utf-8")
    assert f"#define S_ARENA_BYTES {found['arena_bytes']}\n" in header
    assert "extern const signed char s_test_input[64];" in header
