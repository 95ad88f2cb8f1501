-- SEARCH compares the day of sending in the sender's own zone (RFC 3501 6.4.4). Of messages that are there already
-- `backfill` reads it from the envelope.
ALTER TABLE messages ADD COLUMN sent_zone BIGINT; -- minutes east of UTC in Date:
