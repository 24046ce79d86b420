"""An OTLP/HTTP receiver that is not ours: Python's own HTTP server and OpenTelemetry's published classes.

    python receiver.py --port 4318

It takes POST /v1/traces and POST /v1/logs (Protocol Buffers, plain or gzip), decodes them and keeps every
span and log record in memory, in the order of arrival, resends included. GET /summary answers with all of it
as JSON; as a program it also prints that on SIGTERM and ends. Other programs use the class `Receiver`.

It does not judge, sort or merge, takes neither metrics nor JSON bodies, and writes nothing to disk. Memory
grows with what it is sent: it is for tests that count, not for load.
"""

import argparse
import gzip
import json
import signal
import sys
import threading
import zlib
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.common.v1 import common_pb2

PROTOBUF = "application/x-protobuf"
BODY_BYTES_MAX = 64 * 1024 * 1024

# The kind is the name of the field that was set in OTLP's AnyValue, such as "string_value" or "double_value";
# "" where none was set.
Attribute = tuple[str, str, object]  # key, kind, value


@dataclass(frozen=True)
class Event:
    name: str
    time_ns: int
    attributes: tuple[Attribute, ...]
    dropped_attributes: int


@dataclass(frozen=True)
class Span:
    trace_id: str
    span_id: str
    parent_span_id: str
    name: str
    kind: int
    start_ns: int
    end_ns: int
    attributes: tuple[Attribute, ...]
    events: tuple[Event, ...]
    dropped_attributes: int
    dropped_events: int
    links: tuple[tuple[str, str], ...]
    status_code: int
    status_message: str
    resource: tuple[Attribute, ...]


@dataclass(frozen=True)
class LogRecord:
    trace_id: str
    span_id: str
    event_name: str
    time_ns: int
    attributes: tuple[Attribute, ...]
    dropped_attributes: int
    resource: tuple[Attribute, ...]


class Receiver:
    """Listens on a loopback port (0: any free one) in a thread of its own, from `start` to `stop`."""

    def __init__(self, port: int) -> None:
        self._lock = threading.Lock()
        self._spans: list[Span] = []
        self._logs: list[LogRecord] = []
        self._requests = {"traces": 0, "logs": 0}
        self._refused: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler_for(self))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def spans(self) -> list[Span]:
        """Every span so far, resends included."""
        with self._lock:
            return list(self._spans)

    def logs(self) -> list[LogRecord]:
        """Every log record so far, resends included."""
        with self._lock:
            return list(self._logs)

    def refused(self) -> list[str]:
        """Why requests were refused, one text each."""
        with self._lock:
            return list(self._refused)

    def summary(self) -> dict:
        """All of it, in plain values that `json` can write."""
        with self._lock:
            return {
                "requests": dict(self._requests),
                "refused": list(self._refused),
                "span_count": len(self._spans),
                "log_record_count": len(self._logs),
                "spans": [asdict(span) for span in self._spans],
                "log_records": [asdict(record) for record in self._logs],
            }

    def take_traces(self, body: bytes) -> bytes:
        """Keeps the spans of a request and gives the answer's body. Raises DecodeError."""
        request = trace_service_pb2.ExportTraceServiceRequest.FromString(body)
        spans = [
            _span(span, _attributes(group.resource.attributes))
            for group in request.resource_spans
            for scope in group.scope_spans
            for span in scope.spans
        ]
        with self._lock:
            self._requests["traces"] += 1
            self._spans.extend(spans)
        return trace_service_pb2.ExportTraceServiceResponse().SerializeToString()

    def take_logs(self, body: bytes) -> bytes:
        """Keeps the log records of a request and gives the answer's body. Raises DecodeError."""
        request = logs_service_pb2.ExportLogsServiceRequest.FromString(body)
        records = [
            _log_record(record, _attributes(group.resource.attributes))
            for group in request.resource_logs
            for scope in group.scope_logs
            for record in scope.log_records
        ]
        with self._lock:
            self._requests["logs"] += 1
            self._logs.extend(records)
        return logs_service_pb2.ExportLogsServiceResponse().SerializeToString()

    def note_refused(self, why: str) -> None:
        with self._lock:
            self._refused.append(why)


class _Refusal(Exception):
    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def _handler_for(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    takers = {"/v1/traces": receiver.take_traces, "/v1/logs": receiver.take_logs}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            try:
                body = self._body()
                take = takers.get(self.path)
                if take is None:
                    raise _Refusal(404, "no such path")
                if self.headers.get_content_type() != PROTOBUF:
                    raise _Refusal(415, f"the content type must be {PROTOBUF}")
                self._answer(200, PROTOBUF, take(self._unpacked(body)))
            except DecodeError as error:
                self._refuse(_Refusal(400, f"not decodable: {error}"))
            except _Refusal as refusal:
                self._refuse(refusal)

        def do_GET(self) -> None:
            if self.path == "/summary":
                self._answer(200, "application/json", _json(receiver.summary()))
            else:
                self._answer(404, "text/plain", b"no such path\n")

        def _body(self) -> bytes:
            # Whatever is refused before the body was read must end the connection: the rest of the body
            # would be taken for the next request.
            length = self.headers.get("Content-Length", "")
            if not length.isdecimal():
                self.close_connection = True
                raise _Refusal(411, "a Content-Length is needed")
            if int(length) > BODY_BYTES_MAX:
                self.close_connection = True
                raise _Refusal(413, f"more than {BODY_BYTES_MAX} bytes")
            body = self.rfile.read(int(length))
            if len(body) != int(length):
                self.close_connection = True
                raise _Refusal(400, "the body ended early")
            return body

        def _unpacked(self, body: bytes) -> bytes:
            coding = self.headers.get("Content-Encoding", "identity").lower()
            if coding == "identity":
                return body
            if coding != "gzip":
                raise _Refusal(415, f"unknown content encoding {coding!r}")
            try:
                return gzip.decompress(body)
            except (OSError, EOFError, zlib.error) as error:
                raise _Refusal(400, f"not gzip: {error}") from error

        def _refuse(self, refusal: _Refusal) -> None:
            receiver.note_refused(f"{self.path}: {refusal.status} {refusal}")
            self._answer(refusal.status, "text/plain", f"{refusal}\n".encode())

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_) -> None:
            pass

    return Handler


def _span(span, resource: tuple[Attribute, ...]) -> Span:
    return Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_span_id=span.parent_span_id.hex(),
        name=span.name,
        kind=span.kind,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        attributes=_attributes(span.attributes),
        events=tuple(_event(event) for event in span.events),
        dropped_attributes=span.dropped_attributes_count,
        dropped_events=span.dropped_events_count,
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        status_code=span.status.code,
        status_message=span.status.message,
        resource=resource,
    )


def _event(event) -> Event:
    return Event(
        event.name, event.time_unix_nano, _attributes(event.attributes), event.dropped_attributes_count
    )


def _log_record(record, resource: tuple[Attribute, ...]) -> LogRecord:
    return LogRecord(
        trace_id=record.trace_id.hex(),
        span_id=record.span_id.hex(),
        event_name=record.event_name,
        time_ns=record.time_unix_nano,
        attributes=_attributes(record.attributes),
        dropped_attributes=record.dropped_attributes_count,
        resource=resource,
    )


def _attributes(pairs) -> tuple[Attribute, ...]:
    return tuple((pair.key, pair.value.WhichOneof("value") or "", _value(pair.value)) for pair in pairs)


def _value(value: common_pb2.AnyValue) -> object:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return tuple(_value(item) for item in value.array_value.values)
    if kind == "kvlist_value":
        return tuple((pair.key, _value(pair.value)) for pair in value.kvlist_value.values)
    if kind == "bytes_value":
        return value.bytes_value.hex()
    return getattr(value, kind)


def _json(summary: dict) -> bytes:
    return json.dumps(summary, indent=1).encode() + b"\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Receive OTLP over HTTP and say what came.")
    parser.add_argument("--port", type=int, default=4318)
    options = parser.parse_args()
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    receiver = Receiver(options.port)
    receiver.start()
    print(f"receiver: OTLP at http://127.0.0.1:{receiver.port}", file=sys.stderr, flush=True)
    over.wait()
    receiver.stop()
    sys.stdout.buffer.write(_json(receiver.summary()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
