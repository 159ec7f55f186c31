"""Asks the documented `verify_toktra_signature`, unchanged, about cases on standard input; prints one answer each.

The second half checks Standard Webhooks headers from that specification alone: HMAC-SHA256 over `id.timestamp.body`, base64, `v1,` in front,
one signature a secret, separated by spaces. A case of the kind `library` asks the official library instead.
"""

import base64
import hashlib
import hmac
import json
import sys

sys.path.insert(0, sys.argv[1])
from verify import verify_toktra_signature


def verify_webhook(payload: bytes, secret: str, case: dict) -> bool:
    signed = f"{case['id']}.{case['timestamp']}.".encode() + payload
    key = base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    listed = [part.partition(",") for part in case["signature"].split(" ")]
    return any(version == "v1" and hmac.compare_digest(expected, value) for version, _, value in listed)


def verify_with_the_library(payload: bytes, secret: str, case: dict) -> bool:
    from standardwebhooks.webhooks import Webhook, WebhookVerificationError

    names = {"webhook-id": "id", "webhook-timestamp": "timestamp", "webhook-signature": "signature"}
    try:
        Webhook(secret).verify(payload, {header: case[name] for header, name in names.items()})
        return True
    except WebhookVerificationError:
        return False


def answer(case: dict) -> bool:
    payload = base64.b64decode(case["payload"])
    if case["kind"] == "library":
        return verify_with_the_library(payload, case["secret"], case)
    if case["kind"] == "webhook":
        return verify_webhook(payload, case["secret"], case)
    return verify_toktra_signature(payload, case["secret"], case["header"])


print(json.dumps([answer(case) for case in json.load(sys.stdin)]))
