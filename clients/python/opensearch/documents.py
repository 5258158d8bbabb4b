"""Documents as OpenSearch's own client for Python reads them, one JSON object a line.

usage: documents.py ADDRESS INDEX_PATTERN
"""

import json
import sys

from opensearchpy import OpenSearch, helpers


def main() -> None:
    address, index = sys.argv[1:]
    client = OpenSearch(address)
    client.indices.refresh(index=index, params={"ignore_unavailable": "true"})
    query = {"query": {"match_all": {}}, "sort": [{"@timestamp": "asc"}]}
    for found in helpers.scan(client, index=index, query=query, size=1000, preserve_order=True):
        print(json.dumps({name: found[name] for name in ("_index", "_id", "_source")}))


main()
