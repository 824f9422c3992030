//! How many connections are served at a time, and how many of them one client may hold.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::server::Limits;

/// All permits there are, shared between who gives them and who holds them.
#[derive(Debug, Clone)]
pub struct Permits(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    served: usize,
    spare: usize,
    lingering: usize,
    clients: HashMap<IpAddr, usize>,
}

/// What a permit is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Any,
    /// The health check alone, from this machine: it must not be kept out by whoever holds the others, or the
    /// daemon is restarted for their sake.
    Health,
    /// A client that was answered is on its way out.
    Lingering,
}

/// One permit, given back when dropped.
#[derive(Debug)]
pub struct Permit {
    taken: Arc<Mutex<Taken>>,
    client: IpAddr,
    pub kind: Kind,
}

impl Permits {
    /// None is taken.
    pub fn new() -> Self {
        Self(Arc::default())
    }

    /// A permit for a connection from `peer`, if there is one for it.
    pub fn take(&self, peer: IpAddr, limits: &Limits) -> Option<Permit> {
        let (client, local) = (client(peer), peer.to_canonical().is_loopback());
        let most = if local { limits.of_this_machine } else { limits.of_a_client };
        let mut taken = lock(&self.0);
        let held = taken.clients.get(&client).copied().unwrap_or_default();
        let kind = if taken.served < limits.connections && held < most {
            taken.served += 1;
            taken.clients.insert(client, held + 1);
            Kind::Any
        } else if local && taken.spare < limits.spare {
            taken.spare += 1;
            Kind::Health
        } else {
            return None;
        };
        drop(taken);
        Some(Permit { taken: Arc::clone(&self.0), client, kind })
    }
}

impl Permit {
    /// Leaves the permit to others; a client that was answered may linger, unless too many do.
    pub fn linger(self, limits: &Limits) -> Option<Self> {
        let (taken, client) = (Arc::clone(&self.taken), self.client);
        drop(self);
        let mut now = lock(&taken);
        if now.lingering >= limits.connections {
            return None;
        }
        now.lingering += 1;
        drop(now);
        Some(Self { taken, client, kind: Kind::Lingering })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        match self.kind {
            Kind::Health => taken.spare -= 1,
            Kind::Lingering => taken.lingering -= 1,
            Kind::Any => {
                taken.served -= 1;
                if let Some(held) = taken.clients.get_mut(&self.client) {
                    *held -= 1;
                    if *held == 0 {
                        taken.clients.remove(&self.client);
                    }
                }
            }
        }
    }
}

/// Who a peer counts as: a single host has a /64 of IPv6 to call from.
fn client(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(permits: &Permits, peer: &str, times: usize) -> Vec<Permit> {
        let limits = Limits::default();
        (0..times).filter_map(|_| permits.take(peer.parse().unwrap(), &limits)).collect()
    }

    fn kinds(permits: &[Permit]) -> [usize; 2] {
        [Kind::Any, Kind::Health].map(|kind| permits.iter().filter(|permit| permit.kind == kind).count())
    }

    #[test]
    fn one_client_holds_a_part_alone() {
        for (peer, other, most) in [
            ("192.0.2.1", "192.0.2.2", [16, 0]),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.2", [16, 0]),
            ("2001:db8::1", "2001:db8:0:1::1", [16, 0]),
            ("127.0.0.1", "192.0.2.1", [64, 8]),
            ("::1", "192.0.2.1", [64, 8]),
            ("::ffff:127.0.0.1", "192.0.2.1", [64, 8]),
        ] {
            let permits = Permits::new();
            let held = take(&permits, peer, 200);
            assert_eq!(kinds(&held), most, "{peer}");
            assert_eq!(kinds(&take(&permits, other, 200))[0], 16, "{peer}");
        }
        let permits = Permits::new();
        let held = [take(&permits, "2001:db8::1", 10), take(&permits, "2001:db8::ffff:1", 10)];
        assert_eq!(held.map(|held| held.len()), [10, 6], "a /64 is one client");
        let permits = Permits::new();
        let held = [take(&permits, "192.0.2.1", 10), take(&permits, "::ffff:192.0.2.1", 10)];
        assert_eq!(held.map(|held| held.len()), [10, 6], "one address, however it is written");
    }

    #[test]
    fn all_places_are_given_and_come_back() {
        let permits = Permits::new();
        let peers = [1, 2, 3, 4, 5, 6].map(|host| format!("192.0.2.{host}"));
        let all = || peers.each_ref().map(|peer| take(&permits, peer, 16));
        let held = all();
        assert_eq!(held.each_ref().map(Vec::len), [16, 16, 16, 16, 16, 0]);
        assert_eq!(kinds(&take(&permits, "127.0.0.1", 20)), [0, 8], "the health check gets through");
        drop(held);
        let limits = Limits::default();
        let lingering: Vec<_> =
            all().into_iter().flatten().filter_map(|permit| permit.linger(&limits)).collect();
        assert_eq!(lingering.len(), 80);
        let held = all();
        assert_eq!(held.each_ref().map(Vec::len), [16, 16, 16, 16, 16, 0], "who lingers holds no permit");
        assert!(
            held.into_iter().flatten().all(|permit| permit.linger(&limits).is_none()),
            "nor do they pile up"
        );
        drop(lingering);
        assert!(lock(&permits.0).clients.is_empty() && lock(&permits.0).lingering == 0);
    }
}
