"""The command line: ``command_line`` is where it begins, ``run_arguments`` has the options of the commands that train and export.

A new command is a parser there, which sets ``run``, and a module that does the work and is imported only then.
"""
