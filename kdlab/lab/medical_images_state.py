"""Chapter 4's single images: which are read right and wrong, where the networks look, and an uploaded one. No view in here."""

from io import BytesIO

import numpy as np

from ..checks import check_count
from ..datasets.nuclei import CLASS_NAMES
from ..datasets.uploads import read_upload
from ..softening import softmax

__all__ = ["GROUPS", "MAX_BYTES", "NAMED", "SHOWN", "MedicalImagesState"]

GROUPS = {
    "right": "that are read right",
    "student_wrong": "that only the teacher reads right",
    "teacher_wrong": "that the teacher reads wrong",
}
SHOWN = 12  # nuclei to choose from
NAMED = "named"  # instead of a class: the one that each network names
MAX_BYTES = 5_000_000  # of an upload; a message to the kernel may have 10 MiB


class MedicalImagesState:
    """Looks at single nuclei with the networks of a ``MedicalState``; plain Python values, images and maps as bytes."""

    def __init__(self, medical):
        self._medical, self._upload, self._answered = medical, None, {}

    def look(self, group, nucleus, speaks_for=NAMED):
        """Return up to ``SHOWN`` test nuclei of one of ``GROUPS``, and what each network sees in one of them.

        The student is the distilled one; without students "right" and "teacher_wrong" are the teacher's alone, and
        "student_wrong" is empty. ``nucleus`` is a place among those shown, the last one where there are fewer;
        ``speaks_for`` a class whose Grad-CAM is wanted, or "named". ``images`` are uint8 RGB one after another, ``side``
        pixels a side; ``labels`` their classes; ``total`` how many there are in the group; ``seen`` by network as in
        ``upload``.
        """
        _check_choice("group", group, GROUPS)
        _check_choice("speaks_for", speaks_for, (NAMED, *CLASS_NAMES))
        nucleus, test, networks = (
            check_count(nucleus, "nucleus", 0, SHOWN - 1),
            self._medical.data.test,
            self._networks(),
        )
        members = self._members(networks, group)
        x, y = test.x[members[:SHOWN]], test.y[members[:SHOWN]]
        found = {
            "position": {"group": group, "nucleus": nucleus, "speaks_for": speaks_for},
            "students": len(networks) > 1,
            "total": len(members),
            "side": x.shape[1],
            "images": _bytes(x),
            "labels": [CLASS_NAMES[c] for c in y],
            "seen": {},
        }
        if len(x):
            at = found["chosen"] = min(nucleus, len(x) - 1)
            found["seen"] = _see(networks, x[at : at + 1], speaks_for)
        return found

    def upload(self, data=None):
        """Return what the networks see in an uploaded image file's bytes, or in the last one again.

        ``image`` is uint8 RGB as the networks get it; ``seen`` by network: the ``answer``, the ``probabilities`` of all
        classes and the Grad-CAM ``map`` of the answer, bytes from 0 to 255, both ``side`` pixels a side. Raises ValueError
        for bytes that ``uploads.read_upload`` refuses: the last good image stays.
        """
        side = self._medical.data.test.x.shape[1]
        if data is not None:
            self._upload = read_upload(data, side, max_bytes=MAX_BYTES)[None]
        if self._upload is None:
            return {}
        return {"side": side, "image": _bytes(self._upload), "seen": _see(self._networks(), self._upload, NAMED)}

    def example(self):
        """Return a PNG file of a test nucleus, bytes, to try an upload with."""
        from PIL import Image

        file = BytesIO()
        test = self._medical.data.test
        chosen = np.flatnonzero(test.y == len(CLASS_NAMES) - 1)[3]
        Image.fromarray(np.round(255 * test.x[chosen]).astype(np.uint8)).save(file, "PNG")
        return file.getvalue()

    def _networks(self):
        # The student alone says little more here than that it is another one.
        return {kind: network for kind, network in self._medical.networks().items() if kind != "alone"}

    def _members(self, networks, group):
        """Return the indices of a group's test nuclei, classes and places of the slide mixed."""
        test = self._medical.data.test
        right = {kind: self._answers(kind, network) == test.y for kind, network in networks.items()}
        student = right.get("distilled")
        chosen = {
            "right": right["teacher"] if student is None else right["teacher"] & student,
            "student_wrong": np.zeros(len(test), bool) if student is None else right["teacher"] & ~student,
            "teacher_wrong": ~right["teacher"],
        }[group]
        return np.random.default_rng(0).permutation(np.flatnonzero(chosen))

    def _answers(self, kind, network):
        """Return the classes that a network names for the test nuclei, (N,), kept until it is another network."""
        if self._answered.get(kind, (None,))[0] is not network:
            logits = network(self._medical.data.test.x, training=False).numpy()
            self._answered[kind] = network, logits.argmax(axis=1)
        return self._answered[kind][1]


def _see(networks, x, speaks_for):
    from ..grad_cam import grad_cam

    seen = {}
    for kind, network in networks.items():
        probabilities = softmax(network(x, training=False).numpy().astype(np.float64))[0]
        answer = int(probabilities.argmax())
        shown = answer if speaks_for == NAMED else CLASS_NAMES.index(speaks_for)
        seen[kind] = {
            "answer": CLASS_NAMES[answer],
            "shown": CLASS_NAMES[shown],
            "probabilities": probabilities.tolist(),
            "map": _bytes(grad_cam(network, x, class_index=shown)),
        }
    return seen


def _check_choice(name, value, accepted):
    if value not in accepted:
        raise ValueError(f"{name} must be one of {', '.join(accepted)}, got {value!r}")


def _bytes(values):
    """Return values from 0 to 1 as bytes from 0 to 255."""
    return np.round(255 * np.asarray(values)).astype(np.uint8).tobytes()
