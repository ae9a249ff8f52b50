"""The questions: right answers are accepted, the named wrong ones rejected with their own explanation."""

import math

import pytest

from kdlab.lab.questions import Question, Questions, response_questions, temperature_questions


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
