-- Flags and keywords stand apart from the places that have them (store.marks): to mark a whole mailbox is to change a row.
CREATE TABLE marks (
  id AUTOKEY,
  account BIGINT NOT NULL,
  mailbox BIGINT NOT NULL,
  flags BIGINT NOT NULL,
  keywords TEXT NOT NULL,
  modseq BIGINT NOT NULL               -- of the change that made all its places have these; 0: none
);

CREATE INDEX marks_mailbox ON marks (account, mailbox, flags);

INSERT INTO marks (account, mailbox, flags, keywords, modseq)
  SELECT DISTINCT account, mailbox, flags, keywords, 0 FROM places;
INSERT INTO marks (account, mailbox, flags, keywords, modseq)
  SELECT b.account, b.id, 0, '', 0 FROM mailboxes b WHERE NOT EXISTS (
    SELECT 1 FROM marks k WHERE k.account = b.account AND k.mailbox = b.id AND k.flags = 0 AND k.keywords = '');

-- The mark of what comes in without flags.
ALTER TABLE mailboxes ADD COLUMN fresh BIGINT NOT NULL DEFAULT 0;
UPDATE mailboxes SET fresh = (SELECT k.id FROM marks k
  WHERE k.account = mailboxes.account AND k.mailbox = mailboxes.id AND k.flags = 0 AND k.keywords = '');

-- Where each message has keywords of its own, each mark is found at once: SQLite by an index, PostgreSQL by a join,
-- as its indexes take no long texts.
ALTER TABLE places ADD COLUMN mark BIGINT NOT NULL DEFAULT 0;
@sqlite CREATE INDEX marks_whole ON marks (account, mailbox, flags, keywords);
@sqlite UPDATE places SET mark = (SELECT k.id FROM marks k WHERE k.account = places.account AND k.mailbox = places.mailbox
  AND k.flags = places.flags AND k.keywords = places.keywords);
@sqlite DROP INDEX marks_whole;
@postgres UPDATE places SET mark = k.id FROM marks k WHERE k.account = places.account AND k.mailbox = places.mailbox
  AND k.flags = places.flags AND k.keywords = places.keywords;
ALTER TABLE places DROP COLUMN flags;
ALTER TABLE places DROP COLUMN keywords;
ALTER TABLE places RENAME COLUMN modseq TO own_modseq;

CREATE VIEW marked AS
  SELECT p.account, p.mailbox, p.uid, p.message, p.mark, k.flags, k.keywords, p.internal_date, p.saved_at,
    CASE WHEN p.own_modseq < k.modseq THEN k.modseq ELSE p.own_modseq END AS modseq
  FROM places p JOIN marks k ON k.id = p.mark;
