//! Certificates as receivers show them: good ones, and those that must be refused.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, date_time_ymd,
};
use toktra_siem_fake::Tls;

/// A certificate authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = named(name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    fn issue(&self, params: &CertificateParams) -> Tls {
        let key = KeyPair::generate().unwrap();
        Tls { cert_pem: params.signed_by(&key, &self.0).unwrap().pem(), key_pem: key.serialize_pem() }
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names.push(DnType::OrganizationName, "Acme");
    names
}

fn params(host: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    params.distinguished_name = named(host);
    params
}

/// A certificate for `host`.
pub(crate) fn server(authority: &Authority, host: &str) -> Tls {
    authority.issue(&params(host))
}

/// One that was good until 2021.
pub(crate) fn expired(authority: &Authority, host: &str) -> Tls {
    let mut params = params(host);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 1, 1);
    authority.issue(&params)
}

/// One that vouches for itself.
pub(crate) fn self_signed(host: &str) -> Tls {
    let key = KeyPair::generate().unwrap();
    Tls { cert_pem: params(host).self_signed(&key).unwrap().pem(), key_pem: key.serialize_pem() }
}
