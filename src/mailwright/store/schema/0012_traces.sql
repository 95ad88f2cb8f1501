-- What begins a record stands in its row: how the message came, and the names that it is looked up by. No index has them:
-- hardly one of a thousand records is ever looked for, and a search reads all, as with receptions.

ALTER TABLE traces ADD COLUMN origin TEXT;                    -- NULL: an event 'accepted' tells it
ALTER TABLE traces ADD COLUMN names TEXT NOT NULL DEFAULT ''; -- Message-ID and addresses, in lower case, a line end around each
@sqlite UPDATE traces SET names = COALESCE(
  (SELECT char(10) || group_concat(name, char(10)) || char(10) FROM trace_keys WHERE trace = traces.id), '');
@postgres UPDATE traces SET names = COALESCE(
  (SELECT chr(10) || string_agg(name, chr(10)) || chr(10) FROM trace_keys WHERE trace = traces.id), '');
DROP TABLE trace_keys;
