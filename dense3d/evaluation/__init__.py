"""Metrics that mmdet and mmseg lack, or compute otherwise than the official code."""
