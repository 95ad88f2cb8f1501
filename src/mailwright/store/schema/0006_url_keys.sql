CREATE TABLE url_keys (                -- what an account's URLs of messages are signed with (RFC 4467)
  account BIGINT NOT NULL,
  owner BIGINT NOT NULL,               -- of the mailbox
  mailbox BIGINT NOT NULL,
  secret BYTES NOT NULL,
  PRIMARY KEY (account, owner, mailbox)
) CLUSTERED;

CREATE INDEX url_keys_mailbox ON url_keys (owner, mailbox);
