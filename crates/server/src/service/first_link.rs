//! The link to the first account: made by each start where nobody has one, and anew by `toktra-siem first-login`, beside the running server
//! or without it. The command leaves the hash of the newest link in a file of the data directory, where the server looks whenever somebody
//! brings a link: the older one is void from then on.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use toktra_siem_identity::first_login::{Mark, OneTimeLink, Renewed};

use super::{Base, StartError, remove_private};

/// Where the link of a start goes in the data directory where nobody looks at a terminal.
pub(crate) const FIRST_LOGIN_FILE: &str = "first-login-link";
/// Holds the hash of the newest link that the command made.
const FILE: &str = "first-login";
/// The same, until it is whole.
const UNFINISHED: &str = "first-login.new";

/// What the command left.
struct Left(PathBuf);

impl Left {
    fn read(&self) -> io::Result<Option<Mark>> {
        match std::fs::read_to_string(&self.0) {
            Ok(text) => {
                text.trim().parse().map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Renewed for Left {
    fn newest(&self) -> Option<Mark> {
        self.read().unwrap_or_else(|error| {
            tracing::warn!(%error, file = %self.0.display(), "the link of `toktra-siem first-login` cannot be read, so no link opens the page");
            Some(Mark::OF_NONE)
        })
    }

    fn forget(&self) {
        if let Err(error) = remove_private(&self.0) {
            tracing::warn!(%error, file = %self.0.display(), "the file of a link that is void cannot be removed");
        }
    }
}

/// Leaves another link in the data directory `dir`: every older one is void once this returns. The file belongs to whoever the directory
/// belongs to, so that the server can read what root has left.
pub(crate) fn renew(dir: &Path, token: &SecretString) -> io::Result<()> {
    let unfinished = dir.join(UNFINISHED);
    remove_private(&unfinished)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    writeln!(file, "{}", Mark::of(token.expose_secret()))?;
    let (owner, made) = (std::fs::metadata(dir)?, file.metadata()?);
    if (owner.uid(), owner.gid()) != (made.uid(), made.gid()) {
        // The file itself, whatever stands at its path by now: the directory may be somebody else's.
        fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    file.sync_all()?;
    std::fs::rename(&unfinished, dir.join(FILE))?;
    File::open(dir)?.sync_all()
}

/// The address that a link with this token has.
pub(crate) fn address(page: &str, token: &SecretString) -> SecretString {
    format!("{page}/setup/{}", token.expose_secret()).into()
}

/// The page's URL, without a slash at the end: the configured one, else the address that the server listens on. If that is the wildcard
/// address, loopback takes its place.
pub(crate) fn page(public_url: Option<&str>, listen: SocketAddr) -> String {
    let here = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    public_url.map_or_else(|| format!("http://{}", SocketAddr::new(here, listen.port())), str::to_owned)
}

impl Base {
    /// Makes the link to the first account, and its token where nobody has one. A link that the command made before this start holds, and
    /// nobody is told of another. Where everybody goes while the server runs, only the command makes one.
    pub(super) async fn setup_link(&self, dir: &Path) -> Result<(Option<SecretString>, OneTimeLink), StartError> {
        let left = Left(dir.join(FILE));
        if !self.store.users(self.default_org).await?.is_empty() {
            left.forget();
            return Ok((None, OneTimeLink::none().until(left)));
        }
        if left.newest().is_some() {
            tracing::info!(
                "nobody has an account yet; the link that `toktra-siem first-login` printed makes the first one"
            );
            return Ok((None, OneTimeLink::none().until(left)));
        }
        let (token, link) = OneTimeLink::new(&*self.random);
        Ok((Some(token), link.until(left)))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_link_is_left_for_the_owner_alone_and_the_newest_counts() {
        let dir = tempfile::tempdir().unwrap();
        let left = Left(dir.path().join(FILE));
        assert_eq!(left.newest(), None);
        for token in ["first", "second"] {
            renew(dir.path(), &token.into()).unwrap();
            assert_eq!(left.newest(), Some(Mark::of(token)));
        }
        let text = std::fs::read_to_string(dir.path().join(FILE)).unwrap();
        assert!(!text.contains("second"), "{text}");
        assert_eq!(std::fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode() & 0o777, 0o600);
        // What cannot be read makes no older link valid again.
        std::fs::write(dir.path().join(FILE), "damaged").unwrap();
        assert_eq!(left.newest(), Some(Mark::OF_NONE));
        left.forget();
        left.forget();
        assert_eq!(left.newest(), None);
    }

    #[test]
    fn a_link_leads_where_people_find_the_page() {
        let at = |public: Option<&str>, listen: &str| page(public, listen.parse().unwrap());
        assert_eq!(at(None, "0.0.0.0:8080"), "http://127.0.0.1:8080");
        assert_eq!(at(None, "[::]:8080"), "http://[::1]:8080");
        assert_eq!(at(None, "10.0.0.1:80"), "http://10.0.0.1:80");
        assert_eq!(at(Some("https://siem.company.com"), "0.0.0.0:8080"), "https://siem.company.com");
    }
}
