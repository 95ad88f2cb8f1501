-- Times are seconds since the Unix epoch, UTC; sizes are octets.

CREATE TABLE settings (
  name TEXT PRIMARY KEY,
  value BYTES NOT NULL
);

CREATE TABLE domains (
  name TEXT PRIMARY KEY,               -- A-labels, lower case
  created_at BIGINT NOT NULL
);

CREATE TABLE accounts (
  id AUTOKEY,
  address TEXT NOT NULL UNIQUE,        -- the form that compares equal: see directory
  display_name TEXT NOT NULL DEFAULT '',
  language TEXT NOT NULL DEFAULT 'en',
  disabled BIGINT NOT NULL DEFAULT 0,
  created_at BIGINT NOT NULL
);

CREATE TABLE credentials (
  account BIGINT NOT NULL,
  name TEXT NOT NULL,                  -- '' is the main password, else the name of an app password
  password_hash TEXT NOT NULL,         -- argon2
  scram BYTES,                         -- SCRAM-SHA-256 stored secret
  created_at BIGINT NOT NULL,
  PRIMARY KEY (account, name)
) CLUSTERED;

CREATE TABLE aliases (
  address TEXT NOT NULL,               -- 'local@domain', or '@domain' for all that is not named
  target TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (address, target)
) CLUSTERED;

-- What every write to an account touches: kept apart from what rarely changes.
CREATE TABLE account_state (
  account ROWKEY,
  modseq BIGINT NOT NULL,
  last_id BIGINT NOT NULL,             -- the last number given to a message or mailbox
  bytes BIGINT NOT NULL,
  messages BIGINT NOT NULL,
  quota_bytes BIGINT,
  quota_messages BIGINT
);

CREATE TABLE mailboxes (
  account BIGINT NOT NULL,
  id BIGINT NOT NULL,
  name TEXT NOT NULL,                  -- the whole path, '/' between levels
  role TEXT,                           -- special use without the backslash, lower case: 'sent', 'junk', ...
  uidvalidity BIGINT NOT NULL,
  uidnext BIGINT NOT NULL,
  modseq BIGINT NOT NULL,              -- HIGHESTMODSEQ
  messages BIGINT NOT NULL DEFAULT 0,
  unseen BIGINT NOT NULL DEFAULT 0,
  deleted BIGINT NOT NULL DEFAULT 0,
  bytes BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (account, id),
  UNIQUE (account, name)
) CLUSTERED;

CREATE TABLE subscriptions (           -- a name may be subscribed without a mailbox (RFC 3501 6.3.6)
  account BIGINT NOT NULL,
  name TEXT NOT NULL,
  PRIMARY KEY (account, name)
) CLUSTERED;

CREATE TABLE blobs (
  id AUTOKEY,
  hash BYTES NOT NULL UNIQUE,          -- SHA-256 of the content; a random value while it is uploaded
  size BIGINT NOT NULL,
  refs BIGINT NOT NULL,
  location TEXT,                       -- where an adapter keeps it; NULL: in chunks
  created_at BIGINT NOT NULL
);

CREATE TABLE chunks (
  id ROWKEY,                           -- the blob's id, then the chunk's number in the low 20 bits
  data BYTES NOT NULL
);

CREATE TABLE messages (
  id ROWKEY,                           -- the account's id, then a number in the low 36 bits
  blob BIGINT NOT NULL,
  size BIGINT NOT NULL,
  received_at BIGINT NOT NULL,
  sent_at BIGINT,                      -- Date:
  thread BIGINT NOT NULL,
  attachment BIGINT NOT NULL,          -- 1 when it has one
  envelope BYTES NOT NULL,             -- as IMAP sends it
  bodystructure BYTES NOT NULL,        -- as IMAP sends it
  structure BYTES NOT NULL,            -- message.structure.to_record
  preview TEXT NOT NULL,
  subject TEXT NOT NULL,               -- base subject, folded (RFC 5256 2.1)
  senders TEXT NOT NULL,               -- sort keys: the first mailbox of From, To, Cc
  recipients TEXT NOT NULL,
  copies TEXT NOT NULL
);

CREATE TABLE places (
  account BIGINT NOT NULL,
  mailbox BIGINT NOT NULL,
  uid BIGINT NOT NULL,
  message BIGINT NOT NULL,
  modseq BIGINT NOT NULL,
  flags BIGINT NOT NULL,
  keywords TEXT NOT NULL,
  internal_date BIGINT NOT NULL,
  saved_at BIGINT NOT NULL,
  PRIMARY KEY (account, mailbox, uid)
) CLUSTERED;

CREATE INDEX places_message ON places (message);

CREATE TABLE changes (
  account BIGINT NOT NULL,
  modseq BIGINT NOT NULL,
  n BIGINT NOT NULL,
  mailbox BIGINT NOT NULL,
  kind BIGINT NOT NULL,
  uids TEXT NOT NULL,
  messages TEXT NOT NULL,
  PRIMARY KEY (account, modseq, n)
) CLUSTERED;

CREATE TABLE threads (                 -- which thread a message-id belongs to, by its hash
  account BIGINT NOT NULL,
  message_id BIGINT NOT NULL,
  thread BIGINT NOT NULL,
  PRIMARY KEY (account, message_id)
) CLUSTERED;
