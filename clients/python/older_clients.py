"""Drives older and unofficial clients: their paths, their keys, their reading of errors.

usage: older_clients.py http://127.0.0.1:PORT
"""

import json
import pathlib
import sys
import urllib.request
import uuid

# Their modules have the names of others that are installed too.
sys.path.insert(0, str(pathlib.Path(sys.prefix) / "older"))

from braze.client import BrazeClient, BrazeClientError
from onesignal import OneSignalAPIError, OneSignalClient, SegmentNotification
from onesignal_sdk.client import Client
from onesignal_sdk.error import OneSignalHTTPError
from sandbox import Sandbox, prove, prove_refused

APP = str(uuid.uuid4())
TIME = "2026-01-02T03:04:05Z"


def braze(sandbox: Sandbox) -> None:
    """braze-client-p311."""
    client = BrazeClient("sandbox", sandbox.url)
    ada, bob = sandbox.id("ada"), sandbox.id("bob")
    event = {"external_id": ada, "name": "opened", "time": TIME}

    done = client.user_track(attributes=[{"external_id": ada, "plan": "pro"}, {"external_id": bob}], events=[event])
    prove("braze-client-p311: users and an event are a success", done["success"])
    prove("each is counted", (done["attributes_processed"], done["events_processed"]), (2, 1))
    partial = client.user_track(events=[event, {"external_id": ada, "time": TIME}])
    prove("a bad event is no success", (partial["success"], partial["errors"][0]["index"]), (False, 1))
    long = client.user_track(attributes=[{"external_id": "x" * 988}, {"external_id": ada}])
    prove("an object has the code that Braze publishes", long["errors"][0]["type"], "EXTERNAL_USER_ID_TOO_LARGE")
    prove_refused("nothing valid is a fatal error", BrazeClientError, lambda: client.user_track(events=[{"name": "x"}]))
    prove_refused(
        "76 objects in two arrays are too many",
        BrazeClientError,
        lambda: client.user_track(attributes=[{"external_id": ada}] * 38, events=[event] * 38),
    )
    user = client.user_export(external_ids=[ada], fields_to_export=["external_id", "custom_attributes"])["users"][0]
    prove("the export has the attribute", user["custom_attributes"], {"plan": "pro"})
    prove("a deletion is counted", client.user_delete([bob])["deleted"], 1)
    prove_refused("a revoked key is refused", BrazeClientError, lambda: BrazeClient("revoked", sandbox.url).user_delete([ada]))


def onesignal_sdk(sandbox: Sandbox) -> None:
    """onesignal-sdk, of the time before the Users API: `/api/v1` and `Basic` keys."""

    def client(key: str) -> Client:
        return Client(app_id=APP, rest_api_key=key, options={"API_ROOT": f"{sandbox.url}/api/v1"})

    sent = client("sandbox").send_notification({"contents": {"en": "Hello"}, "included_segments": ["All"]})
    prove("onesignal-sdk: a notification has an id", bool(sent.body["id"]))

    user = sandbox.id("older")
    create(sandbox, user)
    edited = client("sandbox").edit_tags(user, {"tags": {"plan": "pro"}})
    prove("tags are edited by external id", edited.body, {"success": True})
    found = [line for line in sandbox.lines("onesignal/users") if line.get("external_id") == user]
    prove("and kept", found[0]["attributes"]["tags"], {"plan": "pro"})

    refused = prove_refused("a revoked key is refused", OneSignalHTTPError, lambda: client("revoked").edit_tags(user, {}))
    prove("with a text that says why", refused.message.startswith("Access denied.  Please include"))
    with sandbox.faults(throttled=1.0):
        busy = prove_refused("too many are refused", OneSignalHTTPError, lambda: client("sandbox").edit_tags(user, {}))
    prove("with a 429 and its reason", (busy.status_code, busy.message), (429, "API rate limit exceeded"))


def create(sandbox: Sandbox, user: str) -> None:
    """Creates a user, which this client cannot."""
    subscription = {"type": "Email", "token": f"{user}@example.com"}
    body = json.dumps({"identity": {"external_id": user}, "subscriptions": [subscription]}).encode()
    headers = {"authorization": "Key sandbox", "content-type": "application/json"}
    request = urllib.request.Request(f"{sandbox.url}/apps/{APP}/users", body, headers, method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 201


def skip_onesignal_client(sandbox: Sandbox) -> None:
    """skip-onesignal-client: `Basic` keys as well."""

    def send(key: str):
        client = OneSignalClient(APP, key, base_api_url=f"{sandbox.url}/api/v1/")
        return client.send(SegmentNotification(contents={"en": "Hello"}, included_segments=["All"]))

    prove("skip-onesignal-client: a notification is sent", send("sandbox").is_error, False)
    prove_refused("a revoked key is refused", OneSignalAPIError, lambda: send("revoked"))


def main() -> None:
    sandbox = Sandbox()
    braze(sandbox)
    onesignal_sdk(sandbox)
    skip_onesignal_client(sandbox)


if __name__ == "__main__":
    main()
