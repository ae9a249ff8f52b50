"""The live engine: ``trainer`` trains many dense students in one compiled program.

``convolutional`` trains a few of images and ``unet`` a few U-Nets, one after another (``sequential``). The loss of ``trainer``
and its gradient stand in ``program`` and may be changed there together: the tests hold them against Keras and
``tests/benchmarks/live.py`` holds their speed.
"""
