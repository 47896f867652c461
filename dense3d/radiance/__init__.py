"""Scenes as radiance: Gaussian splats fitted to photographs."""
