//! Which addresses of a name may be connected: all of them, or none.
//!
//! One private answer among public ones is what a rebinding attack looks like, so it spoils the rest. What comes out of
//! here is connected as it is and never looked up again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use kv_model::{HostKind, Origin, is_public};

use crate::error::SendError;
use crate::limits::Limits;
use crate::resolve::Resolve;

/// Resolves the origin's host unless it is an address, and vets every answer.
pub(crate) async fn addresses(
    origin: &Origin,
    allow_private: bool,
    resolver: &dyn Resolve,
    limits: &Limits,
) -> Result<Vec<IpAddr>, SendError> {
    if let Some(ip) = origin.ip() {
        // The person wrote this very address; it needs their yes to private ones all the same.
        return if allow_private || is_public(ip) { Ok(vec![ip]) } else { Err(SendError::PrivateAddress) };
    }
    if origin.host_kind() == HostKind::Loopback {
        // RFC 6761: `localhost` is this machine, whatever a resolver says.
        let here = vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        return if allow_private { Ok(here) } else { Err(SendError::PrivateAddress) };
    }
    let found = resolver.resolve(&origin.host()).await.map_err(|_| SendError::Dns)?;
    vet(found, allow_private, limits.addresses)
}

fn vet(found: Vec<IpAddr>, allow_private: bool, most: usize) -> Result<Vec<IpAddr>, SendError> {
    let fits = |ip: IpAddr| is_public(ip) || (allow_private && !needs_own_name(ip));
    if !found.iter().copied().all(fits) {
        return Err(SendError::PrivateAddress);
    }
    let mut unique = Vec::new();
    for ip in found {
        if !unique.contains(&ip) && unique.len() < most {
            unique.push(ip);
        }
    }
    if unique.is_empty() { Err(SendError::Dns) } else { Ok(unique) }
}

/// Addresses that a yes to private ones does not cover when a name leads there: clouds hand out credentials on them, or
/// they are no single machine. A connection may still be to the address itself.
fn needs_own_name(ip: IpAddr) -> bool {
    const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16)];
    const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    match ip {
        IpAddr::V4(ip) => {
            ip.is_link_local()
                || ip.is_unspecified()
                || ip.is_multicast()
                || ip.is_broadcast()
                || METADATA_V4.contains(&ip)
        }
        IpAddr::V6(ip) => match ip.to_ipv4_mapped().or_else(|| translated(ip)) {
            Some(v4) => needs_own_name(IpAddr::V4(v4)),
            None => ip.is_unicast_link_local() || ip.is_unspecified() || ip.is_multicast() || ip == METADATA_V6,
        },
    }
}

/// The IPv4 address inside `64:ff9b::/96`, RFC 6052.
fn translated(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = ip.segments() else { return None };
    Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(found: &[&str], allow_private: bool) -> Result<usize, SendError> {
        vet(found.iter().map(|ip| ip.parse().unwrap()).collect(), allow_private, 4).map(|ips| ips.len())
    }

    #[test]
    fn one_bad_answer_spoils_all() {
        let private = Err(SendError::PrivateAddress);
        for (found, public, with_private) in [
            (&["1.1.1.1"][..], Ok(1), Ok(1)),
            (&["1.1.1.1", "1.1.1.1", "2606:4700::1111"], Ok(2), Ok(2)),
            (&["1.1.1.1", "10.0.0.1"], private.clone(), Ok(2)),
            (&["1.1.1.1", "::1"], private.clone(), Ok(2)),
            (&["fd00::1", "1.1.1.1"], private.clone(), Ok(2)),
            (&["::ffff:10.0.0.1"], private.clone(), Ok(1)),
            (&["1.1.1.1", "169.254.169.254"], private.clone(), private.clone()),
            (&["::ffff:169.254.169.254"], private.clone(), private.clone()),
            (&["64:ff9b::a9fe:a9fe"], private.clone(), private.clone()),
            (&["fd00:ec2::254"], private.clone(), private.clone()),
            (&["100.100.100.200"], private.clone(), private.clone()),
            (&["168.63.129.16"], private.clone(), private.clone()),
            (&["fe80::1"], private.clone(), private.clone()),
            (&["0.0.0.0"], private.clone(), private.clone()),
            (&["::"], private.clone(), private.clone()),
            (&["224.0.0.1"], private.clone(), private.clone()),
            (&["1.0.0.1", "1.0.0.2", "1.0.0.3", "1.0.0.4", "1.0.0.5"], Ok(4), Ok(4)),
            (&[], Err(SendError::Dns), Err(SendError::Dns)),
        ] {
            assert_eq!(check(found, false), public, "{found:?}");
            assert_eq!(check(found, true), with_private, "{found:?} with private addresses allowed");
        }
    }
}
