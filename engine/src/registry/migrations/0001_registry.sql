-- The registry's tables. Times are microseconds since 1970 UTC.

-- One row. `generation` moves with every change, so that watching costs one row.
CREATE TABLE registry (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    generation INTEGER NOT NULL
) STRICT;
INSERT INTO registry (id, generation) VALUES (1, 0);

-- A row stays when its last version is deleted, because `last_version`, the highest number ever given, never falls.
-- A model exists for callers while it has a version.
CREATE TABLE models (
    name         TEXT    NOT NULL PRIMARY KEY,
    created_at   INTEGER NOT NULL,
    last_version INTEGER NOT NULL CHECK (last_version BETWEEN 1 AND 4294967295)
) STRICT, WITHOUT ROWID;

CREATE TABLE versions (
    model      TEXT    NOT NULL REFERENCES models (name),
    version    INTEGER NOT NULL CHECK (version BETWEEN 1 AND 4294967295),
    created_at INTEGER NOT NULL,
    kind       TEXT    NOT NULL,
    task       TEXT,
    location   TEXT    NOT NULL UNIQUE, -- below the artifact store's URL
    size_bytes INTEGER NOT NULL,
    digest     TEXT    NOT NULL,
    metadata   TEXT    NOT NULL, -- contract::VersionMetadata in JSON
    PRIMARY KEY (model, version)
) STRICT;

CREATE TRIGGER versions_never_change BEFORE UPDATE ON versions
BEGIN
    SELECT RAISE(ABORT, 'a published version never changes');
END;

CREATE TABLE aliases (
    model   TEXT    NOT NULL,
    alias   TEXT    NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (model, alias),
    FOREIGN KEY (model, version) REFERENCES versions (model, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX aliases_by_version ON aliases (model, version);

CREATE TABLE history (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    at               INTEGER NOT NULL,
    model            TEXT    NOT NULL,
    change           TEXT    NOT NULL,
    version          INTEGER,
    previous_version INTEGER, -- of an alias that moved
    alias            TEXT,
    actor            TEXT
) STRICT;
CREATE INDEX history_by_model ON history (model, id);

-- Places in the artifact store that no version owns: an upload under way, or files on their way out. A row is there
-- before the first byte is written and after the last one is removed, so a crash leaves nothing that is forgotten.
CREATE TABLE loose_artifacts (
    location TEXT    NOT NULL PRIMARY KEY,
    state    TEXT    NOT NULL CHECK (state IN ('uploading', 'discarded')),
    alive_at INTEGER NOT NULL -- the uploading process was seen alive
) STRICT, WITHOUT ROWID;
