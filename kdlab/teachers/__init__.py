"""The shipped teachers, a module for each kind of data: one function gives it at once, another trains it anew.

A recipe may be changed there; ``python -m kdlab.teachers.NAME`` then trains the teacher and writes it to ``kdlab/data``.
"""
