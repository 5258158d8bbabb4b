"""Receives alerts, and prints each as a line of JSON after a first line with the port.

usage: alerts.py smtp USER PASSWORD | alerts.py webhook SECRET...

`smtp` is aiosmtpd, which asks for a user and a password. `webhook` verifies each request with the
library of Standard Webhooks, by each of the secrets, and answers 401 unless all of them fit.
"""

import email
import email.policy
import http.server
import json
import socket
import sys


def say(value):
    print(json.dumps(value), flush=True)


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def smtp(user, password):
    from aiosmtpd.controller import Controller
    from aiosmtpd.smtp import AuthResult

    class Handler:
        async def handle_RCPT(self, server, session, envelope, address, options):
            if address.startswith("gone@"):
                return "550 no such mailbox"
            envelope.rcpt_tos.append(address)
            return "250 accepted"

        async def handle_DATA(self, server, session, envelope):
            message = email.message_from_bytes(envelope.content, policy=email.policy.default)
            say(
                {
                    "from": envelope.mail_from,
                    "to": envelope.rcpt_tos,
                    "subject": message["subject"],
                    "message_id": message["message-id"],
                    "references": message["references"],
                    "body": message.get_content(),
                }
            )
            return "250 accepted"

    def check(server, session, envelope, mechanism, data):
        fits = (data.login, data.password) == (user.encode(), password.encode())
        # Otherwise aiosmtpd takes the answer for given.
        return AuthResult(success=fits, handled=fits)

    controller = Controller(
        Handler(),
        hostname="127.0.0.1",
        port=free_port(),
        authenticator=check,
        auth_required=True,
        auth_require_tls=False,
    )
    controller.start()
    say(controller.port)
    sys.stdin.read()
    controller.stop()


def webhook(secrets):
    from standardwebhooks.webhooks import Webhook, WebhookVerificationError

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            try:
                for secret in secrets:
                    Webhook(secret).verify(body, headers)
            except WebhookVerificationError as error:
                say({"rejected": str(error)})
                self.send_response(401)
            else:
                say({"id": headers["webhook-id"], "room": headers.get("x-room"), "body": json.loads(body)})
                self.send_response(204)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    say(server.server_address[1])
    server.serve_forever()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["smtp", user, password]:
            smtp(user, password)
        case ["webhook", *secrets]:
            webhook(secrets)
        case _:
            sys.exit(__doc__)
