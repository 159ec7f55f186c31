//! The list of API keys.

use askama::Template;

use toktra_siem_app::{Query, keys};
use toktra_siem_wire::ApiKey;

use super::{KEYS, Told as _};
use crate::answer::Result;
use crate::frame::{Frame, Section};
use crate::shown::ShownSecrets;
use crate::visitor::{Visitor, with_query};

/// Keys on a page.
const ON_A_PAGE: &str = "100";

#[derive(Template)]
#[template(path = "dashboard/keys/list.html")]
struct ListPage {
    frame: Frame,
    keys: Vec<ApiKey>,
    shown: ShownSecrets,
    /// Where the list goes on.
    next: Option<String>,
    /// Whether this is where it begins.
    first: bool,
}

/// `GET /api-keys`.
pub(crate) async fn show(visitor: Visitor) -> Result {
    let query = visitor.query();
    let cursor = query.text("cursor");
    let page = Query::of([("limit", ON_A_PAGE), ("cursor", cursor)]);
    let keys = keys::list(visitor.app(), visitor.caller(), page).await?;
    visitor.page(&ListPage {
        shown: ShownSecrets::of(&visitor).await?,
        frame: visitor.frame("API keys", Section::Keys),
        first: cursor.is_empty(),
        next: keys.next_cursor.map(|cursor| with_query(KEYS, [("cursor", cursor.as_str())])),
        keys: keys.items,
    })
}
