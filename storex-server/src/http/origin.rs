//! Where a request came from, where proxies stand in front of the server.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;

const FORWARDED: &str = "x-forwarded-for";

/// The address that connected; where that is a proxy which is believed, the one that it names, and so on: each proxy adds the address that
/// connected to it behind what it has got, so whatever a caller has written stands in front of that. What cannot be read is not believed.
pub(crate) fn origin(peer: IpAddr, headers: &HeaderMap, proxies: &[IpAddr]) -> IpAddr {
    let lines = headers.get_all(FORWARDED).iter().collect::<Vec<_>>();
    let lines = lines.into_iter().rev().map(|line| line.to_str().unwrap_or_default());
    let mut named = lines.flat_map(|line| line.rsplit(','));
    let is_believed =
        |address: &IpAddr| proxies.iter().any(|proxy| proxy.to_canonical() == *address);
    let mut origin = peer.to_canonical();
    while is_believed(&origin) {
        match named.next().and_then(address) {
            Some(address) => origin = address,
            None => break,
        }
    }
    origin
}

/// Some proxies tell the port too.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let with_port = || text.parse::<SocketAddr>().map(|it| it.ip());
    text.parse().or_else(|_| with_port()).ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(peer: &str, lines: &[&str], proxies: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED, line.parse().unwrap());
        }
        let proxies: Vec<IpAddr> = proxies.iter().map(|it| it.parse().unwrap()).collect();
        origin(peer.parse().unwrap(), &headers, &proxies).to_string()
    }

    #[test]
    fn without_proxies_nobody_is_believed() {
        assert_eq!(from("192.0.2.1", &["198.51.100.7"], &[]), "192.0.2.1");
        assert_eq!(from("192.0.2.1", &["198.51.100.7"], &["192.0.2.2"]), "192.0.2.1");
        assert_eq!(from("192.0.2.1", &[], &["192.0.2.1"]), "192.0.2.1");
    }

    #[test]
    fn the_last_that_is_no_proxy_counts_whatever_stands_in_front_of_it() {
        let proxies = ["192.0.2.1", "192.0.2.2"];
        for (lines, expected) in [
            (&["198.51.100.7"][..], "198.51.100.7"),
            (&["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
            (&["192.0.2.1, 198.51.100.7"], "198.51.100.7"),
            (&["203.0.113.9", "198.51.100.7"], "198.51.100.7"),
            (&["203.0.113.9, 198.51.100.7, 192.0.2.2"], "198.51.100.7"),
            (&["198.51.100.7 , 192.0.2.2", "192.0.2.2"], "198.51.100.7"),
            (&["198.51.100.7:4711"], "198.51.100.7"),
            (&["[2001:db8::7]:4711"], "2001:db8::7"),
            (&["::ffff:198.51.100.7"], "198.51.100.7"),
        ] {
            assert_eq!(from("192.0.2.1", lines, &proxies), expected, "{lines:?}");
            assert_eq!(from("::ffff:192.0.2.1", lines, &proxies), expected, "{lines:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_ends_it() {
        let proxies = ["192.0.2.1", "192.0.2.2"];
        for (lines, expected) in [
            (&["198.51.100.7, unknown"][..], "192.0.2.1"),
            (&["198.51.100.7,"], "192.0.2.1"),
            (&[""], "192.0.2.1"),
            (&["198.51.100.7, unknown, 192.0.2.2"], "192.0.2.2"),
            (&["192.0.2.2"], "192.0.2.2"),
        ] {
            assert_eq!(from("192.0.2.1", lines, &proxies), expected, "{lines:?}");
        }
    }
}
