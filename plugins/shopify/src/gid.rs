//! Shopify's global ids (gids) in all the spellings that exports use.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use host_index_rules::check_document_id;

use crate::text::trimmed;

/// What an id names: `gid://shopify/InventoryLevel/1?inventory_item_id=2` is the type `InventoryLevel`, the resource id
/// `1` and the rest `?inventory_item_id=2`.
///
/// REST writes bare numbers, which leave the type empty. They stay text, because they exceed what JSON readers keep
/// exactly.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Gid<'a> {
    pub(crate) kind: Cow<'a, str>,
    pub(crate) resource_id: Cow<'a, str>,
    pub(crate) query: Cow<'a, str>,
}

impl<'a> Gid<'a> {
    /// The id of what has none.
    pub(crate) const NONE: &'static Gid<'static> =
        &Gid { kind: Cow::Borrowed(""), resource_id: Cow::Borrowed(""), query: Cow::Borrowed("") };

    /// Reads any spelling; old API versions encoded the whole gid in base64.
    pub(crate) fn parse(id: &'a str) -> Gid<'a> {
        let id = trimmed(id);
        if let Some(path) = id.strip_prefix("gid://shopify/") {
            return Gid::split(path);
        }
        // `gid://` in base64.
        if id.starts_with("Z2lkOi8v")
            && let unpadded = id.trim_end_matches('=')
            && let padded = format!("{unpadded}{}", &"==="[..(4 - unpadded.len() % 4) % 4])
            && let Some(decoded) =
                STANDARD.decode(padded).ok().and_then(|bytes| String::from_utf8(bytes).ok())
        {
            return Gid::parse(&decoded).into_owned();
        }
        Gid { resource_id: id.into(), ..Gid::default() }
    }

    /// Reads the inside of a JSON string as bulk files write it, with escaped slashes, if it is nothing but a usual
    /// gid.
    pub(crate) fn parse_escaped(id: &'a str) -> Option<Gid<'a>> {
        let path = id.strip_prefix(r"gid:\/\/shopify\/")?;
        let (kind, resource_id) = path.split_at(memchr::memchr(b'\\', path.as_bytes())?);
        let resource_id = resource_id.strip_prefix(r"\/")?;
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (is_plain(kind) && is_plain(resource_id)).then(|| Gid {
            kind: kind.into(),
            resource_id: resource_id.into(),
            query: "".into(),
        })
    }

    pub(crate) fn into_owned(self) -> Gid<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Gid { kind: owned(self.kind), resource_id: owned(self.resource_id), query: owned(self.query) }
    }

    fn split(path: &str) -> Gid<'_> {
        let (path, query) = path.split_at(memchr::memchr(b'?', path.as_bytes()).unwrap_or(path.len()));
        let slash = memchr::memchr(b'/', path.as_bytes());
        let (kind, resource_id) = slash.map_or((path, ""), |slash| (&path[..slash], &path[slash + 1..]));
        Gid { kind: kind.into(), resource_id: resource_id.into(), query: query.into() }
    }

    /// Whether both can name the same thing; a bare number matches any type.
    pub(crate) fn matches(&self, other: &Gid<'_>) -> bool {
        self.resource_id == other.resource_id
            && self.query == other.query
            && (self.kind.is_empty() || other.kind.is_empty() || self.kind == other.kind)
    }

    /// The resource id, if it can be the id of a document.
    pub(crate) fn document_id(&self) -> Option<&str> {
        let resource_id = &*self.resource_id;
        (!resource_id.starts_with('-') && check_document_id(resource_id).is_ok()).then_some(resource_id)
    }
}

/// Sort key that puts numeric ids in numeric order however long they are, and all others after them.
pub(crate) fn numeric_order(id: &str) -> (bool, usize, &str) {
    let digits = id.trim_start_matches('0');
    let numeric = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
    if numeric { (false, digits.len(), digits) } else { (true, 0, id) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_id_names_the_same_product() {
        let plain = Gid::parse("gid://shopify/Product/632910392");
        assert_eq!((&*plain.kind, &*plain.resource_id), ("Product", "632910392"));
        assert_eq!(Gid::parse("Z2lkOi8vc2hvcGlmeS9Qcm9kdWN0LzYzMjkxMDM5Mg=="), plain);
        assert_eq!(Gid::parse("Z2lkOi8vc2hvcGlmeS9Qcm9kdWN0LzYzMjkxMDM5Mg"), plain);
        assert!(Gid::parse("632910392").matches(&plain));
    }

    #[test]
    fn the_query_of_an_id_is_not_part_of_its_resource_id() {
        let level = Gid::parse("gid://shopify/InventoryLevel/108?inventory_item_id=45");
        assert_eq!((&*level.resource_id, &*level.query), ("108", "?inventory_item_id=45"));
        assert_eq!(level.document_id(), Some("108"));
    }

    #[test]
    fn ids_that_an_index_cannot_take_are_refused() {
        for id in [
            "",
            "gid://shopify/Product/",
            "gid://shopify/Product",
            "-5",
            "a/b",
            "1 2",
            "gid://shopify/T/sg/4",
            "é",
            "..",
        ] {
            assert_eq!(Gid::parse(id).document_id(), None, "{id}");
        }
        assert_eq!(Gid::parse("788032119674292922").document_id(), Some("788032119674292922"));
    }

    #[test]
    fn numbers_sort_as_numbers() {
        let mut ids = ["100", "99", "abc", "007", "18446744073709551616"];
        ids.sort_by_key(|id| numeric_order(id));
        assert_eq!(ids, ["007", "99", "100", "18446744073709551616", "abc"]);
    }
}
