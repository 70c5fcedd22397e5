//! The bulk query of the documentation: an export of exactly its shape gives documents with every documented field, and
//! no other.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;

use serde_json::{Map, Value, json};
use shopify_plugin::{BULK_QUERY, FIELDS, FieldLevel, OPTIONAL_FIELDS};

use crate::support::*;

/// A selection of the query: fields by name, each with its own selection.
#[derive(Debug, Default)]
struct Selection(BTreeMap<String, Selection>);

impl Selection {
    fn parse<'q>(tokens: &mut Peekable<impl Iterator<Item = &'q str>>) -> Self {
        let mut selection = Selection::default();
        let mut last = String::new();
        while let Some(token) = tokens.next() {
            match token {
                "{" if last == "..." => selection.0.extend(Self::parse(tokens).0),
                "{" => drop(selection.0.insert(last.clone(), Self::parse(tokens))),
                "}" => return selection,
                // `... on Type`: its selection is added to the fields around it.
                "..." => {
                    let _on_type = (tokens.next(), tokens.next());
                    last = token.to_owned();
                }
                name => {
                    selection.0.entry(name.to_owned()).or_default();
                    last = name.to_owned();
                }
            }
        }
        selection
    }

    fn of_query() -> Self {
        let spaced = BULK_QUERY.replace('{', " { ").replace('}', " } ");
        let mut query = Self::parse(&mut spaced.split_whitespace().skip(1).peekable());
        query.0.remove("products").unwrap().node().unwrap()
    }

    /// What is selected of each node, if this is a connection.
    fn node(mut self) -> Option<Self> {
        self.0.remove("edges")?.0.remove("node")
    }

    /// The connections, which become separate lines, and everything else.
    fn split(self) -> (BTreeMap<String, Selection>, Selection) {
        let (connections, rest): (Vec<_>, Vec<_>) =
            self.0.into_iter().partition(|(_, selection)| selection.0.contains_key("edges"));
        let nodes = connections.into_iter().map(|(name, connection)| (name, connection.node().unwrap()));
        (nodes.collect(), Selection(rest.into_iter().collect()))
    }

    /// Fails unless an object has exactly the selected keys, to any depth.
    fn assert_shape(&self, value: &Value) {
        match value {
            Value::Object(fields) => {
                let found: BTreeSet<&String> = fields.keys().filter(|key| *key != "__parentId").collect();
                assert_eq!(found, self.0.keys().collect(), "{value}");
                fields
                    .iter()
                    .filter(|(key, _)| *key != "__parentId")
                    .for_each(|(key, value)| self.0[key].assert_shape(value));
            }
            Value::Array(items) => items.iter().for_each(|item| self.assert_shape(item)),
            _ => {}
        }
    }
}

fn image(name: &str) -> Value {
    json!({"url": format!("https://cdn.example/{name}.jpg?v=1700000001")})
}

fn root() -> Value {
    json!({
        "id": "gid://shopify/Product/7012345678901",
        "title": "Rain jacket",
        "handle": "rain-jacket",
        "descriptionHtml": "<p>Three layers.</p>",
        "vendor": "Nordlys",
        "productType": "Jackets",
        "tags": ["outdoor"],
        "status": "ACTIVE",
        "isGiftCard": false,
        "createdAt": "2026-08-01T08:00:00Z",
        "updatedAt": "2026-11-03T10:15:30Z",
        "publishedAt": "2026-08-02T00:00:00Z",
        "onlineStoreUrl": "https://shop.example/products/rain-jacket",
        "variantsCount": {"count": 2},
        "totalInventory": 7,
        "tracksInventory": true, "requiresSellingPlan": false,
        "category": {"id": "gid://shopify/TaxonomyCategory/aa-1-10-2-1-1-1-1-1", "fullName": "Apparel & Accessories > Clothing > Outerwear > Coats > Rain > Long > Light > Red"},
        "options": [{"name": "Size", "position": 1, "optionValues": [
            {"name": "S", "swatch": {"color": "#c00000", "image": {"image": {"url": "https://cdn.example/red.jpg"}}}}, {"name": "M", "swatch": null},
        ]}],
        "seo": {"title": "Buy a rain jacket", "description": "Dry all day."},
        "priceRangeV2": {
            "minVariantPrice": {"amount": "149.0", "currencyCode": "EUR"},
            "maxVariantPrice": {"amount": "199.0", "currencyCode": "EUR"},
        },
        "featuredMedia": {
            "id": "gid://shopify/MediaImage/501", "alt": "Front", "mediaContentType": "IMAGE", "status": "READY",
            "preview": {"image": image("front")}, "image": image("front"),
        },
    })
}

fn children() -> [(&'static str, Value); 6] {
    let medium = |number: u32, name: &str| {
        json!({
            "id": format!("gid://shopify/MediaImage/{number}"), "alt": name, "mediaContentType": "IMAGE", "status": "READY",
            "preview": {"image": image(name)}, "image": image(name),
        })
    };
    let variant = |number: u32, size: &str, price: &str, before: Value| {
        json!({
            "id": format!("gid://shopify/ProductVariant/{number}"), "title": size, "sku": format!("RJ-{size}"), "barcode": "4006381333931",
            "price": price, "compareAtPrice": before, "position": number, "availableForSale": true, "inventoryQuantity": 4, "inventoryPolicy": "DENY", "requiresComponents": false,
            "inventoryItem": {"tracked": true, "measurement": {"weight": {"value": 1.5, "unit": "KILOGRAMS"}}},
            "unitPriceMeasurement": {"quantityValue": 2.0, "quantityUnit": "L", "referenceValue": 100, "referenceUnit": "ML"},
            "selectedOptions": [{"name": "Size", "value": size}], "image": {"url": image(size)["url"], "altText": size},
            "updatedAt": "2026-11-03T10:15:30Z",
        })
    };
    [
        ("variants", variant(1, "S", "149.00", json!("199.00"))),
        ("variants", variant(2, "M", "199.00", Value::Null)),
        ("media", medium(501, "front")),
        ("media", medium(502, "back")),
        (
            "metafields",
            json!({
                "id": "gid://shopify/Metafield/1", "namespace": "custom", "key": "care", "type": "single_line_text_field", "value": "cold",
                "updatedAt": "2026-11-03T10:15:30Z",
            }),
        ),
        ("collections", json!({"id": "gid://shopify/Collection/1", "title": "Rain", "handle": "rain"})),
    ]
}

/// The lines that the query returns for one product.
fn export() -> Vec<String> {
    let (connections, own) = Selection::of_query().split();
    own.assert_shape(&root());
    let mut lines = vec![root().to_string()];
    for (connection, child) in children() {
        connections[connection].assert_shape(&child);
        lines.push(with(child, json!({"__parentId": root()["id"]})));
    }
    assert_eq!(connections.len() + 1, 5, "Shopify refuses more than five connections");
    assert_eq!(connections.keys().collect::<BTreeSet<_>>().len(), connections.len());
    lines
}

fn assert_documented(documents: &[Map<String, Value>], other: FieldLevel) {
    let found: BTreeSet<&str> =
        documents.iter().flat_map(|document| document.keys().map(String::as_str)).collect();
    // A bulk query may have no more connections.
    let elsewhere = ["selling_plans", "bundle_components"];
    let documented = FIELDS
        .iter()
        .chain(OPTIONAL_FIELDS.iter().filter(|field| !elsewhere.contains(&field.name)))
        .filter(|field| field.level != other)
        .map(|field| field.name)
        .collect();
    assert_eq!(found, documented);
}

#[test]
fn the_documented_query_gives_every_documented_field() {
    for (level, other) in [("product", FieldLevel::Variant), ("variant", FieldLevel::Product)] {
        let transformed =
            run_with(&export(), json!({"level": level, "other-metafields": "list", "add": ["*"]}));
        assert_eq!(transformed.issues, []);
        let documents: Vec<_> = documents(&transformed)
            .into_iter()
            .map(|(_, document)| document.as_object().unwrap().clone())
            .collect();
        assert_documented(&documents, other);
    }
}

#[test]
fn the_query_fits_shopifys_limits() {
    assert!(BULK_QUERY.len() < 65_535);
    assert_eq!(BULK_QUERY.matches("edges").count(), 5);
}

#[test]
fn metafields_of_variants_come_by_a_second_query() {
    let product = json!({"id": root()["id"]});
    let variant = json!({"id": "gid://shopify/ProductVariant/1", "__parentId": root()["id"]});
    let metafield = json!({
        "id": "gid://shopify/Metafield/2", "namespace": "custom", "key": "fit", "type": "single_line_text_field", "value": "slim",
        "__parentId": variant["id"],
    });
    let second = [product, variant, metafield].map(|line| line.to_string());
    let configuration = json!({"level": "variant", "metafields": {"custom.fit": {"field": "fit"}}});
    for lines in [[export(), second.to_vec()].concat(), [second.to_vec(), export()].concat()] {
        let transformed = run_with(&lines, configuration.clone());
        assert_eq!(transformed.issues, []);
        let documents = documents(&transformed);
        let fits: Vec<_> = documents
            .iter()
            .map(|(_, document)| (&document["title"], &document["sku"], &document["fit"]))
            .collect();
        let title = json!("Rain jacket");
        assert_eq!(fits, [(&title, &json!("RJ-S"), &json!("slim")), (&title, &json!("RJ-M"), &Value::Null)]);
    }
}
