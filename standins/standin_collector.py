"""A stand-in for an OpenTelemetry collector: it writes the spans that it gets by OTLP over HTTP into a log, one a line.

python standins/standin_collector.py PORT FOLDER_OF_ENVIRONMENT LOG_FILE
"""

import gzip
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # pyright: ignore[reportMissingImports]
    ExportTraceServiceRequest,
)

LOG = Path(sys.argv[3])


class Collector(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path == "/v1/traces":
            with LOG.open("a") as log:
                log.writelines(f"{line}\n" for line in spans(body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def spans(body: bytes) -> list[str]:
    """The spans of a request: their names, whose they are, and what ties them together."""
    lines = []
    for part in ExportTraceServiceRequest.FromString(body).resource_spans:
        names = {each.key: each.value.string_value for each in part.resource.attributes}
        for span in (span for scope in part.scope_spans for span in scope.spans):
            ids = {"trace": span.trace_id.hex(), "span": span.span_id.hex(), "parent": span.parent_span_id.hex()}
            lines.append(json.dumps({"name": span.name, "service": names.get("service.name"), **ids}))
    return lines


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Collector).serve_forever()
