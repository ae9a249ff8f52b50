"""The questions: right answers are accepted, the named wrong ones rejected with their own explanation."""

import math

import pytest

from kdlab.lab.medical_questions import medical_questions
from kdlab.lab.questions import (
    Question,
    Questions,
    feature_questions,
    response_questions,
    temperature_questions,
    typed,
)
from kdlab.lab.tinyml_questions import tinyml_questions

SETS = (temperature_questions, response_questions, feature_questions, medical_questions, tinyml_questions)


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


def test_the_view_answers_and_survives_a_broken_check():
    def broken(answer):
        raise RuntimeError("no luck")

    view = Questions([Question("?", broken)])
    view.answer = {"question": 0, "answer": 1, "counter": 1}
    assert view.feedback["correct"] is False
    assert view.feedback["message"] == "This answer could not be checked: no luck"
    view = temperature_questions()
    view.answer = {"question": 1, "answer": 1, "counter": 1}
    assert view.feedback["correct"] is True


@pytest.mark.parametrize(
    ("answer", "correct", "said"),
    [
        ("0.0196", True, "1 / 51"),
        ("0.667", False, "without it the soft term weighs 1/T²"),
        ("0.98", False, "share of the hard labels"),
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
