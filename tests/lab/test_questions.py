"""The questions: right answers are accepted, the named wrong ones rejected with their own explanation."""

import math
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest

from kdlab import LiveTrainer, lab, load, models
from kdlab.answers import Record
from kdlab.datasets.dataset import digits_logits
from kdlab.lab.controls import points
from kdlab.lab.feature_questions import feature_questions, predict_features
from kdlab.lab.medical_questions import medical_questions, predict_overlap
from kdlab.lab.questions import Answer, Question, Questions, chosen, typed
from kdlab.lab.response_questions import predict_students, response_questions
from kdlab.lab.temperature_questions import predict_exponent, predict_softening, temperature_questions
from kdlab.lab.tinyml_questions import tinyml_questions
from kdlab.scenarios import SCENARIOS
from kdlab.softening import softmax

SETS = (
    predict_softening,
    temperature_questions,
    predict_exponent,
    response_questions,
    feature_questions,
    medical_questions,
    predict_overlap,
    tinyml_questions,
)


@pytest.fixture
def asked():
    return temperature_questions().asked


@pytest.mark.parametrize("answer", ["0.844", "0,844", 0.8438, math.e**3 / (math.e**3 + math.e + 1)])
def test_the_right_number_is_accepted(asked, answer):
    assert asked[0].check(answer).correct


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("0.982", "were not divided by 2"),
        ("1.0", "multiplied by 2 instead of divided"),
        ("0.491", "It is the logits that T divides"),
        ("0.75", "shares of the logits themselves are not probabilities"),
        ("0.2", "too small"),
        ("1.5", "too large"),
        ("a lot", "must be a number such as 0.25, got “a lot”"),
        ("nan", "must be a number"),
        ("", "must be a number"),
    ],
)
def test_named_mistakes_get_their_explanation(asked, answer, said):
    result = asked[0].check(answer)
    assert not result.correct
    assert said in result.message


@pytest.mark.parametrize(("question", "right"), [(1, 1), (2, 2)])
def test_choices(asked, question, right):
    results = [asked[question].check(k) for k in range(len(asked[question].choices))]
    assert [k for k, result in enumerate(results) if result.correct] == [right]
    assert len({result.message for result in results}) == len(results)


@pytest.mark.parametrize("answer", [-1, 4, None, "1", True])
def test_an_answer_that_is_not_there(asked, answer):
    assert not asked[1].check(answer).correct
    assert "Choose one of the 4 answers" in asked[1].check(answer).message


def feedback(view, question=0):
    """What stands below a question."""
    return view.children[question].children[-1].value


def test_a_choice_is_answered_at_once():
    view = temperature_questions()
    radio = view.children[1].children[1]
    assert [text for text, _ in radio.options] == list(view.asked[1].choices)
    assert radio.value is None
    assert feedback(view, 1) == '<p role="status" class="kdlab-feedback kdlab-"></p>'
    radio.value = 1
    assert "✓ Right. z / T keeps the order" in feedback(view, 1)
    assert "kdlab-right" in feedback(view, 1)
    radio.value = 3
    assert "✗ Not quite. It does happen: for T → ∞" in feedback(view, 1)
    assert "kdlab-wrong" in feedback(view, 1)
    assert "✓" not in feedback(view, 0) + feedback(view, 2)


def test_a_number_is_checked_by_enter_and_by_the_button():
    view = temperature_questions()
    text, button = view.children[0].children[1].children
    button.click()
    assert "must be a number" in feedback(view)
    text.value = "0.844"
    assert "✓ Right." in feedback(view)
    text.value = "<b>0.2</b>"
    assert "&lt;b&gt;0.2&lt;/b&gt;" in feedback(view)


def test_a_number_that_was_checked_as_its_field_was_left_is_not_another_try_at_the_button(monkeypatch):
    record = Record()
    page, view = (
        lab.Page(record),
        Questions([Question("how many?", lambda answer: Answer(answer == 2, "said"))], record),
    )
    text, button = view.children[0].children[1].children
    tries = []
    for value in ("1", "2", "1"):
        text.value = value
        button.click()
        button.click()
        tries.append([entry["tries"] for entry in page.answers.values()])
    assert tries == [[1], [2], [3]]
    monkeypatch.setattr("kdlab.lab.questions.AT_ONCE", 0)  # later it is: what a check looks at may have changed
    button.click()
    assert [entry["tries"] for entry in page.answers.values()] == [4]


def test_a_check_that_returns_no_answer_is_said_on_the_page():
    view = Questions([Question("?", lambda answer: answer == 1, ("one", "other"))])
    view.children[0].children[1].value = 1
    assert "could not be checked: a check must return an Answer(correct, message), got True" in feedback(view)


@pytest.mark.parametrize("right", [2, -1, 5])
def test_a_right_choice_without_a_message_is_refused(right):
    with pytest.raises(ValueError, match=f"right must be the index of one of the 2 messages, from 0, got {right}"):
        chosen(right, "no", "yes")


@pytest.mark.parametrize("choices", [(), ("one", "other")])
def test_a_broken_check_is_said_on_the_page(choices):
    def broken(answer):
        raise RuntimeError("no luck")

    view = Questions([Question("?", broken, choices)])
    answer = view.children[0].children[1]
    if choices:
        answer.value = 0
    else:
        answer.children[1].click()
    assert "This answer could not be checked: no luck" in feedback(view)


@pytest.mark.parametrize(
    ("answer", "correct", "said"),
    [
        ("0.0588", True, "1 / 17"),
        ("0,059", True, "1 / 17"),
        ("0.0196", False, "too small"),  # of the page's own worked example
        ("0.5", False, "without it the soft term weighs 1/T²"),
        ("0.94", False, "share of the hard labels"),
        ("0.2", False, "takes T for T²"),
        ("0.3", False, "too large. Compare what stands before each term"),
    ],
)
def test_the_conversion_question(answer, correct, said):
    result = response_questions().asked[0].check(answer)
    assert result.correct is correct
    assert said in result.message


@pytest.mark.parametrize(("question", "right"), [(1, 2), (2, 1)])
def test_chapter_two_choices(question, right):
    asked = response_questions().asked[question]
    assert [k for k in range(len(asked.choices)) if asked.check(k).correct] == [right]


# --- with the slider, and predictions: checked against the numbers themselves


@cache
def least_sure():
    """The teacher's logits on the digit that chapter 1 shows first, the largest first."""
    ordered = -np.sort(-digits_logits()["teacher"])
    return ordered[int(np.argmin([softmax(z)[0] - softmax(z)[1] for z in ordered]))]


@pytest.mark.parametrize(
    ("change", "correct", "said"), [(0, True, "No T brings"), (0.9, True, ""), (3, False, "tallest bar")]
)
def test_the_slider_finds_where_the_first_class_falls_below_a_fifth(asked, change, correct, said):
    z = least_sure()
    low, high = 1.0, 100.0
    for _ in range(50):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if softmax(z, middle)[0] > 0.2 else (low, middle)
    result = asked[3].check(low + change)
    assert result.correct is correct
    assert said in result.message


def test_the_third_class_rises_and_falls_between_the_ends_of_the_slider(asked):
    shares = np.array([softmax(least_sure(), t)[2] for t in np.geomspace(0.5, 64, 2000)])
    peak = shares.argmax()
    assert 0 < peak < 1999
    assert (np.diff(shares[: peak + 1]) > 0).all()
    assert (np.diff(shares[peak:]) < 0).all()
    assert [asked[4].check(k).correct for k in range(4)] == [False, False, True, False]
    assert f"{shares.max():.2f}, near T = {np.geomspace(0.5, 64, 2000)[peak]:.1f}" in asked[4].check(2).message


def test_the_prediction_of_softening_is_what_softening_does():
    (question,) = predict_softening().asked
    before, after = (softmax(least_sure(), t) for t in (1, 5))
    happens = [(k, gains) for k, gains in enumerate(((1, 1), (1, 0), (0, 1), (0, 0)))]
    right = [k for k, gains in happens if gains == (after[1] > before[1], after[4] > before[4])]
    assert [k for k in range(4) if question.check(k).correct] == right
    assert f"{after[1]:.3f} instead of {before[1]:.3f}" in question.check(0).message


def test_the_predicted_power_keeps_the_gradient_level():
    logits, temperatures = digits_logits(), (16, 128)
    sizes = [
        np.linalg.norm((softmax(logits["student"], t) - softmax(logits["teacher"], t)) / t, axis=1).mean()
        for t in temperatures
    ]
    changes = [abs(math.log(sizes[1] * 128**power / (sizes[0] * 16**power))) for power in range(4)]
    (question,) = predict_exponent().asked
    assert [question.check(k).correct for k in range(4)] == [k == np.argmin(changes) for k in range(4)]
    assert sorted(changes)[0] < 0.3 < 1.5 < sorted(changes)[1]


@pytest.mark.parametrize(
    ("gains", "happens"),
    [((0.1, 0.12, 0.11), 0), ((-0.1, -0.12, -0.11), 1), ((0.1, -0.1, 0.0), 2), ((0.0, 0.0, 0.0), 2)],
)
def test_a_prediction_is_held_against_the_students_just_trained(gains, happens):
    class Live:
        def train(self, temperature=4.0, alpha=0.9):
            return SimpleNamespace(test_accuracy=np.array([0.7, 0.75, 0.8]) + (np.array(gains) if alpha else 0))

    asked = []
    questions = predict_students(lambda scenario, hidden: asked.append((scenario, hidden)) or Live()).asked
    for question in questions:
        assert [k for k in range(3) if question.check(k).correct] == [happens]
        for k in range(3):
            assert f"{points(np.mean(gains))} points" in question.check(k).message
        assert "Choose one of the 3 answers" in question.check(7).message
    wrong = questions[0].check((happens + 1) % 3).message
    assert wrong.startswith(("What happens: better", "What happens: worse", "What happens: no detectable"))
    assert set(asked) == {("few", (16,)), ("all", (4,))}


# --- answers are kept


BLANK = '<p role="status" class="kdlab-feedback kdlab-"></p>'


def shown(view):
    """What stands in each question: its answer, and what is said to it."""
    rows = (question.children for question in view.children)
    answers = [getattr(row[1], "children", [row[1]])[0].value for row in rows]
    return list(zip(answers, (question.children[-1].value for question in view.children), strict=True))


def test_a_page_takes_back_what_its_browser_kept_without_checking_it_again():
    checked = []

    def check(answer):
        checked.append(answer)
        return Answer(answer == 1, f"said of {answer}")

    questions, record = [Question("which?", check, ("this", "that")), Question("how many?", check)], Record()
    first = lab.Page(record)
    view = Questions(questions, record)
    view.children[0].children[1].value = 1
    view.children[1].children[1].children[0].value = "<7>"
    assert [(e["answer"], e["correct"]) for e in first.answers.values()] == [("that", True), ("<7>", False)]
    assert checked == [1, "<7>"]

    record = Record()
    page = lab.Page(record)
    again = Questions([*reversed(questions), Question("new?", check)], record)
    assert shown(again) == [("", BLANK), (None, BLANK), ("", BLANK)]
    page.answers = {**first.answers, "gone?": first.answers["which?"], "broken": {"answer": []}}
    assert shown(again)[:2] == shown(view)[::-1]
    assert "✓ Right. said of 1" in shown(again)[1][1]
    assert "said of &lt;7&gt;" in shown(again)[0][1]
    assert sorted(page.answers) == ["gone?", "how many?", "which?"]
    assert checked == [1, "<7>"]
    page.answers = {}
    assert shown(again) == [("", BLANK), (None, BLANK), ("", BLANK)]
    assert record.given == {}


def test_an_answer_that_is_no_choice_any_more_is_not_shown():
    record = Record()
    view = Questions([Question("which?", lambda answer: Answer(True, "yes"), ("this", "that"))], record)
    record.add("which?", "the other", True)
    assert shown(view) == [(None, BLANK)]


def test_real_students_answer_the_predictions():
    data = load("digits")

    def trainer(scenario, hidden):
        made = SCENARIOS[scenario].prepare(data, digits_logits("train")["teacher"][None])
        student = models.mlp(64, hidden, 10)
        return LiveTrainer(made.data, student, made.teacher_logits, epochs=made.epochs, batch_size=made.batch_size)

    few, everything = predict_students(trainer).asked
    assert few.check(0).correct
    assert everything.check(1).correct


def test_features_are_asked_beyond_the_answers():
    asked = []

    class Live:
        def train(self, temperature, alpha, feature_alpha=0.0, **tied):
            asked.append((temperature, alpha, feature_alpha, *tied.values()))
            gain = np.array([0.02, 0.025, 0.015]) * (-1 if feature_alpha > 0.9 else 1) * (feature_alpha > 0)
            return SimpleNamespace(test_accuracy=np.array([0.7, 0.75, 0.8]) + gain)

    few, everything = predict_features(lambda scenario: asked.append(scenario) or Live()).asked
    assert [k for k in range(3) if few.check(k).correct] == [0]
    assert [k for k in range(3) if everything.check(k).correct] == [1]
    tied = [("hidden_2", "hidden_2")]
    assert asked[:3] == ["few", (4.0, 0.5, 0.5, "hint", tied), (4.0, 0.5, 0.0)]
    assert asked[-3:] == ["all", (4.0, 0.5, 0.999, "similarity", tied), (4.0, 0.5, 0.0)]


# --- of every chapter

ANSWERS = [*range(-1, 6), -1e9, 0.88, 0.31, 1e9, "0.3", "x", "", None, True]


@pytest.mark.parametrize("questions", SETS, ids=lambda make: make.__name__)
def test_whatever_is_answered_no_placeholder_is_shown(questions):
    for question in questions().asked:
        texts = [question.prompt, *question.choices, *(question.check(answer).message for answer in ANSWERS)]
        assert all(text.strip() == text != "" for text in texts)
        assert [text for text in texts if "{" in text or "}" in text] == []


@pytest.mark.parametrize("questions", SETS, ids=lambda make: make.__name__)
def test_a_number_that_is_no_known_slip_gets_a_hint(questions):
    for question in questions().asked:
        if not question.choices:
            message = question.check("-12345").message
            assert message.startswith("-12345 is too small. ")
            assert len(message) > len("-12345 is too small. ") + 15


@pytest.mark.parametrize(
    ("right", "slips", "tolerance"),
    [(0.85, (0.15, 0.85), 0.005), (0.5, (0.2, 0.2), 0.005), (38.4, (38.45,), 0.05), (40, (25, 25.5), 0.3)],
)
def test_slips_that_cannot_be_told_apart_are_refused(right, slips, tolerance):
    with pytest.raises(ValueError, match=f"cannot be told apart with a tolerance of {tolerance}"):
        typed(right, "yes", "a hint", [(slip, "no") for slip in slips], tolerance)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("0.75", "(160 − 40) / 160 = 0.75"),
        ("0.85", "sensitivity"),
        ("0.77", "accuracy"),
        ("0.25", "1 − specificity"),
        ("0.459", "precision"),
        ("0.952", "among those called healthy"),
        ("0.6", "too small. Look at the healthy people alone"),
    ],
)
def test_sensitivity_accuracy_and_others_are_not_taken_for_specificity(answer, said):
    result = medical_questions().asked[0].check(answer)
    assert result.correct is (answer == "0.75")
    assert said in result.message
