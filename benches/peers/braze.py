"""What a script of one's own does with the rows of a result: with BENCH_BRAZE it makes events of them and posts these,
75 in a request, one request after the other; otherwise it makes each row."""

import json
import os

import requests

BRAZE = os.environ.get("BENCH_BRAZE")
ROWS = int(os.environ["BENCH_ROWS"])


def post(rows):
    """Takes rows of a name, a user, a time and the text of an object."""
    session, events, sent = requests.Session(), [], 0
    session.headers["Authorization"] = "Bearer bench"

    def flush():
        answer = session.post(f"{BRAZE}/users/track", json={"events": events})
        answer.raise_for_status()
        events.clear()

    for name, user, at, data in rows:
        events.append({"external_id": user, "name": name, "time": at.isoformat(), "properties": json.loads(data)})
        sent += 1
        if len(events) == 75:
            flush()
    if events:
        flush()
    assert sent == ROWS, sent


def take(rows, values=lambda row: row):
    """Takes all rows of a result: of an id, and what `post` takes. `values` makes a row a sequence."""
    if BRAZE:
        return post(values(row)[1:] for row in rows)
    read = sum(len(row) for row in rows) // 5
    assert read == ROWS, read
