//! Which addresses are not for everyone, and why: the IANA special-purpose registries (IPv4 and IPv6, RFC 6890 and its updates),
//! multicast, and the addresses under which clouds give out their machines' credentials.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// What an address is, as far as the policy cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// An ordinary address of the public internet.
    Public,
    /// Of no use for reaching one machine, or a metadata service: nobody may connect to it.
    Never(&'static str),
    /// Private or otherwise special: only where the operator says so.
    Special(&'static str),
}

use Class::{Never, Special};

/// What a cloud's metadata address is called in refusals.
pub(super) const METADATA: &str = "a cloud metadata service";

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(head: [u16; 4], last: u16, prefix: u8) -> Ipv6Net {
    let [a, b, c, d] = head;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, last), prefix)
}

/// First match wins, so single addresses stand before the ranges that hold them.
const V4: &[(Ipv4Net, Class)] = &[
    // Metadata services that do not live in 169.254.0.0/16: Alibaba, Azure's wire server, Oracle's older address.
    (v4(100, 100, 100, 200, 32), Never(METADATA)),
    (v4(168, 63, 129, 16, 32), Never(METADATA)),
    (v4(192, 0, 0, 192, 32), Never(METADATA)),
    // The whole of link-local: AWS, GCP, Azure, Oracle (.169.254), ECS and EKS credentials (.170.2, .170.23), Tencent (.0.23),
    // Scaleway (.42.42), and whatever comes next.
    (v4(169, 254, 0, 0, 16), Never("a link-local address, where clouds keep their metadata services")),
    (v4(0, 0, 0, 0, 8), Never("an unspecified address")),
    (v4(224, 0, 0, 0, 4), Never("a multicast address")),
    (v4(255, 255, 255, 255, 32), Never("the broadcast address")),
    (v4(10, 0, 0, 0, 8), Special("a private address")),
    (v4(100, 64, 0, 0, 10), Special("a carrier-grade NAT address")),
    (v4(127, 0, 0, 0, 8), Special("a loopback address")),
    (v4(172, 16, 0, 0, 12), Special("a private address")),
    (v4(192, 0, 0, 0, 24), Special("an address reserved for protocols")),
    (v4(192, 0, 2, 0, 24), Special("an address reserved for documentation")),
    (v4(192, 31, 196, 0, 24), Special("an address of the AS112 service")),
    (v4(192, 52, 193, 0, 24), Special("an address for multicast tunnelling")),
    (v4(192, 88, 99, 0, 24), Special("an address of the former 6to4 relays")),
    (v4(192, 168, 0, 0, 16), Special("a private address")),
    (v4(192, 175, 48, 0, 24), Special("an address of the AS112 service")),
    (v4(198, 18, 0, 0, 15), Special("an address reserved for benchmarks")),
    (v4(198, 51, 100, 0, 24), Special("an address reserved for documentation")),
    (v4(203, 0, 113, 0, 24), Special("an address reserved for documentation")),
    (v4(240, 0, 0, 0, 4), Special("a reserved address")),
];

const V6: &[(Ipv6Net, Class)] = &[
    // AWS (metadata, EKS credentials), GCP, Scaleway.
    (v6([0xfd00, 0x0ec2, 0, 0], 0x0254, 128), Never(METADATA)),
    (v6([0xfd00, 0x0ec2, 0, 0], 0x0023, 128), Never(METADATA)),
    (v6([0xfd20, 0x00ce, 0, 0], 0x0254, 128), Never(METADATA)),
    (v6([0xfd00, 0x0042, 0, 0], 0x0042, 128), Never(METADATA)),
    (v6([0xfe80, 0, 0, 0], 0, 10), Never("a link-local address")),
    (v6([0xff00, 0, 0, 0], 0, 8), Never("a multicast address")),
    (v6([0, 0, 0, 0], 0, 128), Never("an unspecified address")),
    (v6([0, 0, 0, 0], 1, 128), Special("a loopback address")),
    (v6([0xfc00, 0, 0, 0], 0, 7), Special("a private (unique local) address")),
    (v6([0xfec0, 0, 0, 0], 0, 10), Special("a private (site-local) address")),
    // Teredo, benchmarking, ORCHID and the like all lie in the block of protocol assignments.
    (v6([0x2001, 0, 0, 0], 0, 23), Special("an address reserved for protocols")),
    (v6([0x2001, 0x0db8, 0, 0], 0, 32), Special("an address reserved for documentation")),
    (v6([0x2002, 0, 0, 0], 0, 16), Special("a 6to4 tunnel address")),
    (v6([0x2620, 0x004f, 0x8000, 0], 0, 48), Special("an address of the AS112 service")),
    (v6([0x3fff, 0, 0, 0], 0, 20), Special("an address reserved for documentation")),
];

/// All that IANA gives out for the public internet; anything outside that is not named above is reserved.
const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0, 0], 0, 3);

/// What `ip` is, taken by itself. Addresses that [`embedded`] finds inside have to be judged as well.
pub(super) fn classify(ip: IpAddr) -> Class {
    match ip {
        IpAddr::V4(ip) => V4.iter().find(|(net, _)| net.contains(&ip)).map_or(Class::Public, |(_, class)| *class),
        IpAddr::V6(ip) => match V6.iter().find(|(net, _)| net.contains(&ip)) {
            Some((_, class)) => *class,
            None if !embedded(ip).is_empty() => Special("an IPv6 address that stands for an IPv4 one"),
            None if GLOBAL_UNICAST.contains(&ip) => Class::Public,
            None => Special("a reserved address"),
        },
    }
}

/// The IPv4 addresses that `ip` may lead to: mapped and compatible forms, NAT64 (RFC 6052, RFC 8215), 6to4, Teredo, ISATAP.
/// Empty for a plain IPv6 address.
pub(super) fn embedded(ip: Ipv6Addr) -> Vec<Ipv4Addr> {
    let s = ip.segments();
    let o = ip.octets();
    let last = Ipv4Addr::new(o[12], o[13], o[14], o[15]);
    match s {
        // `::` and `::1` are addresses in their own right.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => vec![],
        // The local-use NAT64 block may be used whole (/48, which skips octet 8) or by a longer prefix, /96 being usual.
        [0x64, 0xff9b, 1, ..] => vec![last, Ipv4Addr::new(o[6], o[7], o[9], o[10])],
        [0x2002, ..] => vec![Ipv4Addr::new(o[2], o[3], o[4], o[5])],
        // Teredo: the server as it is, the client with its bits inverted.
        [0x2001, 0, ..] => {
            vec![Ipv4Addr::new(o[4], o[5], o[6], o[7]), Ipv4Addr::new(!o[12], !o[13], !o[14], !o[15])]
        }
        // Compatible (::/96) and mapped (::ffff:0:0/96), translated (::ffff:0:0:0/96), NAT64, ISATAP.
        [0, 0, 0, 0, 0, 0 | 0xffff, ..]
        | [0, 0, 0, 0, 0xffff, 0, ..]
        | [0x64, 0xff9b, 0, 0, 0, 0, ..]
        | [_, _, _, _, 0 | 0x200, 0x5efe, ..] => vec![last],
        _ => vec![],
    }
}
