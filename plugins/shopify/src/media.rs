//! Pictures: which ones a document shows, and their addresses.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use wide::u8x16;

use crate::assemble::{Product, Variant, gid_of};
use crate::config::{Config, ImageVersions};
use crate::html;
use crate::record::{Picture, Record};
use crate::simd::{all, between};
use crate::text::sanitize;

/// Characters that no address may hold; `%` is not among them, because addresses come encoded already.
const NOT_IN_URLS: &AsciiSet = &{
    let (mut set, mut at) = (CONTROLS.add(b' '), 0);
    while at < NOT_GRAPHIC_IN_URLS.len() {
        set = set.add(NOT_GRAPHIC_IN_URLS[at]);
        at += 1;
    }
    set
};

/// The visible characters of [`NOT_IN_URLS`].
const NOT_GRAPHIC_IN_URLS: &[u8; 9] = b"\"<>\\^`{|}";

/// Characters that a path segment may not hold.
const NOT_IN_SEGMENTS: &AsciiSet = &NOT_IN_URLS.add(b'#').add(b'?').add(b'/').add(b'%');

/// How the addresses of pictures are written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    versions: ImageVersions,
    width: Option<u32>,
}

impl Style {
    pub(crate) fn of(config: &Config) -> Self {
        Style { versions: config.image_versions, width: config.image_width }
    }
}

/// A picture as a document shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) url: String,
    pub(crate) alt: String,
}

/// All pictures of a product, each address once: the featured one, then those of the product in their order,
/// then those that only variants have.
pub(crate) fn images_of(product: &Product<'_, '_>, style: Style) -> Vec<Image> {
    let root = product.root;
    let featured = root.featured_media.as_deref().and_then(|media| of_record(media, style));
    let featured_picture = || root.featured_image.as_deref().or(root.image.as_deref());
    let featured = featured.or_else(|| of_picture(featured_picture()?, None, style));
    let own = product.media.iter().filter_map(|record| of_record(record, style));
    let of_variants = product.variants.iter().filter_map(|variant| own_image(variant, style));

    let mut images: Vec<Image> = Vec::new();
    for image in featured.into_iter().chain(own).chain(of_variants) {
        match images.iter_mut().find(|known| known.url == image.url) {
            Some(known) if known.alt.is_empty() => known.alt = image.alt,
            Some(_) => {}
            None => images.push(image),
        }
    }
    images
}

/// The picture of a variant: its own, else the one that its product assigns to it.
pub(crate) fn image_of(variant: &Variant<'_, '_>, product: &Product<'_, '_>, style: Style) -> Option<Image> {
    own_image(variant, style).or_else(|| {
        let picture = variant.record.image_id.get();
        let is_its_picture = |record: &&&Record<'_>| {
            picture.is_some_and(|picture| gid_of(record).resource_id == picture.resource_id)
                || record
                    .variant_ids
                    .0
                    .iter()
                    .any(|id| id.get().is_some_and(|id| id.resource_id == variant.id.resource_id))
        };
        of_record(product.media.iter().find(is_its_picture)?, style)
    })
}

fn own_image(variant: &Variant<'_, '_>, style: Style) -> Option<Image> {
    let record = variant.record;
    let picture = record.image.as_deref().or(record.featured_image.as_deref());
    let picture = picture.and_then(|picture| of_picture(picture, None, style));
    picture.or_else(|| variant.media.iter().find_map(|record| of_record(record, style)))
}

/// The picture of a medium, or what is shown for a video or model until it is played. Nothing while Shopify still
/// processes it.
fn of_record(record: &Record<'_>, style: Style) -> Option<Image> {
    if record.status.get().is_some_and(|status| !status.eq_ignore_ascii_case("READY")) {
        return None;
    }
    let alt = record.alt.get().or(record.alt_text.get());
    let preview = record
        .preview
        .as_deref()
        .and_then(|preview| preview.image.as_deref())
        .or(record.preview_image.as_deref());
    let pictures = [record.image.as_deref(), preview];
    if let Some(image) = pictures.into_iter().flatten().find_map(|picture| of_picture(picture, alt, style)) {
        return Some(image);
    }
    let gid = gid_of(record);
    let kind = record.type_name.get().unwrap_or(&gid.kind);
    let moving = |kind: &str| {
        ["VIDEO", "EXTERNAL_VIDEO", "EXTERNALVIDEO", "MODEL_3D", "MODEL3D"]
            .iter()
            .any(|name| kind.eq_ignore_ascii_case(name))
    };
    if moving(kind) || record.media_type.get().is_some_and(moving) {
        return None;
    }
    let url = record.url.get().or(record.src.get()).or(record.original_src.get())?;
    image(url, alt, style)
}

fn of_picture(picture: &Picture<'_>, alt: Option<&str>, style: Style) -> Option<Image> {
    let url = picture.url.get().or(picture.src.get()).or(picture.original_src.get())?;
    image(url, alt.or(picture.alt_text.get()).or(picture.alt.get()), style)
}

fn image(url: &str, alt: Option<&str>, style: Style) -> Option<Image> {
    Some(Image { url: image_url(url, style)?, alt: alt.map(html::plain_to_text).unwrap_or_default() })
}

/// An absolute address that needs no further encoding; nothing for what is none, such as `data:`.
pub(crate) fn absolute_url(url: &str) -> Option<String> {
    let url = sanitize(url);
    let encoded = if all(url.as_bytes(), are_unencoded) {
        url
    } else {
        Cow::Owned(utf8_percent_encode(&url, NOT_IN_URLS).to_string())
    };
    if encoded.starts_with("//") {
        return Some(format!("https:{encoded}"));
    }
    let scheme = &encoded[..memchr::memchr(b':', encoded.as_bytes())?];
    if !encoded[scheme.len()..].starts_with("://") {
        return None;
    }
    let is_web = scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http");
    is_web.then(|| encoded.into_owned())
}

/// The bytes that an address holds as they are: all but [`NOT_IN_URLS`].
fn are_unencoded(bytes: u8x16) -> u8x16 {
    NOT_GRAPHIC_IN_URLS.iter().fold(between(bytes, b'!', b'~'), |kept, other| kept & !bytes.simd_eq(*other))
}

/// The address of a product's page in a shop.
pub(crate) fn product_url(domain: &str, handle: &str) -> String {
    format!("https://{domain}/products/{}", utf8_percent_encode(handle, NOT_IN_SEGMENTS))
}

fn image_url(url: &str, style: Style) -> Option<String> {
    let url = absolute_url(url)?;
    let url = match style.versions {
        ImageVersions::Keep => url,
        ImageVersions::Drop => without_version(url),
    };
    Some(match style.width {
        Some(width) => with_width(url, width),
        None => url,
    })
}

/// Leaves out `v=` with a number, the version that Shopify's image servers add; any other `v` may choose the picture.
fn without_version(mut url: String) -> String {
    let Some(at) = memchr::memchr(b'?', url.as_bytes()) else { return url };
    let query = &url[at + 1..];
    let is_version = |parameter: &str| {
        let version = parameter.strip_prefix("v=").unwrap_or_default();
        !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit())
    };
    if is_version(query) {
        url.truncate(at);
        return url;
    }
    if !query.split('&').any(is_version) {
        return url;
    }
    let kept: Vec<&str> = query.split('&').filter(|parameter| !is_version(parameter)).collect();
    if kept.is_empty() { url[..at].to_owned() } else { format!("{}?{}", &url[..at], kept.join("&")) }
}

/// Asks Shopify's image servers for a width, unless the address does already; other servers have other ways.
fn with_width(mut url: String, width: u32) -> String {
    let end = memchr::memchr(b'?', url.as_bytes()).unwrap_or(url.len());
    let (place, query) = url.split_at(end);
    let is_shopifys = place.contains("://cdn.shopify.com/") || place.contains("/cdn/shop/");
    let has_width =
        || query.trim_start_matches('?').split('&').any(|parameter| parameter.starts_with("width="));
    if is_shopifys && !has_width() {
        let separator = if query.is_empty() { '?' } else { '&' };
        url.push_str(&format!("{separator}width={width}"));
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn style(versions: ImageVersions, width: Option<u32>) -> Style {
        Style { versions, width }
    }

    #[test]
    fn shopifys_servers_are_asked_for_a_width() {
        for (given, url) in [
            (
                "https://cdn.shopify.com/s/files/1/a.jpg?v=12",
                "https://cdn.shopify.com/s/files/1/a.jpg?width=800",
            ),
            (
                "https://shop.example/cdn/shop/files/a.jpg?x=1",
                "https://shop.example/cdn/shop/files/a.jpg?x=1&width=800",
            ),
            ("https://cdn.shopify.com/a.jpg?width=20", "https://cdn.shopify.com/a.jpg?width=20"),
            ("https://other.example/a.jpg", "https://other.example/a.jpg"),
        ] {
            let found = image_url(given, style(ImageVersions::Drop, Some(800)));
            assert_eq!(found.as_deref(), Some(url), "{given}");
        }
    }

    #[test]
    fn addresses_are_absolute_and_encoded_once() {
        for (given, url) in [
            ("//cdn.example/a.jpg?v=123", Some("https://cdn.example/a.jpg")),
            ("https://cdn.example/a b%20ü.jpg", Some("https://cdn.example/a%20b%20%C3%BC.jpg")),
            ("HTTP://cdn.example/a.jpg", Some("HTTP://cdn.example/a.jpg")),
            ("https://cdn.example/a.jpg?v=1&width=5", Some("https://cdn.example/a.jpg?width=5")),
            (
                "https://cdn.example/a.jpg?width=5&v=latest",
                Some("https://cdn.example/a.jpg?width=5&v=latest"),
            ),
            ("data:image/png;base64,AAAA", None),
            ("/files/a.jpg", None),
            ("", None),
        ] {
            assert_eq!(image_url(given, style(ImageVersions::Drop, None)).as_deref(), url, "{given}");
        }
        let kept = image_url("https://cdn.example/a.jpg?v=1", style(ImageVersions::Keep, None));
        assert_eq!(kept.as_deref(), Some("https://cdn.example/a.jpg?v=1"));
    }

    #[test]
    fn a_byte_is_encoded_or_not_by_both_ways() {
        for byte in 0..=255 {
            let encoded = percent_encoding::percent_encode(&[byte], NOT_IN_URLS).to_string();
            assert_eq!(all(&[byte], are_unencoded), encoded.len() == 1, "{byte:#x}");
        }
    }

    #[test]
    fn handles_are_encoded_into_addresses() {
        assert_eq!(product_url("shop.example", "tee-ü/1"), "https://shop.example/products/tee-%C3%BC%2F1");
    }
}
