-- The roles of docs/roles.md, in a database that is still empty: the worker, which
-- makes its own tables, and the reader of dashboards, which migrate --grant-read
-- lets read them. psql runs this as the superuser.
\set ON_ERROR_STOP on
\getenv writer WRITER_PASSWORD
\getenv reader READER_PASSWORD

CREATE ROLE defendersync LOGIN PASSWORD :'writer';
GRANT CREATE ON DATABASE :"DBNAME" TO defendersync;

CREATE ROLE grafana LOGIN PASSWORD :'reader';
ALTER ROLE grafana SET jit = off;
ALTER ROLE grafana SET statement_timeout = '60s';
ALTER ROLE grafana SET default_transaction_read_only = on;
