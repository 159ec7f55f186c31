//! A page of a list.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A page of a list.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "{T}List")]
pub struct List<T> {
    /// The items.
    pub items: Vec<T>,
    /// The `cursor` of the next page; `null` on the last one.
    pub next_cursor: Option<String>,
    /// Whether there is a next page.
    pub has_more: bool,
    /// Items of the whole list; `null` where counting them would cost too much.
    pub total_count: Option<usize>,
}

impl<T> List<T> {
    /// All there is, on one page.
    pub fn whole(items: Vec<T>) -> Self {
        let total_count = Some(items.len());
        Self { items, next_cursor: None, has_more: false, total_count }
    }
}

/// Items of a page.
#[derive(JsonSchema)]
#[schemars(inline)]
pub struct Limit(#[schemars(range(min = 1, max = 100), extend("default" = 25))] pub u8);
