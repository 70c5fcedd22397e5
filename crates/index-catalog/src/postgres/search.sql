-- Names the fields that a product's words were made of, and how; an empty name that they have to be made anew.
ALTER TABLE catalog.products ADD COLUMN search_config text COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX products_by_search_config ON catalog.products (merchant, index_name, search_config, source_id);

-- The words of a product, as the host folds them: A those of the title, B whole codes, D all others.
ALTER TABLE catalog.products ADD COLUMN words tsvector NOT NULL DEFAULT '';
ALTER TABLE catalog.products DROP COLUMN search_text;
