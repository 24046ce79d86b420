"""Compares the ledger's books with what the client saw and what the telemetry said.

    python books.py --awus awus.json --summary summary.json --input-price 0.15 --output-price 0.60

`awus.json` is what `genops awus --format json` printed, `summary.json` what `drive.py` wrote; the prices are US
dollars for a million tokens. Every answered call must be SETTLED in the ledger with the client's tokens, at the
cost that follows from them exactly; every one that its client left in the middle SETTLED at its reservation
and marked incomplete; every refused one REFUSED; no AWU may have used more than its bound; and the ledger must
know no other AWU. It exits with 0 if the books agree, and with 1 if not.

It asks no server and reads no telemetry of its own; whether the telemetry is right is for `judge.py` to say.
"""

import argparse
import json
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path

SIDES = ("input", "output")


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare the ledger's books with a drive's summary.")
    parser.add_argument("--awus", type=Path, required=True)
    parser.add_argument("--summary", type=Path, required=True)
    parser.add_argument("--input-price", type=Decimal, required=True)
    parser.add_argument("--output-price", type=Decimal, required=True)
    options = parser.parse_args()
    page = json.loads(options.awus.read_text(encoding="utf-8"))
    summary = json.loads(options.summary.read_text(encoding="utf-8"))
    prices = {"input": options.input_price, "output": options.output_price}

    ledger = {awu["id"]: awu for awu in page["awus"]}
    settled = [awu for awu in ledger.values() if awu["state"] == "SETTLED"]
    problems = []
    if "next" in page:
        problems.append("the ledger has more AWUs than one page holds")
    for row in summary["awus"]:
        problems += compared(row, ledger.get(row["awu"]), prices)
    for awu in sorted(ledger.keys() - {row["awu"] for row in summary["awus"]}):
        problems.append(f"{awu}: the ledger has it, the summary does not")
    for awu in ledger.values():
        problems += over_its_bound(awu)

    for side in SIDES:
        booked = sum(awu.get("tokens", {}).get(side, 0) for awu in settled)
        told = {whose: summary["sums"][f"{side}_tokens_of_{whose}"] for whose in ("calls", "spans")}
        equal = set(told.values()) == {booked}
        by = f"{booked} by the ledger, {told['calls']} by the client, {told['spans']} by the AWU spans"
        print(f"{side} tokens: {by}: {'equal' if equal else 'NOT EQUAL'}")
        if not equal:
            problems.append(f"{side} tokens: {by}")
    measured = [awu for awu in ledger.values() if "tokens" in awu]
    for side in SIDES:
        nearest = max(Decimal(awu["tokens"][side]) / awu["bound"][side] for awu in measured)
        print(f"{side} tokens of an AWU, as a part of its bound: at most {nearest:.3f}, of {len(measured)} AWUs")
    charged = sum(Decimal(awu.get("actual", "0")) for awu in settled)
    states = ", ".join(f"{state} {count}" for state, count in sorted(states_of(ledger).items()))
    print(f"AWUs in the ledger: {states}; charged {charged} USD")
    for problem in problems:
        print(f"PROBLEM  {problem}")
    return 1 if problems else 0


def compared(row: dict, awu: dict | None, prices: dict[str, Decimal]) -> list[str]:
    """What does not agree about one AWU."""
    label = f"{row['label']} {row['awu']}"
    if awu is None:
        return [f"{label}: it is not in the ledger"]
    expected = "REFUSED" if row["end"] == "refused" else "SETTLED"
    if awu["state"] != expected:
        return [f"{label}: it is {awu['state']} in the ledger, must be {expected}"]
    problems = []
    if expected == "REFUSED":
        if awu.get("reason_code") != row["reason_code"] or "actual" in awu:
            problems.append(f"{label}: the ledger refused it for {awu.get('reason_code')}, or charged it")
        return problems
    for name in ("reserved", "actual"):
        booked = awu.get(name)
        if booked is None or float(booked) != row[name]:
            problems.append(f"{label}: {name} is {booked} in the ledger, {row[name]} in the span")
    if row["end"] == "cancelled":
        if awu.get("actual") != awu.get("reserved") or not awu.get("incomplete") or "tokens" in awu:
            problems.append(f"{label}: it was cancelled, but it is not charged its reservation: {awu}")
        if awu.get("end") != "cancelled":
            problems.append(f"{label}: it was cancelled, but it ended as {awu.get('end')}")
        return problems
    tokens = awu.get("tokens", {})
    for side in SIDES:
        if tokens.get(side) != row[f"client_{side}_tokens"]:
            client = row[f"client_{side}_tokens"]
            problems.append(f"{label}: {tokens.get(side)} {side} tokens in the ledger, {client} by the client")
    cost = sum(row[f"client_{side}_tokens"] * prices[side] for side in SIDES) / 1_000_000
    if Decimal(awu.get("actual", "NaN")) != cost:
        problems.append(f"{label}: {awu.get('actual')} USD in the ledger, its tokens cost {cost}")
    if awu.get("incomplete") or "end" in awu:
        problems.append(f"{label}: its record is incomplete, although the provider reported the usage")
    return problems


def over_its_bound(awu: dict) -> list[str]:
    """Where an AWU used more than was said beforehand that it can."""
    used = []
    if "tokens" in awu:
        used += [(side, awu["tokens"][side], awu["bound"][side]) for side in SIDES]
    if "actual" in awu:
        used.append(("USD", Decimal(awu["actual"]), Decimal(awu["reserved"])))
    return [f"{awu['id']}: {actual} {what}, the bound is {most}" for what, actual, most in used if actual > most]


def states_of(ledger: dict[str, dict]) -> Counter:
    return Counter(awu["state"] for awu in ledger.values())


if __name__ == "__main__":
    sys.exit(main())
