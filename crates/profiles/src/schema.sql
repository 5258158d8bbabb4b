-- The built-in platform. Times are microseconds since the epoch.

CREATE TABLE IF NOT EXISTS users (
    id          INTEGER PRIMARY KEY,
    platform_id TEXT NOT NULL UNIQUE,
    external_id TEXT UNIQUE,
    email       TEXT,
    phone       TEXT,
    attributes  TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS users_by_email ON users (email) WHERE email IS NOT NULL;
CREATE INDEX IF NOT EXISTS users_by_phone ON users (phone) WHERE phone IS NOT NULL;

CREATE TABLE IF NOT EXISTS aliases (
    label TEXT NOT NULL,
    name  TEXT NOT NULL,
    user  INTEGER NOT NULL,
    PRIMARY KEY (label, name)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS aliases_by_user ON aliases (user);

CREATE TABLE IF NOT EXISTS events (
    id          INTEGER PRIMARY KEY,
    user        INTEGER NOT NULL,
    name        TEXT NOT NULL,
    time        INTEGER NOT NULL,
    properties  TEXT NOT NULL,
    app_id      TEXT,
    key         TEXT,
    received_at INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS events_by_user ON events (user);
CREATE UNIQUE INDEX IF NOT EXISTS events_by_key ON events (key) WHERE key IS NOT NULL;

CREATE TABLE IF NOT EXISTS purchases (
    id          INTEGER PRIMARY KEY,
    user        INTEGER NOT NULL,
    product_id  TEXT NOT NULL,
    currency    TEXT NOT NULL,
    price       TEXT NOT NULL,
    quantity    INTEGER NOT NULL,
    time        INTEGER NOT NULL,
    properties  TEXT NOT NULL,
    app_id      TEXT,
    key         TEXT,
    received_at INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS purchases_by_user ON purchases (user);
CREATE UNIQUE INDEX IF NOT EXISTS purchases_by_key ON purchases (key) WHERE key IS NOT NULL;

CREATE TABLE IF NOT EXISTS deletions (
    id          INTEGER PRIMARY KEY,
    platform_id TEXT NOT NULL,
    deleted_at  INTEGER NOT NULL
);

CREATE TABLE IF NOT EXISTS catalogs (
    name        TEXT PRIMARY KEY,
    description TEXT NOT NULL,
    fields      TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS items (
    catalog TEXT NOT NULL,
    id      TEXT NOT NULL,
    fields  TEXT NOT NULL,
    PRIMARY KEY (catalog, id)
) WITHOUT ROWID;
