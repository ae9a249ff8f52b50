"""What firmware must know of a LiteRT file: its input and output, its operators, its memory, and an example to test it with."""

import math

import numpy as np

from .convert import ALIGNMENT, arena_bytes, interpreter_of, macro, quantised, run_tflite

RECORDS = 4096  # bytes: the interpreter's own records of tensors and operations, for small models


def describe(tflite, class_names, pixel_range, sample, bgr=False, scaling=None, preparation=None):
    """Return the contract of a LiteRT file's bytes, in plain values.

    ``class_names`` are those of its outputs, in order, ``pixel_range`` what black and white are to the model, ``sample``
    an input (1, …) in that range, whose output by LiteRT's interpreter becomes the expected one. ``bgr`` says that blue
    comes first; ``scaling``, a ``FeatureScaling`` of ``kdlab.datasets``, how a table's features become samples;
    ``preparation``, one of ``decoded_images.PREPARATIONS``, what is done to an image before.
    """
    interpreter = interpreter_of(tflite)
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    shape = [int(size) for size in taken["shape"][1:]]
    values = quantised(sample, taken)
    logits = run_tflite(tflite, sample)
    estimate = arena_bytes(tflite)
    return {
        "bytes": len(tflite),
        "input": {
            "shape": shape,
            "axes": ["height", "width", "channels"] if len(shape) == 3 else ["values"],
            "channels": {1: "grey", 3: _COLOURS[bgr]}.get(shape[-1]) if len(shape) == 3 else None,
            "range": list(pixel_range),
            "scaling": scaling and _scaling(scaling, *pixel_range),
            "preparation": None if preparation == "none" else preparation,
            **_number(taken),
        },
        "output": {
            "class_names": list(class_names),
            "what": "a logit per class; the largest is the answer",
            **_number(given),
        },
        "operators": _operators(tflite),
        "activation_bytes": estimate,
        "arena_bytes": -(-(estimate + estimate // 4 + RECORDS) // ALIGNMENT) * ALIGNMENT,
        "example": {
            "input": np.ravel(values).tolist(),
            "output": np.ravel(quantised(logits, given)).tolist(),
            "class": class_names[int(logits.argmax())],
        },
    }


def c_lines(contract, name, declare=False, static=False):
    """Return lines of C: the contract's constants and example, named ``name_…``; with ``declare`` the example's declaration.

    The constants are macros, so that an arena can be an array of that size.
    """
    taken, given, example = contract["input"], contract["output"], contract["example"]
    upper = macro(name)
    kind = {"int8": "signed char", "float32": "float"}[taken["type"]]
    arrays = {"test_input": (kind, example["input"]), "test_output": (kind, example["output"])}
    if taken["scaling"]:
        arrays |= {f"feature_{what}": ("float", taken["scaling"][what]) for what in ("mean", "deviation")}
    if not declare:
        begin = "static const" if static else "const"
        return [
            line
            for what, (kind, values) in arrays.items()
            for line in (
                f"{begin} {kind} {name}_{what}[{len(values)}] = {{",
                *(
                    "    " + ", ".join(map(_literal, values[start : start + 16])) + ","
                    for start in range(0, len(values), 16)
                ),
                "};",
            )
        ]
    low, high = taken["range"]
    macros = {
        "INPUT_SIZE": len(example["input"]),
        "CLASSES": len(example["output"]),
        "ARENA_BYTES": contract["arena_bytes"],
        **{
            f"{side}_{what.upper()}": _literal(part[what])
            for side, part in (("INPUT", taken), ("OUTPUT", given))
            for what in ("scale", "zero_point")
            if part[what] is not None
        },
    }
    return [
        f"/* Input: {' x '.join(map(str, taken['shape']))} ({', '.join(taken['axes'])}), from {low:g} to {high:g}"
        + (f", {taken['channels']}" if taken["channels"] else "")
        + (f"; {_FORMULA}" if taken["scale"] else "")
        + ".",
        *([f"   {taken['scaling']['formula']}, with {name}_feature_mean and _deviation."] if taken["scaling"] else []),
        f"   Output: a logit for each of {', '.join(map(_comment, given['class_names']))}.",
        f"   Operators: {', '.join(contract['operators'])}. */",
        *(f"#define {upper}_{key} {value}" for key, value in macros.items()),
        *(f"#define {upper}_CLASS_{k} {_string(label)}" for k, label in enumerate(given["class_names"])),
        *(
            []
            if static
            else [f"extern const {kind} {name}_{what}[{len(values)}];" for what, (kind, values) in arrays.items()]
        ),
    ]


_COLOURS = ("red, green, blue", "blue, green, red")
_FORMULA = "q = round(value / scale) + zero point, from -128 to 127"


def _scaling(scaling, low, high):
    """Return what standardises a table's features, in plain values, with the formula of the input's values."""
    of_range = "" if (low, high) == (0, 1) else f"{low:g} + {high - low:g} * "
    return {
        "formula": f"value = {of_range}clip(0.5 + (feature - mean) / (2 * {scaling.reach:g} * deviation), 0, 1)",
        "mean": list(map(float, scaling.mean)),
        "deviation": list(map(float, scaling.deviation)),
    }


def _number(detail):
    scale, zero = detail["quantization"]
    kind = np.dtype(detail["dtype"]).name
    whole = kind == "int8"
    return {"type": kind, "scale": float(scale) if whole else None, "zero_point": int(zero) if whole else None}


def _operators(tflite):
    """Return the methods of TensorFlow Lite Micro's MicroMutableOpResolver to call, as AddConv2D."""
    from ai_edge_litert import schema_py_generated as schema

    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    model = schema.Model.GetRootAs(bytes(tflite))
    codes = [model.OperatorCodes(k) for k in range(model.OperatorCodesLength())]
    builtin = (max(code.BuiltinCode(), code.DeprecatedBuiltinCode()) for code in codes)
    return sorted({f"Add{_METHODS.get(names[code]) or _in_capitals(names[code])}" for code in builtin})


def _in_capitals(name):
    return "".join(part.capitalize() for part in name.split("_")).replace("2d", "2D")


# Those that do not follow the rule.
_METHODS = {
    "BATCH_MATMUL": "BatchMatMul",
    "CUMSUM": "CumSum",
    "PADV2": "PadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
}


def _literal(value):
    if isinstance(value, int):
        return str(value)
    text = f"{value:.9g}" if math.isfinite(value) else str(value)
    return f"{text if any(sign in text for sign in '.en') else text + '.0'}f"


def _string(text):
    """Return a C string literal of UTF-8 bytes."""
    escaped = (chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}" for byte in text.encode())
    return f'"{"".join(escaped)}"'


def _comment(text):
    return text.replace("*/", "* /").replace("/*", "/ *").replace("\n", " ")
