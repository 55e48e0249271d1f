//! Where a request comes from, and whether a source takes requests from there.
//!
//! An address proves nothing by itself: it is asked in addition to a secret, for
//! providers that publish theirs. `X-Forwarded-For` counts only as far as the
//! proxies that wrote it are ours.

use std::net::IpAddr;

use http::HeaderMap;

use crate::config::Network;

/// Addresses read in one header: more proxies than any real chain has.
const HOPS_MOST: usize = 32;

const FORWARDED: &str = "x-forwarded-for";

/// Whether a request of `peer` may come from one of `allowed`; everywhere is
/// allowed where none is named.
pub fn is_allowed(
    peer: Option<IpAddr>,
    headers: &HeaderMap,
    trusted: &[Network],
    allowed: &[Network],
) -> bool {
    allowed.is_empty()
        || client(peer, headers, trusted)
            .is_some_and(|client| allowed.iter().any(|network| network.contains(client)))
}

/// Who sent the request: the peer, or where the peer is a proxy of ours the
/// nearest address before our proxies. `None` where that cannot be told.
fn client(peer: Option<IpAddr>, headers: &HeaderMap, trusted: &[Network]) -> Option<IpAddr> {
    let ours = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let peer = peer?.to_canonical();
    if !ours(peer) {
        return Some(peer);
    }
    let mut hops = Vec::new();
    for header in headers.get_all(FORWARDED) {
        for hop in header.to_str().ok()?.split(',') {
            hops.push(hop.trim().to_owned());
        }
    }
    if hops.len() > HOPS_MOST {
        return None;
    }
    // The last one was written by the proxy next to us.
    for hop in hops.iter().rev() {
        let hop = hop.parse::<IpAddr>().ok()?.to_canonical();
        if !ours(hop) {
            return Some(hop);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn only_our_own_proxies_are_believed() {
        let allowed = networks(&["203.0.113.0/24", "2001:db8::7"]);
        let trusted = networks(&["10.0.0.0/8"]);
        let from = |peer: &str, forwarded: &[&str], trusted: &[Network]| {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append(FORWARDED, value.parse().unwrap());
            }
            is_allowed(peer.parse().ok(), &headers, trusted, &allowed)
        };
        // Directly, and mapped into IPv6.
        assert!(from("203.0.113.9", &[], &trusted));
        assert!(from("::ffff:203.0.113.9", &[], &trusted));
        assert!(from("2001:db8::7", &[], &[]));
        assert!(!from("198.51.100.1", &[], &trusted));
        // A stranger's header is the stranger's word.
        assert!(!from("198.51.100.1", &["203.0.113.9"], &trusted));
        // Through our proxies, whatever a stranger wrote before them.
        assert!(from("10.0.0.2", &["198.51.100.1, 203.0.113.9"], &trusted));
        assert!(from("10.0.0.2", &["203.0.113.9", "10.1.1.1"], &trusted));
        assert!(!from("10.0.0.2", &["203.0.113.9, 198.51.100.1"], &trusted));
        // What cannot be told is no.
        assert!(!from("10.0.0.2", &[], &trusted));
        assert!(!from("10.0.0.2", &["203.0.113.9, nobody"], &trusted));
        assert!(!from("10.0.0.2", &[&["10.0.0.1"; 40].join(",")], &trusted));
        assert!(!from("nobody", &[], &trusted));
        assert!(is_allowed(None, &HeaderMap::new(), &[], &[]));
    }
}
