"""Plain data shared by every part: cameras, boxes, grids, point clouds."""
