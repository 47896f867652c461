"""Clouds with the photographs that see them: what pre-training on scenes reads."""
