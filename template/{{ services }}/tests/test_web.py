# Part of the template: changes belong there (`copier update` merges this file).
"""Pages of the public web: what a model names leads to no listener in the server's own network."""

import asyncio
import ipaddress
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from standin_service import Answer, Standin, standing_in

from gymkit import web
from gymkit.services import ServiceSettings
from gymkit.tools import ToolFailed
from gymkit.web import Page, WebPages, is_public

LOOPBACK = {"page_networks": ["127.0.0.0/8"]}


@pytest.fixture
def standin() -> Iterator[Standin]:
    with standing_in() as standin:
        yield standin


def read(url: str, **changed: Any) -> Page:
    settings = ServiceSettings(**{"service_seconds": 1.0, **changed})
    return asyncio.run(WebPages("pages", settings).read(url))


def refusal(url: str, **changed: Any) -> str:
    with pytest.raises(ToolFailed) as caught:
        read(url, **changed)
    return str(caught.value)


NOT_PUBLIC = """
127.0.0.1 127.1 127.0.0.2 0.0.0.0 0 2130706433 0x7f000001 0x7f.1 017700000001 0177.0.0.1 localhost LOCALHOST localhost.
[::1] [::] [::ffff:127.0.0.1] [::ffff:7f00:1] [0:0:0:0:0:ffff:7f00:0001] [::127.0.0.1] [64:ff9b::7f00:1] [2002:7f00:1::]
10.0.0.1 172.16.0.1 192.168.1.1 169.254.169.254 [fe80::1] [fd00:ec2::254] 100.100.100.200 168.63.129.16 224.0.0.1
255.255.255.255 [ff02::1] ①②⑦.0.0.1 127。0。0。1 [::ffff:169.254.169.254] [::ffff:10.0.0.1] [64:ff9b::a9fe:a9fe]
[fec0::1]
""".split()


@pytest.mark.parametrize("host", NOT_PUBLIC)
def test_no_form_of_an_address_of_the_own_network_is_read(standin: Standin, host: str) -> None:
    said = refusal(f"http://{host}:{standin.server_address[1]}/")
    assert "may not be read" in said or "there is no host" in said or "no address" in said
    assert standin.asked == []


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "169.253.0.1", "11.0.0.1"]
)
def test_public_addresses_are(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """What names lead to: the answers of a name server, of which each question gets the next, and the last for good."""
    table: dict[str, list[list[str]]] = {}
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *more: Any, **others: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in table:
            return real(host, port, *more, **others)
        answers = table[name]
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [info for address in found for info in real(address, port, *more, **others)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return table


def test_a_name_that_leads_to_the_own_network_is_not_read(standin: Standin, names: dict[str, list[list[str]]]) -> None:
    port = standin.server_address[1]
    names["inside.example"] = [["127.0.0.1"]]
    names["both.example"] = [["8.8.8.8", "127.0.0.1"]]
    names["metadata.example"] = [["169.254.169.254"]]
    for name in names:
        assert "may not be read" in refusal(f"http://{name}:{port}/")
    assert standin.asked == []


def test_a_name_is_asked_for_once_and_the_connection_goes_to_what_was_checked(
    standin: Standin, names: dict[str, list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: a name that is public when it is checked, and loopback when it is connected to."""
    port = standin.server_address[1]
    names["rebinding.example"] = [["192.0.2.1"], ["127.0.0.1"]]
    monkeypatch.setattr(web, "is_public", lambda address: str(address) == "192.0.2.1")
    monkeypatch.setattr(web, "PORTS", {"http": port, "https": 443})
    said = refusal(f"http://rebinding.example:{port}/")
    assert "cannot be reached" in said or "did not come" in said
    assert standin.asked == []
    assert "may not be read" in refusal(f"http://rebinding.example:{port}/")


def test_the_host_keeps_its_name(standin: Standin, names: dict[str, list[list[str]]]) -> None:
    names["page.example"] = [["127.0.0.1"]]
    port = standin.server_address[1]
    assert read(f"http://page.example:{port}/a?b=c#d", **LOOPBACK).text == '{"n": 1}'
    [(_, path, headers, _)] = standin.asked
    assert (path, headers["Host"]) == ("/a?b=c", f"page.example:{port}")


INWARD = [
    "http://127.0.0.1:{port}/secret",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://2130706433:{port}/",
    "file:///etc/passwd",
]
INWARD += ["//127.0.0.1:{port}/secret", "ftp://127.0.0.1/", "http://inside.example:{port}/"]


@pytest.mark.parametrize("target", INWARD)
def test_a_redirect_is_checked_as_well(standin: Standin, names: dict[str, list[list[str]]], target: str) -> None:
    """The first address may be read, and leads to a listener that may not."""
    names["inside.example"] = [["127.0.0.1"]]
    with standing_in() as outside, closing(socket.create_server(("127.0.0.2", 0))) as reserved:
        reserved.close()
        location = target.format(port=standin.server_address[1])
        outside.answer = lambda path: Answer(302, headers={"Location": location})
        names["outside.example"] = [["127.0.0.1"], ["127.0.0.1"]]
        settings = ServiceSettings(service_seconds=1.0)
        pages = WebPages("pages", settings)
        first = f"http://outside.example:{outside.server_address[1]}/"
        real = pages._checked

        async def checked(target: Any) -> str:
            return "127.0.0.1" if target.host == "outside.example" else await real(target)

        pages._checked = checked  # type: ignore[method-assign]
        with pytest.raises(ToolFailed, match=r"may not be read|no address"):
            asyncio.run(pages.read(first))
        assert len(outside.asked) == 1
    assert standin.asked == []


def test_no_proxy_is_used(standin: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would resolve the name once more."""
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, standin.url)
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NO_PROXY", "")
    refusal("http://no-such-host.invalid/")
    assert standin.asked == []


ODD = [
    "",
    "about:blank",
    "http://",
    "https:///x",
    "javascript:alert(1)",
    "file:///etc/passwd",
    "http://user:pw@8.8.8.8/",
]
ODD += [
    "gopher://8.8.8.8/",
    "http://[::1",
    "http://a b/",
    "http://8.8.8.8:99999/",
    "http://8.8.8.8:22/",
    "x" * 5000,
    "\x00",
]


@pytest.mark.parametrize("url", ODD)
def test_what_is_no_address_is_a_text(url: str) -> None:
    assert len(refusal(url)) < 200


def of_standin(standin: Standin, **changed: Any) -> str:
    return refusal(f"{standin.url}/page", **LOOPBACK, **changed)


def test_a_page_that_cannot_be_read_is_a_text(standin: Standin) -> None:
    html = {"Content-Type": "text/html"}
    for answer, says in (
        (Answer(404), "status 404"),
        (Answer(body=b"1" * 50_000_000, headers=html), "more than 2,000,000 bytes"),
        (Answer(headers={"Content-Type": "image/png"}), "no page of text (image/png)"),
        (Answer(302, headers={"Location": "/page"}), "more than 5 times"),
        (Answer(delay=3), "did not come within 1 seconds"),
        (Answer(headers={"Content-Encoding": "br"}), "cannot be reached (DecodingError)"),
        (Answer(body=b"x", headers={"Content-Encoding": "gzip"}), "cannot be reached (DecodingError)"),
    ):
        standin.answer = lambda path, answer=answer: answer
        assert says in of_standin(standin)
    assert "there is no host" in refusal("http://no-such-host.invalid/")


def test_a_page_of_an_odd_charset_is_text(standin: Standin) -> None:
    for charset in ("latin-1", "no-such-charset", "utf-7", "base64"):
        standin.answer = lambda path, charset=charset: Answer(
            body=b"Ort: Skerry", headers={"Content-Type": f"text/html; charset={charset}"}
        )
        assert read(f"{standin.url}/", **LOOPBACK) == Page("Ort: Skerry", True)


def test_a_page_is_replayed(standin: Standin, tmp_path: Path) -> None:
    kept = {"service_recordings": str(tmp_path), **LOOPBACK}
    url = f"{standin.url}/page"
    page = read(url, service_mode="record", **kept)
    assert read(url, service_mode="replay", **kept) == page
    assert len(standin.asked) == 1
    assert "there is none for this request" in refusal(f"{url}/other", service_mode="replay", **kept)
