"""What a run says it came to: numbers against scipy and sums by hand, the sentence, the table, the page."""

import json
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from kdlab.evaluation import Interval
from kdlab.runs import results
from kdlab.runs.results import ModelResult, compare, grid_table, markdown, table
from kdlab.timing import Spread


def model(correct, name="student", **changes):
    """Return the result of a model that gets these samples right, every other one of class 1."""
    labels = np.arange(len(correct)) % 2
    facts = {
        "classes": 2,
        "predicted": np.where(correct, labels, 1 - labels),
        "labels": labels,
        "file": "student.keras",
        "parameters": 415258,
        "size_on_disk": 1669123,
        "times": {1: Spread(2e-4, 1.5e-4, 4e-4, 200), 32: Spread(1.25e-5, 1e-5, 2e-5, 150)},
    }
    return ModelResult(name=name, **{**facts, **changes})


outcomes = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=60)


@settings(deadline=None)
@given(outcomes)
def test_accuracy_and_interval_are_those_of_scipy(pairs):
    correct = [first for first, _ in pairs]
    found = model(correct).to_json()
    oracle = binomtest(sum(correct), len(correct)).proportion_ci(0.95, method="wilson")
    assert (found["test_correct"], found["test_samples"]) == (sum(correct), len(correct))
    assert found["test_accuracy"] == sum(correct) / len(correct)
    assert found["test_accuracy_95_percent"] == pytest.approx({"low": oracle.low, "high": oracle.high}, abs=1e-12)


@settings(deadline=None)
@given(outcomes)
def test_mcnemar_is_the_binomial_sum_over_the_samples_that_one_alone_got_right(pairs):
    first, second = zip(*pairs, strict=True)
    found, _ = compare(model(first), model(second, "student alone"))
    b = sum(x and not y for x, y in pairs)
    c = sum(y and not x for x, y in pairs)
    tail = sum(math.comb(b + c, k) for k in range(min(b, c) + 1)) / 2 ** (b + c)
    assert (found["only_first_correct"], found["only_second_correct"]) == (b, c)
    assert found["mcnemar_p"] == pytest.approx(min(1, 2 * tail))
    assert found["difference"] == pytest.approx((sum(first) - sum(second)) / len(pairs))
    assert found["between"] == ["student", "student alone"]
    told_apart = 2 * tail < 0.05
    assert found["verdict"] == (("helps" if b > c else "hurts") if told_apart else "no detectable difference")


@pytest.mark.parametrize(
    ("only_first", "only_second", "said"),
    [
        (30, 5, "Distillation helps here: 95.00 % distilled, 82.50 % alone; of 200 test samples 30 are right only"),
        (5, 30, "Distillation hurts here: 82.50 % distilled, 95.00 % alone; of 200 test samples 5 are right only"),
        (12, 11, "No detectable difference: 86.00 % distilled, 85.50 % alone; of 200 test samples 12 are right only"),
    ],
)
def test_the_sentence_is_honest(only_first, only_second, said):
    both = 160
    first = [True] * (both + only_first) + [False] * (40 - only_first)
    second = [True] * both + [False] * only_first + [True] * only_second + [False] * (40 - only_first - only_second)
    distilled, alone = model(first), model(second, "student alone")
    found = compare(distilled, alone)[1]
    assert found.startswith(said)
    assert f"with the teacher and {only_second} only without it (McNemar's test, p" in found
    told = "Detecting such a difference would take about 36,000 test samples."
    assert found.endswith(("Another seed may give another result.", f"p = 1.000). {told}"))


@pytest.mark.parametrize(("only_first", "said"), [(14, "p < 0.001"), (8, "p = 0.008"), (1, "p = 1.000")])
def test_p_has_as_many_digits_as_it_needs(only_first, said):
    distilled, alone = model([True] * 20), model([False] * only_first + [True] * (20 - only_first))
    assert f"(McNemar's test, {said})" in compare(distilled, alone)[1]


def test_the_table_can_be_read():
    header, rows = table([model([True] * 9 + [False]).to_json()])
    assert header == [
        "model",
        "parameters",
        "on disk",
        "test accuracy (95 % interval)",
        "ms per example, batch 1 (quartiles)",
        "ms per example, batch 32 (quartiles)",
    ]
    accuracy = "90.00 % (59.58 % to 98.21 %)"
    assert rows == [["student", "415,258", "1.7 MB", accuracy, "0.2 (0.15 to 0.4)", "0.0125 (0.01 to 0.02)"]]


@pytest.mark.parametrize(
    ("size", "shown"), [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (54e6, "54.0 MB"), (2.5e12, "2.5 TB")]
)
def test_sizes_have_a_unit(size, shown):
    assert table([model([True, True], size_on_disk=size).to_json()])[1][0][2] == shown


def test_a_grid_of_differences_is_in_percentage_points():
    grid = {"temperatures": [1.0, 20.0], "alphas": [0.1, 0.5], "validation_difference": [[0.0123, -0.5], [0, 1]]}
    assert grid_table(grid) == (["T \\ alpha", "0.1", "0.5"], [["1", "+1.23", "-50.00"], ["20", "+0.00", "+100.00"]])


@pytest.fixture
def record():
    return {
        "title": "kdlab distill: student.keras",
        "models": [model([True, False]).to_json()],
        "sentence": "No detectable difference.",
        "settings": {"student": "mlp", "epochs": 30, "image_size": None, "teacher": ["a.keras", "b.keras"]},
        "data": {
            "name": "letters|1.mat",
            "source": "NIST",
            "licence": "public domain",
            "fingerprint": "0f" * 32,
            "class_names": ["A", "B"],
            "samples": {"train": 104000, "validation": 20800, "test": 20800},
            "shape": [28, 28, 1],
        },
        "versions": results.versions(),
        "machine": results.machine(["GPU 0"]),
        "training": {"student alone": {"epochs_done": 1073, "best_epoch": 33, "seconds": 1234.5678, "history": {}}},
        "command": "kdlab distill --data 'letters|1.mat'",
        "date": results.now(),
        "notes": ["2 images are in both parts."],
    }


def test_the_page_has_all_it_takes_to_repeat_the_run(record):
    page = markdown(record)
    for part in (
        "# kdlab distill: student.keras\n",
        "\nNo detectable difference.\n",
        "| model | parameters |",
        "| student | 415,258 |",
        "- Data: letters|1.mat: NIST (licence: public domain)\n",
        "- Samples: 104,000 train, 20,800 validation, 20,800 test\n",
        f"- Fingerprint: `{'0f' * 32}`\n",
        "- Classes: A, B\n",
        "- Training: student alone: 1,073 epochs in 1,235 s, weights of epoch 33 kept\n",
        "- Settings: student mlp, epochs 30, image size none, teacher a.keras b.keras\n",
        f"kdlab {results.__version__}, keras ",
        "accelerators GPU 0",
        f"- Date: {record['date']}\n",
        "- 2 images are in both parts.\n",
        "```bash\nkdlab distill --data 'letters|1.mat'\n```\n",
    ):
        assert part in page
    assert "T \\ alpha" not in page


def test_the_page_of_a_sweep_has_its_grid_and_picture(record):
    grid = {"temperatures": [1.0], "alphas": [0.5], "validation_difference": [[0.01]]}
    page = markdown({**record, "grid": grid, "picture": "sweep.png", "notes": [], "sentence": "", "training": {}})
    assert "| T \\ alpha | 0.5 |\n| --- | --- |\n| 1 | +1.00 |\n" in page
    assert "![kdlab distill: student.keras](sweep.png)" in page
    assert "Notes" not in page
    assert "Training" not in page


def test_cells_cannot_break_a_table():
    assert results.markdown_table(["a|b"], [["c"]]) == "| a\\|b |\n| --- |\n| c |"


def test_versions_are_those_that_ran():
    import keras
    import tensorflow as tf

    found = results.versions()
    assert (found["keras"], found["tensorflow"], found["numpy"]) == (keras.__version__, tf.__version__, np.__version__)
    assert re.fullmatch(r"3\.\d+\.\d+", found["python"])


def test_json_comes_back_and_has_no_nan(record):
    as_json, page = results.to_bytes(record, markdown)
    assert json.loads(as_json) == record
    assert page.decode() == markdown(record)
    with pytest.raises(ValueError, match="not JSON compliant"):
        results.to_bytes({**record, "loss": math.nan}, markdown)


def test_clinical_figures_are_columns_where_there_are_any():
    correct = [True] * 7 + [False] + [True] * 8 + [False, True, True, True]  # of ten of each class nine and nine
    header, rows = table([model(correct, auc=Interval(0.75, 0.5, 1.0)).to_json()])
    assert header[4:7] == ["sensitivity", "specificity", "AUC"]
    assert rows[0][4:7] == ["0.900 (0.596 to 0.982)"] * 2 + ["0.750 (0.500 to 1.000)"]
    assert "AUC" not in table([model([1, 0]).to_json()])[0]


@pytest.mark.parametrize(("first_only", "second_only", "samples"), [(8, 2, 200), (30, 20, 1000), (3, 1, 20)])
def test_the_samples_that_would_tell_are_told_four_times_out_of_five(first_only, second_only, samples):
    needed = results.samples_to_tell(first_only, second_only, samples)
    rng = np.random.default_rng(0)
    told = 0
    for _ in range(400):
        first, second, _ = rng.multinomial(
            needed, [first_only / samples, second_only / samples, 1 - (first_only + second_only) / samples]
        )
        told += first + second > 0 and binomtest(int(first), int(first + second)).pvalue < 0.05
    assert 0.65 < told / 400 < 0.9
    assert results.samples_to_tell(5, 5, 100) == 0


def test_students_at_chance_are_not_compared():
    one, knowing = model(np.arange(40) % 2 == 0), model([True] * 40)
    said = "Neither student can be told from guessing on 40 test samples, so comparing them says nothing: 50.00 % distilled"
    assert compare(one, one)[1].startswith(said)
    assert compare(knowing, one)[1].startswith("Distillation helps here")
    assert (one.to_json()["at_chance"], knowing.to_json()["at_chance"]) == (True, False)


def test_pairs_say_how_many_samples_one_of_them_would_take_and_nothing_where_all_guess():
    labels, rng = np.arange(400) % 4, np.random.default_rng(0)

    def students(share):
        return [np.where(rng.random(400) < share, labels, (labels + 1) % 4) for _ in range(3)]

    distilled, alone = students(0.71), students(0.7)
    found, sentence = results.compare_pairs(distilled, alone, labels)
    assert found["distilled"] == [(one == labels).mean() for one in distilled]
    assert found["alone"] == [(one == labels).mean() for one in alone]
    assert found["difference"]["mean"] == pytest.approx(np.subtract(found["distilled"], found["alone"]).mean())
    both = [(np.array(some) == labels).sum() for some in (distilled, alone)]
    only = [
        ((np.array(x) == labels) & (np.array(y) != labels)).sum() / 3
        for x, y in ((distilled, alone), (alone, distilled))
    ]
    assert only[0] - only[1] == pytest.approx((both[0] - both[1]) / 3)
    needed = results.samples_to_tell(*only, 400)
    assert sentence.endswith(f"Detecting such a difference in a single pair would take about {needed:,} test samples.")
    _, sentence = results.compare_pairs(students(0.0), [np.zeros(400, int)] * 3, labels)
    assert sentence.startswith(
        "No student can be told from guessing, so comparing them says nothing: test accuracy 0.00 %"
    )
    assert "would take" not in sentence
