//! One line of a table of samples: a request to a route that would succeed for whoever may make it.

use serde_json::Value;

/// What is sent along.
#[derive(Debug, Clone)]
pub(super) enum Body {
    Nothing,
    Json(Value),
    Form(&'static [(&'static str, &'static str)]),
}

/// What the answer to the rightful caller has to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shows {
    /// Anything of the org that the request did not name.
    Something,
    /// Exactly these, and whatever else there is.
    These(&'static [&'static str]),
    /// Nothing: the route is about no object.
    Nothing,
}

/// A sample. `{name}` in its texts means that value of the org that the request is about.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// Method and path as the route table has them.
    pub(super) route: &'static str,
    /// The path with the name of a value in each parameter's place.
    pub(super) path: String,
    /// Queries that are tried as well: filters by id, and cursors.
    pub(super) also: &'static [&'static str],
    /// Media types that are asked for as well.
    pub(super) accepts: &'static [&'static str],
    pub(super) body: Body,
    /// Bodies that are tried as well.
    pub(super) also_bodies: Vec<Value>,
    pub(super) shows: Shows,
    /// Values that the route tells everybody, on purpose.
    pub(super) public: &'static [&'static str],
    /// It changes nothing, whatever its method.
    pub(super) reads: bool,
    /// It leaves no line in the audit log: events come in, or something is only tried out.
    pub(super) unlogged: bool,
    /// It removes what others need: it comes after all others.
    pub(super) last: bool,
}

/// A sample of the route that is written as the table has it, such as `GET /v1/siem/jobs/{id}`.
pub(super) fn on(route: &'static str) -> Line {
    let (method, path) = route.split_once(' ').unwrap_or_else(|| panic!("`{route}` has no method"));
    Line {
        route,
        path: path.to_owned(),
        also: &[],
        accepts: &[],
        body: Body::Nothing,
        also_bodies: Vec::new(),
        shows: if method == "GET" { Shows::Something } else { Shows::Nothing },
        public: &[],
        reads: method == "GET",
        unlogged: false,
        last: method == "DELETE",
    }
}

impl Line {
    pub(super) fn method(&self) -> http::Method {
        self.route.split(' ').next().unwrap_or_default().parse().unwrap()
    }

    /// The value that the parameters of the path stand for.
    pub(super) fn of(mut self, name: &str) -> Self {
        while let (Some(start), Some(end)) = (self.path.find('{'), self.path.find('}')) {
            self.path.replace_range(start..=end, &format!("<{name}>"));
        }
        self.path = self.path.replace('<', "{").replace('>', "}");
        self
    }

    /// The number in the path, of a thing that has no id of its own.
    pub(super) fn number(mut self, number: &str) -> Self {
        self.path = self.path.replace("{number}", number);
        self
    }

    /// As [`Self::of`], for what nobody owns.
    pub(super) fn plain(mut self, text: &str) -> Self {
        while let (Some(start), Some(end)) = (self.path.find('{'), self.path.find('}')) {
            self.path.replace_range(start..=end, text);
        }
        self
    }

    pub(super) fn also(mut self, queries: &'static [&'static str]) -> Self {
        self.also = queries;
        self
    }

    pub(super) fn accepts(mut self, media_types: &'static [&'static str]) -> Self {
        self.accepts = media_types;
        self
    }

    pub(super) fn json(mut self, body: Value) -> Self {
        self.body = Body::Json(body);
        self
    }

    pub(super) fn also_json(mut self, body: Value) -> Self {
        self.also_bodies.push(body);
        self
    }

    pub(super) fn form(mut self, fields: &'static [(&'static str, &'static str)]) -> Self {
        self.body = Body::Form(fields);
        self
    }

    /// What the rightful caller is shown, by name.
    pub(super) fn shows(mut self, names: &'static [&'static str]) -> Self {
        self.shows = Shows::These(names);
        self
    }

    /// There is no object that the answer could show.
    pub(super) fn empty(mut self) -> Self {
        self.shows = Shows::Nothing;
        self
    }

    pub(super) fn public(mut self, names: &'static [&'static str]) -> Self {
        self.public = names;
        self
    }

    /// A `POST` that only answers.
    pub(super) fn reads(mut self) -> Self {
        self.reads = true;
        self
    }

    /// See the field.
    pub(super) fn unlogged(mut self) -> Self {
        self.unlogged = true;
        self
    }

    /// See the field.
    pub(super) fn last(mut self) -> Self {
        self.last = true;
        self
    }

    /// Everything that is asked, besides `?org_id=`.
    pub(super) fn asks(&self) -> Vec<Ask> {
        let plain = Ask { query: String::new(), accept: None, body: self.body.clone() };
        let mut asks = vec![plain.clone()];
        asks.extend(self.also.iter().map(|query| Ask { query: (*query).to_owned(), ..plain.clone() }));
        asks.extend(self.accepts.iter().map(|media| Ask { accept: Some(media), ..plain.clone() }));
        asks.extend(self.also_bodies.iter().map(|body| Ask { body: Body::Json(body.clone()), ..plain.clone() }));
        asks
    }
}

/// One way to ask.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) query: String,
    pub(super) accept: Option<&'static str>,
    pub(super) body: Body,
}

impl Ask {
    /// Whether the query or the body means something of an org. The path is not looked at.
    pub(super) fn means_something(&self) -> bool {
        let body = match &self.body {
            Body::Nothing => false,
            Body::Json(body) => body.to_string().contains("\"{"),
            Body::Form(fields) => fields.iter().any(|(_, value)| value.contains('{')),
        };
        body || self.query.contains('{')
    }
}
