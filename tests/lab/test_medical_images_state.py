"""Single images of chapter 4: groups, Grad-CAM and uploads are those of the networks themselves."""

from types import SimpleNamespace

import numpy as np
import pytest

from kdlab.datasets.nuclei import CLASS_NAMES
from kdlab.grad_cam import grad_cam
from kdlab.lab.medical_images_state import GROUPS, MAX_BYTES, SHOWN, MedicalImagesState
from kdlab.lab.medical_state import MedicalState, build_student
from kdlab.softening import softmax


@pytest.fixture(scope="module")
def medical():
    """The chapter's state with students that were never trained."""
    state = MedicalState()
    networks = state.networks() | {"alone": build_student(1), "distilled": build_student(0)}
    return SimpleNamespace(data=state.data, networks=lambda: networks)


@pytest.fixture(scope="module")
def state(medical):
    return MedicalImagesState(medical)


def answers(network, x):
    return network(x, training=False).numpy().argmax(axis=1)


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_holds_the_nuclei_that_are_read_so(medical, state, group):
    x, y = medical.data.test.x, medical.data.test.y
    teacher, pupil = (answers(medical.networks()[kind], x) == y for kind in ("teacher", "distilled"))
    expected = {"right": teacher & pupil, "student_wrong": teacher & ~pupil, "teacher_wrong": ~teacher}[group]
    found = state.look(group, 1)
    assert found["total"] == expected.sum() > SHOWN
    assert len(found["labels"]) == SHOWN
    images = np.frombuffer(found["images"], np.uint8).reshape(SHOWN, 48, 48, 3)
    there = np.round(255 * x[expected]).astype(np.uint8)
    for image, label in zip(images, found["labels"], strict=True):
        (at,) = np.flatnonzero((there == image).all(axis=(1, 2, 3)))
        assert CLASS_NAMES[y[expected][at]] == label
    assert list(found["seen"]) == ["teacher", "distilled"]


def test_the_map_is_grad_cam_of_the_class_that_is_asked_for(medical, state):
    named, other = state.look("teacher_wrong", 2), state.look("teacher_wrong", 2, "connective")
    size = 48 * 48 * 3
    x = np.frombuffer(named["images"][2 * size : 3 * size], np.uint8).reshape(1, 48, 48, 3).astype(np.float32) / 255
    for kind, network in medical.networks().items():
        if kind == "alone":
            continue
        probabilities = softmax(network(x, training=False).numpy().astype(np.float64))[0]
        seen = named["seen"][kind]
        assert seen["probabilities"] == pytest.approx(probabilities, abs=1e-5)
        assert seen["answer"] == seen["shown"] == CLASS_NAMES[probabilities.argmax()]
        assert other["seen"][kind]["shown"] == "connective"
        for result, class_index in ((named, int(probabilities.argmax())), (other, CLASS_NAMES.index("connective"))):
            shown = np.frombuffer(result["seen"][kind]["map"], np.uint8).reshape(48, 48)
            np.testing.assert_allclose(shown / 255, grad_cam(network, x, class_index=class_index)[0], atol=0.01)


def test_without_students_there_is_the_teacher_alone(medical):
    alone = SimpleNamespace(data=medical.data, networks=lambda: {"teacher": medical.networks()["teacher"]})
    state = MedicalImagesState(alone)
    right, wrong = state.look("right", SHOWN - 1), state.look("teacher_wrong", 0)
    assert right["total"] + wrong["total"] == len(medical.data.test)
    assert not right["students"]
    nothing = state.look("student_wrong", 0)
    assert (nothing["total"], nothing["labels"], nothing["seen"]) == (0, [], {})


def test_an_upload_is_answered_and_a_bad_one_leaves_the_last(medical, state):
    assert MedicalImagesState(medical).upload() == {}
    found = state.upload(state.example())
    image = np.frombuffer(found["image"], np.uint8).reshape(48, 48, 3)
    there = np.round(255 * medical.data.test.x).astype(np.uint8)
    (at,) = np.flatnonzero((there == image).all(axis=(1, 2, 3)))  # a PNG loses nothing
    assert CLASS_NAMES[medical.data.test.y[at]] == "neoplastic"
    for kind in ("teacher", "distilled"):
        logits = medical.networks()[kind](medical.data.test.x[at : at + 1], training=False).numpy()
        assert found["seen"][kind]["probabilities"] == pytest.approx(softmax(logits.astype(float))[0], abs=0.01)
    for bad, message in ((b"no image", "accepted are PNG"), (bytes(MAX_BYTES + 1), "accepted are at most 5,000,000")):
        with pytest.raises(ValueError, match=message):
            state.upload(bad)
        assert state.upload() == found


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("both", 0), "group must be one of right, student_wrong, teacher_wrong, got 'both'"),
        (("right", SHOWN), f"nucleus must be a whole number from 0 to {SHOWN - 1}, got {SHOWN}"),
        (("right", 0, "ill"), "speaks_for must be one of named, inflammatory, connective, neoplastic, got 'ill'"),
    ],
)
def test_what_is_not_there_is_refused(state, asked, message):
    with pytest.raises(ValueError, match=message):
        state.look(*asked)
