-- The search index. It is made for an account when that first searches text, and kept up from then on.

CREATE TABLE search_state (
  account ROWKEY,
  indexed BIGINT NOT NULL              -- all messages up to this id are in the index
);

CREATE TABLE search_texts (            -- what candidates are checked against: decoded and folded, compressed
  message ROWKEY,
  header BYTES NOT NULL,
  body BYTES NOT NULL
);

@sqlite CREATE VIRTUAL TABLE search_grams USING fts5 (
  grams, content='', contentless_delete=1, detail=none,
  tokenize='ascii tokenchars _'
);

@postgres CREATE TABLE search_grams (
  message BIGINT PRIMARY KEY,
  grams TSVECTOR NOT NULL
);

@postgres CREATE INDEX search_grams_index ON search_grams USING gin (grams);
