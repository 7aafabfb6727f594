"""A search engine: what it offers, and one over documents of our own. Plain Python.

`Documents` ranks by SQLite's full-text index (BM25). What asks a service outside stands in outside.py.
"""

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

__all__ = ["DOCUMENTS", "Documents", "Result", "Search", "as_text"]

DOCUMENTS = Path(__file__).with_name("documents.md")
"""The documents: each begins with a line `# Title`, and a line with its address."""

MAX_QUERY = 400
"""Characters; Tavily takes no more."""
MAX_WORDS = 32


@dataclass(frozen=True)
class Result:
    """A page that was found."""

    title: str
    url: str
    snippet: str


class Search(Protocol):
    """What the tools `search` and `read_page` use.

    Both raise a ValueError whose text is for the model where a request makes no sense.
    """

    async def search(self, query: str, most: int) -> list[Result]:
        """The best pages for a query, at most so many."""
        ...

    async def read(self, url: str) -> str:
        """The text of a page."""
        ...

    async def close(self) -> None:
        """Release what it holds."""
        ...


class Documents:
    """A search engine over a file of documents.

    Args:
        path: The file, in the form of `DOCUMENTS`.
    """

    def __init__(self, path: Path = DOCUMENTS) -> None:
        self.pages = {url: (title, text) for title, url, text in documents(path)}
        # Used by one thread at a time, and never written to again.
        self._index = sqlite3.connect(":memory:", check_same_thread=False)
        self._index.execute("CREATE VIRTUAL TABLE pages USING fts5(title, text, url UNINDEXED, tokenize='porter')")
        rows = [(title, text, url) for url, (title, text) in self.pages.items()]
        self._index.executemany("INSERT INTO pages VALUES (?, ?, ?)", rows)

    async def search(self, query: str, most: int) -> list[Result]:
        # Each word in quotes: nothing in a query is a command to the index.
        words = re.findall(r"\w+", query)[:MAX_WORDS]
        found = self._index.execute(
            # A word in the title counts four times.
            "SELECT title, url, snippet(pages, 1, '', '', ' ... ', 24) FROM pages WHERE pages MATCH ? "
            "ORDER BY bm25(pages, 4.0, 1.0) LIMIT ?",
            (" OR ".join(f'"{word}"' for word in words) or '""', most),
        )
        return [Result(*row) for row in found]

    async def read(self, url: str) -> str:
        if url not in self.pages:
            raise ValueError(f"there is no page {url[:200]!r}: search gives the addresses of pages.")
        title, text = self.pages[url]
        return f"{title}\n\n{text}"

    async def close(self) -> None:
        self._index.close()


def documents(path: Path) -> Iterator[tuple[str, str, str]]:
    """Title, address and text of each document in a file.

    Raises:
        ValueError: one of them has no address.
    """
    for part in re.split(r"^# ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        title, _, rest = part.partition("\n")
        url, _, text = rest.partition("\n")
        if not re.fullmatch(r"https?://\S+", url.strip()):
            raise ValueError(f"{path.name}: the line below `# {title}` has to be the document's address")
        yield title.strip(), url.strip(), text.strip()


def as_text(results: list[Result]) -> str:
    """Results as their reader sees them."""
    if not results:
        return "Nothing was found. Try other words."
    return "\n\n".join(
        f"{number}. {result.title}\n{result.url}\n{result.snippet}" for number, result in enumerate(results, 1)
    )
