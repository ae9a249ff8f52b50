"""Full-size runs: training, resuming, sweeps, and the record that each leaves.

How a run trains is in ``runs``, what is kept between two calls in ``resuming`` and ``unfinished``; what a record says, and
in which words, is in ``results``.
"""
