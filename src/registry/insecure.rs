//! Whether docker trusts a registry without TLS: loopback, and what `docker info` lists by name or network.

use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};

/// Whether `registry` (`host[:port]`) is on loopback.
pub fn is_loopback(registry: &str) -> bool {
    addresses(registry).iter().any(IpAddr::is_loopback)
}

/// Whether `listed` holds `registry`, or a network that one of its addresses is in (moby `isSecureIndex`).
pub fn is_listed(registry: &str, listed: &[String]) -> bool {
    if listed.iter().any(|entry| entry == registry) {
        return true;
    }
    let addresses = addresses(registry);
    listed.iter().any(|entry| addresses.iter().any(|address| contains(entry, *address)))
}

fn addresses(registry: &str) -> Vec<IpAddr> {
    let end = registry.find(']').unwrap_or(0);
    let has_port = registry[end..].contains(':');
    let address = if has_port { registry.to_owned() } else { format!("{registry}:443") };
    address.to_socket_addrs().map(|found| found.map(|one| one.ip()).collect()).unwrap_or_default()
}

fn contains(network: &str, address: IpAddr) -> bool {
    let Some((base, length)) = network.split_once('/') else { return false };
    let (Ok(base), Ok(length)) = (base.parse::<IpAddr>(), length.parse::<u32>()) else { return false };
    match (base, address) {
        (IpAddr::V4(base), IpAddr::V4(address)) if length <= 32 => {
            let bits = |address: Ipv4Addr| u64::from(u32::from(address)) >> (32 - length);
            bits(base) == bits(address)
        }
        (IpAddr::V6(base), IpAddr::V6(address)) if length <= 128 => {
            length == 0 || u128::from(base) >> (128 - length) == u128::from(address) >> (128 - length)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_names_and_networks() {
        for registry in ["127.0.0.1:5000", "127.1.2.3", "[::1]:5000", "localhost:5000"] {
            assert!(is_loopback(registry), "{registry}");
        }
        let listed = ["10.77.0.0/24", "fd00::/8", "plain.example:5000"].map(str::to_owned);
        for (registry, insecure) in [
            ("10.77.0.254:5000", true),
            ("10.77.1.1:5000", false),
            ("[fd00::1]:5000", true),
            ("[fe00::1]", false),
            ("plain.example:5000", true),
        ] {
            assert_eq!(is_listed(registry, &listed), insecure, "{registry}");
        }
    }
}
