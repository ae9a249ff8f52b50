"""The converter's own process: what kills it kills nothing else, it is there again for the next model; which models need none."""

import os
import signal

import keras
import numpy as np
import pytest

from kdlab.export import convert, converter

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not there for this machine")
layers = keras.layers
SAMPLES = np.random.default_rng(0).random((10, 5, 3), np.float32)


def model(*middle):
    return keras.Sequential([keras.Input((5, 3)), *middle, layers.Flatten(), layers.Dense(2)], name="student")


def recurrent(unroll):
    memory = layers.LSTM(3, unroll=unroll, name="memory", return_sequences=True)
    return model(memory, layers.Bidirectional(layers.SimpleRNN(2, unroll=unroll, name="r")))


def dense(activation="relu"):
    hidden = layers.Dense(
        6, activation=activation, kernel_initializer=keras.initializers.RandomUniform(0.1, 1.0, seed=0)
    )
    return keras.Sequential([keras.Input((5, 3)), layers.Flatten(), hidden, layers.Dense(2)])


def images():
    return keras.Sequential(
        [
            keras.Input((5, 3, 1)),
            layers.Conv2D(2, 3, padding="same", use_bias=False),
            *(layers.BatchNormalization(), layers.ReLU(), layers.MaxPooling2D(), layers.Dropout(0.1)),
            *(layers.GlobalAveragePooling2D(), layers.Dense(2)),
        ]
    )


def nested():
    inner = dense()
    return keras.Sequential([keras.Input((5, 3)), inner])


def twice():
    inputs, same = keras.Input((5, 3)), layers.Dense(3)
    return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(same(same(inputs)))))


def of_operation(operation):
    inputs = keras.Input((5, 3))
    return keras.Model(inputs, layers.Dense(2)(operation(layers.Flatten()(inputs))))


def grouped():
    inputs = keras.Input((5, 3, 4))
    return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(layers.Conv2D(4, 1, groups=2)(inputs))))


def of_bytes():
    return keras.Sequential(
        [keras.Input((5, 3), dtype="uint8"), layers.Flatten(), layers.Rescaling(0.1), layers.Dense(2)]
    )


@pytest.mark.parametrize(
    ("make", "to"), [(dense, lambda model, _: convert.to_tflite(model)), (images, convert.to_tflite_int8)]
)
def test_a_student_of_ordinary_size_needs_no_process_and_becomes_the_same_bytes(make, to, monkeypatch):
    student = make()
    samples = SAMPLES.reshape(-1, *student.input_shape[1:])
    with monkeypatch.context() as patch:
        patch.setattr(convert, "start", lambda: pytest.fail("the process was started"))
        here = to(student, samples)
    monkeypatch.setattr(convert, "convert_here", converter.convert_saved_model)
    assert here == to(student, samples)


def test_what_kills_the_converter_is_one_line_with_what_helps():
    rolled, unrolled = recurrent(False), recurrent(True)
    unrolled.set_weights(rolled.get_weights())
    logits = convert.run_tflite(convert.to_tflite_int8(unrolled, SAMPLES), SAMPLES)
    np.testing.assert_allclose(logits, rolled(SAMPLES), atol=0.1)
    with pytest.raises(ValueError, match=r"^the model student cannot .* ended with SIG[A-Z]+; .*$") as error:
        convert.to_tflite_int8(rolled, SAMPLES)
    named = "memory, backward_r, forward_r"
    assert str(error.value).endswith(f"build {named} with unroll=True, with the same weights")


def of_weights(value):
    student = images()
    student.set_weights([np.full_like(w, value) for w in student.get_weights()])
    return student


@pytest.mark.parametrize(
    "make",
    [
        *(lambda: of_weights(1e30), lambda: of_weights(0.0), lambda: of_weights(np.nan), lambda: dense("sigmoid")),
        *(lambda: model(layers.LSTM(3)), nested, twice, lambda: of_operation(keras.ops.sigmoid)),
        *(lambda: of_operation(lambda x: 0.0 * x), grouped, of_bytes),
    ],
    ids=[
        *("huge", "zero", "not a number", "sigmoid", "memory", "nested", "a layer twice"),
        *("an operation", "times 0", "groups", "bytes"),
    ],
)
def test_what_may_kill_it_is_known(make):
    student = make()
    assert not convert._is_harmless(student, np.resize(SAMPLES, (10, *student.input_shape[1:])))


def test_and_converted_in_its_process(monkeypatch):
    asked = []
    monkeypatch.setattr(convert, "start", lambda: asked.append("start"))
    monkeypatch.setattr(convert, "convert_here", lambda *_: pytest.fail("it was converted here"))
    monkeypatch.setattr(convert, "convert_saved_model", lambda *_: asked.append("convert") or b"")
    assert convert.to_tflite_int8(of_weights(1e30), SAMPLES[..., None]) == b""
    assert asked == ["start", "convert"]


@pytest.mark.parametrize("scale", [0.0, 1e6, np.inf, np.nan])
def test_so_is_what_returns_other_than_ordinary_sizes_on_its_samples(scale):
    assert convert._is_harmless(dense(), SAMPLES)
    with np.errstate(invalid="ignore"):
        assert not convert._is_harmless(dense(), np.concatenate([0 * SAMPLES, SAMPLES[:1] * np.float32(scale)]))


@pytest.fixture
def quick(monkeypatch):
    """The same process without TensorFlow: a folder's name is what it makes of it."""
    program = (
        "import os, sys, types; sys.modules['tensorflow'] = types.ModuleType('tensorflow');"
        "from kdlab.export import converter; converter._convert = lambda folder, samples: folder.encode();"
        "converter.serve()"
    )
    converter.end()
    monkeypatch.setattr(converter, "_PROGRAM", program)
    yield
    converter.end()


def test_a_crash_is_one_line_also_where_no_layer_is_to_blame(quick, monkeypatch):
    monkeypatch.setattr(converter, "_PROGRAM", converter._PROGRAM.replace("folder.encode()", "os.abort()", 1))
    with pytest.raises(ValueError, match=r" ended with SIGABRT; convert it in float32, or"):
        convert.to_tflite_int8(of_weights(1e30), SAMPLES[..., None])


def test_a_process_killed_from_outside_is_said_and_replaced(quick, monkeypatch):
    assert converter.convert_saved_model("a") == b"a"
    process = converter.start()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert converter.convert_saved_model("b") == b"b"  # Dead before there was work: nobody needs to know.

    process = converter.start()
    process.stdin.write(b"cos\n_exit\n(I3\ntR.")  # a pickle that ends who reads it
    process.stdin.flush()
    with monkeypatch.context() as patch:
        patch.setattr(converter, "start", lambda: process)  # it may have gone before anybody looks
        with pytest.raises(converter.ConverterError, match="ended with exit status 3"):
            converter.convert_saved_model("c")
    assert converter.convert_saved_model("d") == b"d"


def test_a_process_that_leaves_as_work_comes_is_started_again(quick):
    process = converter.start()
    process.stdin.write(b"cos\n_exit\n(I0\ntR.")  # as after IDLE seconds
    process.stdin.flush()
    assert converter.convert_saved_model("a") == b"a"
    assert converter.start() is not process


def test_an_interrupt_leaves_no_answer_for_the_next_model(quick, monkeypatch):
    def interrupted(file):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(converter.pickle, "load", interrupted)
        with pytest.raises(KeyboardInterrupt):
            converter.convert_saved_model("first")
    assert converter.convert_saved_model("second") == b"second"
