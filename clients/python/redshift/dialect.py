"""SQL of Redshift in the words of PostgreSQL, and what Redshift refuses although PostgreSQL knows it.

Sources: Amazon Redshift Database Developer Guide, "Unsupported PostgreSQL features", "Unsupported PostgreSQL
data types", "Unsupported PostgreSQL functions", "DECLARE", "FETCH", "CREATE USER"; what clients of PostgreSQL
report who met a Redshift.
"""

import re

VERSION = (
    "PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc (GCC) 3.4.2 20041017 (Red Hat 3.4.2-6.fc3), "
    "Redshift 1.0.77467"
)
# Strings (a backslash escapes), quoted names, comments, and everything else.
TOKENS = re.compile(r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/|[^'\"\-/]+|.", re.S)
MISSING = "UNNEST|ARRAY_POSITION|TO_REGCLASS|FORMAT_TYPE|PG_IS_IN_RECOVERY|TO_JSONB?|ROW_TO_JSON|GEN_RANDOM_UUID|JSONB_\\w+|JSON_AGG|JSON_BUILD_\\w+|JSON_EACH"
TYPES = "JSONB?|UUID|BYTEA|INET|CIDR|MACADDR|MONEY|XML|INT4RANGE|CITEXT|POINT|TSVECTOR|SERIAL|BIGSERIAL"
REFUSED = [
    (r"\bCOLLATE\s+\"", "0A000", "COLLATE with a collation of this name is not supported"),
    (rf"\b({MISSING})\s*\(", "42883", "function {0} does not exist"),
    (rf"::\s*({TYPES})\b(?!\s*\.)|\bAS\s+({TYPES})\s*\)", "42704", 'type "{0}" does not exist'),
    (r"::\s*(REG(?:TYPE|CLASS|PROC))\b", "0A000", "casts to {0} are not supported"),
    (r"(::\s*\w+\s*\[\])", "0A000", "arrays are not supported: {0}"),
    (r"\b(PG_ENUM|PG_RANGE|PG_COLLATION|PG_SETTINGS_ALL)\b", "42P01", 'relation "pg_catalog.{0}" does not exist'),
    (r"\b(TYPARRAY|CTID|XMIN)\b", "42703", 'column "{0}" does not exist'),
    (r"\bON\s+(CONFLICT)\b|\b(RETURNING)\b|\b(LATERAL)\b", "42601", 'syntax error at or near "{0}"'),
    (r"\b(DISTINCT\s+ON|FOR\s+UPDATE|FOR\s+SHARE|LISTEN|NOTIFY)\b", "0A000", "{0} is not supported"),
    (r"\b(FROM\s+STDIN|TO\s+STDOUT)\b", "0A000", "COPY {0} is not supported"),
    (r"\bCREATE\s+(?:UNIQUE\s+)?(INDEX)\b|\bCREATE\s+(TRIGGER|SEQUENCE|DOMAIN|TYPE)\b", "0A000", "{0} is not supported"),
    (r"\b(REPEATABLE\s+READ)\b.*\bDEFERRABLE\b", "42601", 'syntax error at or near "{0}"'),
    (r"\bSET\s+(?:LOCAL\s+|SESSION\s+)?(INTERVALSTYLE|BYTEA_OUTPUT|STANDARD_CONFORMING_STRINGS|JIT|LOCK_TIMEOUT|"
     r"TRANSACTION_TIMEOUT|IDLE_IN_TRANSACTION_SESSION_TIMEOUT)\b", "42704", 'unrecognized configuration parameter "{0}"'),
    (r"\bCURRENT_SETTING\s*\(\s*'(SERVER_VERSION_NUM|JIT)'", "42704", 'unrecognized configuration parameter "{0}"'),
    (r"^\s*DECLARE\b[^;]*?\b(SCROLL|INSENSITIVE|BINARY|HOLD)\b(?=.*\bCURSOR\b|.*\bHOLD\b)", "0A000", "{0} cursors are not supported"),
    (r"\bFETCH\s+(?:FORWARD\s+)?(ALL)\b", "0A000", "FETCH {0} is not supported on single-node clusters"),
    (r"\bFETCH\s+(BACKWARD|PRIOR|LAST|ABSOLUTE|FIRST)\b", "0A000", "only forward cursors are supported: {0}"),
]


class Refused(Exception):
    """A statement that Redshift refuses."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def parts(sql):
    """Returns the tokens with whether each is code: no string, quoted name or comment."""
    for token in TOKENS.findall(sql):
        yield token, not (token[0] in "'\"" and len(token) > 1 or token.startswith(("--", "/*")))


def refuse(sql):
    # Strings stay, for the names of settings; comments and what users named do not.
    shown = "".join(token for token, code in parts(sql) if code or token[0] in "'\"")
    bare = "".join("''" if not code and token[0] == "'" else token for token, code in parts(shown))
    for pattern, code, message in REFUSED:
        found = re.search(pattern, shown if "'" in pattern else bare, re.I | re.S)
        if found:
            name = next((group for group in found.groups() if group), "").lower()
            raise Refused(code, message.format(name))


def translated(sql, folds):
    """Returns the statement for PostgreSQL. `folds` says that names in quotes become lower case, too."""
    refuse(sql)
    out = []
    for token, code in parts(sql):
        if code:
            token = re.sub(r"\bSYSDATE\b(?!\s*\()", "redshift_double.sysdate()", token, flags=re.I)
            token = re.sub(r"\b(?:pg_catalog\.)?pg_type\b", "redshift_double.pg_type", token, flags=re.I)
            token = re.sub(r"\bpg_catalog\.svv_", "redshift_double.svv_", token, flags=re.I)
            token = re.sub(r"\b(?:pg_catalog\.)?version\s*\(\s*\)", f"'{VERSION}'::varchar", token, flags=re.I)
            token = re.sub(r"\b(var)?char\s*\(\s*max\s*\)", "varchar(65535)", token, flags=re.I)
            token = re.sub(r"\bNVL\s*\(", "coalesce(", token, flags=re.I)
            token = re.sub(r"\bto_hex\s*\(", "redshift_double.to_hex(", token, flags=re.I)
            token = re.sub(r"\bvarbinary\b", "varbyte", token, flags=re.I)
            token = re.sub(r"\b(DISTKEY|SORTKEY|DISTSTYLE\s+\w+|ENCODE\s+\w+)\b(\s*\([^)]*\))?", "", token, flags=re.I)
        elif folds and token[0] == '"':
            token = token.lower()
        out.append(token)
    return "".join(out)
