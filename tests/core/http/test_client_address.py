"""Who calls, behind proxies: the real caller is found, and nothing that a caller writes makes it somebody else."""

from __future__ import annotations

import random
import timeit
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsbook.core.errors import Invalid, NotConfigured
from opsbook.core.http.client_address import UNKNOWN, TrustedProxies, limit_key
from opsbook.core.settings import load_settings

PROXY = "10.0.0.1"
CALLER = "198.51.100.7"
VICTIM = "203.0.113.66"
PROXIES = TrustedProxies.parse("10.0.0.0/8, 2001:db8:aaaa::/48")

Headers = list[tuple[str, str]]


def scope_of(peer: str | None, headers: Headers | None = None) -> dict[str, Any]:
    return {
        "type": "http",
        "client": None if peer is None else (peer, 40000),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers or []],
    }


def found(*values: str, header: str = "x-forwarded-for", peer: str | None = PROXY) -> str:
    return PROXIES.client_address(scope_of(peer, [(header, value) for value in values]))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([CALLER], CALLER),
        ([f"{VICTIM}, {CALLER}"], CALLER),
        ([f"{VICTIM},{CALLER} ,10.0.0.9"], CALLER),
        ([VICTIM, CALLER, "10.0.0.9"], CALLER),  # several lines are one list
        (["10.0.0.7, 10.0.0.8"], "10.0.0.7"),  # a caller inside the trusted network
        ([f"{CALLER}:4711"], CALLER),
        (["2001:DB8:0::7"], "2001:db8::7"),
        (["[2001:db8::7]:4711"], "2001:db8::7"),
        (["::ffff:198.51.100.7"], CALLER),
        (["2001:db8:aaaa::1"], "2001:db8:aaaa::1"),
        ([f"{CALLER}, 2001:db8:aaaa::1"], CALLER),
        (["unknown"], PROXY),
        ([f"{VICTIM}, nonsense"], PROXY),
        ([f"{VICTIM}, nonsense, 10.0.0.9"], "10.0.0.9"),
        ([f"{VICTIM}, "], PROXY),  # a proxy that did not know, not an empty place to be skipped
        (["198.51.100.07"], PROXY),
        ([f"{VICTIM}, 198.51.100.7\x00"], PROXY),
        ([""], PROXY),
    ],
)
def test_x_forwarded_for(values: list[str], expected: str) -> None:
    assert found(*values) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([f"for={CALLER}"], CALLER),
        ([f"For={CALLER};proto=https;by=10.0.0.1"], CALLER),
        ([f'for={VICTIM}, for="{CALLER}:4711";host="a,b;for={VICTIM}"'], CALLER),
        (['for="[2001:db8::7]:4711"'], "2001:db8::7"),
        (["for=_hidden, for=10.0.0.9"], "10.0.0.9"),
        ([f"for={VICTIM}, for=unknown"], PROXY),
        ([f"for={VICTIM}, proto=https"], PROXY),
        ([f"for={VICTIM}, for=_secret"], PROXY),
        ([f"for={VICTIM};for={CALLER}"], PROXY),  # a parameter stands once
        ([f'for="{VICTIM}, for={CALLER}'], CALLER),  # a caller's open quote does not swallow the proxy's word
        ([f'for={CALLER};host="a\\", for={VICTIM}"'], CALLER),  # nor does an escaped one end the proxy's
        ([f'for={VICTIM}, for={CALLER};host="a,\\"b"'], CALLER),
        ([f"for={VICTIM}", f"for={CALLER}"], CALLER),
        (["for=2001:db8::7"], PROXY),  # IPv6 stands in brackets and quotes
    ],
)
def test_forwarded(values: list[str], expected: str) -> None:
    assert found(*values, header="forwarded") == expected


def test_headers_of_a_peer_that_is_no_proxy_say_nothing() -> None:
    assert found(VICTIM, peer=CALLER) == CALLER
    assert TrustedProxies().client_address(scope_of(PROXY, [("x-forwarded-for", VICTIM)])) == PROXY
    assert found(VICTIM, peer=None) == UNKNOWN


def test_a_unix_socket_is_believed_only_where_it_is_named() -> None:
    scope = scope_of(None, [("x-forwarded-for", f"{VICTIM}, {CALLER}")])
    assert TrustedProxies.parse("unix").client_address(scope) == CALLER
    assert TrustedProxies.parse("10.0.0.0/8").client_address(scope) == UNKNOWN


def test_a_mapped_peer_is_its_ipv4_address() -> None:
    assert found(CALLER, peer="::ffff:10.0.0.1") == CALLER
    assert TrustedProxies().client_address(scope_of("::ffff:198.51.100.7")) == CALLER
    assert TrustedProxies().client_address(scope_of("fe80::1%eth0")) == "fe80::1"


def test_two_headers_count_only_where_they_agree() -> None:
    def scope(other: str) -> dict[str, Any]:
        return scope_of(PROXY, [("x-forwarded-for", f"{VICTIM}, {CALLER}"), ("forwarded", f"for={other}")])

    assert PROXIES.client_address(scope(CALLER)) == CALLER
    assert PROXIES.claimed_addresses(scope(CALLER)) == (CALLER,)
    assert PROXIES.client_address(scope(VICTIM)) == PROXY
    assert PROXIES.claimed_addresses(scope(VICTIM)) == (CALLER, VICTIM, PROXY)


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded"])
@pytest.mark.parametrize("filler", [",", '"', '\\"', ";", "[", f"for={VICTIM},", f"{VICTIM},", "a"])
def test_a_bomb_costs_little_and_hides_nobody(header: str, filler: str) -> None:
    own = CALLER if header == "x-forwarded-for" else f"for={CALLER}"
    scope = scope_of(PROXY, [(header, filler * (60_000 // len(filler)) + ", " + own)])
    lines = scope_of(PROXY, [(header, filler)] * 5_000 + [(header, own)])
    for bomb in (scope, lines):
        assert PROXIES.client_address(bomb) == CALLER
        assert min(timeit.repeat(lambda bomb=bomb: PROXIES.client_address(bomb), number=1, repeat=3)) < 0.05


def test_a_list_of_trusted_hops_without_end_stops() -> None:
    endless = ["10.0.0.2, " * 20_000 + "10.0.0.3"]
    assert found(*endless).startswith("10.0.0.")


def forged(chance: random.Random) -> str:
    """What a caller may write: addresses, grammar, noise."""
    pieces = [
        *[VICTIM, "10.0.0.2", f"for={VICTIM}", f'for="{VICTIM}"', f'for="[::ffff:{VICTIM}]:80"', "for=_x", "unknown"],
        *[
            ",",
            ";",
            '"',
            "\\",
            '\\"',
            " ",
            "\t",
            "=",
            "[",
            "]",
            ":",
            "\x00",
            "\xff",
            "%",
            "for=",
            "by=",
            "::",
            "127.0.0.1",
        ],
    ]
    return "".join(chance.choices(pieces, k=chance.randrange(12)))


def test_ten_thousand_forged_headers_make_nobody_somebody_else() -> None:
    """Behind a proxy that appends to one header, and before one that appends nothing, with the other forged too."""
    chance = random.Random(4)
    allowed = {CALLER, PROXY}
    for _ in range(10_000):
        first, second = forged(chance), forged(chance)
        appended = [
            ("x-forwarded-for", f"{first}, {CALLER}", "forwarded"),
            ("forwarded", f"{first}, for={CALLER}", "x-forwarded-for"),
        ]
        name, value, other = appended[chance.randrange(2)]
        lines = [(name, value)] if chance.random() < 0.5 else [(name, first), (name, value)]
        alone = scope_of(PROXY, lines)
        assert PROXIES.client_address(alone) == CALLER, lines
        both = scope_of(PROXY, [*lines, (other, second)])
        assert PROXIES.client_address(both) in allowed, (lines, second)
        assert CALLER in PROXIES.claimed_addresses(both)
        direct = scope_of(CALLER, [*lines, (other, second)])
        assert PROXIES.client_address(direct) == CALLER


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(max_codepoint=255), max_size=200), st.sampled_from(["x-forwarded-for", "forwarded"]))
def test_whatever_stands_left_of_the_proxys_word_is_not_read(noise: str, header: str) -> None:
    own = CALLER if header == "x-forwarded-for" else f"for={CALLER}"
    assert found(f"{noise}, {own}", header=header) == CALLER


@pytest.mark.parametrize(
    ("address", "key"),
    [
        (CALLER, CALLER),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("::ffff:198.51.100.7", CALLER),
        (UNKNOWN, UNKNOWN),
    ],
)
def test_limits_count_ipv6_by_its_64(address: str, key: str) -> None:
    assert limit_key(address) == key


def test_the_scheme_is_the_proxys_to_say() -> None:
    scope = {**scope_of(PROXY, [("x-forwarded-proto", "https")]), "scheme": "http"}
    assert PROXIES.scheme(scope) == "https"
    assert TrustedProxies().scheme(scope) == "http"
    assert PROXIES.scheme({**scope_of(PROXY, [("x-forwarded-proto", "gopher")]), "scheme": "http"}) == "http"


def test_what_is_no_network_is_refused() -> None:
    for text in ("10.0.0.1/8", "everybody", "10.0.0.0/33"):
        with pytest.raises(Invalid, match="trusted proxies are networks"):
            TrustedProxies.parse(text)
    with pytest.raises(NotConfigured, match="OPSBOOK_TRUSTED_PROXIES"):
        load_settings(trusted_proxies="everybody")


def test_without_proxies_it_costs_about_a_microsecond() -> None:
    scope = scope_of(CALLER, [("host", "localhost"), ("x-forwarded-for", VICTIM)])
    nobody = TrustedProxies()
    seconds = min(timeit.repeat(lambda: nobody.client_address(scope), number=10_000, repeat=5)) / 10_000
    assert seconds < 10e-6  # 0.4 µs where nothing else runs
