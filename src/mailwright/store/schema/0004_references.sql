-- What THREAD=REFERENCES links a message by (store.references); NULL: not known yet, read from its header when asked.
ALTER TABLE messages ADD COLUMN links BYTES;
