-- The café's tables as its till writes them: money in cents, times without a zone (UTC).
-- Running this again starts over.

DROP TABLE IF EXISTS customers, orders, products, tweets;

CREATE TABLE customers (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    -- The café never asked for it; made from the id so that every address is one of a kind.
    email text NOT NULL GENERATED ALWAYS AS ('customer-' || left(id::text, 13) || '@example.com') STORED
);

CREATE TABLE products (
    sku text PRIMARY KEY,
    name text NOT NULL,
    type text NOT NULL,
    price integer NOT NULL,
    description text NOT NULL
);

CREATE TABLE orders (
    id uuid PRIMARY KEY,
    customer uuid NOT NULL,
    ordered_at timestamp NOT NULL,
    store_id uuid NOT NULL,
    subtotal integer NOT NULL,
    tax_paid integer NOT NULL,
    order_total integer NOT NULL
);

CREATE TABLE tweets (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    tweeted_at timestamp NOT NULL,
    content text NOT NULL
);

-- What incremental reading needs: an index on the cursor.
CREATE INDEX orders_ordered_at ON orders (ordered_at);
CREATE INDEX tweets_tweeted_at ON tweets (tweeted_at);
