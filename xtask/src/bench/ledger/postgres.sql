-- What PostgreSQL does for a governed call, as one function for each half of a pair.

-- Room in a page for new versions of a row, which is what hot rows are advised to have.
CREATE TABLE cells (
    id integer PRIMARY KEY,
    allocated bigint NOT NULL,
    held bigint NOT NULL DEFAULT 0,
    used bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10);

CREATE TABLE open_awus (
    awu bigint PRIMARY KEY,
    cells integer[] NOT NULL,
    amounts bigint[] NOT NULL
);

CREATE TABLE entries (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    awu bigint NOT NULL,
    outcome text NOT NULL,
    content text NOT NULL
);

CREATE FUNCTION begin_anew(count integer) RETURNS void LANGUAGE sql AS $$
    TRUNCATE cells, open_awus, entries;
    INSERT INTO cells (id, allocated) SELECT id, 1000000000000000000 FROM generate_series(1, count) AS id;
$$;

CREATE FUNCTION reserve(the_awu bigint, path integer[], wanted bigint[], content text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    fits boolean;
BEGIN
    -- The rows are held from here until the commit, in the order of their numbers.
    SELECT bool_and(step.allocated - step.held - step.used >= step.amount) INTO fits FROM (
        SELECT allocated, held, used, amount
        FROM cells JOIN unnest(path, wanted) AS asked (id, amount) USING (id)
        ORDER BY id FOR UPDATE OF cells
    ) AS step;
    IF fits THEN
        UPDATE cells SET held = held + amount
        FROM unnest(path, wanted) AS asked (id, amount) WHERE cells.id = asked.id;
        INSERT INTO open_awus VALUES (the_awu, path, wanted);
    END IF;
    INSERT INTO entries (awu, outcome, content)
    VALUES (the_awu, CASE WHEN fits THEN 'admitted' ELSE 'refused' END, content);
    RETURN fits;
END
$$;

CREATE FUNCTION settle(the_awu bigint, actual bigint[], content text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    open open_awus;
BEGIN
    DELETE FROM open_awus WHERE awu = the_awu RETURNING * INTO STRICT open;
    PERFORM FROM cells WHERE id = ANY (open.cells) ORDER BY id FOR UPDATE;
    UPDATE cells SET held = held - reserved, used = used + spent
    FROM unnest(open.cells, open.amounts, actual) AS posted (id, reserved, spent) WHERE cells.id = posted.id;
    INSERT INTO entries (awu, outcome, content) VALUES (the_awu, 'settled', content);
END
$$;

-- Whether what stands in the cells is what the entries say, and nothing was refused.
CREATE FUNCTION adds_up(actual bigint) RETURNS boolean LANGUAGE sql AS $$
    SELECT count(*) FILTER (WHERE outcome = 'refused') = 0
       AND count(*) = 2 * count(*) FILTER (WHERE outcome = 'settled')
       AND count(*) FILTER (WHERE outcome = 'settled') * actual = (SELECT sum(used) FROM cells)
       AND (SELECT sum(held) FROM cells) = 0
    FROM entries
$$;
