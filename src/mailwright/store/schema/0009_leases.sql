-- What is leased is not due: it stands in no index of what is, so that mail which leaves at once costs little.
-- A lease that nobody keeps up is ended by its time (`queue.model.end_leases`).

DROP INDEX queue_due;
DROP INDEX queue_deadlines;
CREATE INDEX queue_due ON queue_recipients (tier, destination, account, due_at) WHERE held = 0 AND owner = '';
CREATE INDEX queue_deadlines ON queue_recipients (deadline_at) WHERE held = 0 AND owner = '';
