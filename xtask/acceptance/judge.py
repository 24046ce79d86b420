"""Judges received telemetry against what a client saw, by the words of the specification (v0.1.0).

`judge` takes the calls as the client saw them and the spans and log records as a receiver decoded them, and
gives a list of problems, a row for each AWU and the sums. It is written by hand from the specification's
vocabulary and shares nothing with the project's own encoder and checker, so that a mistake there is not
repeated here.

It judges a run in which every call was answered with a usage, refused before reservation, or left by its
client in the middle. It knows no other ends (a provider's error, an AWU in doubt), no optional events'
contents, and it is no conformance suite.
"""

import math
import re
from collections import defaultdict
from dataclasses import dataclass, field, replace

from receiver import Event, LogRecord, Span

SPEC_VERSION = "0.1.0"
SPAN_KIND_CLIENT = 3

STRING, DOUBLE, INT, BOOL = "string_value", "double_value", "int_value", "bool_value"

ALWAYS = (
    "genops.team",
    "genops.project",
    "genops.environment",
    "genops.operation.name",
    "genops.operation.type",
    "genops.spec.version",
    "genops.policy.result",
)
# Every name that the specification gives to an attribute, and the kind of its value on the wire.
KINDS = {
    **dict.fromkeys(ALWAYS, STRING),
    "genops.policy.reason_code": STRING,
    "genops.accounting.reserved": DOUBLE,
    "genops.accounting.unit": STRING,
    "genops.accounting.actual": DOUBLE,
    "genops.accounting.reconciliation_delta": DOUBLE,
    "genops.budget.name": STRING,
    "genops.budget.allocated": DOUBLE,
    "genops.budget.consumed": DOUBLE,
    "genops.budget.remaining": DOUBLE,
    "genops.budget.period": STRING,
    "genops.policy.name": STRING,
    "genops.policy.reason": STRING,
    "genops.policy.timestamp": INT,
    "genops.cost.total": DOUBLE,
    "genops.cost.currency": STRING,
    "genops.cost.provider": STRING,
    "genops.cost.model": STRING,
    "genops.tokens.input": INT,
    "genops.tokens.output": INT,
    "genops.tokens.total": INT,
    "genops.eval.metric": STRING,
    "genops.eval.score": DOUBLE,
    "genops.eval.threshold": DOUBLE,
    "genops.eval.passed": BOOL,
    "genops.sla.tier": STRING,
    "genops.sla.latency_target_ms": INT,
    "genops.sla.actual_latency_ms": INT,
    "genops.sla.met": BOOL,
    "genops.customer_id": STRING,
    "genops.feature": STRING,
    "genops.session_id": STRING,
    "genops.cost_center": STRING,
}

EVALUATED = "genops.policy.evaluated"
RESERVATION = "genops.budget.reservation"
RECONCILIATION = "genops.budget.reconciliation"
REQUIRED_EVENTS = (EVALUATED, RESERVATION, RECONCILIATION)
OPTIONAL_EVENTS = ("genops.cost.calculated", "genops.budget.alert", "genops.evaluation.complete")
# What an event must carry. The reason code of a decision has a rule of its own.
EVENT_ATTRIBUTES = {
    EVALUATED: ("genops.policy.result",),
    RESERVATION: ("genops.accounting.reserved", "genops.accounting.unit"),
    RECONCILIATION: ("genops.accounting.actual", "genops.accounting.reserved", "genops.accounting.unit"),
}
# Where an event has one of these as well, it must say what the span says.
SAME_AS_SPAN = (
    "genops.team",
    "genops.project",
    "genops.environment",
    "genops.policy.result",
    "genops.policy.reason_code",
    "genops.accounting.reserved",
    "genops.accounting.unit",
    "genops.accounting.actual",
    "genops.accounting.reconciliation_delta",
)

PROCEEDS = ("ALLOWED", "WARNING")
STOPS = ("BLOCKED", "RATE_LIMITED")
REASON_CODES = (
    "BUDGET_EXCEEDED",
    "BUDGET_RESERVATION_FAILED",
    "POLICY_DENY_MODEL",
    "POLICY_DENY_REGION",
    "POLICY_DENY_CONTENT",
    "RATE_LIMITED",
    "SLA_LATENCY_VIOLATION",
    "PROVIDER_ERROR_UPSTREAM",
    "ACCOUNTING_INVARIANT_VIOLATION",
)
REASON_EXTENSION = re.compile(r"x_[a-z0-9_]+")
AWU_ID = re.compile(r"[0-9a-f]{32}-[0-9a-f]{16}")


@dataclass(frozen=True)
class Call:
    """A governed call as the client saw it."""

    label: str
    awu: str
    # The code in the body of a refusal; None if the call was answered.
    refusal_code: str | None = None
    # Whether the client hung up in the middle of the answer. Then nobody has told it of any tokens.
    cancelled: bool = False
    # What the client was told, or what follows from what it asked for and got where it was told nothing.
    input_tokens: int = 0
    output_tokens: int = 0
    # The response's headers that begin with x-genops-, names in lower case.
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def end(self) -> str:
        if self.refusal_code is not None:
            return "refused"
        return "cancelled" if self.cancelled else "completed"


@dataclass
class Verdict:
    problems: list[str]
    rows: list[dict]
    sums: dict
    counts: dict


def awu_of(record: Span | LogRecord) -> str:
    """The AWU's identity as the header writes it."""
    return f"{record.trace_id}-{record.span_id}"


def missing(calls: list[Call], spans: list[Span], logs: list[LogRecord]) -> list[str]:
    """What has not arrived yet, as short texts: AWU spans, their child spans, their log records."""
    have_spans = {awu_of(span) for span in spans}
    have_parents = {f"{span.trace_id}-{span.parent_span_id}" for span in spans}
    have_logs = {(awu_of(record), record.event_name) for record in logs}
    absent = []
    for call in calls:
        if call.awu not in have_spans:
            absent.append(f"span of {call.awu}")
        if call.refusal_code is None and call.awu not in have_parents:
            absent.append(f"child span of {call.awu}")
        absent.extend(
            f"log record {name} of {call.awu}"
            for name in expected_events(call)
            if (call.awu, name) not in have_logs
        )
    return absent


def expected_events(call: Call) -> tuple[str, ...]:
    return REQUIRED_EVENTS if call.refusal_code is None else (EVALUATED,)


def judge(calls: list[Call], spans: list[Span], logs: list[LogRecord]) -> Verdict:
    problems: list[str] = []
    for call in calls:
        if not AWU_ID.fullmatch(call.awu):
            problems.append(f"{call.label}: the AWU's identity is not <32 hex>-<16 hex>: {call.awu!r}")
    by_awu = {call.awu: call for call in calls}
    if len(by_awu) != len(calls):
        problems.append(f"{len(calls)} calls have only {len(by_awu)} distinct AWUs")

    one_spans, span_resends = without_resends(spans, problems)
    children = defaultdict(list)
    for span in one_spans:
        children[span.trace_id, span.parent_span_id].append(span)
    records = defaultdict(list)
    one_logs = dict.fromkeys(replace(record, resource=()) for record in logs)
    for record in one_logs:
        records[awu_of(record)].append(record)

    awu_spans = {awu_of(span): span for span in one_spans if is_governed(span)}
    rows = []
    for awu, span in awu_spans.items():
        if awu not in by_awu:
            problems.append(f"{awu}: a span for an AWU that no call here was told of")
            continue
        case = _Case(by_awu[awu], span, children[span.trace_id, span.span_id], records[awu], problems)
        case.judge()
        rows.append(case.row())
    for call in calls:
        if call.awu not in awu_spans:
            problems.append(f"{call.label} {call.awu}: no AWU span arrived")
    for awu in records:
        if awu not in by_awu:
            problems.append(f"{awu}: log records for an AWU that no call here was told of")

    sums = summed(calls, awu_spans.values())
    for side in ("input", "output"):
        if sums[f"{side}_tokens_of_calls"] != sums[f"{side}_tokens_of_spans"]:
            problems.append(
                f"{side} tokens: {sums[f'{side}_tokens_of_calls']} by the client's usage,"
                f" {sums[f'{side}_tokens_of_spans']} by the AWU spans"
            )
    counts = {
        "calls": len(calls),
        "refused_calls": sum(call.end == "refused" for call in calls),
        "cancelled_calls": sum(call.end == "cancelled" for call in calls),
        "awu_spans": len(awu_spans),
        "other_spans": len(one_spans) - len(awu_spans),
        "log_records": len(one_logs),
        "identical_resends_of_spans": span_resends,
        "identical_resends_of_log_records": len(logs) - len(one_logs),
        "awus_over_their_reservation": sum(
            isinstance(row["actual"], float)
            and isinstance(row["reserved"], float)
            and row["actual"] > row["reserved"]
            for row in rows
        ),
    }
    return Verdict(problems, sorted(rows, key=lambda row: row["label"]), sums, counts)


def without_resends(spans: list[Span], problems: list[str]) -> tuple[list[Span], int]:
    """One span for each identity. A resend is allowed, but only with the content of the first."""
    first: dict[str, Span] = {}
    resends = 0
    for span in spans:
        span_key = awu_of(span)
        # The resource says who sent, not what happened: it may differ after a restart.
        before = first.setdefault(span_key, span)
        if before is span:
            continue
        if replace(before, resource=()) == replace(span, resource=()):
            resends += 1
        else:
            problems.append(f"{span_key}: the span was sent again with another content")
    return list(first.values()), resends


def is_governed(span: Span) -> bool:
    return any(key.startswith("genops.") for key, _, _ in span.attributes)


def summed(calls: list[Call], awu_spans) -> dict:
    sums = {
        "input_tokens_of_calls": sum(call.input_tokens for call in calls),
        "output_tokens_of_calls": sum(call.output_tokens for call in calls),
        "input_tokens_of_spans": 0,
        "output_tokens_of_spans": 0,
    }
    for span in awu_spans:
        values = values_of(span.attributes)
        for side in ("input", "output"):
            tokens = values.get(f"genops.tokens.{side}")
            # Of another kind it is a problem of its own, and counts nothing here.
            sums[f"{side}_tokens_of_spans"] += tokens if isinstance(tokens, int) else 0
    return sums


def values_of(attributes) -> dict:
    return {key: value for key, _, value in attributes}


def is_reason_code(value: object) -> bool:
    return value in REASON_CODES or (isinstance(value, str) and bool(REASON_EXTENSION.fullmatch(value)))


class _Case:
    """One AWU: its call, its span, the spans below it and its log records."""

    def __init__(
        self, call: Call, span: Span, below: list[Span], records: list[LogRecord], problems: list[str]
    ) -> None:
        self.call = call
        self.span = span
        self.below = below
        self.records = records
        self.problems = problems
        self.values = values_of(span.attributes)
        self.events = [event for event in span.events if event.name in REQUIRED_EVENTS]

    def judge(self) -> None:
        self.judge_span()
        self.judge_decision("span", self.values)
        self.judge_accounting()
        self.judge_events()
        self.judge_logs()
        self.judge_headers()
        match self.call.end:
            case "completed":
                self.judge_executed()
            case "cancelled":
                self.judge_cancelled()
            case _:
                self.judge_refused()

    def require(self, holds: bool, what: str) -> None:
        if not holds:
            self.problems.append(f"{self.call.label} {self.call.awu}: {what}")

    # --- The AWU span ---

    def judge_span(self) -> None:
        span = self.span
        self.require(len(span.trace_id) == 32 and set(span.trace_id) != {"0"}, "bad trace id")
        self.require(len(span.span_id) == 16 and set(span.span_id) != {"0"}, "bad span id")
        self.require(0 < span.start_ns <= span.end_ns, "the span does not end at or after its start")
        self.require(span.dropped_attributes == 0 and span.dropped_events == 0, "the span dropped content")
        self.judge_names("span", span.attributes)
        for key in ALWAYS:
            self.require(bool(self.values.get(key)), f"span: {key} is absent or empty")
        version = self.values.get("genops.spec.version")
        self.require(version == SPEC_VERSION, f"span: genops.spec.version is {version!r}")

    def judge_names(self, where: str, attributes) -> None:
        """Every genops. name once, one of the specification's, with the kind it fixes."""
        keys = [key for key, _, _ in attributes]
        for key in sorted({key for key in keys if keys.count(key) > 1}):
            self.require(False, f"{where}: {key} stands there more than once")
        for key, kind, value in attributes:
            if not key.startswith("genops."):
                continue
            self.require(key in KINDS, f"{where}: the specification has no attribute {key}")
            self.require(kind == KINDS.get(key, kind), f"{where}: {key} is sent as {kind or 'nothing'}")
            if kind == DOUBLE:
                self.require(math.isfinite(value), f"{where}: {key} is {value}")
            if kind == INT:
                self.require(value >= 0, f"{where}: {key} is {value}")

    def judge_decision(self, where: str, values: dict) -> None:
        result = values.get("genops.policy.result")
        reason = values.get("genops.policy.reason_code")
        self.require(result in PROCEEDS + STOPS, f"{where}: result {result!r} is no decision state")
        if result == "ALLOWED":
            self.require("genops.policy.reason_code" not in values, f"{where}: ALLOWED with a reason code")
        else:
            self.require(is_reason_code(reason), f"{where}: {result} with reason code {reason!r}")
        if reason == "BUDGET_RESERVATION_FAILED":
            self.require(result == "BLOCKED", f"{where}: {reason} with {result}")

    def judge_accounting(self) -> None:
        executed = self.call.refusal_code is None
        for key in ("genops.accounting.reserved", "genops.accounting.unit", "genops.accounting.actual"):
            self.require((key in self.values) or not executed, f"span: {key} is absent")
        self.judge_delta("span", self.values)

    def judge_delta(self, where: str, values: dict) -> None:
        delta = values.get("genops.accounting.reconciliation_delta")
        actual, reserved = (values.get(f"genops.accounting.{name}") for name in ("actual", "reserved"))
        if delta is None:
            return
        if not all(isinstance(value, float) for value in (delta, actual, reserved)):
            self.require(False, f"{where}: a reconciliation delta without actual and reserved")
            return
        # Each double was rounded by itself, so their difference may be off by the larger one's last bits.
        slack = 4 * math.ulp(max(abs(actual), abs(reserved)))
        self.require(
            abs(delta - (actual - reserved)) <= slack, f"{where}: delta {delta} is not {actual} - {reserved}"
        )

    # --- Events, on the span and as log records ---

    def judge_events(self) -> None:
        names = tuple(event.name for event in self.events)
        expected = expected_events(self.call)
        self.require(names == expected, f"events are {shown(names)}, must be {shown(expected)}")
        times = [event.time_ns for event in self.span.events]
        self.require(times == sorted(times), "the events' times go backward")
        for event in self.span.events:
            where = f"event {event.name}"
            if event.name.startswith("genops."):
                self.require(
                    event.name in REQUIRED_EVENTS + OPTIONAL_EVENTS, f"{where}: not in the specification"
                )
            inside = self.span.start_ns <= event.time_ns <= self.span.end_ns
            self.require(inside, f"{where}: its time is outside the span")
        for event in self.events:
            self.judge_event(f"event {event.name}", event)

    def judge_event(self, where: str, event: Event) -> None:
        self.require(event.dropped_attributes == 0, f"{where}: dropped attributes")
        self.judge_names(where, event.attributes)
        values = values_of(event.attributes)
        for key in EVENT_ATTRIBUTES[event.name]:
            self.require(key in values, f"{where}: {key} is absent")
        if event.name == EVALUATED:
            self.judge_decision(where, values)
            key = "genops.policy.reason_code"
            self.require(key in values or key not in self.values, f"{where}: the span's {key} is absent")
        if event.name == RECONCILIATION:
            self.judge_delta(where, values)
        for key in SAME_AS_SPAN:
            if key in values:
                same = values[key] == self.values.get(key)
                self.require(
                    same, f"{where}: {key} is {values[key]!r}, on the span {self.values.get(key)!r}"
                )

    def judge_logs(self) -> None:
        """The same events once more, as log records with the same attributes and times."""
        records = [record for record in self.records if record.event_name in REQUIRED_EVENTS]
        for name in REQUIRED_EVENTS:
            on_span = {described(event.time_ns, event) for event in self.events if event.name == name}
            in_logs = {described(record.time_ns, record) for record in records if record.event_name == name}
            if on_span != in_logs:
                self.require(
                    False, f"{name}: {len(on_span)} on the span, {len(in_logs)} as log records, not the same"
                )
        for record in self.records:
            name = record.event_name
            known = not name.startswith("genops.") or name in REQUIRED_EVENTS + OPTIONAL_EVENTS
            self.require(known and name != "", f"log record with event name {name!r}")

    def judge_headers(self) -> None:
        """What the response's headers said, where they said it."""
        headers = self.call.headers
        for header, key in (
            ("x-genops-result", "genops.policy.result"),
            ("x-genops-reason-code", "genops.policy.reason_code"),
            ("x-genops-unit", "genops.accounting.unit"),
        ):
            if header in headers:
                same = headers[header] == self.values.get(key)
                self.require(
                    same, f"header {header} is {headers[header]!r}, {key} is {self.values.get(key)!r}"
                )
        reserved = headers.get("x-genops-reserved")
        if reserved is not None:
            on_span = self.values.get("genops.accounting.reserved")
            same = number(reserved) == on_span
            self.require(same, f"header x-genops-reserved is {reserved!r}, on the span {on_span!r}")

    # --- The three ends ---

    def judge_refused(self) -> None:
        result, code = (self.values.get(f"genops.policy.{name}") for name in ("result", "reason_code"))
        self.require(result in STOPS, f"refused to the client, but the span says {result}")
        said = self.call.refusal_code
        self.require(code == said, f"refused to the client with {said}, but the span says {code}")
        self.require(not self.below, "refused, but there is a span below")
        for key in ("genops.accounting.actual", "genops.tokens.input", "genops.tokens.output"):
            self.require(not self.values.get(key), f"refused, but {key} is {self.values.get(key)}")

    def judge_executed(self) -> None:
        call = self.call
        result = self.values.get("genops.policy.result")
        self.require(result in PROCEEDS, f"answered, but the span says {result}")
        self.same_count("span", self.values, "genops.tokens.input", call.input_tokens)
        self.same_count("span", self.values, "genops.tokens.output", call.output_tokens)
        if self.values.get("genops.accounting.unit") == "tokens":
            actual = self.values.get("genops.accounting.actual")
            tokens = call.input_tokens + call.output_tokens
            self.require(actual == tokens, f"actual is {actual} tokens, the client was told of {tokens}")
        for span in self.judge_call_spans():
            kinds = {key: kind for key, kind, _ in span.attributes}
            for side, tokens in (("input", call.input_tokens), ("output", call.output_tokens)):
                key = f"gen_ai.usage.{side}_tokens"
                self.same_count("call's span", values_of(span.attributes), key, tokens)
                self.require(kinds.get(key, INT) == INT, f"call's span: {key} is sent as {kinds.get(key)}")
            self.require("error.type" not in kinds, "answered, but the call's span has an error.type")

    def judge_cancelled(self) -> None:
        """Nobody knows what it used: the reservation is charged, and no tokens are made up."""
        result = self.values.get("genops.policy.result")
        self.require(result in PROCEEDS, f"begun, but the span says {result}")
        reserved, actual = (self.values.get(f"genops.accounting.{name}") for name in ("reserved", "actual"))
        self.require(actual == reserved, f"cancelled, but {actual} is charged of {reserved} reserved")
        for key in ("genops.tokens.input", "genops.tokens.output"):
            self.require(key not in self.values, f"cancelled, but {key} is {self.values.get(key)}")
        for span in self.judge_call_spans():
            values = values_of(span.attributes)
            error = values.get("error.type")
            self.require(error == "cancelled", f"cancelled, but the call's span has error.type {error}")
            for key in ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"):
                self.require(key not in values, f"cancelled, but {key} is {values.get(key)}")

    def judge_call_spans(self) -> list[Span]:
        calls_below = [span for span in self.below if "gen_ai.operation.name" in values_of(span.attributes)]
        self.require(len(calls_below) == 1, f"{len(calls_below)} spans of model calls below it, must be one")
        for span in calls_below:
            self.judge_call_span(span)
        return calls_below

    def judge_call_span(self, span: Span) -> None:
        kinds = {key: kind for key, kind, _ in span.attributes}
        self.require(span.kind == SPAN_KIND_CLIENT, f"the call's span has kind {span.kind}")
        self.require(kinds["gen_ai.operation.name"] == STRING, "gen_ai.operation.name is no string")
        self.require(span.start_ns <= span.end_ns, "the call's span ends before it starts")
        self.require(span.end_ns <= self.span.end_ns, "the call's span ends after its AWU")
        for event in self.events:
            if event.name == RECONCILIATION:
                self.require(span.end_ns <= event.time_ns, "reconciled before the call was over")
            else:
                self.require(span.start_ns >= event.time_ns, f"the call began before {event.name}")

    def same_count(self, where: str, values: dict, key: str, tokens: int) -> None:
        value = values.get(key)
        self.require(value == tokens, f"{where}: {key} is {value}, the client saw {tokens}")

    def row(self) -> dict:
        values = self.values
        return {
            "label": self.call.label,
            "awu": self.call.awu,
            "end": self.call.end,
            "result": values.get("genops.policy.result"),
            "reason_code": values.get("genops.policy.reason_code"),
            "unit": values.get("genops.accounting.unit"),
            "reserved": values.get("genops.accounting.reserved"),
            "actual": values.get("genops.accounting.actual"),
            "client_input_tokens": self.call.input_tokens,
            "client_output_tokens": self.call.output_tokens,
            "span_input_tokens": values.get("genops.tokens.input"),
            "span_output_tokens": values.get("genops.tokens.output"),
        }


def described(time_ns: int, record: Event | LogRecord) -> tuple:
    """An event's content in a form that does not depend on where it stood or on its attributes' order."""
    return time_ns, record.dropped_attributes, tuple(sorted(record.attributes, key=lambda one: one[:2]))


def number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def shown(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "none"
