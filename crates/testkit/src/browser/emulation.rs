//! Under which conditions a page is looked at: screens, themes, motion, no scripts; and a picture of it.

use std::{
    fs,
    path::Path,
    sync::{MutexGuard, PoisonError},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::json;

use super::Page;

/// Up to this width a screen is a phone's, which reads the viewport's `meta` element and would show a page without one as on a desktop.
const PHONE: u32 = 480;

/// The tallest picture, in CSS pixels: nobody looks at more of a long page, and drawing all of it takes many seconds.
const TALLEST: f64 = 3_000.0;

/// What a person's system prefers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Theme {
    /// Dark on light.
    #[default]
    Light,
    /// Light on dark.
    Dark,
}

impl Theme {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Light, Self::Dark];

    /// As CSS says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// What CSS is told by media queries. DevTools set all of it at once.
#[derive(Debug, Default)]
pub(super) struct Media {
    theme: Theme,
    less_motion: bool,
}

impl Page {
    /// The size of what can be seen, in CSS pixels.
    pub async fn size(&self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width <= PHONE });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// Light or dark, as by the system's setting (`prefers-color-scheme`).
    pub async fn color_scheme(&self, theme: Theme) {
        self.media().theme = theme;
        self.apply_media().await;
    }

    /// From now on with `prefers-reduced-motion`.
    pub async fn reduced_motion(&self) {
        self.media().less_motion = true;
        self.apply_media().await;
    }

    /// From now on no script of the page runs. What tests read and do goes on working.
    pub async fn without_javascript(&self) {
        self.devtools("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
    }

    /// From now on every page begins with this script, before any of its own: for a browser that lacks something.
    pub async fn begin_with(&self, script: &str) {
        self.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script })).await;
    }

    /// Saves a picture of the whole page as PNG, or of its first 3,000 pixels.
    pub async fn screenshot(&self, path: &Path) {
        self.picture(path, TALLEST).await;
    }

    /// As [`Self::screenshot`], of this many pixels from the top at most: what a document shows is not to be scrolled past.
    pub async fn picture(&self, path: &Path, tallest: f64) {
        let size = self.devtools("Page.getLayoutMetrics", json!({})).await["cssContentSize"].take();
        let height = size["height"].as_f64().unwrap_or_default().min(tallest);
        let clip = json!({ "x": 0, "y": 0, "width": size["width"], "height": height, "scale": 1 });
        let how = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let picture = self.devtools("Page.captureScreenshot", how).await;
        let bytes = BASE64_STANDARD.decode(picture["data"].as_str().unwrap_or_default());
        let bytes = bytes.unwrap_or_else(|error| panic!("the picture is no base64: {error}"));
        fs::write(path, bytes).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    }

    async fn apply_media(&self) {
        let features = {
            let media = self.media();
            let motion = if media.less_motion { "reduce" } else { "no-preference" };
            json!([
                { "name": "prefers-color-scheme", "value": media.theme.name() },
                { "name": "prefers-reduced-motion", "value": motion },
            ])
        };
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    fn media(&self) -> MutexGuard<'_, Media> {
        self.media.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
