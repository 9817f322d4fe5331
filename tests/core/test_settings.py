"""What the environment may say: a slip of the pen is told at the start, and no secret with it."""

from __future__ import annotations

import pytest

from opsbook.core.errors import NotConfigured
from opsbook.core.settings import load_settings


@pytest.mark.parametrize("url", ["redis://cache:6379/1", "rediss://u:p@cache", "unix:///run/redis.sock?db=1"])
def test_addresses_of_redis_are_taken(url: str) -> None:
    settings = load_settings(redis_url=url)
    assert settings.redis_url is not None
    assert settings.redis_url.get_secret_value() == url


@pytest.mark.parametrize("url", ["cache:6379", "http://cache", "redis//cache", "redis://u:s3cret@cache:port"])
def test_what_leads_to_no_redis_is_told_at_the_start(url: str) -> None:
    with pytest.raises(NotConfigured, match=r"REDIS_URL: .*redis://") as caught:
        load_settings(redis_url=url)
    assert "s3cret" not in str(caught.value)
