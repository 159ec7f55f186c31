"""Reads request bodies into the models of Datadog's official client, as strictly as those are, and writes them out again.

Standard input: a JSON array of `{"kind": "logs" | "series", "body": "<text>"}`. Standard output: for each body null, or what is wrong with
it. The client itself takes unknown properties and unknown enum values silently, so both are looked for here: an unknown property is wrong
unless the model is documented to have free ones (log attributes), and nothing may be left unparsed. What the client would send for the
model has to be what we sent.
"""

import json
import sys
from datetime import datetime

from datadog_api_client.configuration import Configuration
from datadog_api_client.model_utils import ModelNormal, ModelSimple, UnparsedObject, data_to_dict, validate_and_convert_types
from datadog_api_client.v2.model.http_log import HTTPLog
from datadog_api_client.v2.model.http_log_item import HTTPLogItem
from datadog_api_client.v2.model.metric_payload import MetricPayload

MODELS = {"logs": HTTPLog, "series": MetricPayload}
# Log entries carry attributes of their own choice; every other model has its documented properties only.
OPEN = (HTTPLogItem,)


def look_through(value, path):
    """Raises where something is unknown to the client."""
    if isinstance(value, UnparsedObject) or getattr(value, "_unparsed", False) is True:
        raise ValueError(f"{path}: the client cannot parse it")
    if isinstance(value, ModelNormal):
        members = value.__dict__["_data_store"]
        unknown = set(members) - set(value.attribute_map)
        if unknown and not isinstance(value, OPEN):
            raise ValueError(f"{path}: unknown properties {sorted(unknown)}")
        for name in set(members) & set(value.attribute_map):
            look_through(members[name], f"{path}/{name}")
    elif isinstance(value, ModelSimple):
        look_through(value.value, path)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            look_through(item, f"{path}/{index}")


def same(sent, again):
    """Equal; the client reads text that looks like a time as one, and spells it in its own way."""
    if isinstance(sent, dict) and isinstance(again, dict):
        return sent.keys() == again.keys() and all(same(sent[name], again[name]) for name in sent)
    if isinstance(sent, list) and isinstance(again, list):
        return len(sent) == len(again) and all(map(same, sent, again))
    if isinstance(sent, str) and isinstance(again, str) and sent != again:
        try:
            return datetime.fromisoformat(sent.replace("Z", "+00:00")) == datetime.fromisoformat(again)
        except ValueError:
            return False
    # The client writes every number of a point as a float.
    return isinstance(sent, bool) == isinstance(again, bool) and sent == again


def judge(case):
    try:
        sent = json.loads(case["body"])
        model = validate_and_convert_types(sent, (MODELS[case["kind"]],), ["body"], True, True, Configuration())
        look_through(model, "")
        again = data_to_dict(model)
        if not same(sent, json.loads(json.dumps(again))):
            raise ValueError(f"the client would send something else: {again}")
    except Exception as error:  # Whatever the client raises is its verdict.
        return f"{type(error).__name__}: {error}"
    return None


print(json.dumps([judge(case) for case in json.load(sys.stdin)]))
