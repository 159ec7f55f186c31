//! The fields of an event (product spec, "Event payload format"), by name and as a set.

macro_rules! fields {
    ($($variant:ident = $name:literal),+ $(,)?) => {
        /// A known top-level field. The order is that of the bits in [`SentFields`] and never changes: add at the end.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Field { $($variant),+ }

        impl Field {
            pub(super) const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name on the wire.
            pub(super) fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            pub(super) fn of(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

fields! {
    EventId = "event_id",
    EventType = "event_type",
    Severity = "severity",
    Timestamp = "timestamp",
    OrgId = "org_id",
    UserId = "user_id",
    UserEmail = "user_email",
    Provider = "provider",
    Model = "model",
    PolicyId = "policy_id",
    Summary = "summary",
    Source = "source",
    Details = "details",
    Tags = "tags",
}

impl Field {
    /// The order of the members of the stored form: what is looked for first, and what can be long last, since receivers stop reading
    /// (Splunk's `TRUNCATE` and `maxchars`).
    pub(super) const STORED: [Self; 14] = [
        Self::EventId,
        Self::EventType,
        Self::Severity,
        Self::Timestamp,
        Self::OrgId,
        Self::UserId,
        Self::UserEmail,
        Self::Provider,
        Self::Model,
        Self::PolicyId,
        Self::Source,
        Self::Summary,
        Self::Tags,
        Self::Details,
    ];

    /// Whether the stored form has it as `null` if the producer left it out: the product spec shows it in every event.
    pub(super) fn is_always_there(self) -> bool {
        matches!(self, Self::UserId | Self::UserEmail | Self::Provider | Self::Model)
    }

    /// The longest text that a free field may hold, in characters; `None` where the field is not free text.
    pub(super) fn max_chars(self) -> Option<usize> {
        match self {
            Self::UserId | Self::Provider | Self::Model | Self::PolicyId => Some(256),
            Self::UserEmail => Some(320),
            Self::Summary => Some(8192),
            _ => None,
        }
    }
}

/// Which of the known fields a producer sent. What it left out (or sent as `null`) was filled in or is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SentFields(pub u32);

impl SentFields {
    pub(super) fn insert(&mut self, field: Field) {
        self.0 |= 1 << field as u32;
    }

    pub(super) fn contains(self, field: Field) -> bool {
        self.0 & (1 << field as u32) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_bits_are_each_fields_own() {
        let mut all = SentFields::default();
        for field in Field::ALL {
            assert_eq!(Field::of(field.name()), Some(*field));
            assert!(!all.contains(*field));
            all.insert(*field);
        }
        assert_eq!(all.0.count_ones() as usize, Field::ALL.len());
        assert!(Field::ALL.iter().all(|field| Field::STORED.contains(field)));
        assert_eq!(Field::of("integrity"), None);
    }
}
