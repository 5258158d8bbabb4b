"""Who asks: what they may do, and what goes wrong for them."""


class Principal:
    def __init__(self, name):
        self.name = name
        self.set({})

    def set(self, given):
        self.without = set(given.get("without", []))
        self.pending, self.pending_for = given.get("pending", 0), given.get("pending_for", "")
        self.rows_per_part = given.get("rows_per_part", 10_000)
        self.too_large = given.get("too_large", False)
        self.lost = given.get("lost")
        self.auto_resume, self.resumed = given.get("auto_resume", True), False
        self.public_keys = given.get("public_keys", [])
        self.stages = given.get("stages", {})
        self.faults = {phase: list(faults) for phase, faults in given.get("faults", {}).items()}
        self.seconds, self.rotates = given.get("seconds", 600), given.get("rotates", False)
        self.statements, self.granted = [], 0

    def fault(self, phase):
        """What a request of a phase is answered with instead; None as a rule."""
        return self.faults[phase].pop(0) or None if self.faults.get(phase) else None

    def lacks(self, privilege, kind, *names):
        """Whether a privilege is missing: `USAGE on SCHEMA SHOP.S1`."""
        return f"{privilege} on {kind} {'.'.join(names)}" in self.without

    def stage(self, quoted):
        """The address behind an external stage, which is `http://S3/BUCKET/FOLDER` here."""
        from engine import Failed

        name = ".".join(part.strip('"') for part in quoted.split("."))
        if name not in self.stages or self.lacks("USAGE", "STAGE", name):
            raise Failed("002003", "02000", f"SQL compilation error:\nStage '{name}' does not exist or not authorized.")
        return self.stages[name]

    def hides(self, database, schema=None, name=None):
        """The first thing on the way to a table that is hidden from the role: its kind and its name."""
        if self.lacks("USAGE", "DATABASE", database):
            return "Database", database
        if schema and self.lacks("USAGE", "SCHEMA", database, schema):
            return "Schema", f"{database}.{schema}"
        if name and self.lacks("SELECT", "TABLE", database, schema, name):
            return "Object", f"{database}.{schema}.{name}"
        return None
