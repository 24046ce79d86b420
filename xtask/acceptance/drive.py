"""Drives a running gateway with the official client and judges the telemetry that it exports.

    python drive.py --base-url http://127.0.0.1:4100/v1 --key KEY --model MODEL --denied-model NAME \\
        --calls 30 --otlp-port 4318 --out summary.json [--node-client client.mjs]

It starts an OTLP receiver, makes the calls, some at the same time, those of `streams.py`, those of the client
for Node.js if it is given, and two calls with a model that policy must deny; then waits, for a bounded time, until the telemetry of every AWU that a response named has arrived,
and has `judge.py` compare the two. It prints a table and writes the same as JSON.
It exits with 0 if there is no problem, 1 if there is one, and 2 if it could not begin.

The gateway's ledger must hold nothing undelivered from before, and nobody else may call it meanwhile, since
an AWU that no call here was told of is a problem. It neither starts nor stops the gateway, and it installs
nothing.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai

import streams
from judge import Call, Verdict, judge, missing
from receiver import Receiver
from streams import genops_headers

WAIT_SECONDS = 20.0
# After everything expected is there, so that what must not come has time to come as well.
QUIET_SECONDS = 1.0
CALL_SECONDS = 300.0
AT_ONCE = 4
REFUSED_CALLS = 2
DENIED_CODE = "POLICY_DENY_MODEL"

PROMPTS = (
    "Name three colours.",
    "Write one sentence about the sea.",
    "Count from one to twenty.",
    "What is the capital of Norway? Answer with one word.",
    "Übersetze ins Englische: Der schnelle braune Fuchs springt über den faulen Hund. 🦊",
    "Summarise the following in five words: " + "The river rose and the village moved uphill. " * 12,
    "Repeat this list in reverse order: " + ", ".join(f"item {n}" for n in range(60)),
    'Return the JSON object {"a": 1, "b": [true, null]} with its keys sorted.',
)
OUTPUT_LIMITS = (1, 7, 16, 33, 48)


def main() -> int:
    options = arguments()
    try:
        receiver = Receiver(options.otlp_port)
    except OSError as error:
        print(f"drive: cannot listen on port {options.otlp_port}: {error}", file=sys.stderr)
        return 2
    receiver.start()
    client = openai.OpenAI(
        base_url=options.base_url,
        api_key=options.key,
        max_retries=0,  # a retry would be a second AWU that no response names
        timeout=CALL_SECONDS,
    )

    troubles: list[str] = []
    calls = made(client, options, troubles)
    calls += streams.made(client, options.model, troubles)
    if options.node_client is not None:
        calls += made_by_node(options, troubles)
    waited, absent = wait_for_telemetry(receiver, calls)
    time.sleep(QUIET_SECONDS)
    receiver.stop()

    verdict = judge(calls, receiver.spans(), receiver.logs())
    verdict.problems[:0] = troubles
    verdict.problems += [f"receiver refused a request: {why}" for why in receiver.refused()]
    verdict.problems += [f"did not arrive within {WAIT_SECONDS:.0f} s: {what}" for what in absent]
    print_verdict(verdict, waited)
    summary = {
        "passed": not verdict.problems,
        "problems": verdict.problems,
        "sums": verdict.sums,
        "counts": verdict.counts,
        "seconds_until_telemetry_was_complete": None if absent else round(waited, 3),
        "awus": verdict.rows,
    }
    options.out.write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 1 if verdict.problems else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Drive the gateway and judge its telemetry.")
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--denied-model", default="denied-model", help="a model that policy must deny")
    parser.add_argument("--calls", type=int, default=30)
    parser.add_argument("--otlp-port", type=int, default=4318)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--node-client", type=Path, help="client.mjs, with its package installed beside it")
    options = parser.parse_args()
    if options.calls < 1:
        parser.error("--calls must be at least 1")
    return options


# --- The calls ---


def made(client: openai.OpenAI, options: argparse.Namespace, troubles: list[str]) -> list[Call]:
    """Makes all calls: the first half one after the other, the rest several at once, refusals last."""
    requests = [request(options.model, number) for number in range(options.calls)]
    one_by_one = len(requests) // 2
    outcomes = [answered(client, number, requests[number]) for number in range(one_by_one)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        numbers = range(one_by_one, len(requests))
        outcomes += pool.map(lambda number: answered(client, number, requests[number]), numbers)
    outcomes += [refused(client, options.denied_model, number) for number in range(REFUSED_CALLS)]
    troubles += [outcome for outcome in outcomes if isinstance(outcome, str)]
    return [outcome for outcome in outcomes if isinstance(outcome, Call)]


def request(model: str, number: int) -> dict:
    """The arguments of one call. They differ in prompt, in length and in how the output is limited."""
    messages = [{"role": "user", "content": PROMPTS[number % len(PROMPTS)] + f" ({number})"}]
    if number % 4 == 1:
        messages.insert(0, {"role": "system", "content": "Answer briefly."})
    if number % 5 == 2:
        messages[-1:-1] = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hello!"}]
    body: dict = {"model": model, "messages": messages}
    limit = OUTPUT_LIMITS[number % len(OUTPUT_LIMITS)]
    match number % 3:
        case 0:
            body["max_tokens"] = limit
        case 1:
            body["max_completion_tokens"] = limit
        case _ if number > 2:
            # No limit by the caller. A small model may then write until its context is full, which takes
            # minutes, so all but the first of these stop at the end of a line.
            body["stop"] = ["\n"]
    if number % 4 == 0:
        body["n"] = 1
    if number % 6 == 0:
        body["temperature"] = 0.0
    return body


def answered(client: openai.OpenAI, number: int, body: dict) -> Call | str:
    """A call that must be answered: what the client saw, or what was wrong with it."""
    label = f"call {number:03}"
    try:
        raw = client.chat.completions.with_raw_response.create(**body)
        completion = raw.parse()
    except openai.OpenAIError as error:
        return f"{label}: not answered: {error}"
    usage = completion.usage
    awu = raw.headers.get("x-genops-awu")
    if awu is None or usage is None:
        return f"{label}: no {'x-genops-awu header' if awu is None else 'usage'} in the answer"
    return Call(
        label,
        awu,
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        headers=genops_headers(raw.headers),
    )


def refused(client: openai.OpenAI, model: str, number: int) -> Call | str:
    """A call that must be refused for its model: what the client saw, or what was wrong with it."""
    label = f"refused {number:03}"
    try:
        client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Hello."}], max_tokens=4
        )
    except openai.APIStatusError as error:
        awu = error.response.headers.get("x-genops-awu")
        if (error.status_code, error.code) != (403, DENIED_CODE) or awu is None:
            seen = f"HTTP {error.status_code}, code {error.code}, AWU {awu}"
            return f"{label}: {seen}; must be HTTP 403, code {DENIED_CODE}, with an AWU"
        return Call(label, awu, refusal_code=error.code, headers=genops_headers(error.response.headers))
    except openai.OpenAIError as error:
        return f"{label}: neither answered nor refused: {error}"
    return f"{label}: answered, must be refused with {DENIED_CODE}"


def made_by_node(options: argparse.Namespace, troubles: list[str]) -> list[Call]:
    """Has the client for Node.js make its calls."""
    environment = {**os.environ, "OPENAI_BASE_URL": options.base_url, "OPENAI_API_KEY": options.key}
    command = ["node", options.node_client, options.model]
    ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=False)
    if ended.returncode != 0:
        troubles.append(f"the client for Node.js ended with {ended.returncode}, see above")
        return []
    outcomes = json.loads(ended.stdout)
    troubles += [f"{outcome['label']}: {outcome['trouble']}" for outcome in outcomes if "trouble" in outcome]
    return [Call(**outcome) for outcome in outcomes if "trouble" not in outcome]


# --- The telemetry ---


def wait_for_telemetry(receiver: Receiver, calls: list[Call]) -> tuple[float, list[str]]:
    """Waits until all of it is there. Gives the seconds that took, and what is absent at the end."""
    start = time.monotonic()
    while True:
        absent = missing(calls, receiver.spans(), receiver.logs())
        waited = time.monotonic() - start
        if not absent or waited > WAIT_SECONDS:
            return waited, absent
        time.sleep(0.1)


def print_verdict(verdict: Verdict, waited: float) -> None:
    columns = ("label", "result", "reason_code", "unit", "reserved", "actual", "tokens by client", "by span")
    table = [columns]
    for row in verdict.rows:
        shown = [cell(row[name]) for name in columns[:6]]
        shown.append(f"{row['client_input_tokens']} + {row['client_output_tokens']}")
        shown.append(f"{cell(row['span_input_tokens'])} + {cell(row['span_output_tokens'])}")
        table.append(tuple(shown))
    widths = [max(len(line[at]) for line in table) for at in range(len(columns))]
    for line in table:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip())
    print()
    for side in ("input", "output"):
        by_client, by_spans = (verdict.sums[f"{side}_tokens_of_{whose}"] for whose in ("calls", "spans"))
        equal = "equal" if by_client == by_spans else "NOT EQUAL"
        print(f"{side} tokens: {by_client} by the client's usage, {by_spans} by the AWU spans: {equal}")
    print(", ".join(f"{name.replace('_', ' ')} {count}" for name, count in verdict.counts.items()))
    print(f"waited {waited:.1f} s for the telemetry")
    for problem in verdict.problems:
        print(f"PROBLEM  {problem}")
    print("passed" if not verdict.problems else f"FAILED: {len(verdict.problems)} problems")


def cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
