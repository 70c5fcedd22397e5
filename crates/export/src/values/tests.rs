use super::*;

/// What is copied of this source; `!` and the error if it fails.
fn copied(source: &str) -> String {
    let mut lines = Vec::new();
    match copy_records(source.as_bytes(), &mut lines, 4096) {
        Ok(more_pages) => String::from_utf8(lines).unwrap() + if more_pages { "more pages\n" } else { "" },
        Err(error) => format!("! {error:?}"),
    }
}

#[test]
fn records_are_found_in_every_form_of_json() {
    let records = "{\"id\":1}\n{\"id\":2}\n";
    for source in [
        r#"[{"id":1},{"id":2}]"#,
        "[\n{\"id\":1},\n{\"id\":2}\n]\n",
        r#"{"id":1}{"id":2}"#,
        "{\"id\":1},\n{\"id\":2},\n",
        "\u{1e}{\"id\":1}\n\u{1e}{\"id\":2}\n",
        "{\"id\":1}\r{\"id\":2}\r",
        "\u{feff}[{\"id\":1}]\n\u{feff}[{\"id\":2}]",
        r#"{"products":[{"id":1},{"id":2}]}"#,
        r#"{"products":[{"id":1}]}{"products":[{"id":2}]}"#,
        r#"[{"products":[{"id":1}]},{"products":[{"id":2}]}]"#,
        r#"{"product_listings":[{"id":1},{"id":2}]}"#,
        "{\"product\":{\"id\":1}}\n{\"product\":{\"id\":2}}\n",
        "{\"node\":{\"id\":1},\"cursor\":\"a\"}\n{\"cursor\":\"b\",\"node\":{\"id\":2}}\n",
        r#"{"data":{"products":{"edges":[{"node":{"id":1}},{"cursor":"x","node":{"id":2}}]}},"extensions":{}}"#,
        r#"{"data":{"products":{"nodes":[{"id":1},{"id":2}],"pageInfo":{"hasNextPage":false}}}}"#,
        r#"{"data":{"first":{"nodes":[{"id":1}]},"second":{"edges":[{"node":{"id":2}}]}}}"#,
        r#"{"data":{"shop":{"products":{"nodes":[{"id":1},{"id":2}]}}}}"#,
        r#"{"data":{"nodes":[{"id":1},{"id":2}]}}"#,
        r#"{"data":{"product":{"id":1}}} {"data":{"product":{"id":2}}}"#,
        r#"{"data":{"product":{"id":1},"gone":null,"other":{"id":2}},"errors":[]}"#,
    ] {
        assert_eq!(copied(source), records, "{source}");
    }
}

#[test]
fn a_record_of_several_lines_becomes_one_line() {
    assert_eq!(
        copied("{\r\n  \"id\": 1,\n  \"t\": \"a\\nb\"\n}\n"),
        "{    \"id\": 1,   \"t\": \"a\\nb\" }\n"
    );
}

#[test]
fn a_record_that_begins_like_an_answer_is_kept_whole() {
    let variant = "{\"product\":{\"id\":1},\"id\":2,\"price\":\"3.00\"}\n";
    assert_eq!(copied(variant), variant);
}

#[test]
fn elements_that_are_no_objects_become_lines_that_are_rejected() {
    assert_eq!(copied(r#"[1,"two",null,[{"id":3}]]"#), "1\n\"two\"\nnull\n[{\"id\":3}]\n");
    // What a platform could not read is missing, and must not look as if the shop had no such product.
    let edges = r#"{"data":{"products":{"edges":[{"node":{"id":1}},{"node":null},null,{}]}}}"#;
    assert_eq!(copied(edges), "{\"id\":1}\nnull\nnull\nnull\n");
    assert_eq!(copied(r#"{"product":null}"#), "null\n");
}

#[test]
fn the_last_page_tells_whether_another_follows() {
    let page = |more: bool| {
        format!(r#"{{"data":{{"products":{{"pageInfo":{{"hasNextPage":{more}}},"nodes":[]}}}}}}"#)
    };
    assert_eq!(copied(&page(true)), "more pages\n");
    assert_eq!(copied(&(page(true) + &page(false))), "");
}

#[test]
fn errors_are_told_in_the_words_of_the_platform() {
    for (source, words) in [
        (r#"{"errors":[{"message":"Throttled","extensions":{}}]}"#, "Throttled"),
        (r#"{"data":{"products":{"nodes":[{"id":1}]}},"errors":[{"message":"a"},{"message":"b"}]}"#, "a; b"),
        (r#"{"errors":"[API] Invalid API key"}"#, "[API] Invalid API key"),
        (r#"{"errors":{"base":["no"]}}"#, r#"{\"base\":[\"no\"]}"#),
        ("{\"errors\":\"red \\u001b[31m\"}", r"red \\u{1b}[31m"),
    ] {
        assert_eq!(copied(source), format!("! ErrorAnswer {{ message: \"{words}\" }}"), "{source}");
    }
    let mutation = r#"{"data":{"productUpdate":{"product":null,"userErrors":[]}},"__lineNumber":0}"#;
    assert_eq!(copied(mutation), "! MutationAnswer");
}

#[test]
fn a_document_that_is_cut_anywhere_is_refused() {
    for source in [
        r#"[{"id":1,"t":"x\"y"},{"id":-2.5e7}]"#,
        r#"{"data":{"products":{"edges":[{"node":{"id":1}}],"pageInfo":{"hasNextPage":false}}}}"#,
        r#"{"products":[{"id":1},{"id":true}]}"#,
    ] {
        for end in 1..source.len() {
            let result = copied(&source[..end]);
            assert!(result.starts_with("! Truncated"), "{} {result}", &source[..end]);
        }
    }
}

#[test]
fn a_record_beyond_the_limit_is_refused_and_others_are_not() {
    let record = |length: usize| format!("{{\"id\":\"{}\"}}", "x".repeat(length));
    let many = vec![record(3000); 100].join(",");
    assert_eq!(copied(&format!("[{many}]")).lines().count(), 100);
    for source in
        [format!("[{many},{}]", record(5000)), record(5000), format!("{{\"data\":{{\"a\":{}", record(5000))]
    {
        assert!(copied(&source).starts_with("! TooLong"), "{}", copied(&source));
    }
}

#[test]
fn nesting_of_any_depth_does_not_exhaust_the_stack() {
    for (open, close) in [
        ("[", "]"),
        (r#"{"products":"#, "}"),
        (r#"{"products":["#, "]}"),
        (r#"{"data":{"x":"#, "}}"),
        (r#"{"edges":[{"node":"#, "}]}"),
        (r#"{"data":"#, "}"),
        (r#"{"product":"#, "}"),
    ] {
        let source = format!("{}{{}}{}", open.repeat(100_000), close.repeat(100_000));
        // An error or a record: what counts is that an answer comes.
        let _ = copy_records(source.as_bytes(), io::sink(), 1 << 26);
    }
}
