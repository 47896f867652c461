"""What the tests of structures share."""

import logging

import pytest
from mmengine.logging import MMLogger


@pytest.fixture
def said():
    """What is said while a test runs."""
    messages: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record):
            messages.append(record.getMessage())

    logger, listener = MMLogger.get_current_instance(), Listener()
    logger.addHandler(listener)
    yield messages
    logger.removeHandler(listener)
