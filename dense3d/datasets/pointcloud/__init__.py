"""Data sets of point clouds: objects, parts and rooms in their layouts; see docs/point-cloud-data.md."""
