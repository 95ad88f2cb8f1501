-- Dictionaries of zstd (store.blobs.dictionaries): nothing that was packed with one can be read without it.
CREATE TABLE dictionaries (
  number ROWKEY,
  data BYTES NOT NULL,
  hash BYTES NOT NULL,                 -- SHA-256 of the data
  blobs BIGINT NOT NULL,               -- the highest id of a blob when it was learned
  learned_at BIGINT NOT NULL
);

-- Small content stands with its blob (data), packed; other content of one chunk in pieces, in rows of chunks; of larger
-- content each chunk is a row. The hash is looked up by its first octets.
@sqlite CREATE TABLE new_blobs (
  id AUTOKEY,
  hash BYTES NOT NULL,
  size BIGINT NOT NULL,
  refs BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  location TEXT,
  data BYTES
);

-- No id is given twice, not even that of a blob that is gone.
@sqlite INSERT INTO sqlite_sequence (name, seq) SELECT 'new_blobs', seq FROM sqlite_sequence WHERE name = 'blobs';
@sqlite INSERT INTO new_blobs (id, hash, size, refs, created_at, location)
  SELECT id, hash, size, refs, created_at, location FROM blobs;
@sqlite DROP TABLE blobs;
@sqlite ALTER TABLE new_blobs RENAME TO blobs;

@postgres ALTER TABLE blobs DROP CONSTRAINT blobs_hash_key;
@postgres ALTER TABLE blobs ADD COLUMN data BYTEA;
@postgres ALTER TABLE blobs ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE INDEX blobs_hash ON blobs (substr(hash, 1, 8));
CREATE INDEX blobs_unused ON blobs (created_at) WHERE refs <= 0;

-- envelope, bodystructure, structure and preview are packed from now on (store.blobs.codec). What was text before stands
-- as it is, but nothing is written as an octet 0.
@sqlite UPDATE messages SET preview = CASE preview WHEN '' THEN X'00' ELSE CAST(preview AS BLOB) END;
@postgres ALTER TABLE messages ALTER COLUMN preview TYPE BYTEA
  USING CASE preview WHEN '' THEN '\x00'::bytea ELSE convert_to(preview, 'UTF8') END;
