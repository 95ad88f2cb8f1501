-- The outbound queue. Times here have fractions: seconds since the Unix epoch, UTC. Account 0 is no account.

CREATE TABLE traces (                  -- one causal record for each message; its id is the queue id too
  id AUTOKEY,
  at DOUBLE PRECISION NOT NULL,
  account BIGINT NOT NULL,
  message_id TEXT NOT NULL,
  reverse_path TEXT NOT NULL
);

CREATE TABLE trace_events (
  trace BIGINT NOT NULL,
  n BIGINT NOT NULL,
  at DOUBLE PRECISION NOT NULL,
  kind TEXT NOT NULL,
  data TEXT NOT NULL,                  -- JSON
  PRIMARY KEY (trace, n)
) CLUSTERED;

CREATE TABLE trace_keys (              -- what a message is looked up by: its Message-ID and its addresses
  name TEXT NOT NULL,
  trace BIGINT NOT NULL,
  PRIMARY KEY (name, trace)
) CLUSTERED;

CREATE INDEX trace_keys_trace ON trace_keys (trace);

CREATE TABLE queue_messages (
  id ROWKEY,
  account BIGINT NOT NULL,
  blob BIGINT NOT NULL,
  size BIGINT NOT NULL,
  reverse_path TEXT NOT NULL,
  envid TEXT NOT NULL,
  ret TEXT NOT NULL,                   -- 'FULL', 'HDRS' or ''
  body TEXT NOT NULL,                  -- '7BIT', '8BITMIME' or 'BINARYMIME'
  smtputf8 BIGINT NOT NULL,
  requiretls BIGINT NOT NULL,
  language TEXT NOT NULL,
  received_at DOUBLE PRECISION NOT NULL,
  expires_at DOUBLE PRECISION NOT NULL
);

CREATE TABLE queue_recipients (        -- only those whose end is open
  message BIGINT NOT NULL,
  n BIGINT NOT NULL,
  account BIGINT NOT NULL,
  tier BIGINT NOT NULL,                -- 0: not tried yet, 1: tried
  destination TEXT NOT NULL,           -- the domain, or what the routes say instead
  address TEXT NOT NULL,
  orcpt TEXT NOT NULL,
  notify BIGINT NOT NULL,              -- a bit mask, 0: not given
  attempts BIGINT NOT NULL,
  due_at DOUBLE PRECISION NOT NULL,    -- the next attempt, or while it is leased: the end of the lease
  deadline_at DOUBLE PRECISION NOT NULL,
  warned BIGINT NOT NULL,
  held BIGINT NOT NULL,
  owner TEXT NOT NULL,                 -- who holds the lease, '': nobody
  last_at DOUBLE PRECISION NOT NULL,
  last_status TEXT NOT NULL,           -- of RFC 3463
  last_reply TEXT NOT NULL,
  last_host TEXT NOT NULL,
  PRIMARY KEY (message, n)
) CLUSTERED;

CREATE INDEX queue_due ON queue_recipients (tier, destination, account, due_at) WHERE held = 0;
CREATE INDEX queue_deadlines ON queue_recipients (deadline_at) WHERE held = 0;
CREATE INDEX queue_held ON queue_recipients (account) WHERE held = 1;
CREATE INDEX queue_leases ON queue_recipients (owner) WHERE owner <> '';

-- What is due, without looking at every recipient. Beside the lanes (account and destination) stand sums over
-- all destinations of an account ('*') and over all accounts of a destination (-1), so that a claim is fair to both.
CREATE TABLE queue_lanes (
  tier BIGINT NOT NULL,
  account BIGINT NOT NULL,
  destination TEXT NOT NULL,
  next_at DOUBLE PRECISION NOT NULL,
  PRIMARY KEY (tier, account, destination)
) CLUSTERED;

CREATE INDEX queue_lanes_account ON queue_lanes (tier, account, next_at);
CREATE INDEX queue_lanes_destination ON queue_lanes (tier, destination, next_at);

CREATE TABLE queue_counters (          -- what an account sent in an hour (hours since the epoch)
  account BIGINT NOT NULL,
  hour BIGINT NOT NULL,
  messages BIGINT NOT NULL,
  recipients BIGINT NOT NULL,
  strangers BIGINT NOT NULL,
  delivered BIGINT NOT NULL,
  failed BIGINT NOT NULL,
  PRIMARY KEY (account, hour)
) CLUSTERED;

CREATE TABLE queue_contacts (          -- to whom an account has written
  account BIGINT NOT NULL,
  address TEXT NOT NULL,
  at DOUBLE PRECISION NOT NULL,
  PRIMARY KEY (account, address)
) CLUSTERED;

CREATE TABLE queue_stops (             -- accounts whose mail is held
  account ROWKEY,
  at DOUBLE PRECISION NOT NULL,
  reason TEXT NOT NULL,
  told BIGINT NOT NULL                 -- 1 when the administrator knows
);

CREATE TABLE suppressions (
  account BIGINT NOT NULL,
  address TEXT NOT NULL,
  at DOUBLE PRECISION NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (account, address)
) CLUSTERED;

CREATE TABLE mta_sts_policies (
  domain TEXT PRIMARY KEY,
  id TEXT NOT NULL,
  policy TEXT NOT NULL,                -- as fetched
  fetched_at DOUBLE PRECISION NOT NULL,
  expires_at DOUBLE PRECISION NOT NULL
);

CREATE TABLE tls_results (             -- for TLS-RPT
  day BIGINT NOT NULL,                 -- days since the epoch
  domain TEXT NOT NULL,
  policy TEXT NOT NULL,                -- JSON
  failure TEXT NOT NULL,               -- JSON, '' counts the sessions that went well
  sessions BIGINT NOT NULL,
  PRIMARY KEY (day, domain, policy, failure)
) CLUSTERED;

CREATE TABLE tls_reports (             -- those that were sent
  day BIGINT NOT NULL,
  domain TEXT NOT NULL,
  at DOUBLE PRECISION NOT NULL,
  PRIMARY KEY (day, domain)
) CLUSTERED;
