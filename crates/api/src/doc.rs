//! What a route says of itself. The OpenAPI document ([`super::openapi`]) and the reference page are made of nothing else, and
//! [`super::routes`] mounts no route without it.
//!
//! How to document a route:
//!
//! 1. Its answer is a type of [`toktra_siem_wire`]. The comments there are read by users: no intra-doc links, no names of files. An `Option`
//!    may be `null`; with `skip_serializing_if` it may be absent instead.
//! 2. Its body is described by a type there as well (`NewKey`), although [`toktra_siem_app::Object`] reads it member by member:
//!    `deny_unknown_fields`, `#[schemars(length(…), range(…))]` for bounds.
//! 3. A type of core derives its schema there: `#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]`.
//! 4. Write a function in the file of its resource that returns a [`Doc`], say
//!    `Doc::new("listApiKeys", Tag::Keys, "List API keys").paged().ok::<wire::List<wire::ApiKey>>("A page of keys.")`, and name it in the row of
//!    [`super::routes`].
//! 5. State what is peculiar to the route. What follows from access, path, query and body (400, 401, 403, 404, 413, 415, 422, 429, 5xx,
//!    `?org_id=`, ids of the path, request-limit headers) is added by itself.
//! 6. Let the conversation in `crates/e2e/tests/it/api/examples.rs` use the route: what is said there becomes its example. With `INSTA_UPDATE=always`
//!    run `cargo test --workspace --test it api::examples`, then `--lib openapi`, and look at both snapshots. The tests of the API
//!    compare every answer with the document: what is not documented fails them.

use http::StatusCode;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use toktra_siem_wire as wire;

use super::error::Code;

/// The group of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// Events, in and afterwards.
    Events,
    /// Connectors.
    Connectors,
    /// The history.
    Deliveries,
    /// Who is told.
    Channels,
    /// Long work.
    Jobs,
    /// API keys.
    Keys,
    /// Orgs.
    Orgs,
    /// Users and their sessions.
    Users,
    /// The audit log.
    Audit,
    /// The service itself.
    Service,
}

impl Tag {
    /// Every group, in the order of the document.
    pub const ALL: [Self; 10] = [
        Self::Events,
        Self::Connectors,
        Self::Deliveries,
        Self::Channels,
        Self::Jobs,
        Self::Keys,
        Self::Orgs,
        Self::Users,
        Self::Audit,
        Self::Service,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Events => "Events",
            Self::Connectors => "Connectors",
            Self::Deliveries => "Deliveries",
            Self::Channels => "Notification channels",
            Self::Jobs => "Jobs",
            Self::Keys => "API keys",
            Self::Orgs => "Orgs",
            Self::Users => "Users",
            Self::Audit => "Audit log",
            Self::Service => "Service",
        }
    }

    /// What it is about.
    pub fn about(self) -> &'static str {
        match self {
            Self::Events => "Security events: the way in, and what became of each.",
            Self::Connectors => {
                "A connector is an org's configured SIEM: platform, settings, credentials, filter, active flag. Its events flow in \
                 streams: one, or two where a platform takes logs and metrics apart."
            }
            Self::Deliveries => {
                "A delivery is one batch of events for one stream. Each of its attempts is one HTTP request to the SIEM."
            }
            Self::Channels => {
                "Who is told when a SIEM does not take events, or something else needs a person: by mail, Slack, Microsoft Teams, PagerDuty, or a \
                 webhook of your own."
            }
            Self::Jobs => "Work that takes longer than a request: delivering again, replaying, discarding.",
            Self::Keys => "Who may call. A key is shown once; what is kept is its hash.",
            Self::Orgs => "The tenants. Platform keys only.",
            Self::Users => "People of an org, and their sessions.",
            Self::Audit => "Every change: who, what and when.",
            Self::Service => "For whoever operates the service.",
        }
    }
}

/// Makes a type's schema, in the generator's terms.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// A body in one media type.
#[derive(Clone)]
pub(super) struct Content {
    pub(super) media: &'static str,
    pub(super) schema: SchemaOf,
}

/// The JSON that most bodies are.
pub(super) const JSON: &str = "application/json";

/// A query parameter, or a header of requests.
#[derive(Clone)]
pub(super) struct Param {
    /// `query` or `header`.
    pub(super) place: &'static str,
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) schema: SchemaOf,
}

/// The body of a request.
#[derive(Clone)]
pub(super) struct Body {
    pub(super) about: &'static str,
    pub(super) required: bool,
    pub(super) contents: Vec<Content>,
}

/// An answer that is no error.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) about: &'static str,
    pub(super) contents: Vec<Content>,
    pub(super) headers: Vec<(&'static str, &'static str)>,
}

/// An error that is peculiar to the route.
#[derive(Clone)]
pub(super) struct Fault {
    pub(super) status: StatusCode,
    pub(super) code: Code,
    pub(super) about: &'static str,
}

/// What a route says of itself.
#[derive(Clone)]
pub struct Doc {
    pub(super) id: &'static str,
    pub(super) tag: Tag,
    pub(super) summary: &'static str,
    pub(super) about: &'static str,
    pub(super) params: Vec<Param>,
    pub(super) body: Option<Body>,
    pub(super) answers: Vec<Answer>,
    pub(super) faults: Vec<Fault>,
    /// Whether it takes an `Idempotency-Key`.
    pub(super) once: bool,
}

impl Doc {
    /// A route with its operation id (a verb and a noun, never renamed: generated clients have methods of this name), and what it does in
    /// a few words.
    pub(super) fn new(id: &'static str, tag: Tag, summary: &'static str) -> Self {
        let (params, answers, faults) = (Vec::new(), Vec::new(), Vec::new());
        Self { id, tag, summary, about: "", params, body: None, answers, faults, once: false }
    }

    /// What else a caller should know.
    pub(super) fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }

    /// A query parameter; none is required.
    pub(super) fn query<T: JsonSchema>(mut self, name: &'static str, about: &'static str) -> Self {
        self.params.push(Param { place: "query", name, about, schema: schema_of::<T> });
        self
    }

    /// The list is answered by pages.
    pub(super) fn paged(self) -> Self {
        self.query::<wire::Limit>("limit", "Items of a page.")
            .query::<String>("cursor", "Where to go on: the `next_cursor` of the page before.")
    }

    /// A change may insist on a revision.
    pub(super) fn if_match(mut self) -> Self {
        let about =
            "The `ETag` of the revision that is meant, so that a change of somebody else is not overwritten unseen.";
        self.params.push(Param { place: "header", name: "If-Match", about, schema: schema_of::<String> });
        self.error(412, Code::Conflict, "`If-Match` names another revision: read it again, and repeat the change.")
    }

    /// The route takes an `Idempotency-Key` ([`super::once`]).
    pub(super) fn once(mut self) -> Self {
        let about = "1 to 255 printable ASCII characters, for this request alone. For 24 hours the same request with the same key is not done \
                     again, but answered as before.";
        self.params.push(Param {
            place: "header",
            name: "Idempotency-Key",
            about,
            schema: schema_of::<wire::IdempotencyKey>,
        });
        self.once = true;
        self.error(
            409,
            Code::Conflict,
            "The same request, with the same `Idempotency-Key`, is under way, or its outcome is not known.",
        )
        .error(422, Code::IdempotencyMismatch, "The `Idempotency-Key` was used with another request.")
    }

    /// The JSON body.
    pub(super) fn body<T: JsonSchema>(mut self, about: &'static str) -> Self {
        let contents = vec![Content { media: JSON, schema: schema_of::<T> }];
        self.body = Some(Body { about, required: true, contents });
        self
    }

    /// The JSON body, which may be left out.
    pub(super) fn optional_body<T: JsonSchema>(self, about: &'static str) -> Self {
        let mut doc = self.body::<T>(about);
        doc.body.iter_mut().for_each(|body| body.required = false);
        doc
    }

    /// Another media type that the body may have.
    pub(super) fn body_as<T: JsonSchema>(mut self, media: &'static str) -> Self {
        let content = Content { media, schema: schema_of::<T> };
        self.body.iter_mut().for_each(|body| body.contents.push(content.clone()));
        self
    }

    /// 200 with JSON.
    pub(super) fn ok<T: JsonSchema>(self, about: &'static str) -> Self {
        self.answer::<T>(StatusCode::OK, about)
    }

    /// 201 with JSON.
    pub(super) fn created<T: JsonSchema>(self, about: &'static str) -> Self {
        self.answer::<T>(StatusCode::CREATED, about)
    }

    /// 202 with JSON.
    pub(super) fn accepted<T: JsonSchema>(self, about: &'static str) -> Self {
        self.answer::<T>(StatusCode::ACCEPTED, about)
    }

    /// Any answer with JSON.
    pub(super) fn answer<T: JsonSchema>(self, status: StatusCode, about: &'static str) -> Self {
        self.answer_in::<T>(status, JSON, about)
    }

    /// Any answer in any media type; for text `T` is `String`.
    pub(super) fn answer_in<T: JsonSchema>(
        mut self,
        status: StatusCode,
        media: &'static str,
        about: &'static str,
    ) -> Self {
        self.answers.push(Answer { status, about, contents: Vec::new(), headers: Vec::new() });
        self.or_as::<T>(media)
    }

    /// Another media type of the answer named last.
    pub(super) fn or_as<T: JsonSchema>(mut self, media: &'static str) -> Self {
        let content = Content { media, schema: schema_of::<T> };
        self.answers.last_mut().into_iter().for_each(|answer| answer.contents.push(content.clone()));
        self
    }

    /// A header of the answer named last.
    pub(super) fn sets(mut self, header: &'static str, about: &'static str) -> Self {
        self.answers.last_mut().into_iter().for_each(|answer| answer.headers.push((header, about)));
        self
    }

    /// The answer named last carries the revision.
    pub(super) fn etag(self) -> Self {
        self.sets("ETag", "The revision, for `If-Match`.")
    }

    /// An error that is peculiar to the route: when, in a sentence.
    pub(super) fn error(mut self, status: u16, code: Code, about: &'static str) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        self.faults.push(Fault { status, code, about });
        self
    }
}
