"""Two profiles of hypothesis: a bounded one of the same examples in every run, and a slow one of many."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

SHARED = dict(
    deadline=None,  # tests.fuzz.outcomes limits the time of an example
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
settings.register_profile("fuzz-default", max_examples=30, **SHARED)
settings.register_profile("fuzz-slow", max_examples=2000, **SHARED)


@pytest.fixture(params=["default", pytest.param("slow", marks=pytest.mark.slow)])
def profile(request: pytest.FixtureRequest) -> settings:
    """Decorates a function of ``@given``; a test that takes it runs bounded, and long under ``slow``.

    ::

        def test_annotation_files(profile, tmp_path):
            @profile
            @given(mutated(SOUND))
            def ends_clearly(document):
                assert_clear(read_and_train, document, tmp_path, names="annotations.json")

            ends_clearly()
    """
    return settings.get_profile(f"fuzz-{request.param}")
