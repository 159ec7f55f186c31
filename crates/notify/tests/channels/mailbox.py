"""A mail server of aiosmtpd for one test. Its settings are JSON in the first line of standard input:

mode        "plain", "starttls" or "tls"
cert, key   files in PEM, unless the mode is "plain"
login       [user, password], or null
refuse      answers by command or address: {"MAIL": "451 …", "DATA": "554 …", "jo@company.com": "550 …"}

Prints its port, then a line of JSON for each mail that it takes: what Python's own `email` package reads in it. Ends with its input.
"""

import asyncio
import email
import email.policy
import json
import logging
import ssl
import sys
import threading
import warnings

from aiosmtpd.smtp import SMTP, AuthResult


class Handler:
    def __init__(self, refuse):
        self.refuse = refuse

    async def handle_MAIL(self, server, session, envelope, address, options):
        if "MAIL" in self.refuse:
            return self.refuse["MAIL"]
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if "DATA" in self.refuse:
            return self.refuse["DATA"]
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": server.transport.get_extra_info("ssl_object") is not None,
            "user": session.auth_data,
            "headers": [[name, str(value)] for name, value in message.items()],
            "defects": [str(defect) for defect in message.defects],
            "type": message.get_content_type(),
            "longest": max(len(line) for line in envelope.content.splitlines()),
            "ascii": envelope.content.isascii(),
            "text": message.get_content(),
        }
        print(json.dumps(mail), flush=True)
        return "250 2.0.0 Message accepted for delivery"


async def main():
    settings = json.loads(sys.stdin.readline())
    context = None
    if settings["mode"] != "plain":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings["cert"], settings["key"])
    login = settings.get("login")

    def check(server, session, envelope, mechanism, data):
        good = [data.login.decode(), data.password.decode()] == login
        return AuthResult(success=good, handled=False, auth_data=data.login.decode())

    starttls = settings["mode"] == "starttls"
    options = {
        "hostname": "mail.test",
        "tls_context": context if starttls else None,
        "require_starttls": starttls,
        "auth_require_tls": False,
        "auth_required": login is not None,
        "authenticator": check if login else None,
        "auth_exclude_mechanism": [] if login else ["PLAIN", "LOGIN"],
    }
    loop = asyncio.get_running_loop()
    handler = Handler(settings.get("refuse", {}))
    server = await loop.create_server(
        lambda: SMTP(handler, loop=loop, **options), "127.0.0.1", 0, ssl=context if settings["mode"] == "tls" else None
    )
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    ended = asyncio.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), loop.call_soon_threadsafe(ended.set)), daemon=True).start()
    await ended.wait()


warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
asyncio.run(main())
