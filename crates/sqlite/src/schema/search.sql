-- Names the fields that a product's words were made of, and how; an empty name that they have to be made anew.
ALTER TABLE products ADD COLUMN search_config TEXT NOT NULL DEFAULT '';
CREATE INDEX products_by_search_config ON products (merchant, index_name, search_config, source_id);

-- The words of a product, as host folds them, separated by spaces; the texts themselves are not kept. The tokenizer leaves
-- such words as they are.
DROP TABLE product_words;
CREATE VIRTUAL TABLE product_words USING fts5 (
    title, codes, text, content = '', contentless_delete = 1, detail = column, tokenize = 'ascii'
);
