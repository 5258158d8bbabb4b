"""The side door of the sandbox: what took effect, and how it misbehaves."""

import contextlib
import json
import sys
import urllib.request
import uuid


class Sandbox:
    """A sandbox at the address that the program was started with."""

    def __init__(self) -> None:
        if len(sys.argv) != 2:
            sys.exit(f"usage: {sys.argv[0]} http://127.0.0.1:PORT")
        self.url = sys.argv[1].rstrip("/")
        self.prefix = f"py-{uuid.uuid4().hex[:8]}"

    def id(self, name: object) -> str:
        """A name that no other run uses."""
        return f"{self.prefix}-{name}"

    def stats(self, vendor: str) -> dict:
        """How many things of each kind a vendor's side holds."""
        return json.loads(self._send("GET", f"{vendor}/stats"))

    def lines(self, path: str) -> list[dict]:
        """Everything of one kind, for example `braze/events`."""
        return [json.loads(line) for line in self._send("GET", path).splitlines() if line]

    @contextlib.contextmanager
    def faults(self, **faults: object):
        """Misbehaves inside the block."""
        self._send("PUT", "faults", json.dumps(faults).encode())
        try:
            yield
        finally:
            self._send("PUT", "faults", b"{}")

    def _send(self, method: str, path: str, body: bytes | None = None) -> str:
        headers = {"content-type": "application/json"} if body is not None else {}
        request = urllib.request.Request(f"{self.url}/_sandbox/{path}", body, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read().decode()


def prove(what: str, found: object, expected: object = True) -> None:
    """Prints `what` when it holds; ends the program when it does not."""
    if found != expected:
        sys.exit(f"DIFFERS  {what}\n  expected {expected!r}\n  found    {found!r}")
    print(f"ok  {what}")


def prove_refused(what: str, error: type[Exception], call) -> Exception:
    """Proves that `call` raises `error`, and returns it."""
    try:
        answer = call()
    except error as raised:
        print(f"ok  {what}")
        return raised
    sys.exit(f"DIFFERS  {what}\n  expected {error.__name__}\n  found    {answer!r}")
