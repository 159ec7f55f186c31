//! The plain distributions of the search nodes (no JDK, no plugin) that their makers publish on Maven Central.
//!
//! Maven fetches them and checks its own checksum; the SHA-512 here pins what was tried, so that neither a mirror nor a
//! re-published file can change what the tests run.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha512};
use toktra_siem_testkit::real::{ELASTICSEARCH, ELASTICSEARCH_7, ELASTICSEARCH_9, OPENSEARCH, OPENSEARCH_3, Part};

use crate::process::{self, command, target};

/// One pinned distribution.
pub(super) struct Distribution {
    /// Which part of the tests' needs it meets.
    pub(super) part: Part,
    /// `opensearch` or `elasticsearch`: the artifact, the launcher's name and the settings file's.
    pub(super) product: &'static str,
    /// The exact version.
    pub(super) version: &'static str,
    /// The oldest Java that it runs on.
    pub(super) java: u32,
    /// Settings beyond those that every node gets.
    pub(super) settings: &'static str,
    sha512: &'static str,
}

/// OpenSearch 2 and 3, and Elasticsearch 7.17, 8 and 9. Elasticsearch from 9.2 on runs on a JDK 25 too, which earlier versions of 9 do not.
pub(super) const DISTRIBUTIONS: &[Distribution] = &[
    Distribution {
        part: OPENSEARCH,
        product: "opensearch",
        version: "2.19.6",
        java: 17,
        settings: "",
        sha512: "8adbfaa13162b8d42b388ece6b39bfb7f1a349ab9c128d4eced78ba1dd43b5a1\
                 0850b43b8aac19fa5ab11f4d5c355ddf6f6617514d6112b0936a1903005d1d36",
    },
    Distribution {
        part: OPENSEARCH_3,
        product: "opensearch",
        version: "3.4.0",
        java: 21,
        settings: "",
        sha512: "18cb16a9d251f8e915fbc0ab64b53d2f1ee9299829673c7357446041ae42fe20\
                 94ab16c899edd944bd39aa49ed3aae799b1ff04084a1220d6c6676734a392117",
    },
    Distribution {
        part: ELASTICSEARCH_9,
        product: "elasticsearch",
        version: "9.2.0",
        java: 21,
        settings: "xpack.security.enabled: false\n",
        sha512: "2c624e913bb8712fb1698fc1ab3a241c868228183f089ff3cde17ad7bc7b5a96\
                 63454c2af939c65e075663826371e3d4344dca43a55a8aab9594f9a64b01d2c7",
    },
    Distribution {
        part: ELASTICSEARCH,
        product: "elasticsearch",
        version: "8.19.21",
        java: 17,
        settings: "xpack.security.enabled: false\n",
        sha512: "cf6b0a93860d329937ae7f913ec5073b0c726c77639764b93fc83a304aa1dd9d\
                 4defcfa2849948eea3b0b47c2065f994908603939fc2a4774c9c4d868c5ec1dd",
    },
    Distribution {
        part: ELASTICSEARCH_7,
        product: "elasticsearch",
        version: "7.17.29",
        java: 17,
        settings: "xpack.security.enabled: false\n",
        sha512: "24abc37b17b5709c41fba542d0cfb052bc41622326fed2183a67707db3cbd46e\
                 8469885ecb48c67265d48427be41f9389efff7db99d367b3b6151c65cd64aa43",
    },
];

impl Distribution {
    /// `product-version`: the name of the zip and of the only directory in it.
    pub(super) fn name(&self) -> String {
        format!("{}-{}", self.product, self.version)
    }

    /// The verified zip, fetched unless an earlier run did.
    pub(super) async fn zip(&self) -> Result<PathBuf> {
        let directory = target("real/download");
        let zip = directory.join(format!("{}.zip", self.name()));
        if !zip.exists() {
            println!("    fetching {} (55 to 135 MB, once)", self.name());
            let mut maven = command("mvn");
            maven.args(["--batch-mode", "--quiet", "dependency:copy"]);
            maven.arg(format!("-Dartifact={}", self.coordinates()));
            maven.arg(format!("-DoutputDirectory={}", directory.display()));
            let fetched = process::with_progress(&format!("fetching {}", self.name()), process::output(maven)).await;
            fetched.context("Maven cannot fetch it (Debian: apt-get install maven; or run `cargo xtask ci-setup`)")?;
        }
        let bytes = fs::read(&zip).with_context(|| format!("Maven left no {}", zip.display()))?;
        let found = hex::encode(Sha512::digest(&bytes));
        if found != self.sha512 {
            fs::remove_file(&zip)?;
            bail!("{} has SHA-512 {found}, not the pinned {}; it was removed", zip.display(), self.sha512);
        }
        Ok(zip)
    }

    fn coordinates(&self) -> String {
        format!("org.{0}.distribution.integ-test-zip:{0}:{1}:zip", self.product, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coordinates_are_those_of_maven_central() {
        assert_eq!(DISTRIBUTIONS[0].coordinates(), "org.opensearch.distribution.integ-test-zip:opensearch:2.19.6:zip");
    }

    #[test]
    fn every_distribution_is_pinned_and_has_a_variable_of_its_own() {
        for distribution in DISTRIBUTIONS {
            assert_eq!(hex::decode(distribution.sha512).map(|bytes| bytes.len()), Ok(64), "{}", distribution.name());
            let sharing = DISTRIBUTIONS.iter().filter(|other| other.part == distribution.part);
            assert_eq!(sharing.count(), 1, "{}", distribution.part.variable);
        }
    }
}
