"""Data: what a data set is, the readers of files and folders, and the sets that kdlab knows by name.

To add a set or a format, write a function of options that returns a ``Dataset`` and name it in ``load.py``; the shipped
digits and their splits stay as they are, for the shipped logits belong to them.
"""
