"""Chapter 5's check-your-understanding questions."""

from .questions import Question, Questions, chosen, typed

__all__ = ["tinyml_questions"]


def tinyml_questions():
    """Return chapter 5's three questions."""
    side, channels, filters, weights = 40, 8, 16, 48_000
    taken, given = side * side * channels / 1000, side * side * filters / 1000  # kB
    largest, weight = 0.635, 0.2
    scale = largest / 127
    return Questions(
        [
            Question(
                f"An int8 student has {weights:,} weights. Its largest layer, a convolution, reads a map of "
                f"{side} × {side} × {channels} and writes one of {side} × {side} × {filters}. How many kilobytes (1 kB = 1000 "
                "bytes) of arena does that layer need?",
                typed(
                    taken + given,
                    f"Input and output live at the same time: {side} · {side} · ({channels} + {filters}) = "
                    f"{1000 * (taken + given):,.0f} bytes. The weights stay in flash.",
                    mistakes=(
                        (4 * (taken + given), "That is float32, 4 bytes a value; int8 takes one."),
                        (given, "That is the output alone; while it is written the input is still being read."),
                        (taken, "That is the input alone; the output needs its place too."),
                        (weights / 1000, "Those are the weights. They are read from flash and need no RAM."),
                        (taken + given + weights / 1000, "The weights are read from flash: the arena is without them."),
                    ),
                    tolerance=0.05,
                    hint="Count the values that must be in RAM while the layer works, one byte each.",
                ),
            ),
            Question(
                f"In one output channel the weight furthest from zero is {largest}. In int8, symmetric as in LiteRT, which "
                f"whole number is the weight {weight} stored as?",
                typed(
                    round(weight / scale),
                    f"The scale is {largest} / 127 = {scale:g}, and {weight} / {scale:g} = {weight / scale:.0f}.",
                    mistakes=(
                        (weight * 127, "That takes the largest weight for 1: the scale is largest / 127."),
                        (weight / largest, "That is its share of the largest weight, which becomes 127."),
                        (weight / largest * 255, "255 values lie from −127 to 127; above zero there are 127 of them."),
                        (scale, "That is the scale, what a step of 1 is worth."),
                    ),
                    tolerance=0.1,
                    hint="The largest weight becomes 127.",
                ),
            ),
            Question(
                "In ten pairs, distilled students in int8 are 3.0 points better than students alone in int8 (95 % interval 2.1 "
                "to 3.9). For both kinds int8 − float32 is −0.1 (−0.4 to +0.2). What may you say?",
                chosen(
                    1,
                    "int8 changed neither kind by anything that could be told from chance: there was nothing to make up for.",
                    "The gain is there in int8, and int8 took nothing from it that could be told from chance.",
                    "An interval that holds 0 says that the cost is small, between −0.4 and +0.2, not that it is none.",
                    "Nothing here was trained with rounded weights. Whether that would be better is another experiment.",
                ),
                choices=(
                    "Distillation makes up for what quantisation costs",
                    "Distilling helps, and the gain survives quantisation",
                    "Quantisation costs nothing at all",
                    "Quantisation-aware training would be worse",
                ),
            ),
        ]
    )
