//! How many connections there may be, in all and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::auth::attempts::network;

/// The places that are taken.
#[derive(Debug)]
pub struct Places {
    all_max: usize,
    address_max: usize,
    all: AtomicUsize,
    addresses: Mutex<HashMap<IpAddr, usize>>,
}

/// One of the places in all; free again when it is dropped.
#[derive(Debug)]
pub struct Place(Arc<Places>);

/// One of the places of an address; free again when it is dropped.
#[derive(Debug)]
pub struct AddressPlace {
    places: Arc<Places>,
    address: IpAddr,
}

impl Places {
    /// So many in all and from one address.
    pub fn new(all_max: usize, address_max: usize) -> Arc<Self> {
        Arc::new(Self { all_max, address_max, all: AtomicUsize::new(0), addresses: Mutex::default() })
    }

    fn addresses(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place, if there is one.
    pub fn take(self: &Arc<Self>) -> Option<Place> {
        let taken = self.all.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(self));
        (taken < self.all_max).then_some(place)
    }

    /// Takes a place of an address, if there is one. This machine itself is not limited.
    pub fn take_of(self: &Arc<Self>, address: IpAddr) -> Option<AddressPlace> {
        let address = network(address);
        let mut addresses = self.addresses();
        let taken = addresses.entry(address).or_default();
        if *taken >= self.address_max && !address.is_loopback() {
            return None;
        }
        *taken += 1;
        Some(AddressPlace { places: Arc::clone(self), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.all.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let mut addresses = self.places.addresses();
        if let Some(taken) = addresses.get_mut(&self.address) {
            *taken -= 1;
            if *taken == 0 {
                addresses.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        let places = Places::new(2, 1);
        let first = places.take().expect("free");
        let _second = places.take().expect("free");
        assert!(places.take().is_none());
        drop(first);
        assert!(places.take().is_some());
        let (near, far): (IpAddr, IpAddr) = ([127, 0, 0, 1].into(), [192, 0, 2, 1].into());
        let only = places.take_of(far).expect("free");
        assert!(places.take_of(far).is_none());
        assert!(places.take_of([192, 0, 2, 2].into()).is_some());
        let _here = [places.take_of(near).expect("not limited"), places.take_of(near).expect("not limited")];
        drop(only);
        assert!(places.take_of(far).is_some());
        assert_eq!(places.addresses().len(), 1, "who is gone is forgotten");
    }
}
