"""Search engines outside, behind the same interface as the documents: Tavily, and Google's Programmable Search.

Google has closed its Custom Search JSON API to new customers; those who have it may use it until January 1, 2027.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Any

from bs4 import BeautifulSoup

from gymkit.access import CannotServe
from gymkit.services import Key, Probe, Service, ServiceSettings
from gymkit.web import WebPages
from search import Documents, Result, Search

# What is asked for to find out whether a service works at all.
NEUTRAL = "weather"
NEUTRAL_PAGE = "https://example.com"

MAX_TITLE, MAX_SNIPPET = 200, 500


class Tavily:
    """https://docs.tavily.com: searches the web, and reads pages on its own machines.

    Args:
        settings: Of the server.
        url: Of the service.
    """

    def __init__(self, settings: ServiceSettings, url: str = "https://api.tavily.com") -> None:
        key = Key("TAVILY_API_KEY", "Authorization", "Bearer {}")
        probe = Probe("POST", "/search", {"query": NEUTRAL, "max_results": 1}, {"results": list})
        self._service = Service("tavily", url, settings, key, probe)
        # The one may fail without the other.
        self._probe_of_pages = Probe("POST", "/extract", {"urls": [NEUTRAL_PAGE], "format": "text"}, {"results": list})

    async def search(self, query: str, most: int) -> list[Result]:
        asked = {"query": query, "max_results": most}
        answer = await self._service.post("/search", asked, shape={"results": list}, repeatable=True)
        return [result(each, "content") for each in answer["results"][:most] if isinstance(each, dict)]

    async def read(self, url: str) -> str:
        asked = {"urls": [url], "format": "text"}
        answer = await self._service.post(
            "/extract", asked, shape={"results": list}, probe=self._probe_of_pages, repeatable=True
        )
        pages = [each for each in answer["results"] if isinstance(each, dict)]
        if not pages:
            raise ValueError("that page cannot be read. Read another one.")
        return text_of(pages[0], "raw_content")

    async def close(self) -> None:
        await self._service.close()


class Google:
    """https://developers.google.com/custom-search/v1: searches; the pages themselves are read from here.

    Args:
        settings: Of the server.
        url: Of the service.

    Raises:
        CannotServe: `GOOGLE_CX`, which names the search engine, is not set.
    """

    def __init__(self, settings: ServiceSettings, url: str = "https://www.googleapis.com") -> None:
        cx = os.environ.get("GOOGLE_CX", "").strip()
        if not cx:
            raise CannotServe("GOOGLE_CX is not set: it names the search engine.")
        self._cx = cx
        key = Key("GOOGLE_API_KEY", "X-Goog-Api-Key")
        probe = Probe("GET", "/customsearch/v1", {"q": NEUTRAL, "cx": cx, "num": 1}, {})
        self._service = Service("google", url, settings, key, probe)
        self._pages = WebPages("pages", settings)

    async def search(self, query: str, most: int) -> list[Result]:
        answer = await self._service.get("/customsearch/v1", {"q": query, "cx": self._cx, "num": most}, shape={})
        items = answer.get("items")  # It is missing where nothing was found.
        return [result(each, "snippet", "link") for each in items or [] if isinstance(each, dict)][:most]

    async def read(self, url: str) -> str:
        page = await self._pages.read(url)
        # In a thread: a large page keeps a core busy.
        return page.text if not page.is_html else await asyncio.to_thread(text_in, page.text)

    async def close(self) -> None:
        await self._service.close()
        await self._pages.close()


ENGINES: dict[str, Callable[..., Search]] = {"tavily": Tavily, "google": Google}


def engine(name: str, settings: ServiceSettings, url: str) -> Search:
    """The search engine of a name: one of `ENGINES`, or `documents`.

    Args:
        name: As in the setting `search_service`.
        settings: Of the server.
        url: Of the service, where it is not the usual one; or empty.

    Raises:
        CannotServe: a key is missing, or a recording is damaged.
    """
    if name == "documents":
        return Documents()
    return ENGINES[name](settings, **({"url": url} if url else {}))


def result(item: dict[str, Any], snippet: str, url: str = "url") -> Result:
    """A result of a service's answer, whose texts are cut to what a model should have to read."""
    short = " ".join(text_of(item, snippet).split())
    return Result(text_of(item, "title")[:MAX_TITLE], text_of(item, url), short[:MAX_SNIPPET])


def text_of(item: dict[str, Any], key: str) -> str:
    value = item.get(key)
    return value if isinstance(value, str) else ""


def text_in(html: str) -> str:
    """The title and the text of a page, a line for each piece of text that stands alone."""
    soup = BeautifulSoup(html, "html.parser")
    title = soup.title.get_text(" ", strip=True) if soup.title else ""
    for element in soup(["script", "style", "noscript", "template", "title", "head"]):
        element.decompose()
    lines = (" ".join(line.split()) for line in soup.get_text("\n").splitlines())
    return "\n".join([title, "", *filter(None, lines)]).strip()
