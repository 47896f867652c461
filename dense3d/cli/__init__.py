"""The command ``dense3d``: a module a subcommand, thin over :mod:`dense3d.apis`; ``tools/*.py`` open it too.

The first line of a module's docstring is what ``dense3d --help`` shows. It has ``add_arguments(parser)``,
``run(arguments)``, which gives the exit status (None: 0), and may have an ``EPILOG`` for its help. What is
heavy is imported in ``run``, so that every help answers without torch.
"""
