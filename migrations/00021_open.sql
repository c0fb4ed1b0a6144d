-- +goose Up
-- The page counted as open what has one of three statuses, and the views whatever is
-- not closed: a status that the service has made up since was open in one of them only.
DROP INDEX defender.incidents_open_idx;
CREATE INDEX incidents_open_idx ON defender.incidents (last_update_date_time, tenant_id)
    WHERE status IS DISTINCT FROM 'resolved' AND status IS DISTINCT FROM 'redirected';

-- +goose Down
DROP INDEX defender.incidents_open_idx;
CREATE INDEX incidents_open_idx ON defender.incidents (last_update_date_time, tenant_id)
    WHERE status IN ('active', 'inProgress', 'awaitingAction');
