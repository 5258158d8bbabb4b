-- What Redshift has and PostgreSQL lacks, for the databases that the double serves. Run once, in the
-- template of these databases.
CREATE SCHEMA redshift_double;
GRANT USAGE ON SCHEMA redshift_double TO PUBLIC;
SET search_path TO redshift_double, public;

CREATE DOMAIN super AS json;
CREATE DOMAIN varbyte AS bytea;
CREATE DOMAIN hllsketch AS json;

CREATE FUNCTION sysdate() RETURNS timestamp STABLE LANGUAGE sql AS $$ SELECT now() AT TIME ZONE 'UTC' $$;
CREATE FUNCTION getdate() RETURNS timestamp STABLE LANGUAGE sql
  AS $$ SELECT date_trunc('second', statement_timestamp() AT TIME ZONE 'UTC') $$;
CREATE FUNCTION convert_timezone(source text, target text, at timestamp) RETURNS timestamp STABLE LANGUAGE sql
  AS $$ SELECT (at AT TIME ZONE source) AT TIME ZONE target $$;
CREATE FUNCTION json_parse(document text) RETURNS super IMMUTABLE STRICT LANGUAGE sql
  AS $$ SELECT document::json::super $$;
-- An answer of more than 65,535 bytes does not fit into a VARCHAR.
CREATE FUNCTION json_serialize(document json) RETURNS varchar IMMUTABLE STRICT LANGUAGE plpgsql AS $$
BEGIN
  IF octet_length(document::text) > 65535 THEN
    RAISE EXCEPTION 'String value exceeds the max size of 65535 bytes' USING ERRCODE = 'XX000';
  END IF;
  RETURN document::text;
END $$;
CREATE FUNCTION to_hex(bytes bytea) RETURNS varchar IMMUTABLE STRICT LANGUAGE sql AS $$ SELECT encode(bytes, 'hex')::varchar $$;
CREATE FUNCTION to_varbyte(value text, format text) RETURNS varbyte IMMUTABLE STRICT LANGUAGE sql
  AS $$ SELECT CASE lower(format) WHEN 'hex' THEN decode(value, 'hex') ELSE convert_to(value, 'UTF8') END::varbyte $$;

-- The names and types that a user may see, in the words of Redshift.
CREATE VIEW svv_all_columns AS
  SELECT table_catalog::varchar AS database_name, table_schema::varchar AS schema_name, table_name::varchar,
    column_name::varchar, ordinal_position::int, column_default::varchar, is_nullable::varchar,
    CASE coalesce(domain_name, data_type) WHEN 'text' THEN 'character varying' WHEN 'json' THEN 'super'
      WHEN 'bytea' THEN 'binary varying' WHEN 'varbyte' THEN 'binary varying'
      ELSE coalesce(domain_name, data_type) END::varchar AS data_type,
    character_maximum_length::int, numeric_precision::int, numeric_scale::int, NULL::varchar AS remarks
  FROM information_schema.columns WHERE table_schema <> 'redshift_double';
GRANT SELECT ON svv_all_columns TO PUBLIC;

-- SUPER and its kin have numbers of their own (redshift_connector 2.2.0, utils/oids.py).
CREATE VIEW redshift_double.pg_type AS
  SELECT oid, typname, typtype, typelem, typbasetype, typnamespace, typrelid FROM pg_catalog.pg_type
  UNION ALL SELECT kind.oid::oid, kind.name::name, 'b'::"char", 0::oid, 0::oid, 11::oid, 0::oid
  FROM (VALUES (4000, 'super'), (6551, 'varbyte'), (2935, 'hllsketch'), (3000, 'geometry'), (3001, 'geography'),
    (1188, 'intervaly2m'), (1190, 'intervald2s')) AS kind (oid, name);
GRANT SELECT ON redshift_double.pg_type TO PUBLIC;
