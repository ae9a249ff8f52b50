"""The live engine: ``trainer`` trains many dense students in one compiled program, ``convolutional`` a few of images.

The loss and its gradient stand in ``program`` and may be changed there together: the tests hold them against Keras and
``tests/benchmarks/live.py`` holds their speed.
"""
