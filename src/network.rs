//! Who may lead whom where: a server on the internet that redirects us, or names a token service, does not get to
//! choose an address of this machine or of the network behind it.
//!
//! Judged is the address that is connected to, not the name: a name may be made to mean anything.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ureq::config::{Config, ConfigBuilder};
use ureq::http::Uri;
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use ureq::typestate::AgentScope;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error};

/// Where an address lies, from the most public on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Zone {
    /// On the internet.
    Public,
    /// In a network of its own: RFC 1918, RFC 6598, RFC 4193.
    Private,
    /// This machine, by an address that others reach it by.
    Own,
    /// On this link; a cloud's metadata service above all.
    Link,
    /// This machine.
    Loopback,
    /// No single host: multicast, broadcast, "this network".
    Nowhere,
}

impl Zone {
    /// Of this address, as this machine sees it.
    pub fn of(address: IpAddr) -> Self {
        let zone = match address {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        };
        // Only what is this machine's own can be bound to.
        let is_own = || UdpSocket::bind((address, 0)).is_ok();
        if matches!(zone, Self::Public | Self::Private) && is_own() { Self::Own } else { zone }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        match address.octets() {
            [127, ..] => Self::Loopback,
            // The latter is Alibaba's metadata service.
            [169, 254, ..] | [100, 100, 100, 200] => Self::Link,
            [0 | 224..=255, ..] => Self::Nowhere,
            [10, ..]
            | [172, 16..=31, ..]
            | [192, 168, ..]
            | [100, 64..=127, ..]
            | [198, 18..=19, ..]
            | [192, 0, 0, _] => Self::Private,
            _ => Self::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        let parts = address.segments();
        let embedded =
            |high: u16, low: u16| Self::of_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
        match parts {
            [0, 0, 0, 0, 0, 0, 0, 1] => Self::Loopback,
            // IPv4 in IPv6: mapped, compatible, translated, NAT64, 6to4.
            [0, 0, 0, 0, 0, 0xffff | 0, high, low]
            | [0, 0, 0, 0, 0xffff, 0, high, low]
            | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
            | [0x2002, high, low, ..] => embedded(high, low),
            // AWS' metadata service.
            [0xfd00, 0xec2, ..] | [0xfe80..=0xfebf, ..] => Self::Link,
            [0x64, 0xff9b, 1, ..] | [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Self::Private,
            // Teredo, and what is no host.
            [0x2001, 0, ..] | [0xff00..=0xffff, ..] => Self::Nowhere,
            _ => Self::Public,
        }
    }

    /// Whether a server here may lead to an address there.
    pub fn leads_to(self, there: Self) -> bool {
        match there {
            Self::Public => true,
            Self::Private => self != Self::Public,
            Self::Own => matches!(self, Self::Own | Self::Loopback),
            Self::Link | Self::Loopback => self == there,
            Self::Nowhere => false,
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::Public => "a public address",
            Self::Private => "an address of a private network",
            Self::Link => "a link-local address",
            Self::Own | Self::Loopback => "this machine",
            Self::Nowhere => "an address of no host",
        }
    }
}

/// Where the hosts lie that were asked so far: each as public as it ever was, so that a name gains nothing by
/// meaning another address the next time.
#[derive(Debug, Clone, Default)]
pub struct Seen(Arc<Mutex<HashMap<String, Zone>>>);

impl Seen {
    /// Where the host of this URL lies. One that only a proxy knows is on the internet, unless it is an address.
    pub fn zone(&self, url: &str) -> Zone {
        let Some(host) = host(url) else { return Zone::Public };
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&host).copied();
        known.or_else(|| literal(&host)).unwrap_or(Zone::Public)
    }

    /// Notes where a host lies.
    pub fn note(&self, host: String, zone: Zone) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seen.entry(host).or_insert(zone);
        *known = zone.min(*known);
    }
}

/// How everything is asked: by the system's CAs, no redirect is followed behind our back, and every status is an answer.
pub fn config(timeout: Duration, is_verified: bool) -> ConfigBuilder<AgentScope> {
    let tls = TlsConfig::builder()
        .provider(TlsProvider::NativeTls)
        .root_certs(RootCerts::PlatformVerifier)
        .disable_verification(!is_verified)
        .build();
    Agent::config_builder()
        .tls_config(tls)
        .max_redirects(0)
        .http_status_as_error(false)
        .timeout_global(Some(timeout))
}

/// An agent for whom somebody named (`None`), or for where a server of the zone `from` leads to.
pub fn agent(config: Config, from: Option<Zone>, seen: &Seen) -> Agent {
    let guide = Guide { from, seen: seen.clone(), inner: DefaultResolver::default() };
    Agent::with_parts(config, DefaultConnector::default(), guide)
}

/// Whether a server of the zone `from` may lead to `url`, as far as its text tells: all that there is to judge by
/// where a proxy looks names up.
pub fn may_lead(from: Zone, url: &str) -> Result<(), String> {
    match host(url).and_then(|host| literal(&host).map(|zone| (host, zone))) {
        Some((host, zone)) if !from.leads_to(zone) => Err(refusal(&host, zone)),
        _ => Ok(()),
    }
}

fn refusal(host: &str, zone: Zone) -> String {
    format!("`{host}` is {}, and was only led to: refused", zone.in_words())
}

/// In lower case, without brackets.
fn host(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    Some(uri.host()?.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase())
}

/// Where a host lies that needs no look-up.
fn literal(host: &str) -> Option<Zone> {
    if host == "localhost" || host.ends_with(".localhost") {
        return Some(Zone::Loopback);
    }
    let last = host.rsplit('.').next().unwrap_or_default();
    // `127.1`, `0x7f000001` and `2130706433` are addresses to some, and names to nobody.
    let numeric = last.starts_with("0x") || last.bytes().all(|it| it.is_ascii_digit());
    host.parse().map(Zone::of).ok().or_else(|| numeric.then_some(Zone::Nowhere))
}

/// Looks names up, and gives only addresses that may be connected to.
#[derive(Debug)]
struct Guide {
    from: Option<Zone>,
    seen: Seen,
    inner: DefaultResolver,
}

impl Resolver for Guide {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let found = self.inner.resolve(uri, config, timeout)?;
        if config.proxy().is_some_and(|proxy| proxy.uri() == uri) {
            return Ok(found);
        }
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let zones = || found.iter().map(|address| Zone::of(address.ip()));
        if let Some(zone) = zones().min() {
            self.seen.note(host.trim_end_matches('.').to_ascii_lowercase(), zone);
        }
        let Some(from) = self.from else { return Ok(found) };
        let mut allowed = self.empty();
        for address in found.iter().filter(|address| from.leads_to(Zone::of(address.ip()))) {
            allowed.push(*address);
        }
        match zones().max() {
            Some(worst) if allowed.is_empty() => Err(Error::Io(std::io::Error::other(refusal(host, worst)))),
            _ => Ok(allowed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_has_its_zone() {
        for (zone, addresses) in [
            (
                Zone::Public,
                &["8.8.8.8", "172.15.0.1", "172.32.0.1", "100.63.0.1", "100.128.0.1", "2a00::1"][..],
            ),
            (
                Zone::Public,
                &["169.253.0.1", "192.0.1.1", "::ffff:8.8.8.8", "64:ff9b::808:808", "223.255.255.1"],
            ),
            (
                Zone::Private,
                &["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "198.18.0.1"],
            ),
            (
                Zone::Private,
                &["fc00::1", "fd12::1", "fec0::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::"],
            ),
            (
                Zone::Link,
                &["169.254.169.254", "fe80::1", "::ffff:169.254.169.254", "fd00:ec2::254", "100.100.100.200"],
            ),
            (
                Zone::Loopback,
                &["127.0.0.1", "127.255.0.1", "::1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1"],
            ),
            (
                Zone::Nowhere,
                &["0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "255.255.255.255", "240.0.0.1", "ff02::1"],
            ),
        ] {
            for address in addresses {
                assert_eq!(Zone::of(address.parse().unwrap()), zone, "{address}");
            }
        }
    }

    #[test]
    fn a_server_leads_to_its_like_and_to_the_internet() {
        use Zone::{Link, Loopback, Nowhere, Private, Public};
        let all = [Public, Private, Link, Loopback, Nowhere];
        let led = |from: Zone| all.into_iter().filter(|there| from.leads_to(*there)).collect::<Vec<_>>();
        assert_eq!(led(Public), [Public]);
        assert_eq!(led(Private), [Public, Private]);
        assert_eq!(led(Link), [Public, Private, Link]);
        assert_eq!(led(Loopback), [Public, Private, Loopback]);
    }

    #[test]
    fn what_is_an_address_needs_no_look_up() {
        for refused in [
            "http://localhost:1/",
            "http://a.localhost/",
            "http://LOCALHOST./",
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0x7f.1/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]:80/",
            "http://10.0.0.1/",
            "http://u@10.0.0.1/",
            "http://169.254.169.254/latest",
        ] {
            assert!(may_lead(Zone::Public, refused).is_err(), "{refused}");
        }
        for fine in
            ["https://example.org/", "https://8.8.8.8/", "https://0x.example/", "https://localhost.example/"]
        {
            assert_eq!(may_lead(Zone::Public, fine), Ok(()), "{fine}");
        }
    }

    #[test]
    fn the_address_decides_and_not_the_name() {
        let seen = Seen::default();
        let ask = |from| {
            let config = Agent::config_builder().proxy(None).build();
            agent(config, from, &seen).get("http://localhost:1/").call().unwrap_err().to_string()
        };
        for from in [Zone::Public, Zone::Private, Zone::Link] {
            assert!(ask(Some(from)).contains("`localhost` is this machine"), "{from:?}");
        }
        for from in [None, Some(Zone::Loopback)] {
            assert!(!ask(from).contains("led to"), "{from:?}");
        }
        assert_eq!(seen.zone("http://localhost:7/x"), Zone::Loopback);
    }

    #[test]
    fn a_host_stays_as_public_as_it_ever_was() {
        let seen = Seen::default();
        for (zone, known) in [
            (Zone::Loopback, Zone::Loopback),
            (Zone::Private, Zone::Private),
            (Zone::Public, Zone::Public),
            (Zone::Private, Zone::Public),
        ] {
            seen.note("h.example".into(), zone);
            assert_eq!(seen.zone("https://H.example/x"), known);
        }
        assert_eq!(seen.zone("https://10.0.0.1/"), Zone::Private);
        assert_eq!(seen.zone("https://other.example/"), Zone::Public);
    }
}
