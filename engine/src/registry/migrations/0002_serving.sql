-- How models are served: those that have settings of their own.
CREATE TABLE serving (
    model    TEXT NOT NULL PRIMARY KEY REFERENCES models (name),
    settings TEXT NOT NULL -- engine::serve::ModelServing in JSON
) STRICT, WITHOUT ROWID;

-- The settings since a change of them, in JSON.
ALTER TABLE history ADD COLUMN serving TEXT;
