"""Data sets that mmdet and mmseg lack, their checks, and the synthetic world."""
