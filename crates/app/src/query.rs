//! Query strings and pages. What is not understood is refused: a misspelt filter that silently lists everything misleads.

use std::collections::HashSet;

use toktra_siem_core::fault::{FaultCode, FieldFault, Wrong, meant, segment, shown};
use toktra_siem_core::ids::OrgId;
use toktra_siem_core::time::Timestamp;
use toktra_siem_wire as wire;
use url::form_urlencoded;
use uuid::Uuid;

use crate::{Refusal, Result};

/// The parameter that names an org; the guard reads it, handlers never do.
const ORG_ID: &str = "org_id";
/// Items of a page where the request does not say.
const DEFAULT_LIMIT: usize = 25;
/// Items of a page at most.
const MAX_LIMIT: usize = 100;

/// The parameters of a request, taken out one by one.
#[derive(Debug)]
pub struct Query {
    pairs: Vec<(String, String)>,
    /// The names that are known here, so that one which is left is there twice.
    taken: Vec<String>,
    faults: Vec<FieldFault>,
}

impl Query {
    /// The org that a query string names.
    ///
    /// # Errors
    ///
    /// If it names two, or something that is no id.
    pub fn org(text: &str) -> Result<Option<OrgId>> {
        let mut named = form_urlencoded::parse(text.as_bytes()).filter(|(name, _)| name == ORG_ID);
        let Some((_, value)) = named.next() else { return Ok(None) };
        if named.next().is_some() {
            return Err(Refusal::bad_request("`org_id` is there twice. Name one org."));
        }
        match value.parse() {
            Ok(org) => Ok(Some(org)),
            Err(_) => Err(Refusal::bad_request(format!("`{}` in `?org_id=` is not a UUID.", shown(&value)))),
        }
    }

    /// The parameters of a query string.
    pub fn parse(text: &str) -> Self {
        let pairs = form_urlencoded::parse(text.as_bytes()).into_owned().filter(|(name, _)| name != ORG_ID).collect();
        Self { pairs, taken: Vec::new(), faults: Vec::new() }
    }

    /// These parameters, but those that say nothing.
    pub fn of<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let said = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        Self {
            pairs: said.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            taken: Vec::new(),
            faults: Vec::new(),
        }
    }

    fn text(&mut self, name: &str) -> Option<String> {
        self.taken.push(name.to_owned());
        let at = self.pairs.iter().position(|(n, _)| n == name)?;
        Some(self.pairs.remove(at).1)
    }

    /// The parameter `name` as `read` understands it; `expected` says what that would be.
    pub(crate) fn take<T>(&mut self, name: &str, expected: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = self.text(name)?;
        let value = read(&text);
        if value.is_none() {
            self.faults.push(FieldFault::of(name, Wrong::not_one_of(&text, expected)));
        }
        value
    }

    /// The parameter `name` as a time.
    pub(crate) fn time(&mut self, name: &str) -> Option<Timestamp> {
        let lost = self.pairs.iter().any(|(n, text)| n == name && text.contains(' '));
        let expected = if lost {
            "a time in RFC 3339, such as 2025-01-15T10:30:00Z; a `+` in a query is written as %2B"
        } else {
            "a time in RFC 3339, such as 2025-01-15T10:30:00Z"
        };
        self.take(name, expected, crate::words::read)
    }

    /// `from` and `to`, between which there has to be something.
    pub(crate) fn range(&mut self) -> (Option<Timestamp>, Option<Timestamp>) {
        let (from, to) = (self.time("from"), self.time("to"));
        if from.zip(to).is_some_and(|(from, to)| from >= to) {
            self.faults.push(FieldFault::of("from", Wrong::not_before("to")));
        }
        (from, to)
    }

    /// `limit`, in its bounds.
    pub(crate) fn limit(&mut self) -> usize {
        let within = |text: &str| text.parse().ok().filter(|n| (1..=MAX_LIMIT).contains(n));
        let Some(text) = self.text("limit") else { return DEFAULT_LIMIT };
        let limit = within(&text);
        if limit.is_none() {
            self.faults.push(FieldFault::of("limit", Wrong::range(1, MAX_LIMIT as u64)));
        }
        limit.unwrap_or(DEFAULT_LIMIT)
    }

    /// `limit` and `cursor` of a list that is ordered by creation.
    pub(crate) fn paging(&mut self) -> Paging {
        let limit = self.limit();
        let after = self.take("cursor", "the `next_cursor` of a page of this list", Position::read);
        Paging { after, limit }
    }

    /// Refuses what was wrong, what is there twice, and what nobody asked for.
    pub fn finish(mut self) -> Result<()> {
        let mut named = HashSet::new();
        for (name, _) in self.pairs.iter().filter(|(name, _)| named.insert(name)) {
            let given = shown(name);
            let wrong = if self.taken.contains(name) {
                Wrong::new(FaultCode::Repeated, format!("`{given}` is given more than once; send it once"))
            } else {
                let known = self.taken.iter().map(String::as_str);
                let meant = match (meant(name, known.clone()), known.collect::<Vec<_>>().join("`, `")) {
                    (_, known) if known.is_empty() => " There are none.".to_owned(),
                    (meant, _) if !meant.is_empty() => meant,
                    (_, known) => format!(" There are: `{known}`."),
                };
                Wrong::new(FaultCode::Unknown, format!("`{given}` is not a parameter here.{meant}"))
                    .with("given", given)
            };
            self.faults.push(FieldFault::new(segment(name), wrong));
        }
        if self.faults.is_empty() {
            return Ok(());
        }
        Err(Refusal::invalid(self.faults))
    }
}

/// Where an item stands in a list that is ordered by creation. Still means something once the item is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position(pub(crate) Timestamp, pub(crate) Uuid);

impl Position {
    fn read(text: &str) -> Option<Self> {
        let (time, id) = text.split_once('.')?;
        Some(Self(Timestamp(time.parse().ok()?), Uuid::try_parse(id).ok()?))
    }

    fn write(self) -> String {
        format!("{}.{}", self.0.0, self.1.simple())
    }
}

/// Which page of a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paging {
    after: Option<Position>,
    limit: usize,
}

impl Paging {
    /// The page of `all`, which this brings into the order of `position`, shown by `show`.
    pub(crate) fn page<T, U>(
        self,
        mut all: Vec<T>,
        position: impl Fn(&T) -> Position,
        show: impl FnMut(&T) -> Result<U>,
    ) -> Result<wire::List<U>> {
        all.sort_by_key(&position);
        let start = self.after.map_or(0, |after| all.partition_point(|item| position(item) <= after));
        let rest = &all[start..];
        let page = &rest[..self.limit.min(rest.len())];
        let has_more = page.len() < rest.len();
        let next_cursor = page.last().filter(|_| has_more).map(|last| position(last).write());
        let items = page.iter().map(show).collect::<Result<_>>()?;
        Ok(wire::List { items, next_cursor, has_more, total_count: Some(all.len()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::parse(text)
    }

    #[test]
    fn names_every_parameter_that_is_wrong_unknown_or_repeated() {
        let mut query = query("limit=101&nonsense=1&from=yesterday&to=2025-01-15T10%3A30%3A00Z&to=x&org_id=1");
        query.limit();
        assert_eq!(query.time("from"), None);
        assert_eq!(query.time("to"), Some(Timestamp(1_736_937_000_000)));
        assert_eq!((query.faults.len(), query.pairs.len()), (2, 2));
        let refused = query.finish().unwrap_err();
        let told: Vec<_> = refused.problem.fields.iter().map(|fault| (&*fault.pointer, fault.code)).collect();
        let [wrong, unknown, repeated] = [FaultCode::NotOneOf, FaultCode::Unknown, FaultCode::Repeated];
        assert_eq!(told, [("/limit", FaultCode::Range), ("/from", wrong), ("/nonsense", unknown), ("/to", repeated)]);
    }

    #[test]
    fn a_range_holds_something() {
        for (asked, fine) in [
            ("from=2025-01-15T10:30:00Z&to=2025-01-15T10:30:01Z", true),
            ("from=2025-01-15T10:30:00Z", true),
            ("to=2025-01-15T10:30:00Z", true),
            ("from=2025-01-15T10:30:00Z&to=2025-01-15T10:30:00Z", false),
            ("from=2025-01-15T10:30:00Z&to=2025-01-15T10:29:00Z", false),
            ("from=2025-01-15T10:30:00Z&to=2025-01-15T12:30:00%2B02:00", false),
        ] {
            let mut query = query(asked);
            query.range();
            assert_eq!(query.finish().is_ok(), fine, "{asked}");
        }
    }

    #[test]
    fn an_org_is_named_once() {
        let org = |query: &str| Query::org(query);
        let id = "org_id=00000000-0000-0000-0000-000000000001";
        assert!(org(id).unwrap().is_some() && org("limit=1").unwrap().is_none());
        assert!(org(&format!("{id}&{id}")).is_err() && org("org_id=").is_err());
    }

    #[test]
    fn pages_cover_a_list_without_gaps_even_where_items_vanish() {
        let position = |n: &u8| Position(Timestamp(i64::from(n / 2)), Uuid::from_u128(u128::from(*n)));
        let mut left: Vec<u8> = (0..10).rev().collect();
        let mut seen: Vec<u8> = Vec::new();
        let mut cursor = String::new();
        loop {
            let paging = query(&format!("limit=3{cursor}")).paging();
            let list = paging.page(left.clone(), position, |n| Ok(*n)).unwrap();
            seen.extend(&list.items);
            left.retain(|n| !list.items.contains(n));
            let Some(next) = list.next_cursor else { break };
            assert!(list.has_more);
            cursor = format!("&cursor={next}");
        }
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
    }
}
