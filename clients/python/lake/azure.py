"""Makes a container of Azure Blob Storage and writes blobs into it, signed with the account's key.

usage: azure.py ENDPOINT make CONTAINER
       azure.py ENDPOINT put CONTAINER NAME        the content is read from stdin

The account and its key are those that every installation of Azurite has.
Source: Azure docs, "Authorize with Shared Key", "Use the Azurite emulator for local Azure Storage development".
"""

import base64
import hashlib
import hmac
import json
import sys
import urllib.parse
import urllib.request
from email.utils import formatdate

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def request(endpoint: str, path: str, query: str, body: bytes) -> None:
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-12-02"}
    if not query:
        headers["x-ms-blob-type"] = "BlockBlob"
    path = f"/{ACCOUNT}/{urllib.parse.quote(path)}"
    kind = "application/octet-stream"
    length = str(len(body)) if body else ""
    lines = ["PUT", "", "", length, "", kind, "", "", "", "", "", ""]
    lines += [f"{name}:{headers[name]}" for name in sorted(headers)]
    lines += [f"/{ACCOUNT}{path}"] + [part.replace("=", ":") for part in query.split("&") if part]
    signature = hmac.new(base64.b64decode(KEY), "\n".join(lines).encode(), hashlib.sha256).digest()
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(signature).decode()}"
    headers["Content-Type"] = kind
    address = f"{endpoint}{path}" + (f"?{query}" if query else "")
    urllib.request.urlopen(urllib.request.Request(address, body, headers, method="PUT")).read()


def main() -> None:
    endpoint, action, container, *rest = sys.argv[1:]
    if action == "make":
        request(endpoint, container, "restype=container", b"")
    elif action == "put":
        request(endpoint, f"{container}/{rest[0]}", "", sys.stdin.buffer.read())
    print(json.dumps(action))


main()
