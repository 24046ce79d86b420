"""Prints the data of the Python package genai-prices as JSON, in the form of its data.json.

    pip install genai-prices==0.2.3
    python3 crates/genops-gateway/prices/dump.py > data.json
    genops prices update --from data.json --out crates/genops-gateway/prices/prices.json

It changes nothing and chooses nothing. Decimals are printed digit by digit, never as floats.
"""

import dataclasses
import json
from datetime import date, time
from decimal import Decimal

from genai_prices.data import providers
from genai_prices.types import ModelPrice


def plain(value):
    """What the value is in JSON; a decimal stands for itself until it is printed."""
    if isinstance(value, ModelPrice):
        return {key: plain(price) for key, price in vars(value).items() if price is not None and key[0] != "_"}
    if dataclasses.is_dataclass(value):
        fields = {field.name.rstrip("_"): getattr(value, field.name) for field in dataclasses.fields(value)}
        return {name: plain(field) for name, field in fields.items() if field is not None and name[0] != "_"}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (date, time)):
        return value.isoformat()
    return value


def text(value):
    """JSON, with decimals in their own digits."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(json.dumps(key) + ":" + text(item) for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",\n".join(text(item) for item in value) + "]"
    return json.dumps(value)


print(text(plain(providers)))
