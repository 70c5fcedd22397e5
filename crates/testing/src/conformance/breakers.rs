//! Checks of [`host_core::storage::Breakers`]: circuit breakers, which stop the workers of an index that refuses
//! everything until a probe (one attempt by one worker) or an operator clears them.

use super::Backend;
use crate::build;
use futures::future::join_all;
use host_core::{
    model::JobId,
    storage::{Breaker, BreakerScope, Cleared, ClearedBy},
};

/// A breaker that has just been opened.
fn opened(backend: &Backend, shop_id: &str, index_name: &str) -> Breaker {
    let scope = BreakerScope { shop_id: shop_id.to_owned(), index_name: index_name.to_owned() };
    let chunk = build::chunk(&JobId::new("job").unwrap(), 7, 0);
    Breaker::opened(scope, &chunk, ("index-refused", "401 \"no\" \u{e4}".to_owned()), backend.clock.now())
}

/// A clearing of a breaker, now.
fn cleared(backend: &Backend, by: ClearedBy) -> Cleared {
    // Backends store microseconds.
    let at = backend.clock.now().round(jiff::Unit::Microsecond).unwrap();
    Cleared { by, at }
}

pub async fn a_breaker_is_opened_once(backend: &Backend) {
    let (breakers, breaker) = (&backend.stores.breakers, opened(backend, &backend.name("shop"), "index"));
    assert_eq!(breakers.get(&breaker.scope).await.unwrap(), None);
    assert!(breakers.replace(None, &breaker).await.unwrap());
    let other = Breaker { message: "another worker's".to_owned(), ..breaker.clone() };
    assert!(!breakers.replace(None, &other).await.unwrap());
    assert_eq!(breakers.get(&breaker.scope).await.unwrap(), Some(breaker));
}

pub async fn of_many_workers_one_probes(backend: &Backend) {
    let (breakers, breaker) = (&backend.stores.breakers, opened(backend, &backend.name("shop"), "index"));
    assert!(breakers.replace(None, &breaker).await.unwrap());
    let probing = breaker.probing(breaker.next_probe_at);
    let probes = join_all((0..8).map(|_| breakers.replace(Some(&breaker), &probing))).await;
    assert_eq!(probes.into_iter().filter(|won| *won.as_ref().unwrap()).count(), 1);
    let failed = probing.probe_failed(
        ("index-unavailable", "503".to_owned()),
        backend.clock.now(),
        backend.clock.now(),
    );
    assert!(breakers.replace(Some(&probing), &failed).await.unwrap());
    assert_eq!(breakers.get(&breaker.scope).await.unwrap(), Some(failed));
    assert!(!breakers.replace(Some(&breaker), &probing).await.unwrap(), "it was probed since");
}

pub async fn a_closed_breaker_is_gone_and_opens_anew(backend: &Backend) {
    let (breakers, breaker) = (&backend.stores.breakers, opened(backend, &backend.name("shop"), "index"));
    let by_probe = cleared(backend, ClearedBy::Probe);
    assert_eq!(breakers.close(&breaker.scope, by_probe).await.unwrap(), None);
    assert!(breakers.replace(None, &breaker).await.unwrap());
    assert_eq!(breakers.close(&breaker.scope, by_probe).await.unwrap().as_ref(), Some(&breaker));
    assert_eq!(breakers.get(&breaker.scope).await.unwrap(), None);
    assert_eq!(breakers.list(Some(&breaker.scope.shop_id)).await.unwrap(), []);
    assert_eq!(breakers.close(&breaker.scope, by_probe).await.unwrap(), None);
    let probing = breaker.probing(breaker.next_probe_at);
    assert!(
        !breakers.replace(Some(&breaker), &probing).await.unwrap(),
        "a late worker does not open it again"
    );
    assert!(breakers.replace(None, &breaker).await.unwrap());
}

pub async fn breakers_are_listed_by_shop_and_index(backend: &Backend) {
    let breakers = &backend.stores.breakers;
    let shop = backend.name("shop");
    // A shop whose name begins with the first one's.
    let other = format!("{shop}-b");
    for (shop, index) in [(&shop, "b"), (&other, "a"), (&shop, "a#b"), (&shop, "a")] {
        assert!(breakers.replace(None, &opened(backend, shop, index)).await.unwrap());
    }
    let names = |listed: Vec<Breaker>| -> Vec<(String, String)> {
        listed.into_iter().map(|breaker| (breaker.scope.shop_id, breaker.scope.index_name)).collect()
    };
    let expected: Vec<_> = ["a", "a#b", "b"].map(|index| (shop.clone(), index.to_owned())).into();
    assert_eq!(names(breakers.list(Some(&shop)).await.unwrap()), expected);
    let mut all = names(breakers.list(None).await.unwrap());
    all.retain(|(shop_id, _)| *shop_id == shop || *shop_id == other);
    assert_eq!(all, [expected, vec![(other, "a".to_owned())]].concat());
}

pub async fn what_cleared_a_breaker_last_is_remembered(backend: &Backend) {
    let breakers = &backend.stores.breakers;
    let shop = backend.name("shop");
    let [of_a, of_b] = ["a", "b"].map(|index| opened(backend, &shop, index));
    // A shop whose name begins with the first one's.
    let other = opened(backend, &format!("{shop}-b"), "a");
    let close = async |breaker: &Breaker, cleared: Cleared| {
        assert!(breakers.replace(None, breaker).await.unwrap());
        assert!(breakers.close(&breaker.scope, cleared).await.unwrap().is_some());
    };
    assert_eq!(breakers.last_cleared(&shop).await.unwrap(), []);
    let [by_probe, by_command, by_settings] =
        [ClearedBy::Probe, ClearedBy::Resume, ClearedBy::Settings].map(|by| cleared(backend, by));
    close(&of_b, by_settings).await;
    close(&of_a, by_probe).await;
    close(&other, by_probe).await;
    // A second call finds the breaker closed, and does not change what cleared it.
    assert_eq!(breakers.close(&of_a.scope, by_settings).await.unwrap(), None);
    let expected = [of_a.cleared(by_probe), of_b.cleared(by_settings)];
    assert_eq!(breakers.last_cleared(&shop).await.unwrap(), expected);
    close(&of_a, by_command).await;
    assert!(breakers.replace(None, &of_a).await.unwrap(), "it opens again, and what was before stays known");
    assert_eq!(breakers.last_cleared(&shop).await.unwrap()[0], of_a.cleared(by_command));

    for _ in 0..2 {
        breakers.remove_shop(&shop).await.unwrap();
        assert_eq!(breakers.list(Some(&shop)).await.unwrap(), []);
        assert_eq!(breakers.last_cleared(&shop).await.unwrap(), []);
    }
    assert_eq!(breakers.last_cleared(&other.scope.shop_id).await.unwrap(), [other.cleared(by_probe)]);
}
