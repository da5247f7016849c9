// The registry's tables, version by version. A registry of an older version is brought to the present one when it is opened; what is in it
// stays. A version that was released is not changed.

const first = `
CREATE TABLE studies (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  plan TEXT NOT NULL,
  address TEXT NOT NULL
) STRICT;
CREATE TABLE sites (
  id INTEGER PRIMARY KEY,
  study INTEGER NOT NULL REFERENCES studies,
  place INTEGER NOT NULL,
  name TEXT NOT NULL,
  UNIQUE (study, name)
) STRICT;
CREATE TABLE tokens (
  hash TEXT PRIMARY KEY,
  site INTEGER NOT NULL REFERENCES sites,
  created_ms INTEGER NOT NULL,
  expires_ms INTEGER NOT NULL,
  -- The key that it was spent for.
  key TEXT
) STRICT;
CREATE TABLE keys (
  id INTEGER PRIMARY KEY,
  site INTEGER NOT NULL REFERENCES sites,
  key TEXT NOT NULL,
  enrolled_ms INTEGER NOT NULL,
  ended_ms INTEGER,
  ended TEXT CHECK (ended IN ('replaced', 'revoked'))
) STRICT;
CREATE INDEX keys_of_site ON keys (site, key);
`;

const second = `
ALTER TABLE studies ADD COLUMN folder TEXT NOT NULL DEFAULT '';
ALTER TABLE studies ADD COLUMN epochs INTEGER NOT NULL DEFAULT 0;
ALTER TABLE studies ADD COLUMN state TEXT NOT NULL DEFAULT 'waiting'
  CHECK (state IN ('waiting', 'running', 'paused', 'stopped', 'done', 'failed'));
ALTER TABLE studies ADD COLUMN reason TEXT NOT NULL DEFAULT '';
ALTER TABLE studies ADD COLUMN wish TEXT NOT NULL DEFAULT 'run' CHECK (wish IN ('run', 'pause', 'stop'));
ALTER TABLE studies ADD COLUMN created_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE studies ADD COLUMN begun_ms INTEGER;
ALTER TABLE studies ADD COLUMN ended_ms INTEGER;
ALTER TABLE sites ADD COLUMN connected INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sites ADD COLUMN withdrawn_ms INTEGER;
CREATE INDEX sites_of_name ON sites (name);
CREATE TABLE keys_with_withdrawn (
  id INTEGER PRIMARY KEY,
  site INTEGER NOT NULL REFERENCES sites,
  key TEXT NOT NULL,
  enrolled_ms INTEGER NOT NULL,
  ended_ms INTEGER,
  ended TEXT CHECK (ended IN ('replaced', 'revoked', 'withdrawn'))
) STRICT;
INSERT INTO keys_with_withdrawn SELECT id, site, key, enrolled_ms, ended_ms, ended FROM keys;
DROP TABLE keys;
ALTER TABLE keys_with_withdrawn RENAME TO keys;
CREATE INDEX keys_of_site ON keys (site, key);
CREATE TABLE commits (
  study INTEGER NOT NULL REFERENCES studies,
  step INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  whole INTEGER NOT NULL,
  PRIMARY KEY (study, step)
) STRICT;
CREATE TABLE metrics (
  study INTEGER NOT NULL REFERENCES studies,
  epoch INTEGER NOT NULL,
  part TEXT NOT NULL CHECK (part IN ('val', 'test')),
  at_ms INTEGER NOT NULL,
  train_loss REAL,
  best INTEGER NOT NULL,
  -- JSON: overall and by site.
  figures TEXT NOT NULL,
  PRIMARY KEY (study, epoch, part)
) STRICT;
`;

/** What brings a registry from each version to the next; 0 is an empty file. */
export const migrations: readonly string[] = [first, second];
