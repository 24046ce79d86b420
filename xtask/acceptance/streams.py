"""Streamed and asynchronous calls with the official Python client, as `drive.py` makes them.

`made` makes them all and gives each call as its client saw it. A client that did not ask for usage must see no
sign of it. What such a call used is known all the same: the input from a call with the same messages that was
told, the output from its limit where the answer ended there, or from that other call where both answers are
the same text.

It judges what a client sees while it streams, and nothing that arrives as telemetry.
"""

import asyncio
from dataclasses import dataclass, field

import openai

from judge import Call

PROMPTS = (
    "Write two sentences about rivers.",
    "Zähle von eins bis zehn. 🦊",
    "List the months of the year, one on each line.",
)
LIMITS = (9, 24, 40)
# Long enough that the answer is not over when its client hangs up.
LONG = {
    "messages": [{"role": "user", "content": "Tell a long story about a lighthouse."}],
    "max_tokens": 64,
    "temperature": 0.0,
}
HANGS_UP_AFTER = 3
CHOICES = 2


@dataclass
class Seen:
    """What a client has seen of a stream."""

    text: str = ""
    finish: list[str] = field(default_factory=list)
    usages: list = field(default_factory=list)
    without_choices: int = 0

    def add(self, chunk) -> None:
        if chunk.usage is not None:
            self.usages.append(chunk.usage)
        if not chunk.choices:
            self.without_choices += 1
        for choice in chunk.choices:
            self.text += choice.delta.content or ""
            if choice.finish_reason is not None:
                self.finish.append(choice.finish_reason)


def made(client: openai.OpenAI, model: str, troubles: list[str]) -> list[Call]:
    """Makes the calls, those of the asynchronous client at once."""
    outcomes = []
    for number, (prompt, limit) in enumerate(zip(PROMPTS, LIMITS, strict=True)):
        body = request(model, prompt, limit)
        outcomes.append(streamed(client, f"py stream {number}", body))
        outcomes += untold(client, f"py untold {number}", body)
    outcomes.append(streamed(client, "py n=2", request(model, PROMPTS[0], LIMITS[0], n=CHOICES)))
    for number, options in enumerate(({}, {"stream_options": {"include_usage": True}})):
        outcomes.append(cancelled(client, f"py cancelled {number}", {"model": model, **LONG, **options}))
    outcomes += asyncio.run(made_at_once(client, model))
    troubles += [outcome for outcome in outcomes if isinstance(outcome, str)]
    return [outcome for outcome in outcomes if isinstance(outcome, Call)]


def request(model: str, prompt: str, limit: int, **more) -> dict:
    messages = [{"role": "user", "content": prompt}]
    return {"model": model, "messages": messages, "max_tokens": limit, "temperature": 0.0, **more}


# --- One after the other ---


def streamed(client: openai.OpenAI, label: str, body: dict) -> Call | str:
    """A stream whose client asks for usage."""
    try:
        stream = client.chat.completions.create(**body, stream=True, stream_options={"include_usage": True})
        seen = Seen()
        for chunk in stream:
            seen.add(chunk)
    except openai.OpenAIError as error:
        return f"{label}: not answered: {error}"
    return told(label, stream.response.headers, seen, body)


def untold(client: openai.OpenAI, label: str, body: dict) -> list[Call | str]:
    """A call that is told of its usage, and a stream of the same that is not."""
    try:
        raw = client.chat.completions.with_raw_response.create(**body)
        whole = raw.parse()
        stream = client.chat.completions.create(**body, stream=True)
        seen = Seen()
        for chunk in stream:
            seen.add(chunk)
    except openai.OpenAIError as error:
        return [f"{label}: not answered: {error}"]
    usage = whole.usage
    twin = called(f"{label} twin", raw.headers, usage.prompt_tokens, usage.completion_tokens)
    headers = stream.response.headers
    if seen.usages or seen.without_choices:
        return [twin, f"{label}: the client did not ask for usage, and saw {seen}"]
    if seen.finish == ["length"]:
        output = body["max_tokens"]
    elif seen.text == whole.choices[0].message.content:
        output = usage.completion_tokens
    else:
        return [twin, f"{label}: nobody can tell what it used: {seen}"]
    return [twin, called(label, headers, usage.prompt_tokens, output)]


def cancelled(client: openai.OpenAI, label: str, body: dict) -> Call | str:
    """A stream that its client leaves in the middle."""
    try:
        stream = client.chat.completions.create(**body, stream=True)
        for number, chunk in enumerate(stream):
            if chunk.choices and chunk.choices[0].finish_reason is not None:
                return f"{label}: it was over before its client could hang up"
            if number == HANGS_UP_AFTER:
                break
        stream.close()
    except openai.OpenAIError as error:
        return f"{label}: not answered: {error}"
    return left(label, stream.response.headers)


# --- At once ---


async def made_at_once(client: openai.OpenAI, model: str) -> list[Call | str]:
    options = {"base_url": client.base_url, "api_key": client.api_key, "timeout": client.timeout}
    async with openai.AsyncOpenAI(**options, max_retries=0) as at_once:
        bodies = [request(model, prompt, limit) for prompt, limit in zip(PROMPTS, LIMITS, strict=True)]
        calls = [answered_async(at_once, f"py async {number}", body) for number, body in enumerate(bodies)]
        calls += [
            streamed_async(at_once, f"py async stream {number}", body) for number, body in enumerate(bodies)
        ]
        calls.append(cancelled_async(at_once, "py async cancelled", {"model": model, **LONG}))
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    return [f"py async: not answered: {one!r}" if isinstance(one, Exception) else one for one in outcomes]


async def answered_async(client: openai.AsyncOpenAI, label: str, body: dict) -> Call | str:
    raw = await client.chat.completions.with_raw_response.create(**body)
    usage = raw.parse().usage
    return called(label, raw.headers, usage.prompt_tokens, usage.completion_tokens)


async def streamed_async(client: openai.AsyncOpenAI, label: str, body: dict) -> Call | str:
    stream = await client.chat.completions.create(
        **body, stream=True, stream_options={"include_usage": True}
    )
    seen = Seen()
    async for chunk in stream:
        seen.add(chunk)
    return told(label, stream.response.headers, seen, body)


async def cancelled_async(client: openai.AsyncOpenAI, label: str, body: dict) -> Call | str:
    """The task that reads is cancelled, as a server does whose own caller has gone."""
    begun = asyncio.Event()
    headers = {}

    async def read() -> None:
        async with await client.chat.completions.create(**body, stream=True) as stream:
            headers.update(stream.response.headers)
            number = 0
            async for _ in stream:
                number += 1
                if number == HANGS_UP_AFTER:
                    begun.set()

    reading = asyncio.create_task(read())
    waiting = asyncio.create_task(begun.wait())
    await asyncio.wait({reading, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not reading.cancel():
        return f"{label}: it was over before its client could hang up: {reading.exception()!r}"
    await asyncio.wait({reading})
    return left(label, headers)


# --- What was seen ---


def told(label: str, headers, seen: Seen, body: dict) -> Call | str:
    """A stream whose client was told of its usage. Some servers report each of several choices by itself."""
    if not seen.usages or not seen.text:
        return f"{label}: no usage, or no text: {seen}"
    output = sum(usage.completion_tokens for usage in seen.usages)
    choices = body.get("n", 1)
    if len(seen.finish) != choices or len(seen.usages) not in (1, choices):
        return f"{label}: {choices} choices were asked for: {seen}"
    if set(seen.finish) == {"length"} and output != choices * body["max_tokens"]:
        return f"{label}: {output} tokens, but {choices} choices ended at {body['max_tokens']}: {seen}"
    return called(label, headers, seen.usages[-1].prompt_tokens, output)


def called(label: str, headers, input_tokens: int, output_tokens: int) -> Call | str:
    awu = headers.get("x-genops-awu")
    if awu is None:
        return f"{label}: no x-genops-awu header in the answer"
    return Call(
        label,
        awu,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        headers=genops_headers(headers),
    )


def left(label: str, headers) -> Call | str:
    awu = headers.get("x-genops-awu")
    if awu is None:
        return f"{label}: no x-genops-awu header in the answer"
    return Call(label, awu, cancelled=True, headers=genops_headers(headers))


def genops_headers(headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items() if name.lower().startswith("x-genops-")}
