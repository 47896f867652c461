"""Read docstrings as the project writes them: ``Example:`` is a section of examples, as ``Examples:`` is."""

from __future__ import annotations

import griffe


class ExampleSections(griffe.Extension):
    """Rename the section before it is parsed."""

    def on_instance(self, *, obj: griffe.Object, **kwargs) -> None:
        if obj.docstring is not None:
            lines = obj.docstring.value.split("\n")
            obj.docstring.value = "\n".join("Examples:" if line == "Example:" else line for line in lines)
