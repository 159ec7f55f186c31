"""Runs the server and Schemathesis against it, in a network namespace of their own (`unshare --net`): generated connectors name hosts of
all kinds, and none of them is ever reached, because there is nothing but loopback, and no way out of it.

Arguments: the server's binary, a directory for its data, Schemathesis' configuration.
"""

import fcntl
import json
import os
import pathlib
import secrets
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request

BASE = "http://127.0.0.1:8080"
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
ROUTES = pathlib.Path("/proc/net/route")


def bring_loopback_up():
    """A new namespace has loopback alone, and it is down. Anything else there means that this is no new namespace."""
    interfaces = [name for _, name in socket.if_nameindex()]
    if interfaces != ["lo"] or len(ROUTES.read_text().splitlines()) > 1:
        sys.exit(f"this network can lead out of the machine ({interfaces}): not run")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP))


def wait_until_ready(server):
    while True:
        try:
            urllib.request.urlopen(f"{BASE}/readyz")
            return
        except urllib.error.URLError:
            if server.poll() is not None:
                sys.exit("the server did not start")
            time.sleep(0.05)


def call(key, method, path, body=None):
    request = urllib.request.Request(BASE + path, json.dumps(body).encode() if body else None, method=method)
    request.add_header("Authorization", f"Bearer {key}")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def prepare(key):
    """Something to ask about: without it, most of what is generated would only find that there is nothing."""
    config = {"hec_url": "https://siem.example:8088", "hec_token": "00000000-1111-2222-3333-444444444444"}
    new = {"name": "Splunk", "platform": "splunk", "config": config, "active": True}
    connector = call(key, "POST", "/v1/siem/connectors", new)
    for severity in ["low", "high"]:
        call(key, "POST", "/v1/events", {"event_type": "anomaly", "severity": severity})
    return {"CONNECTOR_ID": connector["id"], "ORG_ID": connector["org_id"]}


def main():
    binary, directory, configuration = sys.argv[1:]
    bring_loopback_up()
    key = secrets.token_hex(32)
    settings = {
        "TOKTRA_SIEM_LISTEN": "127.0.0.1:8080",
        "TOKTRA_SIEM_DATA_DIR": f"{directory}/data",
        "TOKTRA_SIEM_API_KEY": key,
        "TOKTRA_SIEM_RATE_LIMIT": "0",
    }
    with open(f"{directory}/server.log", "w", encoding="utf-8") as log:
        server = subprocess.Popen([binary, "serve"], env=settings, stdout=subprocess.DEVNULL, stderr=log)
    try:
        wait_until_ready(server)
        prepared = prepare(key)
        schemathesis = pathlib.Path(sys.executable).parent / "schemathesis"
        command = [schemathesis, "--config-file", configuration, "run", f"{BASE}/openapi.json"]
        # One worker: Python 3.11 counts how deep it is in a syntax tree for all threads together, and two that parse at once make it raise a
        # SystemError, now and then (python/cpython issue 106905).
        command += ["--checks", "all", "--seed", "1", "--max-examples", "10", "--workers", "1", "--continue-on-failure"]
        environment = {**os.environ, **prepared, "TOKTRA_SIEM_API_KEY": key, "NO_COLOR": "1"}
        failed = subprocess.call(command, cwd=directory, env=environment)
        if server.poll() is not None:
            sys.exit("the server is gone")
        return failed
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    sys.exit(main())
