"""Metrics over time: every sample in a partition per hour, minutes rolled up in a partition per day.

The application role may only insert rows, so functions of the owner create and drop the partitions.
There is no DEFAULT partition: PostgreSQL would have to scan it whenever another one is attached.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

METRICS = (
    "cpu_cores", "cpu_percent", "memory_used_bytes", "memory_given_bytes", "disk_read_bytes_s", "disk_write_bytes_s",
    "disk_reads_s", "disk_writes_s", "net_received_bytes_s", "net_sent_bytes_s",
)
WITH_LEAST = METRICS[:4]

TABLES = """
CREATE TABLE samples (
    time timestamptz NOT NULL,
    subject uuid NOT NULL,
    {values}
) PARTITION BY RANGE (time);
CREATE INDEX samples_subject_time_idx ON samples (subject, time);
CREATE INDEX samples_time_idx ON samples USING brin (time);

CREATE TABLE sample_minutes (
    time timestamptz NOT NULL,
    subject uuid NOT NULL,
    {values},
    {most},
    {least},
    PRIMARY KEY (subject, time)
) PARTITION BY RANGE (time);
"""

FUNCTIONS = """
CREATE FUNCTION make_sample_partitions(earliest timestamptz, latest timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp SET timezone = 'UTC' SET lock_timeout = '1s' AS $$
DECLARE
    parent text;
    unit text;
    begins timestamptz;
    ends timestamptz;
    name text;
    made integer := 0;
BEGIN
    IF latest - earliest > interval '10 days' THEN
        RAISE EXCEPTION 'that is too many partitions at once';
    END IF;
    FOR parent, unit IN VALUES ('samples', 'hour'), ('sample_minutes', 'day') LOOP
        begins := date_trunc(unit, earliest);
        WHILE begins <= latest LOOP
            ends := begins + ('1 ' || unit)::interval;
            name := parent || to_char(begins, CASE unit WHEN 'hour' THEN '_YYYYMMDDHH24' ELSE '_YYYYMMDD' END);
            IF to_regclass(name) IS NULL THEN
                -- Created separately and attached: CREATE ... PARTITION OF would lock out readers of the whole table.
                EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name, parent);
                EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                               parent, name, begins, ends);
                made := made + 1;
            END IF;
            begins := ends;
        END LOOP;
    END LOOP;
    RETURN made;
END $$;

CREATE FUNCTION drop_sample_partitions(samples_before timestamptz, minutes_before timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp SET timezone = 'UTC' SET lock_timeout = '1s' AS $$
DECLARE
    name text;
    dropped integer := 0;
BEGIN
    FOR name IN
        SELECT child.relname FROM pg_inherits
        JOIN pg_class child ON child.oid = inhrelid JOIN pg_class parent ON parent.oid = inhparent
        WHERE inhparent IN ('samples'::regclass, 'sample_minutes'::regclass)
        AND CASE parent.relname
            WHEN 'samples' THEN to_timestamp(right(child.relname, 10), 'YYYYMMDDHH24') + interval '1 hour' <= samples_before
            ELSE to_timestamp(right(child.relname, 8), 'YYYYMMDD') + interval '1 day' <= minutes_before
            END
    LOOP
        EXECUTE format('DROP TABLE %I', name);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;
REVOKE ALL ON FUNCTION make_sample_partitions(timestamptz, timestamptz) FROM PUBLIC;
REVOKE ALL ON FUNCTION drop_sample_partitions(timestamptz, timestamptz) FROM PUBLIC;
"""


def upgrade() -> None:
    connection = op.get_bind()
    columns = {
        "values": ",\n    ".join(f"{name} real" for name in METRICS),
        "most": ",\n    ".join(f"{name}_most real" for name in METRICS),
        "least": ",\n    ".join(f"{name}_least real" for name in WITH_LEAST),
    }
    connection.exec_driver_sql(TABLES.format(**columns))
    schema = connection.execute(sa.text("SELECT quote_ident(current_schema())")).scalar_one()
    connection.exec_driver_sql(FUNCTIONS.format(schema=schema).replace("%", "%%"))
