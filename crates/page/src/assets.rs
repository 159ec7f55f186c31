//! Style sheet and scripts: in the binary, compressed once, and named after their content, so that browsers may keep them for ever and see
//! a new version at once.

use std::io::Write as _;
use std::sync::LazyLock;

use axum::body::Body;
use axum::extract::Path;
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, VARY};
use sha2::{Digest as _, Sha256};

use super::answer::Result;
use super::error::PageError;

/// What there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asset {
    /// The style sheet.
    Style,
    /// The page's own script.
    Script,
    /// The stream of live updates, as a script and as a worker.
    Live,
    /// htmx.
    Htmx,
    /// Its extension for server-sent events.
    HtmxSse,
    /// The picture in the browser's tab.
    Icon,
}

impl Asset {
    const ALL: [Self; 6] = [Self::Style, Self::Script, Self::Live, Self::Htmx, Self::HtmxSse, Self::Icon];

    /// Name and ending.
    fn name(self) -> (&'static str, &'static str) {
        match self {
            Self::Style => ("page", "css"),
            Self::Script => ("page", "js"),
            Self::Live => ("live", "js"),
            Self::Htmx => ("htmx", "js"),
            Self::HtmxSse => ("htmx-sse", "js"),
            Self::Icon => ("icon", "svg"),
        }
    }

    fn media(self) -> &'static str {
        match self {
            Self::Style => "text/css; charset=utf-8",
            Self::Script | Self::Live | Self::Htmx | Self::HtmxSse => "text/javascript; charset=utf-8",
            Self::Icon => "image/svg+xml",
        }
    }

    fn content(self) -> &'static str {
        match self {
            Self::Style => concat!(
                include_str!("../../api/assets/css/tokens.css"),
                include_str!("../assets/css/base.css"),
                include_str!("../assets/css/frame.css"),
                include_str!("../assets/css/parts.css"),
                include_str!("../assets/css/forms.css"),
                include_str!("../assets/css/tables.css"),
                include_str!("../assets/css/people.css"),
                include_str!("../assets/css/deliveries.css"),
                include_str!("../assets/css/charts.css"),
                include_str!("../assets/css/setup.css"),
                include_str!("../assets/css/connector.css"),
                include_str!("../assets/css/tools.css"),
            ),
            Self::Script => include_str!("../assets/js/page.js"),
            Self::Live => include_str!("../assets/js/live.js"),
            Self::Htmx => include_str!("../assets/vendor/htmx-4.0.1.min.js"),
            Self::HtmxSse => include_str!("../assets/vendor/hx-sse-4.0.1.min.js"),
            Self::Icon => include_str!("../assets/icon.svg"),
        }
    }
}

struct Packed {
    asset: Asset,
    file: String,
    plain: Bytes,
    zipped: Bytes,
}

static PACKED: LazyLock<Vec<Packed>> = LazyLock::new(|| Asset::ALL.into_iter().map(Packed::of).collect());

impl Packed {
    fn of(asset: Asset) -> Self {
        let content = asset.content();
        let digest = hex::encode(&Sha256::digest(content.as_bytes())[..6]);
        let (name, ending) = asset.name();
        let plain = Bytes::from_static(content.as_bytes());
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        // Writing into memory does not fail; if it did, the plain form would be served.
        let zipped = encoder.write_all(&plain).and_then(|()| encoder.finish()).map(Bytes::from).unwrap_or_default();
        Self { asset, file: format!("{name}-{digest}.{ending}"), plain, zipped }
    }
}

/// Where `asset` is.
pub fn path(asset: Asset) -> String {
    let file = PACKED.iter().find(|packed| packed.asset == asset).map_or("", |packed| &packed.file);
    format!("/assets/{file}")
}

/// `GET /assets/{file}`.
pub(super) async fn serve(Path(file): Path<String>, headers: HeaderMap) -> Result {
    let packed = PACKED.iter().find(|packed| packed.file == file).ok_or(PageError::Missing)?;
    let zips =
        headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).is_some_and(|text| text.contains("gzip"));
    let zipped = zips && !packed.zipped.is_empty();
    let mut response = Response::new(Body::from(if zipped { packed.zipped.clone() } else { packed.plain.clone() }));
    let answer = response.headers_mut();
    answer.insert(CONTENT_TYPE, HeaderValue::from_static(packed.asset.media()));
    answer.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    answer.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if zipped {
        answer.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn htmx_is_the_file_that_its_makers_published() {
        let digest = |asset: Asset| hex::encode(Sha256::digest(asset.content().as_bytes()));
        insta::assert_snapshot!(format!("htmx {}\nsse {}", digest(Asset::Htmx), digest(Asset::HtmxSse)));
    }

    #[test]
    fn nothing_loads_from_elsewhere() {
        for asset in [Asset::Style, Asset::Script, Asset::Live, Asset::Icon] {
            let content = asset.content().replace("http://www.w3.org/2000/svg", "");
            assert!(
                !content.contains("http://") && !content.contains("https://") && !content.contains("@import"),
                "{asset:?}"
            );
        }
    }
}
