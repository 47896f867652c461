"""Modules that more than one model uses: attention, transformer blocks, position encodings, norms."""
