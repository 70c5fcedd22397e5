//! Values of metafields, Shopify's custom fields of products. In an export, a value is always a string, whatever its
//! type.

use crate::sample::json::rfc3339;
use crate::sample::product::{ID_STEP, Product};
use crate::sample::rng::Rng;
use std::fmt::Write;

/// Namespace, key and type of the metafields that the shop has defined.
pub(crate) static DEFINITIONS: &[(&str, &str, &str)] = &[
    ("custom", "material", "single_line_text_field"),
    ("reviews", "rating", "rating"),
    ("reviews", "rating_count", "number_integer"),
    ("custom", "features", "list.single_line_text_field"),
    ("custom", "weight", "weight"),
    ("shopify", "color-pattern", "list.metaobject_reference"),
    ("custom", "care_guide", "multi_line_text_field"),
    ("custom", "is_vegan", "boolean"),
    ("custom", "width", "dimension"),
    ("custom", "co2_kg", "number_decimal"),
    ("custom", "story", "rich_text_field"),
    ("custom", "launched", "date"),
    ("custom", "restocked_at", "date_time"),
    ("app--2891--labels", "badge", "json"),
    ("custom", "msrp", "money"),
    ("custom", "manual", "link"),
    ("shopify--discovery--product_recommendation", "related_products", "list.product_reference"),
    ("global", "title_tag", "string"),
    ("custom", "size_chart", "file_reference"),
    ("custom", "spec.sheet", "url"),
];

/// Replaces `out` by a value for the metafield at this position in [`DEFINITIONS`].
pub(crate) fn value(out: &mut String, rng: &mut Rng, product: &Product, definition: usize) {
    out.clear();
    let number = rng.below(1_000);
    let material = product.material;
    let noun = &product.noun;
    // Writing to a string cannot fail.
    let _ = match definition {
        0 => write!(out, "{material}"),
        1 => {
            let (stars, tenth) = (number % 4 + 1, number % 10);
            write!(out, r#"{{"scale_min":"1.0","scale_max":"5.0","value":"{stars}.{tenth}"}}"#)
        }
        2 => write!(out, "{number}"),
        3 => write!(out, r#"["{material}","made to last","{} years of warranty"]"#, number % 9 + 2),
        4 => write!(out, r#"{{"value":{}.{},"unit":"KILOGRAMS"}}"#, number / 100, number % 100),
        5 => write!(
            out,
            r#"["gid://shopify/Metaobject/{}","gid://shopify/Metaobject/{}"]"#,
            7_100 + number,
            9_200 + number
        ),
        6 => write!(out, "Wash cold.\nDry flat.\nIron at {} °C & never tumble dry.", 100 + number % 50),
        7 => write!(out, "{}", number.is_multiple_of(2)),
        8 => write!(out, r#"{{"value":{}.0,"unit":"CENTIMETERS"}}"#, number + 1),
        9 => write!(out, "{}.{:03}", number % 20, number),
        10 => write!(
            out,
            r#"{{"type":"root","children":[{{"type":"paragraph","children":[{{"type":"text","value":"How our "}},{{"type":"text","value":"{noun}","bold":true}},{{"type":"text","value":" came to be: {number} sketches & one idea."}}]}}]}}"#
        ),
        11 => {
            out.extend(moment(product.created).chars().take(10));
            Ok(())
        }
        12 => {
            out.extend(moment(product.updated).chars().take(19));
            write!(out, "+05:30")
        }
        13 => write!(out, r#"{{"label":"Top {number}","color":"\u0023ff{number:04x}","until":null}}"#),
        14 => write!(out, r#"{{"amount":"{}.90","currency_code":"EUR"}}"#, number + 10),
        15 => write!(
            out,
            r#"{{"text":"Care & repair","url":"https://demo.myshopify.com/pages/care?p={number}"}}"#
        ),
        16 => write!(
            out,
            r#"["gid://shopify/Product/{}"]"#,
            product.id - product.index.min(u64::from(number % 4)) * ID_STEP
        ),
        17 => write!(out, "{noun} in {material} | {}", product.brand),
        18 => write!(out, "gid://shopify/MediaImage/{}", product.media_id(number % 8)),
        _ => write!(out, "https://cdn.shop.example/specs/{}.pdf", product.handle),
    };
}

/// A time in seconds since 1970, as `2025-11-20T03:41:58Z`.
fn moment(seconds: i64) -> String {
    rfc3339(seconds).iter().map(|&byte| char::from(byte)).collect()
}
