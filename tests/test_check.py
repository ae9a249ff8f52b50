"""Every check: the sheet's solution passes, the stub and each named mistake fail with their own sentence.

Mistakes are code as a student would write it: the sheet's solution with a few of its characters changed.
"""

import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kdlab
from kdlab import answers
from kdlab.check.judging import Right, WrongAnswerError
from kdlab.lab.pages import CHAPTERS, notebooks_folder

SHEETS = [notebooks_folder() / "exercises" / f"{chapter.name}.ipynb" for chapter in CHAPTERS]
MARKS = re.compile(r" *### (BEGIN|END) SOLUTION\n")


@cache
def cells(sheet):
    return [("".join(cell["source"]) + "\n", cell["metadata"]) for cell in json.loads(Path(sheet).read_text())["cells"]]


def solutions():
    """Of each check of a function: the sheet, and the function's name."""
    found = {}
    for sheet in SHEETS:
        for source, _ in cells(sheet):
            found |= {check: (sheet, name) for check, name in re.findall(r"kdlab\.check\.(\w+)\((\w+)\)", source)}
    found.pop("experiment", None)
    return found


SOLUTIONS = solutions()


@cache
def imports(sheet):
    """What a sheet's first cell of setup imports, which the solutions use."""
    names = {"kdlab": kdlab}
    exec(next(source for source, meta in cells(sheet) if "setup" in meta.get("tags", [])), names)
    return names


def written(check, **changes):
    """The function that a check is for, from the sheet, with its source changed: {old: new}, or by another body."""
    sheet, name = SOLUTIONS[check]
    names = dict(imports(sheet))
    for source, meta in cells(sheet):
        if not meta.get("nbgrader", {}).get("solution") or not source.startswith("def "):
            continue
        code = MARKS.sub("", source)
        if code.startswith(f"def {name}("):
            for old, new in changes.get("edits", {}).items():
                assert old in code, f"{old!r} is not in the solution of {check}"
                code = code.replace(old, new)
            if "body" in changes:
                code = f"{code.splitlines()[0]}\n    {changes['body']}\n"
        exec(code, names)
        if code.startswith(f"def {name}("):
            return names[name]
    raise LookupError(name)


def said(check, answer, **options):
    with pytest.raises(WrongAnswerError) as wrong:
        getattr(kdlab.check, check)(answer, **options)
    return str(wrong.value)


MAXIMUM = "np.exp((z - z.max(axis=-1, keepdims=True)) / T)"
SHARE = "powers / powers.sum(axis=-1, keepdims=True)"
ENTROPY = "-(p * np.log2(safe)).sum(axis=-1)"
GRADIENT = "T * (softened(z_s, T) - softened(z_t, T))"
HARD, SOFT = "log_softmax(z_s)[np.arange(len(y)), y]", "(softmax(z_t, T) * log_softmax(z_s, T)).sum(axis=1)"
LOSS = "np.mean((1 - alpha) * hard + alpha * T**2 * soft)"
STEP_LOSS = "(1 - alpha) * hard + alpha * T**2 * soft"
SOFT_STEP = "tf.nn.softmax(z_t / T), z_s / T"
HALF = "stats.t.ppf(0.975, n - 1) * difference.std(ddof=1) / n**0.5"
ENDS = "difference.mean(), difference.mean() - half, difference.mean() + half"
HINT = "2 * (f_s @ P + b - f_t) / f_t.size"
MOVED = "P - rate * f_s.T @ of_output, b - rate * of_output.sum(axis=0)"
HUBER = "np.where(gap <= 1, gap**2 / 2, gap - 0.5).mean()"
DISTANCES = "np.linalg.norm(f[:, None] - f, axis=2)[pairs]"
WHERE = "(maps**2).sum(axis=3).reshape(len(maps), -1)"
UNIT = "where / np.linalg.norm(where, axis=1, keepdims=True)"
GAPS = "((found[0] - found[1]) ** 2).sum(axis=1)"
KEEP = "keep @ K @ keep, keep @ L @ keep"
ALIGNED = "(K * L).sum() / np.sqrt((K**2).sum() * (L**2).sum())"
RATES = "called[ill].mean(), (~called[~ill]).mean()"
VALUES = "found / (found + alarms), left_alone / (left_alone + missed)"
WEIGHTED = "(w * ((1 - alpha) * hard + alpha * T**2 * soft)).sum() / w.sum()"
PER_SAMPLE = "((1 - alpha) * hard + alpha * T**2 * soft)"
BY_BLOCK = "hits[drawn].sum(axis=1) / count[drawn].sum(axis=1)"
MIDDLE = "tuple(np.quantile(accuracies, (0.025, 0.975)))"
SCALE, INTEGERS = "np.abs(W).max(axis=0) / 127", "np.rint(W / S).astype(np.int8)"
CLIPPED = "np.clip(np.rint(x / S) + Z, -128, 127).astype(np.int8)"
TOTAL = "(q_x.astype(np.int32) - Z_x) @ q_w.astype(np.int32)"
BIAS = "total + np.rint(b / (S_x * S_w)).astype(np.int32)"
STEPS = "np.rint(total * (S_x * S_w / S_y)) + Z_y"
FLASH = "inputs * outputs + 4 * outputs"
ARENA = "max(inputs + outputs for inputs, outputs in layers)"

# {check: {how the sentence begins: {what the solution says: what the student writes}, or a list of these}}
MISTAKES = {
    "softmax": {
        "The logits were multiplied by T": {"/ T)": "* T)"},
        "That is T = 1": {" / T)": ")"},
        "The probabilities were divided by T": {" / T)": ")", SHARE: f"{SHARE} / T"},
        "Softmax was taken twice: T divides logits": {
            "powers = ": "z = np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)\n    powers = "
        },
        "Softmax was taken twice: its result": {
            f"return {SHARE}": f"q = {SHARE}\n    return np.exp(q) / np.exp(q).sum(axis=-1, keepdims=True)"
        },
        "The sum runs along the wrong axis": {"axis=-1": "axis=0"},
        "The sum runs over all samples": {"axis=-1, keepdims=True": ""},
        "The exponentials are not divided": {MAXIMUM: "np.exp(z / T)", SHARE: "powers"},
        "That is the logarithm": {SHARE: f"np.log({SHARE})"},
        "Softmax takes exponentials": {MAXIMUM: "z / T"},
        "The sign is wrong": {MAXIMUM: "np.exp(-z / T)"},
        "It is right for small logits": {MAXIMUM: "np.exp(z / T)"},
        "It is not numerically stable yet: the number": {"z.max(axis=-1, keepdims=True)": "z.max()"},
        "It is not numerically stable yet: what is far above": [
            {"z.max(axis=-1, keepdims=True)": "z.mean(axis=-1, keepdims=True)"},
            {"z.max(axis=-1, keepdims=True)": "z.min(axis=-1, keepdims=True)"},
            {"z.max(axis=-1, keepdims=True)": "np.median(z, axis=-1, keepdims=True)"},
            {"z.max(axis=-1, keepdims=True)": "z[..., :1]"},
            {"z.max(axis=-1, keepdims=True)": "z[..., -1:]"},
        ],
    },
    "entropy": {
        "That is in nats": {"log2": "log"},
        "That is with the logarithm to base 10": {"log2": "log10"},
        "The sign is wrong": {"return -": "return "},
        "That is the mean over the classes": {".sum(axis=-1)": ".mean(axis=-1)"},
        "The sum runs along the wrong axis": {"axis=-1": "axis=0"},
        "The sum runs over all samples": {"axis=-1": ""},
        "The probabilities that weigh": {"p * np": "np"},
        "It is right where all probabilities are above 0": {"np.log2(safe)": "np.log2(p)"},
    },
    "soft_gradient": {
        "T² is missing": {"T * (": "1 / T * ("},
        "The chain rule's factor is missing": {"T * (": "T**2 * ("},
        "T is in the softmax only": {"T * (": "("},
        "The factor T² was put in twice": {"T * (": "T**3 * ("},
        "The sign is wrong, or teacher and student are swapped": {
            GRADIENT: "T * (softened(z_t, T) - softened(z_s, T))"
        },
        "Neither answer is softened": {"(z_s, T)": "(z_s, 1)", "(z_t, T))": "(z_t, 1))"},
        "The teacher's answer is taken at T = 1": {"(z_t, T))": "(z_t, 1))"},
        "The student's answer is taken at T = 1": {"softened(z_s, T)": "softened(z_s, 1)"},
        "The teacher's answer became a hard label": {
            "softened(z_t, T)": "np.eye(z_t.shape[1])[np.argmax(z_t, axis=1)]"
        },
        "That is the mean over the samples": {GRADIENT: f"{GRADIENT} / len(z_s)"},
        "That is the mean over the classes": {GRADIENT: f"{GRADIENT} / z_s.shape[1]"},
        "That is the derivative with respect to the student's probabilities": {
            GRADIENT: "-(T**2) * softened(z_t, T) / softened(z_s, T)"
        },
        "The softmax is taken along the wrong axis": {GRADIENT: "T * (softened(z_s.T, T) - softened(z_t.T, T)).T"},
    },
    "matching_temperature": {
        "That T gives the right number of nats": {
            "bits(softened(z, 2**middle))": "np.log(2) * bits(softened(z, 2**middle))"
        },
        "That is 1 / T": {"return 2**middle": "return 2**-middle"},
        "That is log₂ T": {"return 2**middle": "return middle"},
        "That is log T": {"return 2**middle": "return np.log(2**middle)"},
    },
    "distillation_loss": {
        "T² is missing": {"alpha * T**2": "alpha"},
        "The teacher's term is multiplied by T where": {"T**2": "T"},
        "α is the other way round": {LOSS: "np.mean(alpha * hard + (1 - alpha) * T**2 * soft)"},
        "T² is on the wrong term": {LOSS: "np.mean((1 - alpha) * T**2 * hard + alpha * soft)"},
        "T² is on both terms": {LOSS: "T**2 * np.mean((1 - alpha) * hard + alpha * soft)"},
        "The labels' term has no weight": {"(1 - alpha) * hard": "hard"},
        "The teacher's term has no weight": {"alpha * T**2 * soft": "T**2 * soft"},
        "The terms are added without α": {LOSS: "np.mean(hard + T**2 * soft)"},
        "The labels' term is softened too": {"log_softmax(z_s)[": "log_softmax(z_s, T)["},
        "The teacher's term is not softened": {SOFT: "(softmax(z_t) * log_softmax(z_s)).sum(axis=1)"},
        "The logits were multiplied by T": {SOFT: "(softmax(z_t * T) * log_softmax(z_s * T)).sum(axis=1)"},
        "Teacher and student are swapped": {SOFT: "(softmax(z_s, T) * log_softmax(z_t, T)).sum(axis=1)"},
        "The teacher's probabilities were taken for logits": {"softmax(z_t, T)": "softmax(softmax(z_t), T)"},
        "That is the KL divergence": {
            SOFT: "(softmax(z_t, T) * (log_softmax(z_s, T) - log_softmax(z_t, T))).sum(axis=1)"
        },
        "That is the mean over the classes": {".sum(axis=1)": ".mean(axis=1)"},
        "That is the sum over the samples": {"np.mean(": "np.sum("},
        "That is a loss for each sample": {LOSS: LOSS.removeprefix("np.mean")},
        "The sign is wrong": {"hard = -": "hard = ", "soft = -": "soft = "},
        "It is right where every sample has a label": {f"np.where(y < 0, 0.0, {HARD})": HARD},
        "Samples without a label are left out": {
            "hard = ": "z_s, z_t, y = z_s[y >= 0], z_t[y >= 0], y[y >= 0]\n    hard = "
        },
        "The labels' term is averaged over the samples that have one": {
            LOSS: "(1 - alpha) * hard.sum() / (y >= 0).sum() + alpha * T**2 * soft.mean()"
        },
        "It is right for small logits": {"log_softmax(z_s, T)": "np.log(softmax(z_s, T))"},
    },
    "training_step": {
        "The student did not change": {"optimizer.apply(tape": "print(tape"},
        "The student climbs": {STEP_LOSS: f"-({STEP_LOSS})"},
        "T² is missing": {"alpha * T**2": "alpha"},
        "The teacher's term is multiplied by T where": {"T**2": "T"},
        "α is the other way round": {STEP_LOSS: "alpha * hard + (1 - alpha) * T**2 * soft"},
        "T² is on the wrong term": {STEP_LOSS: "(1 - alpha) * T**2 * hard + alpha * soft"},
        "The labels' term has no weight": {"(1 - alpha) * hard": "hard"},
        "The labels are not used": {"(1 - alpha) * hard + ": ""},
        "The teacher is not used": {" + alpha * T**2 * soft": ""},
        "The labels' term is softened too": {"(y, z_s,": "(y, z_s / T,"},
        "The teacher's term is not softened": {SOFT_STEP: "tf.nn.softmax(z_t), z_s"},
        "Teacher and student are swapped": {SOFT_STEP: "tf.nn.softmax(z_s / T), z_t / T"},
        "The loss is the sum over the batch": {"reduce_mean": "reduce_sum"},
        "The loss is the mean over the classes too": {"tf.reduce_mean(": "tf.reduce_mean(1 / z_s.shape[1] * ("}
        | {"alpha * T**2 * soft)": "alpha * T**2 * soft))"},
        "The teacher changed": {
            "with tf.GradientTape() as": "teacher.set_weights([2 * w for w in teacher.get_weights()])\n    with tf.GradientTape() as"
        },
        "The teacher ran in training mode": {"teacher(x, training=False)": "teacher(x, training=True)"},
        "The student did not run in training mode": {"student(x, training=True)": "student(x)"},
        "The teacher was never asked": {"teacher(x, training=False)": "tf.zeros_like(student(x, training=True))"},
    },
    "paired_interval": {
        "It is second − first": {"first - second": "second - first"},
        "That is the interval of two independent groups": [
            {
                "n = first - second, len(first)": "n = first - second, len(first)\n"
                "    low, high = stats.ttest_ind(first, second, equal_var=False).confidence_interval()",
                ENDS: "difference.mean(), low, high",
            },
            {HALF: "stats.t.ppf(0.975, 2 * n - 2) * ((first.var(ddof=1) + second.var(ddof=1)) / n) ** 0.5"},
        ],
        "That takes 1.96": [
            {"stats.t.ppf(0.975, n - 1)": "stats.norm.ppf(0.975)"},
            {"stats.t.ppf(0.975, n - 1)": "1.96"},
        ],
        "The standard deviation divides by n": {"ddof=1": "ddof=0"},
        "That is the spread of single pairs": {" / n**0.5": ""},
        "It was divided by n where": {"n**0.5": "n"},
        "That interval covers 90 %": {"0.975": "0.95"},
        "The degrees of freedom": {"n - 1)": "n)"},
        "The lower and the upper end": {ENDS: "difference.mean(), difference.mean() + half, difference.mean() - half"},
    },
    "translated_alpha": {
        "That is the teacher's weight in the source's": {"teacher / (w + teacher)": "1 - w"},
        "That is the labels' weight": {"teacher / (w + teacher)": "w"},
        "T stands where T² must": {"T**2": "T"},
        "T² is on the wrong side": {"/ T**2": "* T**2"},
        "The weights that you found do not sum to 1": {"teacher / (w + teacher)": "teacher"},
        "That is how much the labels count": {"return teacher /": "return w /"},
        "That is the ratio": {"(w + teacher)": "w"},
    },
    "best_position": {
        "The position was chosen on the test set": {"validation.mean": "test.mean"},
        "The accuracy returned is the one on validation": {"test[row": "validation[row"},
        "The position is that of the best single student": {"validation.mean(": "validation.max("},
        "The position is chosen by one seed alone": [
            {"validation.mean(axis=2)": f"validation[:, :, {k}]"} for k in (0, 1, 3, 4, 5)
        ],
        "The position is that of the largest median": [
            {"validation.mean(axis=2)": "np.median(validation, axis=2)"},
            {"validation.mean(": "validation.min("},
        ],
        "The accuracy is that of the best student": {"column].mean()": "column].max()"},
        "Row and column are swapped": {"return row, column": "return column, row"},
        "The position is chosen on the mean of": {"validation.mean": "(validation + test).mean"},
        "The position found is the worst": {"argmax": "argmin"},
    },
    "hint_step": {
        "The step goes up": {"P - rate": "P + rate", "b - rate": "b + rate"},
        "The factor 2": {"2 * (f_s": "(f_s"},
        "That is the gradient of the sum over the teacher's units": {"f_t.size": "len(f_t)"},
        "That is the gradient of the sum over the samples": {"f_t.size": "f_t.shape[1]"},
        "That is the gradient of the sum over samples and units": {" / f_t.size": ""},
        "That is FitNets' loss": {HINT: "(f_s @ P + b - f_t) / len(f_t)"},
        "Nothing has changed": {MOVED: "P, b"},
        "The projector has moved, the bias": {" - rate * of_output.sum(axis=0)": ""},
        "The bias has moved, the projector": {" - rate * f_s.T @ of_output": ""},
        "The bias's gradient is a sum": {"of_output.sum(axis=0)": "len(f_s) * of_output.sum(axis=0)"},
        "The bias's gradient was taken with": {
            f"return {MOVED}": f"P = P - rate * f_s.T @ of_output\n    return P, b - rate * ({HINT}).sum(axis=0)"
        },
        "The learning rate": {"rate * ": ""},
    },
    "distance_loss": {
        "The distances are not divided": {"distances / distances.mean()": "distances"},
        "Both are divided by the teacher's": {
            "gap = np.abs(relative[0] - relative[1])": "d = np.linalg.norm(f_s[:, None] - f_s, axis=2)[pairs]\n"
            "    gap = np.abs(d / distances.mean() - relative[1])"
        },
        "The mean distance counts": {"distances.mean()": "np.linalg.norm(f[:, None] - f, axis=2).mean()"},
        "The mean of the losses counts": {HUBER: "np.where(gap <= 1, gap**2 / 2, gap - 0.5).sum() * 2 / len(f_s) ** 2"},
        "Both means": {DISTANCES: DISTANCES.removesuffix("[pairs]")},
        "The distances are squared": {DISTANCES: f"{DISTANCES} ** 2"},
        "Those are sums of absolute": {DISTANCES: "np.abs(f[:, None] - f).sum(axis=2)[pairs]"},
        "All differences are squared: Huber": {HUBER: "(gap**2 / 2).mean()"},
        "All differences are squared, and without ½": {HUBER: "(gap**2).mean()"},
        "Those are absolute values": {HUBER: "gap.mean()"},
        "Huber's loss is twice": {HUBER: "np.where(gap <= 1, gap**2, 2 * gap - 1).mean()"},
        "The two parts of Huber's loss": {"gap - 0.5": "gap"},
        "That is the sum over pairs": {"gap - 0.5).mean()": "gap - 0.5).sum()"},
        "That is a value for each pair": {"gap - 0.5).mean()": "gap - 0.5)"},
    },
    "attention_loss": {
        "The maps are not normalised": {UNIT: "where"},
        "The maps are normalised over the whole batch": {UNIT: "where / np.linalg.norm(where)"},
        "The maps are normalised to sum 1": {UNIT: "where / where.sum(axis=1, keepdims=True)"},
        "The maps are divided by their largest": {UNIT: "where / where.max(axis=1, keepdims=True)"},
        "The maps are divided by the square": {UNIT: f"{UNIT} ** 2"},
        "The channels are added as absolute": {"(maps**2)": "np.abs(maps)"},
        "The channels are added as they are": {"(maps**2)": "maps"},
        "Only the strongest channel": {".sum(axis=3)": ".max(axis=3)"},
        "That is the mean over the places": {GAPS: GAPS.replace("sum", "mean")},
        "That is the distance of the two": {GAPS: f"{GAPS} ** 0.5"},
        "That is the mean over the batch": {GAPS: f"{GAPS}.mean()"},
        "That is the sum over the batch": {GAPS: "((found[0] - found[1]) ** 2).sum()"},
    },
    "cka": {
        "The matrices are not centred": {KEEP: "K, L"},
        "Only K is centred": {"keep @ L @ keep": "L"},
        "Only L is centred": {"keep @ K @ keep": "K"},
        "Only one side of each": [{KEEP: "keep @ K, keep @ L"}, {KEEP: "K @ keep, L @ keep"}],
        "The mean of all entries": {KEEP: "K - K.mean(), L - L.mean()"},
        "The means of rows and columns": {
            KEEP: "K - K.mean(0) - K.mean(1, keepdims=True), L - L.mean(0) - L.mean(1, keepdims=True)"
        },
        "It is not normalised": {ALIGNED: "(K * L).sum()"},
        "The root is missing": {"np.sqrt": ""},
        "That is the square of it": {ALIGNED: f"({ALIGNED}) ** 2"},
        "That is 1 − CKA": {ALIGNED: f"1 - {ALIGNED}"},
    },
    "rates": {
        "The two are swapped": {RATES: "(~called[~ill]).mean(), called[ill].mean()"},
        "Those are the shares of right calls": {RATES: "ill[called].mean(), (~ill[~called]).mean()"},
        "The first is the share of the ill among those called": {"called[ill].mean(), ": "ill[called].mean(), "},
        "The second is the rate of false alarms": {"(~called[~ill])": "called[~ill]"},
        "The first is the share of the ill that are missed": {"called[ill].mean(), ": "(~called[ill]).mean(), "},
        "Both are shares of all samples": {RATES: "(called & ill).mean(), (~called & ~ill).mean()"},
        "Those with a score below the threshold": {">=": "<"},
        "Those are counts": {"mean": "sum"},
        "The threshold is not used": {"threshold\n    return": "0.5\n    return"},
        "A score that is exactly the threshold": {">=": ">"},
    },
    "predictive_values": {
        "Those are sensitivity and specificity": {VALUES: "sensitivity, specificity"},
        "The prevalence is not used": {"found, alarms": "prevalence = 0.5\n    found, alarms"},
        "The two are swapped": {VALUES: "left_alone / (left_alone + missed), found / (found + alarms)"},
        "The prevalence is the other way round": {"found, alarms": "prevalence = 1 - prevalence\n    found, alarms"},
        "The first is the share of false alarms": {"found / (": "alarms / ("},
        "The second is the share of the ill among those called well": {"left_alone / (": "missed / ("},
        "Those are shares of all people": {VALUES: "found, left_alone"},
        "Sensitivity and specificity change places": {
            "found, alarms": "sensitivity, specificity = specificity, sensitivity\n    found, alarms"
        },
    },
    "weighted_loss": {
        "The teacher's logits are those of view 0": {"kept[view, rows]": "kept[0, rows]"},
        "The teacher's logits are those of another view": {"kept[view, rows]": "kept[view % 4 + 1, rows]"},
        "The teacher's logits are the mean over the views": {"kept[view, rows]": "kept[:, rows].mean(axis=0)"},
        "The teacher's logits are those of the first samples": {"kept[view, rows]": "kept[view, : len(rows)]"},
        "The labels are those of the first samples": {"y[rows]": "y[: len(rows)]"},
        "The class weights are not used": {WEIGHTED: f"{PER_SAMPLE}.mean()"},
        "The class weights are on the labels' term only": {
            WEIGHTED: "(1 - alpha) * (w * hard).sum() / w.sum() + alpha * T**2 * soft.mean()"
        },
        "The weighted losses are divided by their number": {WEIGHTED: f"(w * {PER_SAMPLE}).mean()"},
        "That is the weighted sum": {WEIGHTED: f"(w * {PER_SAMPLE}).sum()"},
        "The losses were divided by the weights": {WEIGHTED: f"({PER_SAMPLE} / w).sum() / (1 / w).sum()"},
        "T² is missing": {"alpha * T**2": "alpha"},
        "α is the other way round": {PER_SAMPLE: "(alpha * hard + (1 - alpha) * T**2 * soft)"},
    },
    "block_interval": {
        "Every block counts the same": {BY_BLOCK: "(hits / count)[drawn].mean(axis=1)"},
        "A block that is drawn twice counts once": {
            BY_BLOCK: "[right[np.isin(block, blocks)].mean() for blocks in drawn]"
        },
        "That interval covers 90 %": {"(0.025, 0.975)": "(0.05, 0.95)"},
        "Those are the quartiles": {"(0.025, 0.975)": "(0.25, 0.75)"},
        "Those are the least and the largest": {MIDDLE: "min(accuracies), max(accuracies)"},
        "That is mean ± 1.96": {MIDDLE: "[accuracies.mean() + k * 1.96 * accuracies.std() for k in (-1, 1)]"},
        "That is the accuracy ± 1.96": {MIDDLE: "[right.mean() + k * 1.96 * accuracies.std() for k in (-1, 1)]"},
        "That treats the samples as independent": {
            MIDDLE: "[right.mean() + k * (right.mean() * (1 - right.mean()) / len(right)) ** 0.5 for k in (-1.96, 1.96)]"
        },
        "The numbers drawn were taken for samples": {BY_BLOCK: "right[drawn].mean(axis=1)"},
        "The lower and the upper end": {"(0.025, 0.975)": "(0.975, 0.025)"},
    },
    "patient_split": {
        "Single samples were taken": {"return tested": "return np.arange(len(patient)) < count"},
        "Those are the samples to train on": {"return tested": "return ~tested"},
        "It stops a patient too early": {"tested.sum()": "(tested | (patient == one)).sum()"},
        "It takes a patient too many": {
            "if tested.sum() >= count:\n            break\n        tested |= patient == one": "enough = tested.sum() >= count\n"
            "        tested |= patient == one\n        if enough:\n            break"
        },
        "That many patients were taken": {"tested.sum() >= count": "len(set(patient[tested])) >= count"},
        "The order is not used: the patients were taken by their numbers": {"in order": "in sorted(order)"},
        "The order is not used: the patients were taken as they come": {
            "in order": "in dict.fromkeys(patient.tolist())"
        },
        "The order was gone through from its end": {"in order": "in order[::-1]"},
        "Samples of the same patient": {"return tested": "return np.random.default_rng(5).permutation(tested)"},
    },
    "quantised_weights": {
        "All channels have one scale": [
            {"max(axis=0)": "max()", "np.where(S > 0, S, 1.0)": "S"},
            {SCALE: "np.full(W.shape[1], np.abs(W).max() / 127)"},
        ],
        "There is a scale for each input": {"axis=0": "axis=1", "W / S": "W / S[:, None]"},
        "The scale divides by 128": [
            {"/ 127": "/ 128", INTEGERS: "np.clip(np.rint(W / S), -128, 127).astype(np.int8)"},
            {"/ 127": "/ 128", INTEGERS: "np.clip(np.rint(W / S), -127, 127).astype(np.int8)"},
        ],
        "The scale divides by 255": {"/ 127": "/ 255", INTEGERS: "np.clip(np.rint(W / S), -127, 127).astype(np.int8)"},
        "The scale is taken from the largest weight": [
            {"np.abs(W).max": "W.max", INTEGERS: "np.clip(np.rint(W / S), -127, 127).astype(np.int8)"},
            {"np.abs(W).max": "W.max", INTEGERS: "np.clip(np.rint(W / S), -128, 127).astype(np.int8)"},
            {"np.abs(W).max": "W.max", INTEGERS: "np.rint(W / S).astype(int).astype(np.int8)"},
        ],
        "The fractions are cut off": {"np.rint(W / S)": "(W / S)"},
        "The fractions are rounded down": {"np.rint": "np.floor"},
        "The integers are right, but": {f"{INTEGERS}, S": f"{INTEGERS}, 1 / S"},
        "It is right but for a channel": {
            "np.where(S > 0, S, 1.0)": "S",
            "np.rint(W / S)": "np.nan_to_num(np.rint(W / S))",
        },
        "A channel whose weights are all 0": {"S, 1.0)": "S, 2.0)"},
    },
    "quantised_activations": {
        "There are 256 levels": {"255": "256"},
        "The zero point has the wrong sign": {"-128 - low": "-128 + low"},
        "The levels start at 0": {"round(-128 - low / S)": "round(-low / S)"},
        "The range is taken to be symmetric": {
            "(high - low) / 255": "max(-low, high) / 127",
            "round(-128 - low / S)": "0",
        },
        "What lies outside the range": {CLIPPED: "(np.rint(x / S) + Z).astype(int).astype(np.int8)"},
        "The zero point must be a whole number": {"round(-128 - low / S)": "-128 - low / S"},
        "The fractions are cut off": {"np.rint": "np.trunc"},
        "The range does not hold 0": {"min(low, 0.0), max(high, 0.0)": "low, high"},
    },
    "int8_layer": {
        "The products are added up in int8": {
            TOTAL: "(q_x @ q_w).astype(np.int32) - Z_x * q_w.astype(np.int32).sum(axis=0)"
        },
        "Differences and products are computed in int8": {TOTAL: "(q_x - np.int8(Z_x)) @ q_w"},
        "The input's zero point": {" - Z_x": ""},
        "The output's zero point": {" + Z_y": ""},
        "The bias has no effect": [{BIAS: "total"}, {"b / (S_x * S_w)": "b"}, {"b / (S_x * S_w)": "b / S_y"}],
        "The output's scale multiplies": {"S_w / S_y": "S_w * S_y"},
        "The factor is far too large": [
            {"S_x * S_w / S_y": "S_y / (S_x * S_w)"},
            {"S_x * S_w / S_y": "S_x / S_y"},
            {"S_x * S_w / S_y": "S_w / S_y"},
        ],
        "The output's scale is not used": {"S_x * S_w / S_y": "S_x * S_w"},
        "The result is not rounded": {STEPS: "total * (S_x * S_w / S_y) + Z_y"},
        "It is right where the result fits": {"np.clip(q_y, -128, 127)": "q_y.astype(int)"},
    },
    "memory": {
        "The biases are left out": {FLASH: "inputs * outputs"},
        "The biases are counted with one byte": {"4 * outputs": "outputs"},
        "Those are float32's bytes": {FLASH: "4 * (inputs * outputs + outputs)", ARENA: f"4 * {ARENA}"},
        "The weights take four bytes": {FLASH: "4 * (inputs * outputs + outputs)"},
        "The activations take four bytes": {ARENA: f"4 * {ARENA}"},
        "All layers' outputs": {ARENA: "sum(sizes)"},
        "The arena has room for the largest layer alone": {ARENA: "max(sizes)"},
        "The arena has room for the two largest layers": {ARENA: "sum(sorted(sizes)[-2:])"},
        "The arena is the sum": {ARENA: ARENA.replace("max", "sum")},
        "The arena holds the least": {ARENA: ARENA.replace("max", "min")},
        "The two are swapped": {f"flash, {ARENA}": f"{ARENA}, flash"},
        "Those are KiB": {f"flash, {ARENA}": f"flash / 1024, {ARENA} / 1024"},
        "The output layer is not counted": {"layers = [": "sizes = sizes[:-1]\n    layers = ["},
    },
}
EACH = [
    (check, begins, edits)
    for check, mistakes in MISTAKES.items()
    for begins, ways in mistakes.items()
    for edits in (ways if isinstance(ways, list) else [ways])
]


def test_every_check_of_a_function_is_in_a_sheet_and_tested_here():
    functions = set(kdlab.check.__all__) - {"experiment"}
    assert set(SOLUTIONS) == functions
    assert set(MISTAKES) == functions


@pytest.mark.parametrize("check", SOLUTIONS)
def test_the_solution_passes_and_the_stub_is_not_written_yet(check):
    assert isinstance(getattr(kdlab.check, check)(written(check)), Right)
    stub = written(check, body="raise NotImplementedError()")
    wanted = f"{SOLUTIONS[check][1]} is not written yet: put your code in place of “raise NotImplementedError”."
    assert said(check, stub) == wanted


@pytest.mark.parametrize(("check", "begins", "edits"), EACH)
def test_a_mistake_gets_its_own_sentence(check, begins, edits):
    assert said(check, written(check, edits=edits)).startswith(begins)


@pytest.mark.parametrize("check", MISTAKES)
def test_all_named_mistakes_are_written_out_here_and_no_sentence_is_for_two(check):
    # A check may explain more than these: such sentences are in MISTAKES and not in its list.
    for sentence in getattr(kdlab.check, check).mistakes():
        assert sum(sentence.startswith(begins) for begins in MISTAKES[check]) == 1, sentence


@settings(max_examples=40, deadline=None)
@given(one=st.sampled_from([each for each in EACH if each[0] != "training_step"]), seed=st.integers(0, 2**32 - 1))
def test_other_random_inputs_judge_alike(one, seed):
    check, begins, edits = one
    assert getattr(kdlab.check, check)(written(check), seed=seed)
    assert said(check, written(check, edits=edits), seed=seed).startswith(begins)


def test_an_answer_that_freezes_the_networks_leaves_the_next_one_alone():
    frozen = {"with tf.GradientTape() as": "student.trainable = False\n    with tf.GradientTape() as"}
    assert said("training_step", written("training_step", edits=frozen))
    assert kdlab.check.training_step(written("training_step"))


def test_an_answer_may_ask_by_predict_and_be_checked_again_and_again():
    asking = {"teacher(x, training=False)": "teacher.predict(x, verbose=0)"}
    for seed in (0, 1, 1):
        assert kdlab.check.training_step(written("training_step", edits=asking), seed=seed)


def test_of_what_is_not_returned_it_says_how_it_was_left():
    sentence = said("training_step", written("training_step", edits={STEP_LOSS: f"3 * ({STEP_LOSS})"}))
    assert sentence.startswith("training_step leaves a wrong kernel: "), sentence
    assert "of shape" not in sentence


# ---- what no check knows by name


def test_several_results_may_be_an_array():
    interval = written("paired_interval")
    assert kdlab.check.paired_interval(lambda first, second: np.array(interval(first, second)))
    assert "must return 3 results" in said(
        "paired_interval", lambda first, second: np.array(interval(first, second)[:2])
    )


def test_an_exception_is_passed_on_with_its_line():
    answer = written("softmax", edits={SHARE: "powers / undefined"})
    assert said("softmax", answer).startswith("softened raised NameError: name 'undefined' is not defined.")


def test_the_line_that_raised_is_shown(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def softened(z, T):\n    z = z / T\n    return z.reshape(3, 7)\n")
    names = {}
    exec(compile(file.read_text(), str(file), "exec"), names)
    sentence = said("softmax", names["softened"])
    assert "ValueError: cannot reshape array of size 20" in sentence
    assert sentence.endswith("It comes from this line: return z.reshape(3, 7)")


def test_another_function_that_is_not_written_is_named():
    def softened(z, T):
        raise NotImplementedError

    def temperature_for(z, open_bits):
        return softened(z, 1.0)

    assert said("matching_temperature", temperature_for).startswith("softened is not written yet")


@pytest.mark.parametrize(
    ("check", "answer", "words"),
    [
        ("softmax", lambda z, T: None, "your function returns nothing: its last line must return the result."),
        ("softmax", lambda z, T: "z / T", "your function must return numbers, but the result is a str."),
        ("softmax", lambda z, T: [[1], [1, 2]], "your function must return numbers, but the result is a list of 2."),
        ("softmax", lambda z, T: z[0], "returns an array of shape (4,) where it must be an array of shape (5, 4)"),
        ("softmax", lambda z, T: 1.0, "returns a single number where it must be an array of shape (5, 4)"),
        ("softmax", lambda z, T: z * np.nan, "returns nan where there must be a finite number"),
        ("softmax", lambda z: z, "your function raised TypeError: "),
        ("paired_interval", lambda a, b: a.mean(), "must return 3 results, mean, low, high, got a float64 of shape ()"),
        (
            "paired_interval",
            lambda a, b: (a.mean(), b.mean()),
            "must return 3 results, mean, low, high, got a tuple of 2",
        ),
        (
            "entropy",
            lambda p: -3 * (p * np.log2(p)).sum(axis=-1),
            "returns 3 times what it must be everywhere, with p of",
        ),
        ("rates", lambda s, ill, t: (0.25, 0.5), "returns a wrong sensitivity: "),
        ("memory", lambda sizes: (1, 2), "with sizes = ("),
        (
            "softmax",
            np.zeros((5, 4)),
            "takes your function itself, without parentheses after its name; it got a ndarray of",
        ),
    ],
)
def test_what_is_no_known_mistake_is_described(check, answer, words):
    assert words in said(check, answer)


def test_the_generic_sentence_ends_with_the_hint_and_names_the_inputs():
    sentence = said("softmax", lambda z, T: np.tanh(z / T))
    assert "with z of shape (5, 4), T = 3.0. Divide the logits by T first" in sentence


def test_changed_arguments_are_noticed():
    edits = {"powers = np": "z -= z.max(axis=-1, keepdims=True)\n    powers = np"}
    assert "changes the arrays that it is given" in said("softmax", written("softmax", edits=edits))


def test_the_type_counts_where_it_is_int8_or_boolean():
    answer = written("quantised_weights", edits={".astype(np.int8)": ""})
    assert said("quantised_weights", answer) == "The values are right, but q must be of type int8, got float64."
    answer = written("patient_split", edits={"return tested": "return tested * 1"})
    assert said("patient_split", answer) == "The values are right, but the result must be of type bool, got int64."


def test_tensors_and_single_precision_are_accepted():
    from kdlab.backend import tf

    assert kdlab.check.softmax(lambda z, T: tf.nn.softmax(tf.constant(z, tf.float32) / T))


def test_the_references_are_what_kdlab_computes():
    from kdlab.features import losses
    from kdlab.features.representations import linear_cka

    def distance_loss(f_s, f_t):
        return losses.relational_distance(teacher_features=f_t, student_features=f_s)

    def attention_loss(maps_s, maps_t):
        student, teacher = (losses.attention_map(maps) for maps in (maps_s, maps_t))
        return losses.attention(teacher_features=teacher, student_features=student)

    assert kdlab.check.distance_loss(distance_loss)
    assert kdlab.check.attention_loss(attention_loss)
    assert kdlab.check.cka(
        lambda K, L: linear_cka(np.linalg.cholesky(K + 1e-9 * np.eye(8)), np.linalg.cholesky(L + 1e-9 * np.eye(8)))
    )
    assert kdlab.check.softmax(kdlab.softmax)
    assert kdlab.check.entropy(lambda p: kdlab.softening.entropy(p, base=2))
    assert kdlab.check.distillation_loss(kdlab.distillation_loss)
    assert kdlab.check.soft_gradient(
        lambda z_s, z_t, T: len(z_s) * kdlab.softening.distillation_gradient(z_s, z_t, np.zeros(len(z_s), int), T, 1.0)
    )
    clinical = kdlab.clinical.sensitivity, kdlab.clinical.specificity
    assert kdlab.check.rates(lambda scores, ill, t: tuple(measure(scores, ill.astype(int), t) for measure in clinical))
    assert kdlab.check.paired_interval(lambda *case: tuple(kdlab.evaluation.mean_interval(case[0] - case[1])))


def test_what_is_right_reads_as_a_sentence():
    assert repr(kdlab.check.softmax(written("softmax"))).startswith("✓ Right. It divides by T")


def test_no_sentence_holds_a_line_of_the_solution():
    for check, (sheet, name) in SOLUTIONS.items():
        source = next(source for source, _ in cells(sheet) if source.startswith(f"def {name}("))
        lines = source.split("BEGIN SOLUTION")[1].split("###")[0].strip().splitlines()
        said_ever = " ".join(getattr(kdlab.check, check).mistakes())
        parts = {line.strip().removeprefix("return ") for line in lines} - {"tested"}  # which is a plain word, too
        assert not [part for part in parts if part in said_ever]


# ---- the experiments


def kinds(**changes):
    found = {"distilled": np.linspace(0.8, 0.9, 6), "alone": np.linspace(0.75, 0.87, 6)} | changes
    return lambda *position: {name: values for name, values in found.items() if values is not None}


def test_an_experiment_is_said_with_its_interval():
    from scipy import stats

    one, two = kinds()().values()
    low, high = stats.ttest_rel(one, two).confidence_interval()
    wanted = f"+{100 * (one - two).mean():.1f} percentage points, 95 % interval +{100 * low:.1f} to +{100 * high:.1f}"
    assert kdlab.check.experiment(kinds(), 4.0) == f"6 pairs. distilled − alone: {wanted} (better)."


def test_a_difference_that_rounds_to_nothing_has_no_minus():
    alone = np.linspace(0.75, 0.87, 6)
    said = kdlab.check.experiment(kinds(distilled=alone - 1e-4 * np.array([1, 2, 1, 2, 1, 2]), alone=alone), 4.0)
    assert "distilled − alone: +0.0 percentage points, 95 % interval +0.0 to +0.0" in said


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda *position: [1, 2], "must return a dictionary, {kind: accuracies}, got a list"),
        (kinds(alone=None), "two kinds of students to compare, got 1"),
        (kinds(alone=0.8), "“alone” is one number: an interval needs the accuracy of every seed"),
        (kinds(alone="many"), "“alone” must be numbers, got 'many'"),
        (kinds(alone=np.ones((6, 2))), "got shape (6, 2)"),
        (kinds(alone=[0.8, 0.9]), "“alone” has 2 seeds: with fewer than 5"),
        (kinds(alone=[np.nan] * 6), "not finite: did the training diverge?"),
        (kinds(alone=[80.0] * 6), "up to 80: give shares from 0 to 1, not per cent"),
        (kinds(alone=[-0.01, 0.03] * 3), "below 0, down to -0.01: return the accuracies of each kind, not differences"),
        (kinds(alone=[0.8] * 7), "as many seeds of each kind, got 6 of “distilled”, 7 of “alone”"),
        (kinds(alone=np.linspace(0.8, 0.9, 6)), "the very same accuracies, seed by seed"),
    ],
)
def test_an_experiment_without_pairs_is_told_why(answer, words):
    assert words in said("experiment", answer)


def test_an_experiment_that_is_not_written_says_so():
    def experiment(T):
        raise NotImplementedError

    with pytest.raises(WrongAnswerError, match=r"^experiment is not written yet"):
        kdlab.check.experiment(experiment, 4.0)


@pytest.mark.parametrize("check", ["softmax", "soft_gradient", "entropy"])
def test_what_was_checked_is_kept_among_the_readers_answers(monkeypatch, check):
    kept = answers.Record()
    monkeypatch.setattr(answers, "RECORD", kept)
    wrong = said(check, written(check, body="return 0"))
    right = getattr(kdlab.check, check)(written(check))
    entry = kept.given[f"check.{check}"]
    assert (entry["answer"], entry["correct"], entry["message"], entry["tries"]) == (
        SOLUTIONS[check][1],
        True,
        right,
        2,
    )
    said(check, written(check, body="return 0"))
    entry = kept.given[f"check.{check}"]
    assert (entry["correct"], entry["message"], entry["tries"]) == (False, wrong, 3)


def test_an_experiment_is_kept_among_the_readers_answers_with_its_interval(monkeypatch):
    kept = answers.Record()
    monkeypatch.setattr(answers, "RECORD", kept)
    wrong = said("experiment", kinds(alone=0.8))
    entry = kept.given["check.experiment"]
    assert (entry["correct"], entry["message"], entry["tries"]) == (False, wrong, 1)
    right = kdlab.check.experiment(kinds(), 4.0)
    entry = kept.given["check.experiment"]
    assert "95 % interval" in right
    assert (entry["correct"], entry["message"], entry["tries"]) == (True, right, 2)
