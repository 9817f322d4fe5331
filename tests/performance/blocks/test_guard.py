"""What may be blocked: how networks are read, and who is not locked out by mistake."""

from __future__ import annotations

import time
from ipaddress import IPv4Address, IPv4Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook.core.errors import Invalid
from opsbook.performance.blocks.guard import WouldLockOut, read_networks, require_harmless


def check(*networks: str, own: tuple[str, ...] = (), proxies: tuple[str, ...] = ()) -> None:
    require_harmless(read_networks(networks), own, [ip_network(p) for p in proxies], hint="say it twice")


def test_a_list_as_they_are_published_is_read() -> None:
    lines = ["# bad hosts", "", "203.0.113.0/24 ; SBL123", " 198.51.100.7 # one", "2001:db8::/48", "203.0.113.0/24"]
    assert [str(n) for n in read_networks(lines)] == ["203.0.113.0/24", "198.51.100.7/32", "2001:db8::/48"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("203.0.113.7/24", "203.0.113.7/24 has bits set beyond its prefix; 203.0.113.0/24 is that network"),
        ("everybody", "'everybody' is no network"),
        ("0.0.0.0/0", "0.0.0.0/0 is too wide"),
        ("12.0.0.0/7", "too wide"),
        ("2000::/15", "too wide"),
        ("::ffff:203.0.113.0/120", "write the IPv4 network"),
        ("203.0.113.0/24\x00", "is no network"),
    ],
)
def test_what_is_no_network_is_refused_with_the_reason(text: str, told: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_networks(["198.51.100.0/24", text])
    assert told in str(refused.value)


def test_of_many_bad_lines_some_are_told_and_the_rest_counted() -> None:
    with pytest.raises(Invalid, match=r"'bad0' .*; and 95 more$"):
        read_networks([f"bad{n}" for n in range(100)])
    with pytest.raises(Invalid, match="no network was given"):
        read_networks(["# nothing"])


@pytest.mark.parametrize(
    ("networks", "own", "proxies", "told"),
    [
        (["203.0.113.0/24"], ("203.0.113.7",), (), "203.0.113.0/24 would block 203.0.113.7"),
        (["2001:db8::/48"], ("2001:db8::7",), (), "an address that an operator works from"),
        (["127.0.0.1/32"], (), (), "this machine itself"),
        (["::1/128"], (), (), "this machine itself"),
        (["10.0.0.7/32"], (), ("10.0.0.0/8",), "a trusted proxy"),
        (["10.0.0.0/8"], (), ("10.0.0.7/32",), "10.0.0.7"),
        (["203.0.113.9/32", "203.0.112.0/22"], ("203.0.113.7",), (), "203.0.112.0/22 would block"),
    ],
)
def test_nobody_is_locked_out_who_does_not_say_it_twice(
    networks: list[str], own: tuple[str, ...], proxies: tuple[str, ...], told: str
) -> None:
    with pytest.raises(WouldLockOut) as refused:
        check(*networks, own=own, proxies=proxies)
    assert told in str(refused.value)
    assert "say it twice" in str(refused.value)


def test_others_are_blocked_freely() -> None:
    check(
        "203.0.113.0/24", "2001:db8::/48", own=("203.0.114.7", "2001:db9::7", "nonsense", ""), proxies=("10.0.0.0/8",)
    )


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(24, 32)), min_size=1, max_size=8), st.integers(0, 255))
def test_whoever_lies_in_any_of_them_is_found(chosen: list[tuple[int, int]], last: int) -> None:
    networks = [str(IPv4Network((0xCB007100 | n >> (32 - p) << (32 - p), p))) for n, p in chosen]
    own = f"203.0.113.{last}"
    if any(IPv4Address(own) in IPv4Network(n) for n in networks):
        with pytest.raises(WouldLockOut):
            check(*networks, own=(own,))
    else:
        check(*networks, own=(own,))


def test_a_long_list_is_checked_at_once() -> None:
    networks = read_networks([f"{11 + n // 65536}.{n // 256 % 256}.{n % 256}.0/24" for n in range(20_000)])
    started = time.perf_counter()
    require_harmless(networks, [f"9.0.{n}.1" for n in range(200)], [], hint="")
    assert time.perf_counter() - started < 5  # 0.04 s at rest
