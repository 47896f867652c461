"""Transfer functions by example: click on a structure of a volume, see what else belongs to it."""
