-- The text of attached PDF files, folded: beside the body, for it is read once, when the message is indexed.

ALTER TABLE search_texts ADD COLUMN documents BYTES;
