"""Chapter 4's panel of segmentation: a chosen test tile, the networks' masks of it, and students trained at a press."""

import time

import traitlets

from ..datasets.nuclei import CLASS_NAMES
from ..segmentation import load_tiles
from .panel import WorkingPanel, choice_rule, module, positive_rule
from .segmentation_state import DEFAULTS, LABELLED, POINTS, RANGES, SEEDS, SHOWN, STEPS, SegmentationState

__all__ = ["RULES", "SegmentationPanel", "segmentation_panel"]


RULES = {
    "seg_temperature": positive_rule("seg_T", DEFAULTS["temperature"], *RANGES["temperature"]),
    "seg_alpha": positive_rule("seg_alpha", DEFAULTS["alpha"], *RANGES["alpha"]),
    "seg_labelled": choice_rule("seg_labels", LABELLED, DEFAULTS["labelled"]),
    "seg_tile": choice_rule("tile", range(sum(SHOWN.values())), 0),
}
"""The panel's part of a page's rules."""


class SegmentationPanel(WorkingPanel):
    """The panel. ``tiles`` holds the shown tiles' images and maps of classes as bytes, and where they lie.

    ``labelled`` says of how many tiles students may get the labels, by name; ``steps`` after how many batches each point
    of a curve was taken.
    """

    _esm = module("features_drawing.js", "medical_drawing.js", "segmentation.js")

    tiles = traitlets.Dict().tag(sync=True)
    class_names = traitlets.List().tag(sync=True)
    labelled = traitlets.Dict().tag(sync=True)
    steps = traitlets.List().tag(sync=True)
    seeds = traitlets.Int().tag(sync=True)


def segmentation_panel(shared):
    """Return the panel for a page; ``shared`` has its "page_id" and its "rules", ``RULES`` among them."""
    state = SegmentationState()
    test, chosen = state.test, state.shown()
    tiles = {
        "images": test.images[chosen].tobytes(),
        "classes": test.classes[chosen].tobytes(),
        "side": test.images.shape[1],
        "small": test.classes.shape[1],
        "places": [
            f"field “{name}”, row {row}, column {column}"
            for name, (row, column) in zip(test.fields[chosen], test.corners[chosen].tolist(), strict=True)
        ],
        "tested": len(test),
    }
    panel = SegmentationPanel(
        panel="segmentation",
        page_id=shared["page_id"],
        rules=shared["rules"],
        tiles=tiles,
        class_names=list(CLASS_NAMES),
        labelled={name: count or len(load_tiles("train")) for name, count in LABELLED.items()},
        seeds=SEEDS,
        steps=[STEPS * point for point in range(1, POINTS + 1)],
    )

    def job(request):
        if request.get("stop"):
            return
        if request.get("look"):
            panel.result = {"networks": {"teacher": state.teacher()}}
            return
        started = time.perf_counter()

        def progress(result):
            panel.result = result | {"seconds": time.perf_counter() - started}

        state.train(progress, lambda: worker.superseded, **{name: request[name] for name in DEFAULTS})

    worker = panel.worker = panel.work(job)
    return panel
