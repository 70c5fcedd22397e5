// @ts-check
// Transforms WooCommerce products and variations, as its REST API v3 returns them: one JSON object a line, in any order.

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
  const self = link(records[0]);
  const own = newest(records.filter((record) => link(record) === self));
  if (typeof own.id !== "number" || typeof own.name !== "string" || own.type === "variation") {
    const message = "The record is not a product: it has no id or no name, or is a variation without `_links` to its product.";
    made.issues.push({ item, severity: "error", code: "not-a-product", message, path: "" });
    return;
  }
  const id = String(own.id);
  // A variation may change, its stock say, while its product does not.
  const changes = records.map((record) => instant(record, "date_modified") ?? "").sort();
  const updated_at = text(changes.at(-1));
  if (updated_at === undefined) {
    const message = "The product does not say in UTC when it was changed, so older exports are not recognised.";
    made.issues.push({ item, severity: "warning", code: "missing-date", message, path: "/date_modified_gmt" });
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
    const message = "The product has no price.";
    made.issues.push({ item, severity: "warning", code: "missing-price", message, path: "/price" });
  }
  const images = (own.images ?? []).map((/** @type {any} */ image) => image.src).filter(Boolean);
  const names = (/** @type {any[] | undefined} */ list) => some((list ?? []).map(({ name }) => name));
  const fields = {
    title: plain(own.name),
    handle: text(own.slug),
    url: text(own.permalink),
    description: text(plain(own.description) || plain(own.short_description)),
    sku: text(own.sku),
    price,
    regular_price: number(own.regular_price),
    currency: text(config.currency),
    on_sale: own.on_sale === true,
    available: variants.length > 0 ? variants.some(({ available }) => available) : inStock(own),
    categories: names(own.categories),
    tags: names(own.tags),
    brands: names(own.brands),
    options: some(
      (own.attributes ?? []).flatMap((/** @type {any} */ attribute) =>
        (attribute.options ?? []).map((/** @type {string} */ option) => `${attribute.name}: ${option}`),
      ),
    ),
    rating: own.rating_count > 0 ? number(own.average_rating) : undefined,
    image: text(images[0]),
    images: some(images),
    created_at: instant(own, "date_created"),
    updated_at,
    variants: variants.length > 0 ? variants : [variant(own, {})],
  };
  made.documents.push({ id, fields: JSON.stringify(fields) });
}

/** @param {any[]} records @param {string} self */
function variantsOf(records, self) {
  /** @type {Map<string, any[]>} */
  const byLink = new Map();
  for (const record of records.filter((record) => link(record) !== self)) {
    byLink.set(link(record), [...(byLink.get(link(record)) ?? []), record]);
  }
  const all = [...byLink.values()].map(newest);
  const shown = all.filter(({ status }) => status === "publish" || status === true || status === undefined);
  return shown.map((record) => {
    const options = (record.attributes ?? []).map((/** @type {any} */ { name, option }) => [name, option]);
    return variant(record, Object.fromEntries(options));
  });
}

/** @param {any} record @param {Record<string, string>} attributes */
function variant(record, attributes) {
  return {
    id: String(record.id),
    title: text(Object.values(attributes).join(" / ")),
    sku: text(record.sku),
    price: number(record.price),
    available: inStock(record),
    inventory_quantity: record.stock_quantity ?? undefined,
    image: text(record.image?.src),
    attributes: Object.keys(attributes).length > 0 ? attributes : undefined,
  };
}

/** The last of the records that were changed last: an export may hold one several times. @param {any[]} records */
function newest(records) {
  const changed = (/** @type {any} */ record) => instant(record, "date_modified") ?? "";
  return records.reduce((best, record) => (changed(record) >= changed(best) ? record : best));
}

/** @param {any} record @returns {string} */
const link = (record) => record._links?.self?.[0]?.href ?? "";

/** @param {any} record */
const inStock = (record) => record.stock_status !== "outofstock" && record.purchasable !== false;

/** The `_gmt` fields are in UTC and do not say so; the ones without are local times of an unknown place.
 * @param {any} record @param {string} field */
function instant(record, field) {
  const gmt = record[`${field}_gmt`];
  return typeof gmt === "string" && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$/.test(gmt) ? `${gmt}Z` : undefined;
}

/** Prices are texts, and empty where there is none. @param {unknown} value */
function number(value) {
  const parsed = typeof value === "string" && value.trim() === "" ? NaN : Number(value ?? NaN);
  return Number.isFinite(parsed) ? parsed : undefined;
}

/** @param {unknown} value */
const text = (value) => (typeof value === "string" && value !== "" ? value : undefined);

/** @param {any[]} list */
const some = (list) => (list.length > 0 ? [...new Set(list)] : undefined);

const entities = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: " ", ndash: "–", mdash: "—", hellip: "…" };

/** The text of some HTML. @param {unknown} html */
function plain(html) {
  if (typeof html !== "string") return "";
  return html
    .replace(/<(script|style)\b[\s\S]*?<\/\1\s*>/gi, " ")
    .replace(/<[^>]*>/g, " ")
    .replace(/&(?:#(\d+)|#x([0-9a-f]+)|([a-z]+));/gi, (whole, decimal, hex, name) => {
      if (name) return entities[/** @type {keyof typeof entities} */ (name.toLowerCase())] ?? whole;
      const code = decimal ? Number(decimal) : parseInt(hex, 16);
      return code > 0 && code < 0x110000 && (code < 0xd800 || code > 0xdfff) ? String.fromCodePoint(code) : " ";
    })
    .replace(/\s+/g, " ")
    .trim();
}
