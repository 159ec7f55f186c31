//! People who log in with a browser.

use std::path::Path;

use serde_json::json;

use super::{PASSWORD, World, setup};
use crate::browser::{Browser, Page};
use crate::json::Json as _;
use crate::server::ServerSetup;

/// Who sets everything up.
pub const ADMIN: &str = "ada@company.example";
/// Who only looks.
pub const VIEWER: &str = "vic@company.example";

/// A setup whose environment names the admin.
pub fn with_admin(setup: ServerSetup) -> ServerSetup {
    setup.env("TOKTRA_SIEM_ADMIN_EMAIL", ADMIN).env("TOKTRA_SIEM_ADMIN_PASSWORD", PASSWORD)
}

impl World {
    /// The server of this setup, and a browser with one empty page; `None` after saying what is skipped.
    pub async fn browsed(setup: ServerSetup) -> Option<(Self, Page)> {
        let browser = Browser::start().await?;
        let page = browser.tab().await;
        Some((Self { browser: Some(browser), ..Self::with(setup).await }, page))
    }

    /// As [`Self::browsed`], with an admin and a viewer, as a company has it that works with this.
    pub async fn office() -> Option<(Self, Page)> {
        let (world, page) = Self::browsed(with_admin(setup())).await?;
        let admin = world.list("/v1/users").await.iter().find(|user| user["email"] == ADMIN).unwrap().id();
        let viewer = json!({ "email": VIEWER, "name": "Vic Jones", "role": "viewer", "password": PASSWORD });
        world.make("/v1/users", &viewer).await;
        world.change(&format!("/v1/orgs/{}", world.id), &json!({ "name": "Northwind" })).await;
        world.change(&format!("/v1/users/{admin}"), &json!({ "name": "Ada Lovelace" })).await;
        Some((world, page))
    }

    /// As [`Self::office`], and the admin has logged in.
    pub async fn at_work() -> Option<(Self, Page)> {
        let (world, page) = Self::office().await?;
        world.log_in(&page).await;
        Some((world, page))
    }

    /// Another page of the browser: of a person of its own.
    pub async fn tab(&self) -> Page {
        self.browser.as_ref().expect("the world has a browser").tab().await
    }

    /// Opens a page.
    pub async fn open(&self, page: &Page, path: &str) {
        page.goto(&self.at(path)).await;
    }

    /// Logs the admin in, as they do it themselves.
    pub async fn log_in(&self, page: &Page) {
        self.log_in_as(page, ADMIN).await;
    }

    /// Logs in whoever has this address.
    pub async fn log_in_as(&self, page: &Page, email: &str) {
        self.open(page, "/login").await;
        page.fill("#email", email).await;
        page.fill("#password", PASSWORD).await;
        page.click("form .primary").await;
        page.wait_for_url("/integrations/siem").await;
    }

    /// Stops the server, does something to its data directory, and starts it again.
    pub async fn while_away(&mut self, work: impl AsyncFnOnce(&Path)) {
        self.stop().await;
        work(&self.data_dir()).await;
        self.again().await;
    }
}
