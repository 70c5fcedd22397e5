CREATE TABLE catalog.products (
    id           bigint      PRIMARY KEY,
    merchant     text        COLLATE "C" NOT NULL,
    index_name   text        COLLATE "C" NOT NULL,
    source_id    text        COLLATE "C" NOT NULL,
    title        text,
    fields       json        NOT NULL, -- the document but for its variants; not jsonb, which changes numbers
    version      json        NOT NULL,
    content_hash text        NOT NULL,
    text_hash    text        NOT NULL, -- of the text that is embedded
    search_text  text        NOT NULL, -- the words that it is searched by
    job_id       text        NOT NULL, -- the job that wrote it last
    status       text        NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'archived')),
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL, -- a write that changes nothing but the job leaves it
    UNIQUE (merchant, index_name, source_id)
);

CREATE TABLE catalog.skus (
    id         bigint  PRIMARY KEY,
    product_id bigint  NOT NULL REFERENCES catalog.products ON DELETE CASCADE,
    source_id  text    COLLATE "C" NOT NULL,
    position   integer NOT NULL, -- among the product's variants, from 0
    sku        text,
    price      text,             -- decimal, as it was written
    rest       json    NOT NULL, -- what cannot be restored exactly from the columns and the attributes
    UNIQUE (product_id, source_id)
);

-- Each row once, which the lock on its product sees to: a key of values would refuse long ones.
CREATE TABLE catalog.attributes (
    sku_id bigint NOT NULL REFERENCES catalog.skus ON DELETE CASCADE,
    name   text   NOT NULL,
    value  text   NOT NULL
);
CREATE INDEX attributes_by_sku ON catalog.attributes (sku_id);

-- The newest job that had a product in its export, by the time of its creation. Apart from the products, because it changes
-- with each sync while they seldom do; with room on its pages, so that a change stays on its page.
CREATE TABLE catalog.seen (
    product_id     bigint      PRIMARY KEY REFERENCES catalog.products ON DELETE CASCADE,
    job_created_at timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE catalog.loads (
    merchant   text        COLLATE "C" NOT NULL,
    index_name text        COLLATE "C" NOT NULL,
    job_id     text        NOT NULL,
    began_at   timestamptz NOT NULL, -- when the job was created
    load       json        NOT NULL,
    PRIMARY KEY (merchant, index_name, job_id)
);

-- Products whose embedding is missing or of another text than theirs.
CREATE TABLE catalog.to_embed (
    product_id bigint PRIMARY KEY REFERENCES catalog.products ON DELETE CASCADE,
    text_hash  text   NOT NULL,
    refused    text             -- why the endpoint does not take this text
);

CREATE TABLE catalog.embeddings (
    product_id  bigint      PRIMARY KEY REFERENCES catalog.products ON DELETE CASCADE,
    text_hash   text        NOT NULL, -- current only while it is the product's
    model       text        NOT NULL,
    vector      real[]      NOT NULL, -- becomes a vector where pgvector is
    embedded_at timestamptz NOT NULL
);

-- A host takes a block of ids at a time.
CREATE SEQUENCE catalog.id_blocks AS bigint INCREMENT BY 1000;
