// @ts-check
// Transforms WooCommerce products and variations, as its REST API v3 returns them: one JSON object a line, in any order. Shops
// and their extensions send other shapes, too: PHP makes an object of a list with gaps (`{"0": …, "2": …}`), nulls stand in lists,
// and numbers are texts or texts numbers. Each value is therefore read by a function that takes all of these.

import { plain } from "./plain.js";

const schema = {
  type: "object",
  additionalProperties: false,
  properties: {
    currency: { type: "string", description: "The shop's currency, which products do not name." },
    hidden: {
      enum: ["keep", "remove"],
      default: "keep",
      description: "Products that the catalog does not show (catalog_visibility hidden).",
    },
  },
};

/** @type {{ currency?: string, hidden?: string }} */
let config = {};

/** @type {import("./types").Manifest} */
export const manifest = {
  describe: () => ({
    name: "woocommerce",
    version: "0.1.0",
    platform: "woocommerce",
    // Ids of products and variations are counted apart and `parent_id` is 0 where there is none, but every record links
    // to itself, and a variation links up to its product.
    grouping: { tag: "by-parent", val: { id: "/_links/self/0/href", parents: ["/_links/up/0/href"] } },
    configSchema: JSON.stringify(schema),
    versionFields: ["updated_at"],
  }),

  configure(text) {
    const settings = JSON.parse(text);
    const wrong = Object.keys(settings).find((key) => !(key in schema.properties));
    if (wrong) throw { code: "invalid-configuration", message: `there is no setting ${wrong}` };
    if (!["keep", "remove", undefined].includes(settings.hidden)) {
      throw { code: "invalid-configuration", message: `hidden is keep or remove, not ${settings.hidden}` };
    }
    config = settings;
  },
};

/** @type {import("./types").Transform} */
export const transform = {
  run(products) {
    /** @type {import("./types").Transformed} */
    const made = { documents: [], counts: [], removals: [], issues: [] };
    products.forEach((text, item) => {
      const before = made.documents.length;
      product(item, text.split("\n").map((line) => JSON.parse(line)), made);
      made.counts.push(made.documents.length - before);
    });
    return made;
  },
};

/**
 * Adds the document, removal or issues of a product.
 * @param {number} item The product's position in the batch.
 * @param {any[]} records The product, each time the export has it, and its variations.
 * @param {import("./types").Transformed} made
 */
function product(item, records, made) {
  /** @param {"error" | "warning"} severity @param {string} code @param {string} message @param {string} path */
  const note = (severity, code, message, path) => made.issues.push({ item, severity, code, message, path });
  const self = link(records[0]);
  const own = newest(records.filter((record) => link(record) === self));
  const id = text(own?.id);
  const title = plain(text(own?.name));
  if (id === undefined || !/^\d+$/.test(id) || title === "" || own.type === "variation") {
    const message = "The record is not a product: it has no id or no name, or is a variation without `_links` to its product.";
    note("error", "not-a-product", message, "");
    return;
  }
  if (typeof own.status !== "string") {
    note("error", "missing-status", "The product does not say whether it is published (`publish`).", "/status");
    return;
  }
  // A variation may change, its stock say, while its product does not.
  const changes = records.map((record) => instant(record, "date_modified") ?? "").sort();
  const updated_at = text(changes.at(-1));
  if (updated_at === undefined) {
    const message = "The product does not say in UTC when it was changed, so older exports are not recognised.";
    note("warning", "missing-date", message, "/date_modified_gmt");
  }
  const isHidden = own.catalog_visibility === "hidden" && config.hidden === "remove";
  if (own.status !== "publish" || isHidden) {
    made.removals.push({ item, id, version: JSON.stringify({ updated_at }) });
    return;
  }
  const variants = variantsOf(records, self);
  const prices = variants.flatMap(({ price }) => (price === undefined ? [] : [price]));
  // A variable product has its own price only once WooCommerce has computed it.
  const price = number(own.price) ?? (prices.length > 0 ? Math.min(...prices) : undefined);
  if (price === undefined) {
    const given = text(own.price);
    const message = given ? `The price ${JSON.stringify(given)} is not a number such as 15.00.` : "The product has no price.";
    note("warning", given ? "invalid-price" : "missing-price", message, "/price");
  }
  const images = some(list(own.images).map(source));
  const fields = {
    title,
    handle: text(own.slug),
    url: text(own.permalink),
    description: text(plain(text(own.description)) || plain(text(own.short_description))),
    sku: text(own.sku),
    price,
    regular_price: number(own.regular_price),
    currency: text(config.currency),
    on_sale: isTrue(own.on_sale),
    available: variants.length > 0 ? variants.some(({ available }) => available) : inStock(own),
    categories: some(list(own.categories).map(name)),
    tags: some(list(own.tags).map(name)),
    brands: some(list(own.brands).map(name)),
    options: some(
      list(own.attributes).flatMap((attribute) =>
        list(attribute.options).map((option) => join(": ", name(attribute), plain(text(option)))),
      ),
    ),
    rating: (number(own.rating_count) ?? 0) > 0 ? number(own.average_rating) : undefined,
    image: images?.[0],
    images,
    created_at: instant(own, "date_created"),
    updated_at,
    variants: variants.length > 0 ? variants : [variant(own, {})],
  };
  made.documents.push({ id, fields: json(fields) });
}

/** @param {any[]} records @param {string} self */
function variantsOf(records, self) {
  /** @type {Map<string, any[]>} */
  const byLink = new Map();
  for (const record of records.filter((record) => link(record) !== self && text(record?.id) !== undefined)) {
    byLink.set(link(record), [...(byLink.get(link(record)) ?? []), record]);
  }
  const all = [...byLink.values()].map(newest);
  const shown = all.filter(({ status }) => status === "publish" || isTrue(status) || (status ?? undefined) === undefined);
  return shown.map((record) => {
    const options = list(record.attributes).map((attribute) => [name(attribute), plain(text(attribute.option))]);
    return variant(record, Object.fromEntries(options.filter(([name, option]) => name && option)));
  });
}

/** @param {any} record @param {Record<string, string>} attributes */
function variant(record, attributes) {
  return {
    id: text(record.id),
    title: text(Object.values(attributes).join(" / ")),
    sku: text(record.sku),
    price: number(record.price),
    available: inStock(record),
    inventory_quantity: number(record.stock_quantity),
    image: some(list(record.image).map(source))?.[0],
    attributes: Object.keys(attributes).length > 0 ? attributes : undefined,
  };
}

/** The last of the records that were changed last: an export may hold one several times. @param {any[]} records */
function newest(records) {
  const changed = (/** @type {any} */ record) => instant(record, "date_modified") ?? "";
  return records.reduce((best, record) => (changed(record) >= changed(best) ? record : best));
}

/** @param {any} record @returns {string} */
const link = (record) => text(list(record?._links?.self)[0]?.href) ?? "";

/** @param {any} record */
const inStock = (record) => record.stock_status !== "outofstock" && isTrue(record.purchasable ?? true);

/** The `_gmt` fields are in UTC and do not say so; the ones without are local times of an unknown place.
 * @param {any} record @param {string} field */
function instant(record, field) {
  const gmt = record?.[`${field}_gmt`];
  return typeof gmt === "string" && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$/.test(gmt) ? `${gmt}Z` : undefined;
}

/** The members of a list without nulls. PHP makes an object of a list with gaps; an object with other keys is a list's only member.
 * @param {any} value @returns {any[]} */
function list(value) {
  const isList = Array.isArray(value) || (typeof value === "object" && value !== null && Object.keys(value).every((key) => /^\d+$/.test(key)));
  return (isList ? Object.values(value) : [value]).filter((member) => member !== null && member !== undefined && member !== "");
}

/** Prices are texts, and empty where there is none. @param {unknown} value */
function number(value) {
  const found = text(value)?.trim() ?? "";
  const parsed = /^-?\d+(\.\d+)?$/.test(found) ? Number(found) : NaN;
  return Number.isFinite(parsed) ? parsed : undefined;
}

/** @param {unknown} value */
function text(value) {
  if (typeof value === "number") return String(value);
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** @param {unknown} value */
const isTrue = (value) => [true, 1, "1", "true", "yes"].includes(/** @type {any} */ (value));

/** The name of a category, tag, brand or attribute. @param {any} value */
const name = (value) => plain(text(typeof value === "object" ? value.name : value));

/** The address of an image. @param {any} value */
const source = (value) => text(typeof value === "object" ? value.src : value);

/** @param {string} separator @param {string[]} parts */
const join = (separator, ...parts) => parts.filter(Boolean).join(separator);

/** Different texts that are not empty; `undefined` if there are none. @param {(string | undefined)[]} values */
function some(values) {
  const found = [...new Set(values)].flatMap((value) => (value ? [value] : []));
  return found.length > 0 ? found : undefined;
}

/** The JSON of a document. Prices and ratings are written as floats, `12.0`: an index takes the type of a field from its first
 * documents, and would refuse 11.5 after 12. A quote within a text is escaped, so that no text looks like such a field.
 * @param {object} fields */
const json = (fields) => JSON.stringify(fields).replace(/("(?:price|regular_price|rating)":-?\d+)(?=[,}])/g, "$1.0");
