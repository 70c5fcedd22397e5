//! Checks of search by words, which run on SQLite and PostgreSQL, and a comparison of what both find.

use crate::{
    backend::Backend,
    checks::{archive, of_job, put},
    postgres::postgres,
    sqlite::sqlite,
};
use host_core::index::{Index, Write, WriteTarget};
use host_index_catalog::Catalog;
use host_testing::build::{id, removals, write};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::{Value, json};

/// Ids of the documents that a search finds, in its order.
async fn search(catalog: &Catalog, target: &WriteTarget, text: &str) -> Vec<String> {
    let hits = catalog.search(target, text, 10).await.unwrap();
    hits.into_iter().map(|hit| hit.id).collect()
}

pub(crate) async fn exact_words_come_before_beginnings_and_titles_above_the_rest(backend: &Backend) {
    let (catalog, target) = (&backend.catalog, backend.target());
    for word in ["pen", "tee", "robe", "ring", "cat"] {
        // Longer words that begin with the word, and other fields with it, are many.
        let beginnings = (0..20).map(|n| {
            let title = format!("{word}x{n} {word}y{n}");
            write(&format!("beginning-{n:02}"), json!({"title": title, "tags": vec![format!("{word}z"); n]}))
        });
        let tagged = (0..3).map(|n| {
            let text = format!("{word} ").repeat(n + 1);
            write(
                &format!("text-{n}"),
                json!({"title": format!("Gift {n}"), "description": text, "tags": [word]}),
            )
        });
        let titles = ["A {} for the whole family, and more", "The {}", "{}"];
        let titled = titles.iter().zip(0..).map(|(title, n)| {
            write(&format!("title-{n}"), json!({"title": title.replace("{}", &word.to_uppercase())}))
        });
        let both = json!({"title": format!("{word}x"), "tags": [word]});
        let both = write("beginning-of-title-and-text", both);
        let begins = write("beginning-of-text", json!({"title": "X", "vendor": format!("{word}ville")}));
        let all: Vec<Write> = beginnings.chain(tagged).chain([begins, both]).chain(titled).collect();
        put(catalog, &target, &all).await;
        let found = search(catalog, &target, word).await;
        let first = [
            "title-2",
            "title-1",
            "title-0",
            "beginning-of-title-and-text",
            "text-0",
            "text-1",
            "text-2",
            "beginning-00",
        ];
        assert_eq!(found[..8], first, "{word}");
        let hits = catalog.search(&target, word, 99).await.unwrap();
        assert_eq!((hits.len(), hits.last().unwrap().id.as_str()), (28, "beginning-of-text"), "{word}");
        assert!(hits.is_sorted_by(|one, other| one.score >= other.score), "{hits:?}");
    }
    // With several words, those with more of them exact come first, then those with more of them in the title.
    put(
        catalog,
        &target,
        &[
            write("1", json!({"title": "Lamp", "tags": ["oak", "wood"]})),
            write("2", json!({"title": "Oak lamp", "tags": ["wood"]})),
            write("3", json!({"title": "Oaken woody thing"})),
            write("4", json!({"title": "Oak woodwork"})),
            write("5", json!({"title": "Only oak"})),
        ],
    )
    .await;
    assert_eq!(search(catalog, &target, "wood oak").await, ["2", "1", "4", "3"]);
}

pub(crate) async fn a_code_finds_its_product_first(backend: &Backend) {
    let (catalog, target) = (&backend.catalog, backend.target());
    let skus = ["AB-12/3.4", "12", "X_1+Y", "red", "ÄÖ-7", "0012-0034", "A.B.C", "9 000 1", "SKU#5", "-"];
    let mut all: Vec<Write> = (0..40)
        .map(|n| {
            let title = format!("Red AB 12 3 4 X 1 Y ÄÖ 7 0012 0034 A B C 9 000 1 SKU 5 number {n}");
            write(&format!("other-{n}"), json!({"title": title}))
        })
        .collect();
    all.extend(skus.iter().zip(0..).map(|(sku, n)| {
        let variants =
            json!([{"id": "1", "sku": "none"}, {"id": "2", "sku": sku, "barcode": format!("40{n:011}")}]);
        write(&format!("of-variant-{n}"), json!({"title": "Thing", "variants": variants}))
    }));
    all.push(write(
        "of-field",
        json!({"title": "Thing", "skus": ["ZZ-1", "ZZ-2"], "barcodes": [4006381333931_u64]}),
    ));
    all.push(write("variant", json!({"title": "Thing", "sku": "ZZ.9", "barcode": "978-3-16"})));
    put(catalog, &target, &all).await;
    for (sku, n) in skus.iter().zip(0..) {
        let expected = if *sku == "-" { None } else { Some(format!("of-variant-{n}")) };
        assert_eq!(search(catalog, &target, sku).await.into_iter().next(), expected, "{sku}");
        let barcode = search(catalog, &target, &format!("40{n:011}")).await;
        assert_eq!(barcode, [format!("of-variant-{n}")]);
    }
    for (text, expected) in [
        ("ab1234", "of-variant-0"),
        ("ab 12-3-4", "of-variant-0"),
        ("zz-2", "of-field"),
        ("zz2", "of-field"),
        ("4006381333931", "of-field"),
        ("ZZ9", "variant"),
        ("978316", "variant"),
        ("978", "variant"),
    ] {
        assert_eq!(search(catalog, &target, text).await[0], expected, "{text}");
    }
}

pub(crate) async fn handles_descriptions_and_vendors_are_searched(backend: &Backend) {
    let (catalog, target) = (&backend.catalog, backend.target());
    let fields = json!({
        "title": "Red shoes", "handle": "winter-boots-2", "vendor": "Größe & Söhne", "options": ["Color: Scarlet"],
        "product_type": "Footwear", "category": "Apparel > Shoes", "tags": ["red-hot"], "collections": ["Sale"],
        "description": "Made of fine leather.\nHand-stitched.", "price": 17,
    });
    put(catalog, &target, &[write("1", fields)]).await;
    for text in [
        "winter-boots-2",
        "winter boot",
        "größe",
        "GROSSE",
        "sohne",
        "scarlet",
        "foot",
        "apparel",
        "hot",
        "sale",
        "stitched leather",
        "red leather",
    ] {
        assert_eq!(search(catalog, &target, text).await, ["1"], "{text}");
    }
    for text in ["17", "red leathers", "ed", "blue"] {
        assert!(search(catalog, &target, text).await.is_empty(), "{text}");
    }
}

pub(crate) async fn a_search_finds_what_is_there_now(backend: &Backend) {
    let (catalog, target) = (&backend.catalog, backend.target());
    let titles = ["Red shoes", "Blue shoes", "Red hat"];
    let titled = titles.iter().zip(1..).map(|(title, n)| write(&n.to_string(), json!({"title": title})));
    put(catalog, &target, &titled.collect::<Vec<_>>()).await;
    assert_eq!(search(catalog, &target, "shoe").await, ["1", "2"]);
    assert_eq!(catalog.search(&target, "shoe", 1).await.unwrap()[0].title.as_deref(), Some("Red shoes"));
    assert!(catalog.search(&target, "shoe", 0).await.unwrap().is_empty());
    put(catalog, &target, &[write("1", json!({"title": "Green boots"}))]).await;
    assert_eq!(search(catalog, &target, "shoes").await, ["2"]);
    assert_eq!(search(catalog, &target, "boots").await, ["1"]);
    let update = write("3", json!({"variants": [{"id": "1", "sku": "H-1"}]}));
    catalog.update(&target, &[update]).await.unwrap();
    assert_eq!(search(catalog, &target, "h1 hat").await, ["3"]);
    catalog.delete(&target, &removals(&[id("2")])).await.unwrap();
    assert!(search(catalog, &target, "shoes").await.is_empty());
    archive(catalog, &of_job(&target, 60), &catalog.list(&target, None, 99).await.unwrap()).await;
    assert!(search(catalog, &target, "hat").await.is_empty());
    put(catalog, &of_job(&target, 120), &[write("3", json!({"title": "Red hat"}))]).await;
    assert_eq!(search(catalog, &target, "hat").await, ["3"]);
    let other_shop = WriteTarget { shop_id: "other".to_owned(), ..target };
    assert!(search(catalog, &other_shop, "hat").await.is_empty());
}

pub(crate) async fn hostile_searches_find_nothing_and_break_nothing(backend: &Backend) {
    let (catalog, target) = (&backend.catalog, backend.target());
    put(catalog, &target, &[write("1", json!({"title": "Red shoes \0 'x' \"y\" a:b \\", "sku": "'; DROP"}))])
        .await;
    for text in [
        "",
        " ",
        "'",
        "\"",
        "\\",
        "\0",
        "*",
        "\" OR *",
        "boots OR red",
        "red NOT shoes",
        "NEAR(red, shoes)",
        "title : x1",
        "red AND",
        "^boots",
        "-",
        "'); DROP TABLE products; --",
        "\u{300}",
        "\u{feff}\u{202e}",
        "red\0boots",
    ] {
        assert!(search(catalog, &target, text).await.is_empty(), "{text:?}");
    }
    for text in
        ["red & | !", "x y a b", "\"red\" 'shoes'", "red\0shoes", "shoes*", "'; DROP", "R\u{301}ed", "(red)"]
    {
        assert_eq!(search(catalog, &target, text).await, ["1"], "{text:?}");
    }
    let words = |count: usize| (0..count).map(|n| format!("w{n}")).collect::<Vec<_>>();
    let many = write("2", json!({"title": "Many", "description": words(10_000).join(" ")}));
    put(catalog, &target, &[many]).await;
    assert_eq!(search(catalog, &target, &words(100).join(" ")).await, ["2"]);
    let refused = catalog.search(&target, &words(10_000).join(" "), 10).await.unwrap_err();
    assert!(!refused.transient);
    let message = host_core::error::chain(&refused);
    assert!(message.contains("at most 100 different words, and this one has 10000"), "{message}");
    assert!(search(catalog, &target, &"x".repeat(1_000_000)).await.is_empty());
    assert_eq!(search(catalog, &target, &"red ".repeat(100_000)).await, ["1"]);
}

pub(crate) async fn a_product_with_more_words_than_the_database_takes_is_written(backend: &Backend) {
    let (catalog, target) = (&backend.catalog, backend.target());
    let text = |from: u32| (0..120_000_u32).map(|n| format!("{:x} ", n * 7919 + from)).collect::<String>();
    let long = ["한국어".repeat(40_000), "x".repeat(300_000), "ﷺ".repeat(20_000)];
    let skus: Vec<String> = (0..2_048).map(|n| format!("SKU-{n}/{}", "é".repeat(120))).collect();
    let fields = json!({"title": long[0], "vendor": long[1], "tags": [long[2], text(1)], "skus": skus, "description": text(0)});
    let product = write("1", fields);
    put(catalog, &target, &[product]).await;
    assert_eq!(search(catalog, &target, &long[0]).await, ["1"]);
    assert_eq!(search(catalog, &target, &long[1]).await, ["1"]);
}

pub(crate) async fn after_a_change_of_the_fields_the_words_are_made_anew(backend: &Backend) {
    let target = backend.target();
    let product = |n: usize| {
        let variants = json!([{"id": "1", "sku": format!("S-{n}"), "color": format!("blue{n}")}]);
        write(
            &format!("p{n:03}"),
            json!({"title": format!("Mug {n}"), "vendor": "Acme", "material": "Clay", "variants": variants}),
        )
    };
    // More than are renewed at once.
    put(&backend.catalog, &target, &(0..450).map(product).collect::<Vec<_>>()).await;
    let other_shop = WriteTarget { shop_id: "other".to_owned(), ..target.clone() };
    put(&backend.catalog, &other_shop, &[product(1)]).await;
    let archived = [id("p449")];
    archive(&backend.catalog, &of_job(&target, 60), &archived).await;
    let count = async |catalog: &Catalog, text: &str| catalog.search(&target, text, 999).await.unwrap().len();
    assert_eq!((count(&backend.catalog, "acme").await, count(&backend.catalog, "clay").await), (449, 0));
    let changed = backend.searched_by(&["material", "variants.color", "title"]);
    assert_eq!((count(&changed, "acme").await, count(&changed, "clay mug").await), (0, 449));
    assert_eq!(
        search(&changed, &target, "blue17").await,
        ["p017", "p170", "p171", "p172", "p173", "p174", "p175", "p176", "p177", "p178"]
    );
    assert!(search(&changed, &target, "s-17").await.is_empty());
    assert_eq!(search(&changed, &other_shop, "clay").await, ["p001"]);
    // What is written meanwhile has the words of its writer's settings, whichever these are.
    put(
        &backend.catalog,
        &target,
        &[write("p000", json!({"title": "Cup", "vendor": "Acme", "material": "Clay"}))],
    )
    .await;
    assert_eq!(search(&changed, &target, "cup clay").await, ["p000"]);
    assert_eq!(search(&backend.catalog, &target, "s-17").await[0], "p017");
    assert_eq!(count(&backend.catalog, "acme").await, 449);
}

/// Words of products that an older version of host wrote are found once `migrate` has brought its schema up to date.
pub(crate) async fn products_of_an_older_version_are_found(
    backend: &Backend,
    downgrade: impl AsyncFnOnce(),
    upgrade: impl AsyncFnOnce(),
) {
    let (catalog, target) = (&backend.catalog, backend.target());
    let variants = json!([{"id": "1", "sku": "M-1/2", "attributes": {"Size": "L"}}]);
    let mug = write("1", json!({"title": "Mug", "description": "Clay", "variants": variants}));
    put(catalog, &target, &[mug.clone(), write("2", json!({"title": "Cup"}))]).await;
    let before = catalog.get(&target, &id("1")).await.unwrap();
    downgrade().await;
    upgrade().await;
    assert_eq!(catalog.get(&target, &id("1")).await.unwrap(), before);
    for text in ["mug", "clay", "m-1/2"] {
        assert_eq!(search(catalog, &target, text).await, ["1"], "{text}");
    }
    put(catalog, &target, &[write("2", json!({"title": "Mug"}))]).await;
    assert_eq!(search(catalog, &target, "mug").await, ["1", "2"]);
    catalog.delete(&target, &removals(&[id("1")])).await.unwrap();
    assert_eq!(search(catalog, &target, "mug").await, ["2"]);
}

const WORDS: [&str; 14] = [
    "pen", "pens", "Pencil", "penÇ", "red", "redo", "re", "cat", "CATS", "a-1", "A.12", "1", "straße", "ring",
];

fn words(count: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(WORDS.to_vec()), count).prop_map(|words| words.join(" "))
}

fn product() -> impl Strategy<Value = Value> {
    (words(0..5), words(0..3), words(0..8), words(0..2), words(0..2)).prop_map(
        |(title, tag, description, sku, of_variant)| {
            json!({
                "title": title, "tags": [tag], "description": description, "sku": sku,
                "variants": [{"id": "1", "sku": of_variant}],
            })
        },
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_and_postgres_find_the_same() {
    let (sqlite, postgres) = (sqlite(), postgres());
    let mut runner = TestRunner::deterministic();
    let products = prop::collection::vec(product(), 300).new_tree(&mut runner).unwrap().current();
    let writes: Vec<Write> =
        products.into_iter().enumerate().map(|(at, fields)| write(&format!("p{at}"), fields)).collect();
    let target = sqlite.target();
    for backend in [&sqlite, &postgres] {
        put(&backend.catalog, &target, &writes).await;
    }
    let mut found = 0;
    for text in prop::collection::vec(words(1..4), 150).new_tree(&mut runner).unwrap().current() {
        let [of_sqlite, of_postgres] =
            [&sqlite, &postgres].map(|backend| backend.catalog.search(&target, &text, 25));
        let (of_sqlite, of_postgres) = (of_sqlite.await.unwrap(), of_postgres.await.unwrap());
        found += of_sqlite.len();
        assert_eq!(of_sqlite, of_postgres, "{text}");
    }
    assert!(found > 1_000, "{found}");
}
