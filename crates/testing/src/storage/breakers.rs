//! The circuit breakers in memory: each stops the workers of an index that refuses everything.

use super::SharedState;
use async_trait::async_trait;
use host_core::storage::{Breaker, BreakerScope, Breakers, Cleared, StoreError};

#[async_trait]
impl Breakers for SharedState {
    async fn get(&self, scope: &BreakerScope) -> Result<Option<Breaker>, StoreError> {
        Ok(self.state().breakers.get(scope).cloned())
    }

    async fn replace(&self, expected: Option<&Breaker>, breaker: &Breaker) -> Result<bool, StoreError> {
        let breakers = &mut self.state().breakers;
        // What distinguishes two states of a breaker.
        let version = |breaker: &Breaker| (breaker.since, breaker.probes);
        let is_expected = breakers.get(&breaker.scope).map(version) == expected.map(version);
        if is_expected {
            breakers.insert(breaker.scope.clone(), breaker.clone());
        }
        Ok(is_expected)
    }

    async fn close(&self, scope: &BreakerScope, cleared: Cleared) -> Result<Option<Breaker>, StoreError> {
        let state = &mut *self.state();
        let closed = state.breakers.remove(scope);
        if let Some(breaker) = &closed {
            state.cleared_breakers.insert(scope.clone(), breaker.cleared(cleared));
        }
        Ok(closed)
    }

    async fn list(&self, shop_id: Option<&str>) -> Result<Vec<Breaker>, StoreError> {
        let is_of_shop = |breaker: &&Breaker| shop_id.is_none_or(|shop| breaker.scope.shop_id == shop);
        Ok(self.state().breakers.values().filter(is_of_shop).cloned().collect())
    }

    async fn last_cleared(&self, shop_id: &str) -> Result<Vec<Breaker>, StoreError> {
        let is_of_shop = |breaker: &&Breaker| breaker.scope.shop_id == shop_id;
        Ok(self.state().cleared_breakers.values().filter(is_of_shop).cloned().collect())
    }

    async fn remove_shop(&self, shop_id: &str) -> Result<(), StoreError> {
        let state = &mut *self.state();
        for breakers in [&mut state.breakers, &mut state.cleared_breakers] {
            breakers.retain(|scope, _| scope.shop_id != shop_id);
        }
        Ok(())
    }
}
