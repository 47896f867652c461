"""Fuzzers: sound input, changed in many ways, ends in success or in one clear sentence."""
