//! The list of users.

use askama::Template;

use toktra_siem_app::{Query, users};
use toktra_siem_wire::User;

use super::{Person as _, USERS};
use crate::answer::Result;
use crate::frame::{Frame, Section};
use crate::visitor::{Visitor, with_query};

/// Users on a page.
const ON_A_PAGE: &str = "100";

#[derive(Template)]
#[template(path = "dashboard/users/list.html")]
struct ListPage {
    frame: Frame,
    people: Vec<Row>,
    /// Where the list goes on.
    next: Option<String>,
    /// Whether this is where it begins.
    first: bool,
}

struct Row {
    person: User,
    you: bool,
}

/// `GET /users`.
pub(crate) async fn show(visitor: Visitor) -> Result {
    let query = visitor.query();
    let cursor = query.text("cursor");
    let page = Query::of([("limit", ON_A_PAGE), ("cursor", cursor)]);
    let people = users::list(visitor.app(), visitor.caller(), page).await?;
    let page = ListPage {
        frame: visitor.frame("Users", Section::Users),
        first: cursor.is_empty(),
        next: people.next_cursor.map(|cursor| with_query(USERS, [("cursor", cursor.as_str())])),
        people: people.items.into_iter().map(|person| Row { you: person.is(&visitor), person }).collect(),
    };
    visitor.page(&page)
}
