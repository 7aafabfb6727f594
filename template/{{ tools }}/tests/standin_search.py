"""A stand-in of the search services outside, which speaks their protocols over HTTP: Tavily's, and Google's.

It finds and reads what search/documents.md has, and fails as the services do: `fault` says how.

    python tests/standin_search.py PORT      with the key `standin-key-0000`
"""

import asyncio
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, urlsplit

from search import Documents

Body = dict[str, Any]


class SearchService(ThreadingHTTPServer):
    """The service.

    Args:
        port: 0 for any.
        key: The only one that it takes.
        per_second: So many requests it answers in a second; the others get 429.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, key: str, per_second: int | None = None) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.key = key
        self.per_second = per_second
        self.fault: str | None = None
        """`quota`, `500`, `slow`, `malformed`, `empty`, `huge`."""
        self.documents = Documents()
        self.lock = Lock()
        self.asked: list[str] = []
        self.refused = 0
        self._passed: list[float] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def may_pass(self) -> bool:
        """Count a request; whether it is among those that are answered in this second."""
        now = time.monotonic()
        self._passed = [then for then in self._passed if now - then < 1]
        if self.per_second is not None and len(self._passed) >= self.per_second:
            self.refused += 1
            return False
        self._passed.append(now)
        return True

    def find(self, query: str, most: int) -> list[Any]:
        with self.lock:
            return asyncio.run(self.documents.search(query, most))

    def page(self, url: str) -> str | None:
        title, text = self.documents.pages.get(url, ("", ""))
        return f"{title}\n\n{text}" if text else None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: SearchService  # type: ignore[assignment]

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self._serve(parts.path, {name: values[0] for name, values in parse_qs(parts.query).items()})

    def do_POST(self) -> None:
        self._serve(self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _serve(self, path: str, body: Body) -> None:
        google = path == "/customsearch/v1"
        if path.startswith("/pages/"):
            page = self.server.page(path.removeprefix("/pages/"))
            title, _, text = (page or "").partition("\n\n")
            html = f"<html><title>{title}</title><style>b {{}}</style><p>{text}</p><script>1</script></html>"
            return self._send(200 if page else 404, html.encode(), "text/html")
        with self.server.lock:
            self.server.asked.append(path)
            passes = self.server.may_pass()
        given = self.headers.get("X-Goog-Api-Key") if google else self.headers.get("Authorization")
        if given not in (self.server.key, f"Bearer {self.server.key}"):
            return self._wrong_key(google)
        if self.server.fault == "quota":
            return self._quota(google)
        if not passes:
            return self._error(google, 429, "Your request has been blocked due to excessive requests.")
        if self.server.fault == "500":
            return self._send(500, b"Internal Server Error", "text/plain")
        if self.server.fault == "malformed":
            return self._send(200, b'{"results": [{"title": "Cut', "application/json")
        if self.server.fault == "huge":
            return self._send(200, b" " * 50_000_000 + b"{}", "application/json")
        if self.server.fault == "slow":
            time.sleep(3)
        if self.server.fault == "empty":
            return self._json({"kind": "customsearch#search"} if google else self._found(body, []))
        if google:
            return self._json(self._googled(body))
        if path == "/search":
            if len(body["query"]) > 400:
                return self._error(google, 400, "Query is too long. Max query length is 400 characters.")
            return self._json(self._found(body, self.server.find(body["query"], body.get("max_results", 5))))
        if path == "/extract":
            return self._json(self._extracted(body["urls"]))
        return self._error(google, 404, "Not Found")

    # --- Tavily

    def _found(self, body: Body, found: list[Any]) -> Body:
        results = [
            {"url": each.url, "title": each.title, "content": each.snippet, "score": 0.9, "raw_content": None}
            for each in found
        ]
        nothing = {"follow_up_questions": None, "answer": None, "images": []}
        return {"query": body.get("query", ""), **nothing, "results": results, "response_time": 0.1}

    def _extracted(self, urls: list[str]) -> Body:
        pages = {url: self.server.page(url) for url in urls}
        return {
            "results": [{"url": url, "raw_content": text, "images": []} for url, text in pages.items() if text],
            "failed_results": [
                {"url": url, "error": "Failed to fetch url"} for url, text in pages.items() if text is None
            ],
            "response_time": 0.1,
        }

    # --- Google

    def _googled(self, body: Body) -> Body:
        found = self.server.find(body["q"], int(body.get("num", 10)))
        items = [
            {
                "kind": "customsearch#result",
                "title": each.title,
                "link": f"{self.server.url}/pages/{each.url}",
                "displayLink": "islands.example",
                "snippet": each.snippet,
            }
            for each in found
        ]
        known = {"kind": "customsearch#search", "searchInformation": {"totalResults": str(len(items))}}
        return known | ({"items": items} if items else {})

    # --- errors

    def _wrong_key(self, google: bool) -> None:
        if google:  # It says so by a 400.
            details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
            error = {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT", "details": details}
            return self._json({"error": error}, 400)
        return self._error(google, 401, "Unauthorized: missing or invalid API key.")

    def _quota(self, google: bool) -> None:
        if google:
            return self._error(google, 429, "Quota exceeded for quota metric 'Queries' and limit 'Queries per day'.")
        return self._error(google, 432, "This request exceeds your plan's set usage limit.")

    def _error(self, google: bool, status: int, text: str) -> None:
        body = {"error": {"code": status, "message": text}} if google else {"detail": {"error": text}}
        self._json(body, status)

    def _json(self, body: Body, status: int = 200) -> None:
        self._send(status, json.dumps(body).encode(), "application/json")

    def _send(self, status: int, data: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        if status == 429:
            self.send_header("Retry-After", "1")
        self.end_headers()
        try:
            self.wfile.write(data)
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""


if __name__ == "__main__":
    SearchService(int(sys.argv[1]), "standin-key-0000").serve_forever()
