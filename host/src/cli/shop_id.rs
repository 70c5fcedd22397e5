//! The id of a shop and the default name of its index. Two spellings of one shop are one id, and two ids never share a
//! default index. A shop or index that an older version of host named by another rule keeps that name.

use super::{backend::Backend, context::store_failure, failure::Failure};
use crate::config::{Config, StoreKind};
use host_core::{
    model::Digest,
    storage::{LedgerScope, Stores},
};
use host_index_marqo::fits_index_name;
use host_net::RetryProfile;
use std::collections::BTreeSet;

/// The platform on which a bare handle (`example`) names a shop, and the domain that completes it.
const SHOPIFY: (&str, &str) = ("shopify", ".myshopify.com");

/// How many shops' names are compared with one that is not known.
const MAX_SUGGESTIONS: usize = 1_000;

/// How many of a shop's newest jobs are searched for one that uses the former index name.
const LATEST: usize = 20;

/// The shop as the settings spell it, checked because it becomes part of keys and file names.
pub(super) fn named(config: &Config) -> Result<String, Failure> {
    let help = "name the shop with --shop example.myshopify.com";
    let shop = config.shop.clone().ok_or_else(|| Failure::usage("no shop is named").help(help))?;
    checked(&shop)?;
    Ok(shop)
}

/// Refuses a shop name with other characters than these, or one that a file system would hide.
fn checked(shop: &str) -> Result<(), Failure> {
    let fits = |character: char| character.is_ascii_alphanumeric() || ".-_".contains(character);
    if shop.is_empty() || shop.starts_with('.') || !shop.chars().all(fits) {
        let message = format!("`{shop}` is not a valid shop name; use A-Z a-z 0-9 . - _");
        return Err(Failure::usage(message).help("name the shop as example.myshopify.com"));
    }
    Ok(())
}

/// The id of a shop of this platform: in lower case, and a bare handle of a Shopify shop with its domain.
fn canonical(shop: &str, platform: &str) -> String {
    let shop = shop.to_ascii_lowercase();
    let (shopify, domain) = SHOPIFY;
    if platform == shopify && !shop.contains('.') { shop + domain } else { shop }
}

/// The id under which jobs of a shop are created: the canonical one, or the spelling of an older version's jobs.
pub(super) async fn of_new_jobs(config: &Config, shop: String, platform: &str) -> Result<String, Failure> {
    let canonical = canonical(&shop, platform);
    if canonical == shop {
        return Ok(shop);
    }
    let Some(backend) = existing(config).await? else { return Ok(canonical) };
    let stores = backend.stores();
    if has_jobs(&stores, &canonical).await? || !has_jobs(&stores, &shop).await? {
        return Ok(canonical);
    }
    eprintln!(
        "warning: `{shop}` has jobs under this spelling and keeps it; another host would call it `{canonical}`"
    );
    Ok(shop)
}

/// The settings, with the shop spelled as its jobs spell it.
pub(super) async fn as_stored(config: Config, stores: &Stores) -> Result<Config, Failure> {
    let Some(shop) = config.shop else { return Ok(config) };
    Ok(Config { shop: Some(id_as_stored(shop, stores).await?), ..config })
}

/// A shop spelled as its jobs spell it; unchanged if it has no jobs.
pub(super) async fn id_as_stored(shop: String, stores: &Stores) -> Result<String, Failure> {
    checked(&shop)?;
    if has_jobs(stores, &shop).await? {
        return Ok(shop);
    }
    for id in [canonical(&shop, ""), canonical(&shop, SHOPIFY.0)] {
        if id != shop && has_jobs(stores, &id).await? {
            return Ok(id);
        }
    }
    Ok(shop)
}

/// Refuses a shop of which nothing is known: a mistyped one would look well.
pub(super) async fn must_be_known(stores: &Stores, shop: &str) -> Result<(), Failure> {
    let is_known = has_jobs(stores, shop).await?
        || !stores.jobs.indexes(shop).await.map_err(store_failure)?.is_empty()
        || stores.jobs.shop_removal(shop).await.map_err(store_failure)?.is_some();
    if is_known {
        return Ok(());
    }
    let mut known: BTreeSet<String> =
        stores.queue.shops().await.map_err(store_failure)?.into_iter().collect();
    if known.contains(shop) {
        return Ok(());
    }
    let jobs = stores.jobs.list(None, MAX_SUGGESTIONS).await.map_err(store_failure)?;
    known.extend(jobs.into_iter().map(|job| job.job.shop_id));
    let help = match nearest(shop, &known) {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => "`host jobs list` names the shops that have jobs".to_owned(),
    };
    Err(Failure::usage(format!("nothing is known of shop {shop}")).help(help))
}

/// The most similar of some names, if one differs in a third of its letters at most. A Shopify shop may be named without its domain.
fn nearest<'a>(shop: &str, known: &'a BTreeSet<String>) -> Option<&'a String> {
    let bare = |shop: &str| shop.strip_suffix(SHOPIFY.1).unwrap_or(shop).to_ascii_lowercase();
    let wanted = bare(shop);
    let distance = |known: &&String| strsim::osa_distance(&wanted, &bare(known));
    let nearest = known.iter().min_by_key(distance)?;
    (distance(&nearest) <= wanted.len().div_ceil(3)).then_some(nearest)
}

async fn has_jobs(stores: &Stores, shop: &str) -> Result<bool, Failure> {
    Ok(!stores.jobs.list(Some(shop), 1).await.map_err(store_failure)?.is_empty())
}

/// The storage; `None` for a data directory that does not exist yet.
async fn existing(config: &Config) -> Result<Option<Backend>, Failure> {
    if config.store == StoreKind::Embedded && !config.data_dir.join("host.db").is_file() {
        return Ok(None);
    }
    Backend::open(config, false).await.map(Some)
}

/// The index of a shop whose settings name none: the one with the former name if the shop has jobs or products in it.
pub(super) async fn default_index(config: &Config, platform: &str, shop: &str) -> Result<String, Failure> {
    let (name, former) = (index_name(platform, shop), former_index_name(platform, shop));
    if name == former {
        return Ok(name);
    }
    let Some(backend) = existing(config).await? else { return Ok(name) };
    let stores = backend.stores();
    let jobs = stores.jobs.list(Some(shop), LATEST).await.map_err(store_failure)?;
    let target = backend.index(config, RetryProfile::Interactive)?.id();
    let scope = LedgerScope { shop_id: shop.to_owned(), target, index_name: former.clone() };
    let is_used = jobs.iter().any(|job| job.job.index_name == former)
        || !stores.ledger.page(&scope, None, 1).await.map_err(store_failure)?.is_empty();
    Ok(if is_used { former } else { name })
}

/// `shopify-example` for `example.myshopify.com`. All other shops get a digest as suffix: index servers do not take all
/// characters of shops' names.
fn index_name(platform: &str, shop: &str) -> String {
    let (shopify, domain) = SHOPIFY;
    let plain = if platform == shopify { shop.strip_suffix(domain) } else { Some(shop) };
    let fits =
        |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    match plain {
        Some(plain) if plain.chars().all(fits) => format!("{platform}-{plain}"),
        _ => {
            let digest = Digest::of(shop.as_bytes()).hex();
            format!("{}__{}", former_index_name(platform, shop), &digest[..8])
        }
    }
}

/// The default name that older versions gave, which several shops may share.
fn former_index_name(platform: &str, shop: &str) -> String {
    let shop = shop.strip_suffix(SHOPIFY.1).unwrap_or(shop);
    let name = format!("{platform}-{shop}");
    name.chars().map(|character| if fits_index_name(character) { character } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_shop_is_recognised_and_another_one_is_not() {
        let known: BTreeSet<String> =
            ["acme.myshopify.com", "shop.example.com", "tests.myshopify.com"].map(str::to_owned).into();
        for (typed, expected) in [
            ("test.myshopify.com", Some("tests.myshopify.com")),
            ("tsets.myshopify.com", Some("tests.myshopify.com")),
            ("Acne", Some("acme.myshopify.com")),
            ("shop.exmaple.com", Some("shop.example.com")),
            ("bakery.myshopify.com", None),
        ] {
            assert_eq!(nearest(typed, &known).map(String::as_str), expected, "{typed}");
        }
        assert_eq!(nearest("any", &BTreeSet::new()), None);
    }

    #[test]
    fn spellings_of_one_shop_are_one_id() {
        for spelled in ["foo", "Foo", "foo.myshopify.com", "FOO.MyShopify.com"] {
            assert_eq!(canonical(spelled, "shopify"), "foo.myshopify.com");
        }
        assert_eq!(canonical("Foo", "plain-json"), "foo");
        assert_eq!(canonical("shop.example.com", "shopify"), "shop.example.com");
    }

    #[test]
    fn no_two_shops_share_a_default_index() {
        let shops =
            ["a.b.com", "a-b.com", "a-b-com", "a_b.com", "foo", "foo.myshopify.com", "a-b-com.myshopify.com"];
        for platform in ["shopify", "plain-json"] {
            let ids: BTreeSet<String> = shops.iter().map(|shop| canonical(shop, platform)).collect();
            let names: BTreeSet<String> = ids.iter().map(|id| index_name(platform, id)).collect();
            assert_eq!(names.len(), ids.len(), "{names:?}");
            assert!(names.iter().all(|name| name.chars().all(fits_index_name)), "{names:?}");
        }
        // The default name of a Shopify shop has not changed since the former rule.
        assert_eq!(index_name("shopify", "example.myshopify.com"), "shopify-example");
        assert_eq!(former_index_name("shopify", "shop.example.com"), "shopify-shop-example-com");
    }
}
