"""The balancer's word about a client is believed, nobody else's."""

import pytest

from millions.sdk.forwarded import believe

BALANCER = "127.9.3.1"


def scope(client, *headers, kind="http"):
    return {
        "type": kind,
        "client": (client, 40000),
        "scheme": "http" if kind == "http" else "ws",
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }


def believed(*headers, client=BALANCER, kind="http"):
    found = scope(client, *headers, kind=kind)
    believe(found, BALANCER)
    return found["client"], found["scheme"]


def test_the_balancer_says_who_the_client_is_and_how_it_came():
    said = [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-proto", "https")]
    assert believed(*said) == (("203.0.113.9", 0), "https")
    assert believed(*said, kind="websocket") == (("203.0.113.9", 0), "wss")


@pytest.mark.parametrize(
    "said",
    [
        [("x-forwarded-for", "10.0.0.1, 203.0.113.9")],
        [("x-forwarded-for", "10.0.0.1"), ("x-forwarded-for", "203.0.113.9")],
        [("x-forwarded-for", "127.9.3.1"), ("x-forwarded-for", " 203.0.113.9 ")],
    ],
    ids=["one line", "two lines", "spaces"],
)
def test_what_the_client_wrote_itself_stands_before_and_is_not_believed(said):
    assert believed(*said)[0] == ("203.0.113.9", 0)


def test_nobody_else_is_believed():
    said = [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-proto", "https")]
    assert believed(*said, client="127.9.3.2") == (("127.9.3.2", 40000), "http")


@pytest.mark.parametrize("proto", ["gopher", "", "https, gopher"])
def test_an_unknown_scheme_changes_nothing(proto):
    assert believed(("x-forwarded-proto", proto))[1] == "http"


@pytest.mark.parametrize("address", ["", "  ", "x" * 46])
def test_what_is_no_address_changes_nothing(address):
    assert believed(("x-forwarded-for", address))[0] == (BALANCER, 40000)


def test_a_socket_without_an_address_is_not_the_balancer():
    found = scope(BALANCER)
    found["client"] = None
    believe(found, BALANCER)
    assert found["client"] is None
