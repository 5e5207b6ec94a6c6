"""Access to the studio, and messages that are refused before anything reads them."""

import json
from typing import Any

import pytest

from isaaclab_mimic_ext.studio.access import SECURITY_HEADERS, Access, AccessError
from isaaclab_mimic_ext.studio.protocol import (
    MAX_MESSAGES_PER_SECOND,
    RateLimit,
    Refusal,
    check_fields,
    choice,
    integer,
    read_message,
    vector,
)


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "[::1]:8765", "LOCALHOST:9000", "127.0.0.1"])
def test_names_of_this_machine_are_accepted_at_any_forwarded_port(host: str) -> None:
    Access("127.0.0.1").check_host(host)


@pytest.mark.parametrize("host", ["evil.example:8765", "127.0.0.1.evil.example", "", "10.0.0.7:8765", "[::1", "a@b:1"])
def test_foreign_host_is_misdirected(host: str) -> None:
    with pytest.raises(AccessError, match=r"Host: '.*' is not a name of this server; open the address") as refused:
        Access("127.0.0.1").check_host(host)
    assert refused.value.status == 421


def test_addresses_are_accepted_on_a_server_that_is_open_to_the_network() -> None:
    Access("0.0.0.0").check_host("10.0.0.7:8765")
    with pytest.raises(AccessError):
        Access("0.0.0.0").check_host("evil.example:8765")


@pytest.mark.parametrize(("host", "loopback"), [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("", "127.0.0.1")])
def test_addresses_of_an_open_server_can_be_opened(host: str, loopback: str) -> None:
    access = Access(host)
    own, other = access.reachable_hosts
    assert own == loopback
    assert other not in ("0.0.0.0", "::", "")
    access.check_host(f"[{other}]" if ":" in other else other)
    assert Access("10.0.0.7").reachable_hosts == ("10.0.0.7",)


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", "http://127.0.0.1:3000", "file://", "http://127.0.0.1"]
)
def test_foreign_origin_is_forbidden(origin: str | None) -> None:
    with pytest.raises(AccessError, match="is not the studio's page") as refused:
        Access("127.0.0.1").check_origin(origin, "127.0.0.1:8765")
    assert refused.value.status == 403


def test_cookie_is_required_and_belongs_to_one_port() -> None:
    access = Access("127.0.0.1")
    cookie = access.cookie(8765)
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    access.check_cookie(f"other=1; {cookie.partition(';')[0]}", 8765)
    for header in ("", "mimic_studio_8765=wrong", f"mimic_studio_8765={access.token[:-1]}", cookie.partition(";")[0] + "x"):
        with pytest.raises(AccessError, match=r"token: missing or wrong; open the address with \?token="):
            access.check_cookie(header, 8765)
    with pytest.raises(AccessError):
        access.check_cookie(cookie.partition(";")[0], 8766)


@pytest.mark.parametrize("other", ['x={"a":1}', "sp ace=1", "a=b=c", "=", "\udcff=\udcff", "mimic_studio_8766=1"])
def test_cookies_of_other_programs_do_not_matter(other: str) -> None:
    access = Access("127.0.0.1")
    own = access.cookie(8765).partition(";")[0]
    access.check_cookie(f"{other}; {own}", 8765)
    access.check_cookie(f"{own};{other}", 8765)
    with pytest.raises(AccessError):
        access.check_cookie(f"{other}; mimic_studio_8765=\udcff", 8765)


def test_host_may_be_written_in_capital_letters() -> None:
    Access("MyHost").check_host("myhost:8765")
    Access("MyHost").check_host("MyHost:8765")
    assert Access("LocalHost").is_local


def test_token_has_at_least_128_bits_and_differs_between_servers() -> None:
    assert len(Access("127.0.0.1").token) >= 22
    assert Access("127.0.0.1").token != Access("127.0.0.1").token


def test_page_loads_nothing_from_other_hosts() -> None:
    policy = SECURITY_HEADERS["Content-Security-Policy"]
    assert policy.startswith("default-src 'self';")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


REFUSED: list[tuple[str | bytes, str]] = [
    (b"{}", "message: must be text (got bytes)"),
    ("{", "message: is not JSON"),
    ("[" * 50_000, "message: is not JSON"),
    ("[1]", "message: must be an object (got a list)"),
    ('{"v": NaN}', "message: numbers must be finite (got NaN)"),
    ('{"v": -Infinity}', "message: numbers must be finite (got -Infinity)"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_message_that_is_not_an_object_is_refused(text: str | bytes, message: str) -> None:
    with pytest.raises(Refusal) as refused:
        read_message(text)
    assert str(refused.value) == message


@pytest.mark.parametrize("value", [[1, 2], [1, 2, "3"], [1, 2, True], [1, 2, 1e300], [1, 2, None], "123", None, {"0": 1}])
def test_vector_has_three_finite_numbers(value: Any) -> None:
    with pytest.raises(Refusal, match=r"in\.v: must be 3 finite numbers \(got "):
        vector("in.v", value, 3)


def test_infinity_written_as_a_large_number_is_refused() -> None:
    with pytest.raises(Refusal, match="must be 3 finite numbers"):
        vector("in.v", json.loads("[1e999, 0, 0]"), 3)


@pytest.mark.parametrize("value", [-1, 3, 1.0, True, "1", None, [1]])
def test_integer_is_in_its_range(value: Any) -> None:
    with pytest.raises(Refusal, match=r"in\.hand: must be an integer from 0 to 2 \(got "):
        integer("in.hand", value, 0, 2)


def test_unknown_and_missing_fields_are_refused_with_the_valid_names() -> None:
    with pytest.raises(Refusal, match=r"in\.spead: unknown field; choices: v, speed \(did you mean 'speed'\?\)"):
        check_fields("in", {"v": 1, "spead": 2}, ["v"], ["speed"])
    with pytest.raises(Refusal, match=r"in\.v: missing"):
        check_fields("in", {}, ["v"])


def test_unknown_name_is_refused_with_the_valid_names() -> None:
    with pytest.raises(Refusal, match=r'do: "save" is not valid; choices: keep, end'):
        choice("do", "save", ("keep", "end"))


def test_page_that_sends_too_many_messages_is_slowed_down() -> None:
    time = 0.0
    limit = RateLimit(lambda: time)
    for _ in range(10 * MAX_MESSAGES_PER_SECOND):
        time += 1.0 / MAX_MESSAGES_PER_SECOND
        assert limit.pause() == 0.0
    for _ in range(1000):
        time += limit.pause()
    assert time == pytest.approx(10.0 + (1000 / MAX_MESSAGES_PER_SECOND - 2.0), abs=0.01)
