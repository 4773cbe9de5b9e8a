"""An object store of the tests, in memory, that answers as told: well, late, in part or wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "bucket"


class FaultyStore:
    """Serves `objects` on 127.0.0.1; `fault` may be changed at any time."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.fault: str | None = None
        """A status such as `500`, or `hang`, `drip`, `half`, `page` (no XML, 200), `repeat` (a creation
        succeeds, and its answer is an error); None: none"""
        self.honours_conditions = True
        self.requests = 0
        self.url = ""
        self.over = Event()

    @property
    def address(self) -> str:
        return f"s3://{BUCKET}/registry?endpoint={self.url}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: FaultyStore

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.store.requests += 1
        if self._faulty():
            return
        key = unquote(url.path).removeprefix(f"/{BUCKET}/")
        if "list-type" in url.query:
            self._list(parse_qs(url.query))
        elif key not in self.store.objects:
            self._error(404, "NoSuchKey")
        else:
            begin, _, end = self.headers["Range"].removeprefix("bytes=").partition("-")
            whole = self.store.objects[key]
            data = whole[int(begin) : int(end) + 1]
            self._reply(
                206,
                data,
                {
                    "ETag": '"1"',
                    "Content-Range": f"bytes {begin}-{int(begin) + len(data) - 1}/{len(whole)}",
                },
            )

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        key = unquote(urlsplit(self.path).path).removeprefix(f"/{BUCKET}/")
        self.store.requests += 1
        conditional = self.headers.get("If-None-Match") == "*" and self.store.honours_conditions
        if self.store.fault == "repeat" and key not in self.store.objects:
            self.store.objects[key] = body
            self._error(500, "InternalError")
        elif self._faulty():
            return
        elif conditional and key in self.store.objects:
            self._error(412, "PreconditionFailed")
        else:
            self.store.objects[key] = body
            self._reply(200, b"", {"ETag": '"1"'})

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _list(self, query: dict[str, list[str]]) -> None:
        """A page of keys and of names that end at the next `/`, ten at a time."""
        prefix, after = query.get("prefix", [""])[0], query.get("continuation-token", [""])[0]
        ends = query.get("delimiter", ["\0"])[0]
        below = [key[len(prefix) :].partition(ends) for key in self.store.objects if key.startswith(prefix)]
        found = sorted({prefix + name + end for name, end, _ in below} - {""})
        page = [one for one in found if one > after][:10]
        entries = [
            f"<CommonPrefixes><Prefix>{escape(one)}</Prefix></CommonPrefixes>"
            if one.endswith(ends)
            else f"<Contents><Key>{escape(one)}</Key><Size>{len(self.store.objects[one])}</Size></Contents>"
            for one in page
        ]
        more = page and page[-1] != found[-1]
        entries += (
            [f"<IsTruncated>true</IsTruncated><NextContinuationToken>{page[-1]}</NextContinuationToken>"]
            if more
            else []
        )
        self._reply(
            200, f"<ListBucketResult><Name>{BUCKET}</Name>{''.join(entries)}</ListBucketResult>".encode()
        )

    def _faulty(self) -> bool:
        fault = self.store.fault
        if fault is None or fault == "repeat":
            return False
        self.close_connection = True
        with suppress(OSError):
            if fault.isdigit():
                self._reply(int(fault), b"")
            elif fault == "hang":
                self.store.over.wait(120)
            elif fault == "page":
                self._reply(200, b"<html><body>Please log in</body></html>")
            else:
                self._begin(206, 10_000, {"ETag": '"1"', "Content-Range": "bytes 0-9999/10000"})
                self.wfile.write(b"{" * 100)
                while fault == "drip" and not self.store.over.wait(0.2):
                    self.wfile.write(b"{")
        return True

    def _error(self, status: int, code: str) -> None:
        body = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>"
        self._reply(status, body.encode())

    def _reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self._begin(status, len(body), headers or {})
        self.wfile.write(body)

    def _begin(self, status: int, size: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(size))
        self.end_headers()


@contextmanager
def faulty_store() -> Iterator[FaultyStore]:
    """A store on a free port of 127.0.0.1, until the end of the block."""
    store = FaultyStore()

    class Handler(_Handler):
        pass

    Handler.store = store
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    store.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield store
    finally:
        store.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
