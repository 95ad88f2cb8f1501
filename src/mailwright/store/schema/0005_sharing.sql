CREATE TABLE acl (                     -- what others may do with a mailbox; its owner may do all
  account BIGINT NOT NULL,             -- the owner
  mailbox BIGINT NOT NULL,             -- 0: what new mailboxes at the top begin with (of public folders only)
  identifier TEXT NOT NULL,            -- an account's address or 'anyone', with '-' before it what is taken away
  rights TEXT NOT NULL,                -- letters of RFC 4314 2.1, in the order of store.acl
  PRIMARY KEY (account, mailbox, identifier)
) CLUSTERED;

CREATE INDEX acl_identifier ON acl (identifier);

CREATE TABLE annotations (             -- RFC 5464
  account BIGINT NOT NULL,             -- the mailbox's owner; 0: of the whole server
  mailbox BIGINT NOT NULL,             -- 0: of the account or the server, not of a mailbox
  reader BIGINT NOT NULL,              -- the account that a private entry belongs to, 0: shared
  entry TEXT NOT NULL,                 -- lower case, without '/private' or '/shared'
  value BYTES NOT NULL,
  PRIMARY KEY (account, mailbox, reader, entry)
) CLUSTERED;

CREATE INDEX annotations_reader ON annotations (reader);
