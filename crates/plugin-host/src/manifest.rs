//! Checks the manifest of a plug-in, in which it describes itself: its names go into storage keys, reports and file
//! names.

use crate::{
    Role,
    raw::RawDescription,
    untrusted_text::{is_kebab_case, is_pointer, sanitize, truncate},
};
use host_core::model::PluginManifest;

/// The longest configuration schema in bytes.
const SCHEMA_BYTES: usize = 1 << 20;

/// The most version fields, the document fields by which two versions of a document are compared: the host reads each
/// of them from the index for each document.
const VERSION_FIELDS: usize = 16;

/// The longest name of a version field and the longest pointer in bytes.
const NAME_BYTES: usize = 255;

/// The most JSON Pointers under which a line of an export may name its parent record.
const PARENTS: usize = 16;

/// Checks a description. The error says in one clause what is wrong.
pub(super) fn check(description: RawDescription, roles: &[Role]) -> Result<PluginManifest, String> {
    use host_core::model::Grouping;

    let quoted = |text: &str| format!("{:?}", truncate(text, 80));
    if !is_kebab_case(&description.name) {
        return Err(format!(
            "the name {} is not kebab-case of at most 64 characters",
            quoted(&description.name)
        ));
    }
    if !is_semantic_version(&description.version) {
        return Err(format!(
            "the version {} is not a semantic version such as 1.4.0",
            quoted(&description.version)
        ));
    }
    if !description.platform.is_empty() && !is_kebab_case(&description.platform) {
        return Err(format!("the platform {} is not kebab-case", quoted(&description.platform)));
    }
    if description.platform.is_empty() && roles.contains(&Role::Transform) {
        return Err("it transforms products but names no platform".to_owned());
    }
    if let Grouping::ByParent { id, parents } = &description.grouping {
        if parents.is_empty() || parents.len() > PARENTS {
            return Err(format!(
                "the grouping has {} pointers to parents; 1 to {PARENTS} are allowed",
                parents.len()
            ));
        }
        let is_wrong =
            |pointer: &&String| pointer.is_empty() || pointer.len() > NAME_BYTES || !is_pointer(pointer);
        if let Some(wrong) = parents.iter().chain([id]).find(is_wrong) {
            return Err(format!("{} in the grouping is not a JSON Pointer such as /id", quoted(wrong)));
        }
    }
    if description.config_schema.len() > SCHEMA_BYTES {
        return Err(format!("the configuration schema has more than {SCHEMA_BYTES} bytes"));
    }
    if let Err(error) = serde_json::from_str::<serde_json::Value>(&description.config_schema) {
        return Err(format!("the configuration schema is not JSON: {error}"));
    }
    if description.version_fields.len() > VERSION_FIELDS {
        return Err(format!(
            "it has {} version fields; {VERSION_FIELDS} are allowed",
            description.version_fields.len()
        ));
    }
    for (index, field) in description.version_fields.iter().enumerate() {
        let is_usable = !field.is_empty() && field.len() <= NAME_BYTES && sanitize(field) == *field;
        if !is_usable || field == "_id" || description.version_fields[..index].contains(field) {
            return Err(format!(
                "the version field {} cannot be read from a document, or occurs twice",
                quoted(field)
            ));
        }
    }
    Ok(PluginManifest {
        name: description.name,
        version: description.version,
        platform: description.platform,
        grouping: description.grouping,
        config_schema: description.config_schema,
        version_fields: description.version_fields,
    })
}

/// Whether a text is a semantic version (semver.org); what follows the three numbers is checked loosely.
fn is_semantic_version(text: &str) -> bool {
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (numbers, suffix) = text.split_at(end);
    let is_number = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_digit())
            && (part == "0" || !part.starts_with('0'))
    };
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-+".contains(&byte);
    text.len() <= 64
        && numbers.split('.').count() == 3
        && numbers.split('.').all(is_number)
        && suffix.len() != 1
        && suffix.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_core::model::Grouping;

    fn description() -> RawDescription {
        RawDescription {
            name: "shopify".to_owned(),
            version: "1.4.0".to_owned(),
            platform: "shopify".to_owned(),
            grouping: Grouping::ByParent { id: "/id".to_owned(), parents: vec!["/__parentId".to_owned()] },
            config_schema: "{}".to_owned(),
            version_fields: vec!["updated_at".to_owned()],
        }
    }

    #[test]
    fn a_valid_manifest_passes() {
        assert_eq!(check(description(), &[Role::Transform]).unwrap().reference(), "shopify@1.4.0");
    }

    #[test]
    fn each_wrong_part_is_named() {
        let problem = |change: fn(&mut RawDescription)| {
            let mut description = description();
            change(&mut description);
            check(description, &[Role::Transform]).unwrap_err()
        };
        let problems = [
            problem(|description| description.name = "../evil".to_owned()),
            problem(|description| description.version = "1.4".to_owned()),
            problem(|description| description.platform = "Shop/ify".to_owned()),
            problem(|description| description.platform.clear()),
            problem(|description| {
                description.grouping =
                    Grouping::ByParent { id: "id".to_owned(), parents: vec!["/p".to_owned()] }
            }),
            problem(|description| {
                description.grouping = Grouping::ByParent { id: "/id".to_owned(), parents: vec![] }
            }),
            problem(|description| description.config_schema = "{".to_owned()),
            problem(|description| description.version_fields.push("updated_at".to_owned())),
            problem(|description| description.version_fields = vec![String::new(); 17]),
        ];
        insta::assert_snapshot!(problems.join("\n"), @r#"
        the name "../evil" is not kebab-case of at most 64 characters
        the version "1.4" is not a semantic version such as 1.4.0
        the platform "Shop/ify" is not kebab-case
        it transforms products but names no platform
        "id" in the grouping is not a JSON Pointer such as /id
        the grouping has 0 pointers to parents; 1 to 16 are allowed
        the configuration schema is not JSON: EOF while parsing an object at line 1 column 1
        the version field "updated_at" cannot be read from a document, or occurs twice
        it has 17 version fields; 16 are allowed
        "#);
    }

    #[test]
    fn versions_are_semantic() {
        for good in ["0.0.0", "1.20.3", "1.0.0-rc.1", "1.0.0+build.5"] {
            assert!(is_semantic_version(good), "{good}");
        }
        for bad in ["", "1", "1.0", "1.0.0.0", "01.0.0", "1.0.x", "1.0.0-", "1.0.0-\u{1b}", "v1.0.0"] {
            assert!(!is_semantic_version(bad), "{bad}");
        }
    }
}
