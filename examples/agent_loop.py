#!/usr/bin/env python3
"""An agent whose every step is governed, with nothing but the standard library.

    GENOPS_URL=http://127.0.0.1:4100 GENOPS_KEY=gk-... ./agent_loop.py [STEPS]

Each step asks before it begins, and says what it used when it has ended. Ends with 0 where every step was taken, with 3
where one was refused, and with 1 where something went wrong.
"""

import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid

ATTEMPTS = 5


class Refused(Exception):
    """The gateway says no, and why."""


class Governor:
    """The gateway's API, as far as an agent needs it."""

    def __init__(self, url, key):
        self.base = url.rstrip("/") + "/genops/v1"
        self.key = key

    def post(self, path, body, name=None):
        """Sends a body; sends it again where the connection fails. Every step may be said twice, and a proposal as long as
        it has the same name."""
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        if name is not None:
            headers["Idempotency-Key"] = name
        request = urllib.request.Request(self.base + path, json.dumps(body).encode(), headers, method="POST")
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as problem:
                error = json.load(problem)["error"]
                raise Refused(f"{error['code'] or problem.code}: {error['message']}") from None
            except (OSError, http.client.HTTPException, json.JSONDecodeError) as problem:
                if attempt == ATTEMPTS:
                    raise
                print(f"{problem!r}: sent again", file=sys.stderr)
                time.sleep(0.1 * 2**attempt)

    def propose(self, proposal):
        """The identity of work that may run."""
        return self.post("/awus", proposal, name=str(uuid.uuid4()))["awu"]["id"]

    def start(self, awu):
        self.post(f"/awus/{awu}/start", {})

    def settle(self, awu, end, usage=None):
        body = {"end": end} if usage is None else {"end": end, "usage": usage}
        return self.post(f"/awus/{awu}/settle", body)["awu"]


def think(step):
    """The work itself, in place of a model: what it says, and what it used. Amounts are text, so that they stay exact."""
    usage = {"input_tokens": 800 + step, "output_tokens": 120, "quantities": {"USD": "0.0042"}}
    return f"thought {step}", usage


def take(governor, session, step):
    """Takes one step, governed."""
    awu = governor.propose({
        "operation": {"name": "agent-step", "type": "agent"},
        "session_id": session,
        "bound": {"input_tokens": 2000, "output_tokens": 500, "quantities": {"USD": "0.02"}},
        "within_seconds": 60,
    })
    governor.start(awu)
    try:
        thought, usage = think(step)
    except BaseException:
        # Nobody knows what it used: its reservation is charged.
        governor.settle(awu, "failed")
        raise
    settled = governor.settle(awu, "completed", usage)
    print(f"{thought}: {settled['actual']} {settled['unit']}, AWU {awu}")


def main():
    try:
        governor = Governor(os.environ["GENOPS_URL"], os.environ["GENOPS_KEY"])
    except KeyError as missing:
        sys.exit(f"set {missing.args[0]}: GENOPS_URL is where the gateway is, GENOPS_KEY a key with the role operate")
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    session = str(uuid.uuid4())
    for step in range(1, steps + 1):
        try:
            take(governor, session, step)
        except Refused as refused:
            print(f"stopped before step {step} of {steps}, refused with {refused}", file=sys.stderr)
            sys.exit(3)


if __name__ == "__main__":
    main()
