"""What a service's own tests need of Opsbook."""

from __future__ import annotations

from contextlib import AbstractContextManager

from opsbook.performance.cache.process import process


def without_cache() -> AbstractContextManager[None]:
    """Within this, every cached function runs each time it is called, in all threads of this process.

    As a fixture for all tests of a suite, in its `conftest.py`::

        @pytest.fixture(autouse=True)
        def _without_cache() -> Iterator[None]:
            with without_cache():
                yield
    """
    return process.switched_off()
