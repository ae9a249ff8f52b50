"""Export for microcontrollers: the converted model answers as before, and the numbers about it are right."""

import json
import os
import re
import shutil
import subprocess
import zlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import kdlab
from kdlab import models, timing
from kdlab.commands.command_line import main
from kdlab.evaluation import agreement
from kdlab.export import convert

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not there for this machine")


@pytest.fixture(scope="module", autouse=True)
def _converted_here_and_measured_briefly():
    """No model here kills the converter: none needs it in a process of its own, which takes seconds to start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convert, "_is_harmless", lambda *_: True)
        patch.setattr(timing, "MOST", timing.LEAST)
        yield


@pytest.fixture(scope="module")
def digits():
    return kdlab.load("digits")


@pytest.fixture(scope="module")
def images(digits):
    """The digits' (training samples, labels, test samples) as images 8×8."""
    return digits.train.x.reshape(-1, 8, 8, 1), digits.train.y, digits.test.x.reshape(-1, 8, 8, 1)


@pytest.fixture(scope="module")
def mlp(digits):
    model = models.mlp(64, (32,), 10, seed=0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.005), loss, steps_per_execution=29)  # an epoch at once
    model.fit(digits.train.x, digits.train.y, batch_size=32, epochs=9, verbose=0)
    return model


@pytest.fixture(scope="module")
def cnn(images):
    """A network of which the last layer is fitted by least squares, in no time."""
    layers = keras.layers
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, padding="same", use_bias=False),
            layers.BatchNormalization(moving_mean_initializer=keras.initializers.RandomUniform(-0.1, 0.1)),
            layers.ReLU(),
            layers.DepthwiseConv2D(3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(10),
        ],
        name="small",
    )
    x, y, _ = images
    features = np.asarray(keras.Model(model.inputs[0], model.layers[-2].output)(x))
    features = np.concatenate([features, np.ones((len(features), 1))], axis=1)
    products = features.T @ features + 1e-3 * np.eye(features.shape[1])
    weights = np.linalg.solve(products, features.T @ (10 * np.eye(10)[y] - 5))
    model.layers[-1].set_weights([weights[:-1], weights[-1]])
    return model


@pytest.fixture(scope="module")
def mlp_float(mlp):
    return convert.to_tflite(mlp)


@pytest.fixture(scope="module")
def mlp_int8(mlp, digits):
    return convert.to_tflite_int8(mlp, digits.train.x[:200])


@pytest.fixture(scope="module")
def cnn_float(cnn):
    return convert.to_tflite(cnn)


@pytest.fixture(scope="module")
def cnn_int8(cnn, images):
    return convert.to_tflite_int8(cnn, images[0][:200])


# --- what the converted models answer


def test_a_converted_model_answers_as_the_model_does(mlp, mlp_float, cnn, cnn_float, digits, images):
    for model, tflite, x in ((mlp, mlp_float, digits.test.x), (cnn, cnn_float, images[2])):
        np.testing.assert_allclose(convert.run_tflite(tflite, x), np.asarray(model(x)), rtol=1e-4, atol=1e-4)


def test_int8_agrees_with_float_on_98_percent_of_the_test_samples(mlp, mlp_int8, cnn, cnn_int8, digits, images):
    for model, tflite, x, y in (
        (mlp, mlp_int8, digits.test.x, digits.test.y),
        (cnn, cnn_int8, images[2], digits.test.y),
    ):
        logits, quantised = np.asarray(model(x)), convert.run_tflite(tflite, x)
        assert np.mean(logits.argmax(axis=1) == y) > 0.9  # The model knows something to lose.
        assert agreement(logits, quantised) >= 0.98
        assert quantised.dtype == np.float32
        assert len(np.unique(quantised)) <= 256
        # In units of logits: off by a few steps, not by a factor.
        assert np.abs(quantised - logits).mean() < 0.02 * np.ptp(logits)


def test_int8_means_int8_from_input_to_output(mlp_int8):
    interpreter = convert.interpreter_of(mlp_int8)
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert taken["dtype"] == given["dtype"] == np.int8
    kinds = {np.dtype(tensor["dtype"]).name for tensor in interpreter.get_tensor_details()}
    assert kinds <= {"int8", "int32"}  # int32: sums and their biases


def test_the_scales_are_those_of_the_representative_samples(mlp, digits):
    half = convert.to_tflite_int8(mlp, digits.train.x[:200] / 2)
    scale, zero = convert.interpreter_of(half).get_input_details()[0]["quantization"]
    assert scale == pytest.approx(0.5 / 255, rel=1e-3)
    assert zero == -128


def test_the_same_model_becomes_the_same_bytes(mlp, mlp_float, mlp_int8, digits):
    assert convert.to_tflite(mlp) == mlp_float
    assert convert.to_tflite_int8(mlp, digits.train.x[:200]) == mlp_int8


def test_weights_in_8_bits_are_a_quarter():
    big = models.mlp(64, (256, 256), 10, seed=0)
    tflite = convert.to_tflite_int8(big, np.random.default_rng(0).random((20, 64)))
    assert 0.25 < len(tflite) / (4 * big.count_params()) < 0.29  # of float32


# --- the numbers about them


def test_multiply_adds_are_those_counted_by_hand(mlp, cnn):
    assert convert.multiply_adds(mlp) == (64 * 32 + 32 * 10, ())
    by_hand = 8 * 8 * (3 * 3 * 1 * 8) + 8 * 8 * (3 * 3 * 8) + 2 * 2 * (3 * 3 * 8 * 32) + 2 * 2 * 32 * 10
    assert convert.multiply_adds(cnn) == (by_hand, ())


def test_multiply_adds_with_strides_and_layers_used_twice():
    layers = keras.layers
    x = keras.Input((9, 9, 4))
    shared = layers.Conv2D(4, 3, padding="same")
    inner = keras.Sequential([keras.Input((9, 9, 4)), layers.Conv2D(4, 1)])
    y = inner(inner(shared(shared(x))))
    y = layers.Conv2D(8, 3, strides=2)(y)  # 4×4 positions
    y = layers.DepthwiseConv2D(2, depth_multiplier=3)(y)  # 3×3 positions
    y = layers.Dense(5)(y)  # at each position
    model = keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling2D()(y)))
    by_hand = 2 * 81 * 9 * 4 * 4 + 2 * 81 * 4 * 4 + 16 * 9 * 4 * 8 + 9 * 4 * 24 + 9 * 24 * 5 + 5 * 2
    assert convert.multiply_adds(model) == (by_hand, ())


def test_layers_that_are_not_counted_are_named():
    model = keras.Sequential(
        [
            keras.Input((4, 4, 2)),
            keras.layers.Conv2DTranspose(4, 2, name="up"),
            keras.layers.Conv2D(4, 1, groups=2, name="grouped"),
            keras.layers.Conv2DTranspose(2, 2, name="up_1"),
            keras.layers.Flatten(),
            keras.layers.Dense(2),
        ]
    )
    not_counted = ("up (Conv2DTranspose)", "up_1 (Conv2DTranspose)")
    assert convert.multiply_adds(model) == (5 * 5 * 2 * 4 + 6 * 6 * 2 * 2, not_counted)


@keras.saving.register_keras_serializable()
class OnGpu(keras.layers.Layer):
    """A recurrent layer as TensorFlow traces it where it has a GPU."""

    def call(self, x):
        x, state, weights = tf.transpose(x, (1, 0, 2)), tf.zeros((1, 1, 8)), tf.zeros(1000)
        steps = tf.constant([5])
        return tf.raw_ops.CudnnRNNV3(
            input=x,
            input_h=state,
            input_c=state,
            params=weights,
            sequence_lengths=steps,
            rnn_mode="gru",
            is_training=False,
        )[0][-1]


def test_a_recurrent_layer_on_a_gpu_is_named():
    model = keras.Sequential([keras.Input((5, 3)), OnGpu(name="memory"), keras.layers.Dense(2)])
    assert convert.multiply_adds(model) == (8 * 2, ("memory (OnGpu)",))


@pytest.mark.parametrize(
    ("shape", "stack", "by_hand"),
    [
        ((8, 8, 4), lambda k: [k.SeparableConv2D(6, 3), k.Flatten()], 36 * (9 * 4 + 4 * 6) + 216 * 2),
        ((9, 4), lambda k: [k.Conv1D(5, 3), k.Flatten()], 7 * 3 * 4 * 5 + 35 * 2),
        ((9, 4), lambda k: [k.DepthwiseConv1D(3, depth_multiplier=2), k.Flatten()], 7 * 3 * 8 + 56 * 2),
        ((9, 4), lambda k: [k.Conv1D(6, 2, groups=2), k.Flatten()], 8 * 2 * 2 * 6 + 48 * 2),
        ((9, 4), lambda k: [k.LSTM(5)], 9 * (4 * 20 + 5 * 20) + 5 * 2),
        ((9, 4), lambda k: [k.Bidirectional(k.SimpleRNN(3))], 2 * 9 * (4 * 3 + 3 * 3) + 6 * 2),
        ((9, 4), lambda k: [k.SimpleRNN(3, unroll=True)], 9 * (4 * 3 + 3 * 3) + 3 * 2),
        (
            (9, 4),
            lambda k: [k.EinsumDense("abc,cd->abd", (9, 5)), k.LayerNormalization(), k.Flatten()],
            9 * 20 + 45 * 2,
        ),
    ],
)
def test_every_sum_of_products_is_counted_once_and_not_named(shape, stack, by_hand):
    layers = keras.layers
    model = keras.Sequential([keras.Input(shape), *stack(layers), layers.Dense(2)])
    assert convert.multiply_adds(model) == (by_hand, ())


@pytest.mark.parametrize(
    ("policy", "to", "close"),
    [
        ("mixed_float16", convert.to_tflite_int8, 0.1),
        ("mixed_bfloat16", lambda model, _: convert.to_tflite(model), 0.05),
    ],
)
def test_a_model_of_another_precision_is_converted_in_float32(policy, to, close):
    layers = keras.layers
    inputs = keras.Input((6, 6, 2))
    x = layers.BatchNormalization(dtype=policy)(layers.Conv2D(4, 3, dtype=policy)(inputs))
    x = layers.TimeDistributed(layers.Dense(3, dtype=policy), dtype=policy)(x)
    model = keras.Model(inputs, layers.Dense(3, dtype=policy)(layers.Flatten(dtype=policy)(x)))
    samples = np.random.default_rng(0).random((20, 6, 6, 2), np.float32)
    logits = np.asarray(model(samples), np.float32)
    np.testing.assert_allclose(convert.run_tflite(to(model, samples), samples), logits, atol=close)
    assert [layer.compute_dtype for layer in model.layers[1:]] == [model.layers[1].compute_dtype] * 5


def test_the_arena_holds_the_largest_input_and_output_of_an_operation(mlp_float, mlp_int8, cnn_float, cnn_int8):
    # Dense: the input is read while the hidden layer is made; each rounded up to 16 bytes.
    assert convert.arena_bytes(mlp_int8) == 64 + 32
    assert convert.arena_bytes(mlp_float) == 4 * (64 + 32)
    # Depthwise: 8×8×8 in and 8×8×8 out, the largest there are.
    assert convert.arena_bytes(cnn_int8) == 2 * 8 * 8 * 8
    assert convert.arena_bytes(cnn_float) == 4 * 2 * 8 * 8 * 8


def test_the_arena_keeps_what_a_later_operation_reads():
    x = keras.Input((8, 8, 4))
    y = keras.layers.Conv2D(4, 3, padding="same", bias_initializer="ones")(x)
    y = keras.layers.Conv2D(4, 3, padding="same", bias_initializer="ones")(y)
    y = keras.layers.Add()([x, y])  # x lives through both convolutions
    model = keras.Model(x, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(y)))
    assert convert.arena_bytes(convert.to_tflite(model)) == 3 * 4 * 8 * 8 * 4


def test_latency_is_of_calls_that_were_made(mlp_int8, digits):
    spread = convert.latency(mlp_int8, digits.test.x, seconds=0.02)
    assert 0 < spread.low <= spread.median <= spread.high < 0.1
    assert spread.calls >= 10


# --- the C array


def built(folder, *lines):
    """Run these lines of a compiler, and then the program; return what it prints."""
    for compiler, *arguments in lines:
        if not shutil.which(compiler):
            pytest.skip(f"there is no {compiler}")
        warnings = ["-Wall", "-Wextra", "-Werror", "-pedantic"]
        subprocess.run([compiler, *warnings, *arguments], cwd=folder, check=True, timeout=60)
    return subprocess.run([folder / "main"], capture_output=True, timeout=60, check=True).stdout


MAIN = (
    "int main(void) {\n"
    "    fwrite(digits_tflite, 1, digits_tflite_len, stdout);\n"
    "    return sizeof digits_tflite != digits_tflite_len || (uintptr_t)digits_tflite % 16;\n}\n"
)


@pytest.mark.parametrize(("compiler", "main"), [("gcc -std=c11", "main.c"), ("g++ -std=c++17", "main.cc")])
def test_a_header_alone_holds_the_very_bytes_and_may_be_included_twice(mlp_int8, tmp_path, compiler, main):
    (tmp_path / "model.h").write_text(convert.to_c_array(mlp_int8, "digits"))
    twice = '#include <stdint.h>\n#include <stdio.h>\n#include "model.h"\n#include "model.h"\n'
    (tmp_path / main).write_text(twice + MAIN)
    assert built(tmp_path, [*compiler.split(), main, "-o", "main"]) == mlp_int8


@pytest.mark.parametrize(
    ("source", "source_compiler", "main", "main_compiler"),
    [
        ("model.c", "gcc -std=c11", "main.c", "gcc -std=c11"),
        ("model.cc", "g++ -std=c++17", "main.c", "gcc -std=c11"),
        ("model.c", "gcc -std=c11", "main.cpp", "g++ -std=c++11"),
        ("model.cpp", "g++ -std=c++20", "main.cc", "g++ -std=c++20"),
    ],
)
def test_a_source_file_is_linked_by_what_includes_its_header(
    mlp_int8, tmp_path, source, source_compiler, main, main_compiler
):
    (tmp_path / source).write_text(convert.to_c_array(mlp_int8, "digits", "model.h"))
    (tmp_path / "model.h").write_text(convert.to_c_header(mlp_int8, "digits"))
    (tmp_path / main).write_text('#include <stdint.h>\n#include <stdio.h>\n#include "model.h"\n' + MAIN)
    compiled = [
        [*source_compiler.split(), "-c", source, "-o", "model.o"],
        [*main_compiler.split(), "-c", main, "-o", "main.o"],
        ["g++", "main.o", "model.o", "-o", "main"],
    ]
    assert built(tmp_path, *compiled) == mlp_int8


def test_the_c_array_depends_on_bytes_and_name_only():
    source = convert.to_c_array(bytes(range(20)), "a_1")
    assert re.findall(r"0x(..),", source) == [f"{byte:02x}" for byte in range(20)]
    assert "alignas(16) static const unsigned char a_1_tflite[] = {" in source
    assert "a_1_tflite_len = 20;" in source
    assert zlib.crc32(source.encode()) == zlib.crc32(convert.to_c_array(bytes(range(20)), "a_1").encode())


@pytest.mark.parametrize(
    ("name", "begins"), [("model", "MODEL"), ("_model", "MODEL"), ("_8bit", "_8BIT"), ("__8_bit", "__8_BIT")]
)
def test_macros_have_names_that_a_preprocessor_takes(name, begins):
    assert convert.macro(name) == begins
    for text in (convert.to_c_array(b"x", name), convert.to_c_header(b"x", name)):
        macros = re.findall(r"^#(?:ifndef|define) (.*)$", text, re.MULTILINE)
        assert f"{begins}_TFLITE_H" in macros
        assert all(re.fullmatch(r"[A-Za-z_]\w*", macro) for macro in macros)


@pytest.mark.parametrize("name", ["", "1a", "a-b", "a b", "é", "a;"])
def test_names_that_c_does_not_take_are_refused(name):
    with pytest.raises(ValueError, match="name must be a C identifier"):
        convert.to_c_array(b"x", name)


# --- errors


def test_models_that_cannot_be_converted_are_refused(digits):
    with pytest.raises(ValueError, match=r"model must be a keras\.Model, got 'student'"):
        convert.to_tflite("student")
    x = keras.Input((None, None, 1))
    free = keras.Model(x, keras.layers.GlobalAveragePooling2D()(x), name="free")
    with pytest.raises(ValueError, match=r"free must take samples of a fixed shape, got \(None, None, 1\)"):
        convert.to_tflite(free)
    x = keras.Input((4,))
    two = keras.Model(x, [keras.layers.Dense(2)(x), keras.layers.Dense(2)(x)], name="two")
    with pytest.raises(ValueError, match="two must have one input and one output, got 1 and 2"):
        convert.multiply_adds(two)
    for operation, name in ((keras.ops.erfinv, "Erfinv"), (keras.ops.logdet, "Cholesky")):
        shaped = x if name == "Erfinv" else keras.layers.Reshape((2, 2))(x)
        odd = keras.Model(x, operation(shaped), name="odd")
        with pytest.raises(ValueError, match=f"the model odd cannot be converted for LiteRT: LiteRT has no {name}"):
            convert.to_tflite(odd)


def test_weights_in_float64_are_refused_in_words():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, dtype="float64")], name="wide")
    with pytest.raises(ValueError, match=r"the model wide has weights in float64, .*: build it in float32"):
        convert.to_tflite(model)


def test_samples_that_do_not_fit_are_refused(mlp, mlp_int8):
    for bad in (np.zeros((0, 64)), np.zeros((3, 8, 8)), np.zeros((64,))):
        with pytest.raises(ValueError, match=r"representative must be samples of shape \(N, 64\), N ≥ 1, got \("):
            convert.to_tflite_int8(mlp, bad)
        with pytest.raises(ValueError, match=r"x must be samples of shape \(N, 64\), N ≥ 1, got \("):
            convert.run_tflite(mlp_int8, bad)
    with pytest.raises(ValueError, match="representative must be finite numbers"):
        convert.to_tflite_int8(mlp, np.full((2, 64), np.nan))


@pytest.mark.parametrize("content", [b"", b"no model", b"TFL3" * 100])
def test_bytes_that_are_no_model_are_refused(content):
    message = f"tflite must be the bytes of a LiteRT file, got {len(content)} bytes that are none"
    for use in (convert.arena_bytes, lambda tflite: convert.run_tflite(tflite, np.zeros((1, 2)))):
        with pytest.raises(ValueError, match=message):
            use(content)


# --- the command


@pytest.fixture
def folder(tmp_path, monkeypatch, mlp):
    """The folder to work in, with the model."""
    monkeypatch.chdir(tmp_path)
    mlp.save("student.keras", include_optimizer=False)
    return tmp_path


@pytest.fixture
def converted(monkeypatch, mlp_float, mlp_int8):
    """The model is converted already, for tests of what becomes of the files."""
    monkeypatch.setattr(convert, "to_tflite", lambda *_: mlp_float)
    monkeypatch.setattr(convert, "to_tflite_int8", lambda *_: mlp_int8)


def table(text):
    """The table that a command printed: {name of a row: its cells}."""
    lines = [line.strip("| ").split("|") for line in text.splitlines() if line.startswith("|")]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in lines}


@pytest.mark.parametrize(
    ("to", "ending", "name"), [("tflite", ".tflite", b"\xff net"), ("c-array", ".c", "netz \U0001f9e0".encode())]
)
def test_names_of_any_bytes_are_exported(folder, converted, name, to, ending):
    stem = os.fsdecode(name)
    (folder / "student.keras").rename(folder / f"{stem}.keras")
    data = ["--data", "digits"] if to == "c-array" else []
    assert main(["export", f"{stem}.keras", "--to", to, *data, "--out", f"{stem}{ending}", "--quiet"]) == 0
    assert json.loads((folder / f"{stem}{ending}.json").read_text("utf-8"))["model"] == f"{stem}.keras"
    if ending == ".c":
        assert os.fsencode(f'#include "{stem}.h"') in (folder / f"{stem}.c").read_bytes()


def test_the_command_writes_the_file_and_shows_what_it_lost(folder, capsys, mlp, digits):
    line = ["export", "student.keras", "--to", "tflite-int8", "--data", "digits", "--out", "a.tflite"]
    assert main(line) == 0
    out, error = capsys.readouterr()
    assert error == ""
    written, rows = (folder / "a.tflite").read_bytes(), table(out)
    logits, quantised = np.asarray(mlp(digits.test.x)), convert.run_tflite(written, digits.test.x)
    accuracies = rows["test accuracy (95 % interval)"]
    for cell, answer in ((accuracies[0], logits), (accuracies[2], quantised)):
        assert cell.startswith(f"{100 * np.mean(answer.argmax(axis=1) == digits.test.y):.2f} % (")
    agreed = f"{100 * agreement(logits, quantised):.2f} %"
    assert rows["agreement with the Keras model"] == ["", "100.00 %", agreed]
    assert rows["multiply-adds per sample"] == ["2,368"] * 3
    assert rows["arena, estimate"] == ["", "384 bytes", "96 bytes"]
    assert rows["size"][2] == f"{len(written) / 1000:.1f} kB"
    share = 100 * len(written) / 1024**2
    assert rows["Arduino Nano 33 BLE Sense (nRF52840)"][2] == f"fits: {share:.1f} % of flash, 0.0 % of RAM"
    assert re.fullmatch(r"[\d.e-]+ \([\d.e-]+ to [\d.e-]+\)", rows["ms per sample (quartiles)"][2])
    made = [f"a.tflite{kind}" for kind in ("", ".json", ".md")]
    assert sorted(path.name for path in folder.iterdir()) == [*made, "student.keras"]


def test_c_source_is_written_with_its_header_or_is_one(folder, converted, capsys, mlp_int8):
    line = ["export", "student.keras", "--to", "c-array", "--data", "digits", "--quiet", "--out"]
    assert main([*line, "2nd model.h"]) == 0
    rows_of_bytes = convert.to_c_array(mlp_int8, "_2nd_model").split("#endif")[1]
    assert rows_of_bytes.strip() in (folder / "2nd model.h").read_text()
    assert main([*line, "net.cc"]) == 0
    assert (folder / "net.cc").read_text().startswith(convert.to_c_array(mlp_int8, "net", "net.h"))
    assert main([*line, "net.c"]) == 2  # Its header is there already.
    assert "net.h" in capsys.readouterr().err
    made = ("2nd model.h", "net.cc")
    names = [*(name + kind for name in made for kind in ("", ".json", ".md")), "net.h", "student.keras"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)


def test_without_data_the_command_says_what_it_needs(folder, capsys, mlp_float):
    (folder / "a.tflite").write_bytes(b"old")
    assert main(["export", "student.keras", "--to", "tflite", "--out", "a.tflite", "--force", "--quiet"]) == 0
    out, error = capsys.readouterr()
    assert error == ""
    assert (folder / "a.tflite").read_bytes() == mlp_float
    assert out.startswith("|  | Keras, student.keras | LiteRT float32 |\n")
    rows = table(out)
    assert not any("accuracy" in name or "agreement" in name for name in rows)
    assert rows["arena, estimate"] == ["", "384 bytes"]


def test_what_goes_wrong_in_the_command_is_one_line_and_leaves_nothing(folder, capsys):
    (folder / "damaged.keras").write_bytes((folder / "student.keras").read_bytes()[:500])
    before = sorted(path.name for path in folder.iterdir())
    for model, data, said in (
        ("damaged.keras", "digits", "damaged.keras is no .keras file, or only a part of one"),
        ("student.keras", "nuclei", "takes samples of shape (64,), but the data's have shape (32, 32, 3)"),
        ("student.keras", "nothing", "--data must"),
    ):
        assert main(["export", model, "--to", "tflite-int8", "--data", data, "--out", "a.tflite", "--quiet"]) == 2
        out, error = capsys.readouterr()
        assert out == ""
        assert error.startswith("kdlab: ")
        assert error.count("\n") == 1
        assert said in error
        assert sorted(path.name for path in folder.iterdir()) == before


def probabilities():
    inputs = keras.Input((4,))
    return keras.Model(inputs, keras.ops.softmax(keras.layers.Dense(3)(inputs)))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (probabilities, "outputs look like probabilities"),
        (lambda: keras.Sequential([keras.layers.Dense(3)]), "model odd.keras must be built"),
    ],
)
@pytest.mark.filterwarnings("ignore:You are saving a model that has not yet been built")
def test_without_data_too_a_model_must_return_logits(folder, capsys, make, said):
    make().save("odd.keras")
    assert main(["export", "odd.keras", "--to", "tflite", "--out", "a.tflite", "--quiet"]) == 2
    assert said in capsys.readouterr().err
    assert not (folder / "a.tflite").exists()


def test_stopped_it_leaves_what_was_there(folder, converted, capsys, monkeypatch):
    (folder / "a.h").write_text("old")
    monkeypatch.setattr(convert, "to_c_array", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt()))
    assert main(["export", "student.keras", "--to", "c-array", "--data", "digits", "--out", "a.h", "--force"]) == 130
    assert capsys.readouterr().err == "kdlab: stopped; nothing half-written is left\n"
    assert (folder / "a.h").read_text() == "old"
    assert sorted(path.name for path in folder.iterdir()) == ["a.h", "student.keras"]


def test_a_full_disk_leaves_nothing(folder, converted, capsys, file_size_limit, monkeypatch):
    line = ["export", "student.keras", "--to", "c-array", "--data", "digits", "--out", "a.h", "--quiet"]

    def full(*arguments, to_c_array=convert.to_c_array, **keywords):
        file_size_limit(1000)
        return to_c_array(*arguments, **keywords)

    monkeypatch.setattr(convert, "to_c_array", full)
    code = main(line)
    out, error = capsys.readouterr()
    assert code == 2
    assert out == ""
    assert "there is no space left" in error
    assert [path.name for path in folder.iterdir()] == ["student.keras"]
