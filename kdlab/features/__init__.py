"""Feature-based distillation: what is compared (``distillation``, ``taps``), by which ``losses``, and a look inside layers.

A loss of your own is a function in ``losses`` whose name is in ``METHODS`` of ``distillation``; for the live engine it
needs a line in ``live.batched_features``, too.
"""
