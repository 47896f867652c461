"""Stereo depth and optical flow: networks that match two images."""
