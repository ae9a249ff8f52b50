"""Chapter 5's check-your-understanding questions."""

from .questions import Question, asked, chosen, typed


@asked
def tinyml_questions():
    """Return chapter 5's five questions; two are predictions that its panels show."""
    side, channels, filters, weights = 32, 8, 16, 48
    taken, given = side * side * channels / 1024, side * side * filters / 1024  # KiB
    need = taken + given
    yield Question(
        f"An int8 student has {weights} KiB of weights. Its largest layer, a convolution, reads a map of "
        f"{side} × {side} × {channels} and writes one of {side} × {side} × {filters}. How many KiB of arena does that layer need?",
        typed(
            need,
            f"Input and output are there at the same time: {side} · {side} · ({channels} + {filters}) bytes = {need:g} KiB. "
            "The weights stay in flash.",
            mistakes=(
                (4 * need, "That is float32, 4 bytes a value; int8 takes one."),
                (given, "That is the output alone; while it is written the input is still being read."),
                (taken, "That is the input alone; the output needs space too."),
                (weights, "Those are the weights. They are read from flash and need no RAM."),
                (need + weights, "The weights are read from flash: the arena is without them."),
                (need * 1.024, "That is thousands of bytes; a KiB has 1024."),
            ),
            tolerance=0.05,
            hint="Count the values that must be in RAM while the layer works, one byte each.",
        ),
    )
    largest, weight = 0.635, 0.2
    scale = largest / 127
    yield Question(
        f"In one output channel the weight farthest from zero is {largest}. In int8, symmetric as in LiteRT, which whole "
        f"number is the weight {weight} stored as?",
        typed(
            round(weight / scale),
            f"The scale is {largest} / 127 = {scale:g}, and {weight} / {scale:g} = {weight / scale:.0f}.",
            mistakes=(
                (round(weight * 127), "That takes the largest weight to be 1: the scale is largest / 127."),
                (weight / largest, "That is its share of the largest weight, which becomes 127."),
                (round(weight / largest * 255), "255 values lie from −127 to 127; above zero there are 127 of them."),
                (scale, "That is the scale, what a step of 1 is worth."),
            ),
            tolerance=0.1,
            hint="The largest weight becomes 127.",
        ),
    )
    yield Question(
        "Predict, then choose “a blank image” as the set in section 2: about how many of the test digits will int8 get right?",
        chosen(
            2,
            "The weights are indeed the same, but the ranges of the activations are not: nearly all logits are clipped.",
            "Clipping does not spare the digits it was not measured on: nearly all logits lie outside the range.",
            "On a blank image only the biases speak, so the range is narrow; then nearly all logits are clipped to one of two "
            "values, and what is left is about as good as guessing.",
            "A network that names a class always gets some right: here about one in ten.",
        ),
        choices=(
            "As many as with 200 samples: the weights are the same",
            "About half of them",
            "About one in ten",
            "None",
        ),
    )
    yield Question(
        "Predict, then set the bits in section 1 to 3: how many different values can the weights of one channel have?",
        typed(
            7,
            "−3 to 3, that is 2³ − 1 = 7: the symmetric scale leaves one of the eight patterns unused.",
            mistakes=(
                (8, "There are 8 patterns of 3 bits, but symmetric around 0 only −3 to 3 are used."),
                (3, "That is the largest whole number; the negative ones and 0 count too."),
                (6, "0 is one of them."),
            ),
            tolerance=0.1,
            hint="Count the upright lines.",
        ),
    )
    yield Question(
        "In ten pairs, distilled students in int8 are 3.0 points better than students alone in int8 (95 % interval 2.1 to "
        "3.9). For both kinds int8 − float32 is −0.1 (−0.4 to +0.2). What may you say?",
        chosen(
            1,
            "int8 has no detectable effect on either kind: there was no detectable cost to make up for.",
            "The gain is there in int8, and int8 has taken nothing from it that these pairs could detect.",
            "The interval allows a loss of up to 0.4 points and a gain of up to 0.2: the cost is small, but not shown to be none.",
            "Nothing here was trained with rounded weights. Whether that would be better is another experiment.",
        ),
        choices=(
            "Distillation makes up for what quantisation costs",
            "Distilling helps, and the gain survives quantisation",
            "Quantisation costs nothing at all",
            "Quantisation-aware training would be worse",
        ),
    )
