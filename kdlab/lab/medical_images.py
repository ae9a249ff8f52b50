"""Chapter 4's panels of single images: Grad-CAM of teacher and student, and an image of one's own."""

import traitlets

from ..datasets.nuclei import CLASS_NAMES
from .medical_images_state import GROUPS, MAX_BYTES, NAMED, SHOWN, MedicalImagesState
from .panel import WorkingPanel, choice_rule, module

__all__ = ["RULES", "MedicalImagesPanel", "look_panel", "upload_panel"]

RULES = {
    "group": choice_rule("group", GROUPS, "right"),
    "nucleus": choice_rule("nucleus", range(SHOWN), 0, f"a whole number from 0 to {SHOWN - 1}"),
    "speaks_for": choice_rule("cam", [NAMED, *CLASS_NAMES], NAMED),
}
"""The panels' part of a page's rules."""


class MedicalImagesPanel(WorkingPanel):
    """A panel of single images; ``trained`` counts the trainings that came to their end."""

    _esm = module("features_drawing.js", "medical_drawing.js", "medical_images.js")

    classes = traitlets.List().tag(sync=True)
    groups = traitlets.List().tag(sync=True)
    max_bytes = traitlets.Int().tag(sync=True)
    example = traitlets.Bytes().tag(sync=True)
    trained = traitlets.Int().tag(sync=True)


def look_panel(shared, medical):
    """Return the panel of where the networks of ``medical``, a ``MedicalState``, look; ``shared`` as for all panels."""
    state, groups = MedicalImagesState(medical), [[name, title] for name, title in GROUPS.items()]
    panel = MedicalImagesPanel(panel="look", **shared, classes=list(CLASS_NAMES), groups=groups)

    def look(request):
        panel.result = state.look(*(request[name] for name in RULES))

    panel.work(look)
    return panel


def upload_panel(shared, medical):
    """Return the panel that answers an uploaded image.

    The file comes as a message of its own: a trait's value would be sent back, and a server lets no more than a megabyte
    a second through.
    """
    state = MedicalImagesState(medical)
    panel = MedicalImagesPanel(
        panel="upload", **shared, classes=list(CLASS_NAMES), max_bytes=MAX_BYTES, example=state.example()
    )

    def answer(request):
        panel.result = state.upload(request.get("data")) | {"name": request.get("name", panel.result.get("name"))}

    worker = panel.work(answer)
    panel.on_msg(lambda _, content, buffers: worker.submit({"name": content["name"], "data": bytes(buffers[0])}))
    return panel
