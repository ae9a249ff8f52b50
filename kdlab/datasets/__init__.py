"""Data: what a data set is, the readers of files and folders, and the sets that kdlab knows by name."""
