//! The list of users.

use askama::Template;

use super::{Person, USERS};
use crate::answer::Result;
use crate::frame::{Frame, Section};
use crate::model::List;
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
    person: Person,
    you: bool,
}

/// `GET /users`.
pub(crate) async fn show(visitor: Visitor) -> Result {
    let query = visitor.query();
    let cursor = query.text("cursor");
    let people: List<Person> =
        visitor.get(&with_query("/v1/users", [("limit", ON_A_PAGE), ("cursor", cursor)])).await?;
    let page = ListPage {
        frame: visitor.frame("Users", Section::Users),
        first: cursor.is_empty(),
        next: people.next_cursor.map(|cursor| with_query(USERS, [("cursor", cursor.as_str())])),
        people: people.items.into_iter().map(|person| Row { you: person.is(&visitor), person }).collect(),
    };
    visitor.page(&page)
}
