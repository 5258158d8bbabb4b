"""Who asks: what they may do, and what goes wrong for them."""

import re

from engine import Failed

# What is given on a catalog or a schema, unless a principal is without it.
GIVEN = {
    "catalog": ["USE_CATALOG", "USE_SCHEMA", "CREATE_SCHEMA", "CREATE_TABLE", "CREATE_VOLUME", "SELECT", "MODIFY"],
    "schema": ["USE_SCHEMA", "CREATE_TABLE", "CREATE_VOLUME", "SELECT", "MODIFY", "READ_VOLUME", "WRITE_VOLUME"],
}


class Principal:
    def __init__(self, name):
        self.name, self.requests = name, 0
        self.refused_tokens = set()
        self.set({})

    def set(self, given):
        self.without = set(given.get("without", []))
        self.pending = given.get("pending", 0)
        self.rows_per_part = given.get("rows_per_part", 100_000)
        self.expired_links = given.get("expired_links", 0)
        self.refused = list(given.get("refused", []))
        self.truncated = given.get("truncated", False)
        self.tokens = given.get("tokens", [])
        self.lost = given.get("lost")
        self.faults = {phase: list(faults) for phase, faults in given.get("faults", {}).items()}

    def refusal(self, token, asks):
        """What this request is answered with instead; None as a rule."""
        self.requests += 1
        if token.startswith("wrong") or token in self.refused_tokens:
            return "invalid"
        wrong = self.refused.pop(0) if self.refused and asks else None
        if wrong == "expired":
            self.refused_tokens.add(token)
            return "invalid"
        return wrong or None

    def fault(self, phase, token=None):
        """What a request of a phase is answered with instead; None as a rule."""
        wrong = self.faults[phase].pop(0) if self.faults.get(phase) else None
        if wrong == "expired":
            self.refused_tokens.add(token)
            return "invalid"
        return wrong or None

    def assignments(self, kind, name):
        """The privileges on a catalog or a schema, as the API writes them: one has some, the group the rest."""
        given = GIVEN[kind]
        lacking = {one.split(" on ")[0].replace(" ", "_") for one in self.without if one.lower().endswith(f" on {kind} '{name}'".lower())}
        held = [{"privilege": one} for one in given if one not in lacking]
        if kind != "catalog" and not any(one.startswith("USE CATALOG") for one in self.without):
            held.append({"privilege": "USE_CATALOG", "inherited_from_type": "CATALOG", "inherited_from_name": name.split(".")[0]})
        return [
            {"principal": "administrator", "privileges": [{"privilege": "ALL_PRIVILEGES"}]},
            {"principal": self.name, "privileges": held[::2]},
            {"principal": "engineers", "privileges": held[1::2]},
        ]

    def lacks(self, privilege):
        return privilege if privilege in self.without else None

    def lacking(self, names, privilege, kind="Table"):
        """The first privilege that is missing to do something with a table."""
        catalog, schema, name = names
        return (
            self.lacks(f"USE CATALOG on Catalog '{catalog}'")
            or self.lacks(f"USE SCHEMA on Schema '{catalog}.{schema}'")
            or self.lacks(f"{privilege} on {kind} '{catalog}.{schema}.{name}'")
        )

    def lacking_volume(self, names, privilege):
        return self.lacking(names, privilege, "Volume")

    def allow(self, engine, text):
        """Refuses a statement as Databricks words it."""
        lacking = self.needed(engine, text)
        if lacking:
            raise Failed(f"[INSUFFICIENT_PERMISSIONS] Insufficient privileges:\nUser does not have {lacking}. SQLSTATE: 42501")

    def needed(self, engine, text):
        if found := re.match(r"\s*CREATE SCHEMA IF NOT EXISTS `([^`]+)`\.`([^`]+)`", text, re.I):
            catalog, schema = found.groups()
            if (catalog, schema) in engine.listed():
                return None
            return self.lacks(f"USE CATALOG on Catalog '{catalog}'") or self.lacks(f"CREATE SCHEMA on Catalog '{catalog}'")
        names = engine.names(text)
        volumes = re.findall(r"/Volumes/([^/]+)/([^/]+)/([^/]+)/", text)
        if made := re.match(r"\s*CREATE (TABLE|VOLUME)", text, re.I):
            (catalog, schema, name), kind = names[0], made.group(1).upper()
            used = self.lacks(f"USE CATALOG on Catalog '{catalog}'") or self.lacks(f"USE SCHEMA on Schema '{catalog}.{schema}'")
            tables = engine.described(catalog, schema) if (catalog, schema) in engine.listed() else []
            there = kind == "TABLE" and any(one[0] == name for one in tables)
            there = there or (kind == "VOLUME" and (catalog, schema, name) in engine.known_volumes)
            return used or (None if there else self.lacks(f"CREATE {kind} on Schema '{catalog}.{schema}'"))
        writes = re.match(r"\s*(MERGE|INSERT|UPDATE|DELETE|ALTER)", text, re.I)
        for at, table in enumerate(names):
            lacking = self.lacking(table, "SELECT") or (writes and at == 0 and self.lacking(table, "MODIFY"))
            if lacking:
                return lacking
        for volume in volumes:
            if lacking := self.lacking_volume(volume, "READ VOLUME"):
                return lacking
        return None
